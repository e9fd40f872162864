"""Dockerfiles read: their instructions, with the lines that they stand in.

The library takes the file apart; heredocs, which it doesn't know, are cut out of the file first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple, cast

from ..exception import InvalidError
from ..protocol.dockerfile_words import WordError, expand, split
from ..protocol.spec import Heredoc

WITH_HEREDOCS = ("RUN", "COPY", "ADD")


class Line(NamedTuple):
    """An instruction: `value` is what follows its word, continued lines joined."""

    number: int  # counted from 1
    word: str  # upper case
    value: str
    heredocs: tuple[Heredoc, ...] = ()
    text: str = ""  # its first line

    def wrong(self, name: str, why: str) -> InvalidError:
        """The error for this line of the file `name`."""
        return InvalidError(f"{name}, line {self.number}: {self.word}: {why}")


def read(text: str, name: str) -> list[Line]:
    """The instructions of a Dockerfile. Raises InvalidError, which names the line."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    directives = _directives(lines)
    found: list[Line] = []
    at = 0
    while at < len(lines):
        # What follows a heredoc is read anew: its text looks like instructions.
        part, end = _until_heredoc(lines, at, directives, name)
        found += part
        at = end
    return found


def escape_of(text: str) -> str:
    """The character that continues lines: a backslash, unless a directive says otherwise."""
    directives = _directives(text.splitlines())
    return "`" if any("`" in line for line in directives) else "\\"


def _directives(lines: Sequence[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        key, equals, _ = line.strip().lstrip("#").partition("=")
        if not (line.strip().startswith("#") and equals and key.strip().isalpha()):
            break
        found.append(line)
    return found


def _until_heredoc(
    lines: Sequence[str], at: int, directives: Sequence[str], name: str
) -> tuple[list[Line], int]:
    """The instructions from a line to the first one with heredocs, and where to go on."""
    from dockerfile_parse import DockerfileParser

    before = list(directives) if at else []
    content = "".join([*before, *lines[at:]]).encode()
    parser = DockerfileParser(fileobj=cast(Any, BytesIO(content)))
    structure = cast("list[dict[str, Any]]", parser.structure)
    offset = at - len(before)
    found: list[Line] = []
    covered = set(range(at)) | set(range(len(lines), len(lines) + 1))
    end = len(lines)
    for one in structure:
        first, last = int(one["startline"]) + offset, int(one["endline"]) + offset
        covered.update(range(first, last + 1))
        if one["instruction"] == "COMMENT" or first < at:
            continue
        line = Line(first + 1, one["instruction"], str(one["value"]).strip(), (), lines[first].strip())
        if not line.value:
            covered.discard(first)
            break
        names = _heredoc_names(line, name)
        if names:
            heredocs, end = _bodies(lines, last + 1, names, line, name)
            found.append(line._replace(heredocs=heredocs))
            covered.update(range(last + 1, len(lines)))
            break
        found.append(line)
    for number, text in enumerate(lines):
        if number not in covered and text.strip():
            raise InvalidError(
                f"{name}, line {number + 1}: expected an instruction and what it is about, got {text.strip()!r}"
            )
    return found, end


def _heredoc_names(line: Line, name: str) -> list[tuple[str, bool, bool]]:
    """The heredocs that an instruction announces: (name, whether tabs are cut off, whether variables count)."""
    if line.word not in WITH_HEREDOCS or "<<" not in line.value:
        return []
    names: list[tuple[str, bool, bool]] = []
    for word in split(line.value):
        mark = word.lstrip("0123456789")
        if not mark.startswith("<<") or mark.startswith("<<<") or len(mark) < 3:
            continue
        tabs = mark[2] == "-"
        label = mark[3:] if tabs else mark[2:]
        try:
            names.append((expand(label, {}), tabs, label == expand(label, {})))
        except WordError as error:
            raise line.wrong(name, str(error)) from None
    return names


def _bodies(
    lines: Sequence[str], at: int, names: Sequence[tuple[str, bool, bool]], line: Line, name: str
) -> tuple[tuple[Heredoc, ...], int]:
    """The texts of an instruction's heredocs, and the line after them."""
    found: list[Heredoc] = []
    for label, tabs, expands in names:
        body: list[str] = []
        while True:
            if at >= len(lines):
                raise line.wrong(name, f"expected a line {label} at the end of its text, and the file ends")
            text = lines[at].lstrip("\t") if tabs else lines[at]
            at += 1
            if text.rstrip("\r\n") == label:
                break
            body.append(text)
        found.append(Heredoc(label, "".join(body), expands))
    return tuple(found), at


def json_list(value: str) -> list[str] | None:
    """The words of an exec form, `["a", "b"]`; None where it is none."""
    if not value.startswith("["):
        return None
    try:
        words = json.loads(value)
    except ValueError:
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in cast("list[Any]", words)):
        return cast("list[str]", words)
    return None
