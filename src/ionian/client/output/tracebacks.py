"""How a failure is shown: the user's own lines, here and in the container, without the frames of Ionian."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import config
from ...exception import Error
from ...serialization import FAILED_INPUT
from .screen import ANSI, coloured

OWN = str(Path(__file__).resolve().parents[2]) + os.sep
"""Where Ionian's own files lie."""

HIDDEN_PARTS = (
    f"{os.sep}click{os.sep}",
    "<frozen importlib",
    "<frozen runpy",
    f"{os.sep}asyncio{os.sep}",
    f"{os.sep}concurrent{os.sep}futures{os.sep}",
)

BROAD_HINT = ": the module "
"""How a container's own hint about a missing module begins (container/hints.py). It doesn't know what is here."""


def show(error: BaseException) -> None:
    """Prints a failure on stderr: one sentence for a mistake that has one, else the traceback.

    `IONIAN_TRACEBACK=1` prints everything.
    """
    colour = coloured(sys.stderr)
    print(_painted(describe(error), colour), file=sys.stderr)


def _whole() -> bool:
    try:
        return bool(config.get("traceback"))
    except Error:  # the settings can't be read: perhaps that is what is to be shown
        return False


def describe(error: BaseException) -> list[tuple[str, str]]:
    """A failure as lines with their styles."""
    if _whole():
        text = "".join(traceback.format_exception(error)).rstrip("\n")
        return [(line, "") for line in text.split("\n")]
    trace = traceback.TracebackException.from_exception(error)
    frames = _strip(trace)
    if not frames and error.__traceback__ is not None and not isinstance(error, (Error, SyntaxError)):
        # A fault of Ionian's own: its frames matter.
        trace = traceback.TracebackException.from_exception(error)
    lines: list[tuple[str, str]] = []
    if isinstance(error, Error) and not any(_is_remote(frame) for frame in frames):
        lines.append((f"Error: {error}", "red"))
        place = next((frame for frame in reversed(frames) if _is_users(frame)), None)
        if place is not None and place.line:
            lines.append((f"  at {place.filename}:{place.lineno}: {place.line.strip()}", "dim"))
        lines += [(str(note), "yellow") for note in getattr(error, "__notes__", [])]
    else:
        text = "".join(trace.format()).rstrip("\n").split("\n")
        last = len(list(trace.format_exception_only()))
        lines += [(line, "red" if at >= len(text) - last else "") for at, line in enumerate(text)]
    hint = missing_module(error) or _relative_import(error)
    if hint is not None:
        lines = [(line.partition(BROAD_HINT)[0], style) for line, style in lines]
        lines.append((hint, "yellow"))
    if input_id := _failed_input(error):
        lines.append((f"ionian replay {input_id}", "dim"))
    return lines


def _failed_input(error: BaseException) -> str:
    """The input that failed with it, or with what it came from."""
    for one in _chain(error):
        if isinstance(input_id := getattr(one, FAILED_INPUT, ""), str) and input_id:
            return input_id
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def missing_module(error: BaseException) -> str | None:
    """For a module that a container lacks and this machine has: the line that brings it there."""
    for current in _chain(error):
        if isinstance(current, ModuleNotFoundError) and current.name and _raised_remotely(current):
            return _advice(current.name.split(".")[0])
    return None


def _relative_import(error: BaseException) -> str | None:
    if isinstance(error, ImportError) and "no known parent package" in str(error):
        return "A module of a package is run by its dotted name: ionian run -m package.module"
    return None


def _advice(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or name in sys.stdlib_module_names:
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if any(place is not None and place.startswith(tuple(packages)) for place in places):
        return f"{name!r} is installed here and not in the container: add .pip_install({name!r}) to the function's image."
    return (
        f"{name!r} is a module on this machine that the container doesn't have: add "
        f".add_local_python_source({name!r}) to the function's image."
    )


def _raised_remotely(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or any(_is_remote(frame) for frame in frames)


def _is_remote(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith("<ta-")


def _is_users(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is of the user's own files: neither Python's nor an installed package's."""
    return not frame.filename.startswith(
        ("<", *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")))
    )


def _strip(trace: traceback.TracebackException) -> list[traceback.FrameSummary]:
    """Removes the frames that are not the user's, in causes too; returns those that stay at the top."""
    seen: set[int] = set()
    waiting: list[Any] = [trace]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        kept = [frame for frame in one.stack if not _is_hidden(frame.filename)]
        one.stack = traceback.StackSummary.from_list(kept)
        waiting += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
    return list(trace.stack)


def _is_hidden(filename: str) -> bool:
    return filename.startswith(OWN) or any(part in filename for part in HIDDEN_PARTS)


def _painted(lines: list[tuple[str, str]], colour: bool) -> str:
    if not colour:
        return "\n".join(line for line, _ in lines)
    return "\n".join(f"\x1b[{ANSI[style]}m{line}\x1b[0m" if style in ANSI else line for line, style in lines)
