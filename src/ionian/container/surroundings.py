"""What a process has round itself, and a fork must have as its own: the environment, its folder, its signals."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import os


class Surroundings:
    """Made in a template before user code runs; `look` when it has run; `become` in each fork."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        """`env`: what it was before the image's entrypoint, which is user code."""
        self._now = dict(os.environ)
        self._env = self._now if env is None else env
        self._changed: dict[str, str] = {}
        self._removed: set[str] = set()
        self._folder = os.getcwd()
        self._child_ended = _signal.getsignal(_signal.SIGCHLD)

    def look(self) -> None:
        """Finds what user code has changed."""
        now = self._now = dict(os.environ)
        self._changed = {name: value for name, value in now.items() if self._env.get(name) != value}
        self._removed = self._env.keys() - now.keys()
        self._folder = os.getcwd()
        self._child_ended = _signal.getsignal(_signal.SIGCHLD)

    def become(self, env: dict[str, str]) -> None:
        """The environment is this one, Python's and libc's, with what user code changed; the folder is user code's."""
        wanted = {name: value for name, value in env.items() if name not in self._removed} | self._changed
        now = self._now  # to ask libc's again would take each variable apart, and copy their pages
        for name in now.keys() - wanted.keys():
            del os.environ[name]
        for name, value in wanted.items():  # most are there already
            if now.get(name) != value:
                os.environ[name] = value
        self._now = wanted
        os.chdir(self._folder)
        if self._child_ended is not None:  # else it is native code's
            _signal.signal(_signal.SIGCHLD, self._child_ended)  # the fork's own init had it as it needs it
