"""What a process sees round itself, and a fork must see as its own: the environment, the folder that it is in."""

from __future__ import annotations

import os


class Surroundings:
    """Made in a template before user code runs; `look` when it has run; `become` in each fork."""

    def __init__(self) -> None:
        self._env = dict(os.environ)
        self._changed: dict[str, str] = {}
        self._removed: set[str] = set()
        self._folder = os.getcwd()

    def look(self) -> None:
        """Finds what user code has changed."""
        now = dict(os.environ)
        self._changed = {name: value for name, value in now.items() if self._env.get(name) != value}
        self._removed = self._env.keys() - now.keys()
        self._folder = os.getcwd()

    def become(self, env: dict[str, str]) -> None:
        """The environment is this one, Python's and libc's, with what user code changed; the folder is user code's."""
        kept = {name: value for name, value in env.items() if name not in self._removed}
        os.environ.clear()
        os.environ.update(kept | self._changed)
        os.chdir(self._folder)
