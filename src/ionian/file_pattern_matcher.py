"""Patterns of files, as a `.dockerignore` has them: `ignore=` of `Image.add_local_dir` and others.

A pattern is matched against the whole path relative to the folder, so `*.pyc` means the folder itself and
`**/*.pyc` any depth. What lies in a matching folder matches too. The last matching pattern decides; one that
begins with `!` takes files out again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .exception import InvalidError
from .execution import is_local

if TYPE_CHECKING:
    import re
    from pathlib import Path, PurePath

    Ignore = Callable[[Path], bool]


class _Matcher:
    """Says of a path whether it matches; `~matcher` says the opposite."""

    def __call__(self, path: PurePath) -> bool:
        raise NotImplementedError

    def can_prune_directories(self) -> bool:
        """Whether a folder that matches needs no look inside."""
        return False

    def __invert__(self) -> _Matcher:
        return _Inverted(self)


class _Inverted(_Matcher):
    def __init__(self, matcher: _Matcher) -> None:
        self._matcher = matcher

    def __call__(self, path: PurePath) -> bool:
        return not self._matcher(path)

    def __invert__(self) -> _Matcher:
        return self._matcher

    def __repr__(self) -> str:
        return f"~{self._matcher!r}"


class FilePatternMatcher(_Matcher):
    """Matches paths against patterns in the syntax of `.dockerignore`.

    ```python
    image.add_local_dir("data", "/data", ignore=~modal.FilePatternMatcher("**/*.csv"))
    ```
    """

    def __init__(self, *pattern: str) -> None:
        if is_local():
            for item in pattern:
                if not isinstance(item, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                    raise InvalidError(f"FilePatternMatcher: expected patterns as strings, got {item!r}")
        self._given = pattern
        self._rules: list[tuple[bool, re.Pattern[str]]] | None = None

    @classmethod
    def from_file(cls, file_path: str | os.PathLike[str]) -> FilePatternMatcher:
        """The patterns of a file, one a line; lines that begin with `#` are comments."""
        if not is_local():
            return cls()
        from pathlib import Path

        path = Path(file_path)
        if not path.is_file():
            raise InvalidError(f"file_path: expected a file of patterns, found none at {path}")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return cls(*(line for line in lines if line.strip() and not line.startswith("#")))

    @property
    def patterns(self) -> list[str]:
        """The patterns, as given."""
        return list(self._given)

    def can_prune_directories(self) -> bool:
        """True unless a pattern takes files out again that an earlier one matched."""
        return not any(negative for negative, _ in self._compiled())

    def __call__(self, path: PurePath) -> bool:
        parts = path.parts
        names = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        matched = False
        for negative, rule in self._compiled():
            if negative == matched and any(rule.fullmatch(name) for name in names):
                matched = not negative
        return matched

    def _compiled(self) -> list[tuple[bool, re.Pattern[str]]]:
        if self._rules is None:
            self._rules = [rule for text in self._given if (rule := _rule(text)) is not None]
        return self._rules

    def __repr__(self) -> str:
        return f"FilePatternMatcher({', '.join(map(repr, self._given))})"


NON_PYTHON_FILES = ~FilePatternMatcher("**/*.py")
"""What `Image.add_local_python_source` leaves out unless told otherwise."""


def matcher(ignore: Any) -> Ignore:
    """The argument `ignore`: a list of patterns, or a function of a path."""
    if callable(ignore):
        function: Ignore = ignore  # pyright: ignore[reportAssignmentType]
        return function
    if not isinstance(ignore, Sequence) or isinstance(ignore, (str, bytes)):
        raise InvalidError(f"ignore: expected a list of patterns or a function of a path, got {ignore!r}")
    return FilePatternMatcher(*ignore)  # pyright: ignore[reportUnknownArgumentType]


def can_prune(ignore: Ignore) -> bool:
    """Whether a folder that is ignored need not be searched."""
    return isinstance(ignore, _Matcher) and ignore.can_prune_directories()


def _rule(text: str) -> tuple[bool, re.Pattern[str]] | None:
    import re

    pattern = text.strip()
    negative = pattern.startswith("!")
    pattern = os.path.normpath(pattern[negative:].strip() or ".").strip("/")
    if pattern == ".":
        return None
    try:
        return negative, re.compile(_regular_expression(pattern), re.DOTALL)
    except re.error as error:
        raise InvalidError(f"the pattern {text!r} is not right: {error}") from None


def _regular_expression(pattern: str) -> str:
    """Docker's pattern as a regular expression: `**` crosses folders; `*`, `?` and `[…]` stay within one name."""
    import re

    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
            continue
        if char == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end]
            out.append(f"[{inside}]".replace("[!", "[^"))
            at = end
        elif char == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
        at += 1
    return "".join(out)
