"""What a user reads when something goes wrong."""

from __future__ import annotations

import subprocess

INTERNAL = (
    "site-packages",
    "src/ionian",
    "/ionian/container",
    "msgspec",
    "picows",
    "uvloop",
    "Task exception",
)
"""Words of our own machinery, which no message shows."""


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command, its lines joined and cut of what differs from run to run."""
    return " ".join(done.stdout.split())


def fails_with(done: subprocess.CompletedProcess[str], *sentences: str, code: int = 1) -> None:
    """Checks that a command ended with this exit code, said these sentences, and showed nothing of our insides."""
    assert done.returncode == code, done.stdout
    text = said(done)
    for sentence in sentences:
        assert sentence in text, done.stdout
    for word in INTERNAL:
        assert word not in text, done.stdout
