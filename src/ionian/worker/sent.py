"""A commit that was sent and whose answer is not here yet: kept beside its copy, so that a worker that was killed sends the same one.

What a copy held is no help then: another may have committed in between, and these changes are older than that.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ..machine.manifest import Change


class SentCommit(msgspec.Struct, frozen=True, array_like=True):
    """A commit under its id."""

    commit_id: str
    changes: list[Change]


def keep(file: Path, commit: SentCommit) -> None:
    """It is on the disk when this returns. Raises OSError."""
    draft = file.with_suffix(".new")
    with open(draft, "wb") as opened:
        opened.write(msgspec.msgpack.encode(commit))
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def kept(file: Path) -> SentCommit | None:
    """The one that was sent last; None: it was answered."""
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=SentCommit)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):  # lost with the power
        return None
