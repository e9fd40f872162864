"""The commit of the folder that one works in, as a deploy remembers it."""

from __future__ import annotations

import subprocess
import threading

PATIENCE_S = 2.0
"""A large repository on a slow disk keeps no deploy waiting."""


class Commit:
    """Asks git beside what else is done; there may be no git, and no repository."""

    def __init__(self) -> None:
        self._text = ""
        self._thread = threading.Thread(target=self._ask, name="ionian-commit", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """Seven characters of the commit, with "*" behind them where files were changed; "" where none is known."""
        self._thread.join(PATIENCE_S)
        return self._text

    def _ask(self) -> None:
        try:
            commit = _git("rev-parse", "--short=7", "HEAD")
            changed = _git("status", "--porcelain", "--untracked-files=no") if commit else ""
        except (OSError, subprocess.SubprocessError):
            return
        self._text = commit[:7] + ("*" if changed else "")


def _git(*arguments: str) -> str:
    """The output; "" where git fails. `--no-optional-locks`: it writes nothing, even where it could."""
    done = subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE_S,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
