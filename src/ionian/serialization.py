"""Values and failures as bytes: pickle protocol 4 (3.10 to 3.14 read it), cloudpickle for what pickle cannot name."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, Protocol, TypeVar

PROTOCOL = 4

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

S = TypeVar("S", bound="Sink")

MAIN = b"\x8c\x08__main__"
"""How a pickle names a class or function of `__main__`. The client names by its import name what containers can
import (client/entry.py); what still bears this one exists here only: in a notebook, or below `with app.run():`."""


def dumps(value: Any, what: str = "a value") -> bytes:
    """A value as bytes. Raises SerializationError, which says what it is, where it can't be pickled."""
    try:
        data = pickle.dumps(value, PROTOCOL)
    except Exception:
        return _dumps_by_value(value, what)
    return data if MAIN not in data else _dumps_by_value(value, what)


class Sink(Protocol):
    """What a value is pickled into."""

    names_main: bool
    """Whether something of `__main__` was named in it."""

    def write(self, data: Any, /) -> Any:
        """Takes a part of the pickle; a view of memory is valid until this returns."""
        ...


def dump(value: Any, new_sink: Callable[[], S], what: str) -> S:
    """`dumps`, part by part: a large value's pickle is never whole in memory. What pickle can't name is pickled again,
    into another sink. Raises SerializationError, and what the sink raises of our errors."""
    sink = new_sink()
    try:
        pickle.Pickler(sink, PROTOCOL).dump(value)
        if not sink.names_main:
            return sink
    except Exception as error:
        _pass_ours(error)
    sink = new_sink()
    _dump_by_value(value, sink, what)
    return sink


def _dumps_by_value(value: Any, what: str) -> bytes:
    import io

    file = io.BytesIO()
    _dump_by_value(value, file, what)
    return file.getvalue()


def _dump_by_value(value: Any, file: Any, what: str) -> None:
    try:
        _pickler_by_value()(file, PROTOCOL).dump(value)
    except Exception as error:
        from .exception import SerializationError

        _pass_ours(error)
        raise SerializationError(
            f"{what} can't be pickled: {error}; pass plain data, and make such objects in the function that uses them"
        ) from error


def _pass_ours(error: Exception) -> None:
    """Raises an error that says already what is wrong: a disk is full, a server is gone."""
    from .exception import Error

    if isinstance(error, Error):
        raise error


_by_value: Any = None


def _pickler_by_value() -> Any:
    """cloudpickle's pickler, whose code objects say which Python made them: another one would crash on them."""
    global _by_value
    if _by_value is None:
        from collections import ChainMap

        import cloudpickle

        def reduce_code(code: CodeType) -> Any:
            return _code, (PYTHON, plain(code)[1])

        plain: Any = cloudpickle.Pickler.dispatch_table[CodeType]

        table: Any = ChainMap[Any, Any]({CodeType: reduce_code}, dict(cloudpickle.Pickler.dispatch_table))
        _by_value = type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table})
    return _by_value


def _code(python: str, args: tuple[Any, ...]) -> CodeType:
    if python != PYTHON:
        from .exception import DeserializationError

        raise DeserializationError(
            f"the value holds code made by Python {python}, which Python {PYTHON} can't run: use the same Python here and "
            "in the image, or define the function or class in a module that both sides import"
        )
    return CodeType(*args)


def loads(data: bytes | memoryview) -> Any:
    """The value again. Raises DeserializationError, naming the module that is missing here."""
    try:
        return pickle.loads(data)
    except Exception as error:
        raise _unreadable(error) from error


def load(file: Any) -> Any:
    """The same from a file, which is read part by part."""
    try:
        return pickle.load(file)
    except Exception as error:
        _pass_ours(error)
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> Exception:
    from .exception import DeserializationError

    if isinstance(error, DeserializationError):
        raise error
    if isinstance(error, ModuleNotFoundError):
        return DeserializationError(
            f"the value holds an object of the module {error.name!r}, which is not installed here; install it here "
            "too, or return plain Python values"
        )
    return DeserializationError(f"the value can't be unpickled here: {type(error).__name__}: {error}")


# --- failures

Frames = list[tuple[str, int, str, str]]  # file, line, function, source line


FAILED_INPUT = "__ionian_input__"
"""The attribute of a remote failure that names the input that ended in it; its text stays the user's."""


def dump_failure(error: BaseException, *, hide: str = "", where: str = "") -> bytes:
    """An exception with its traceback. Frames of files that start with `hide` are left out, as not the user's;
    `where` (a container id) marks the others."""
    from .execution import current_input_id

    failure = _failure(error, hide, where, depth=0)
    failure["input"] = current_input_id() or ""
    return pickle.dumps(failure, PROTOCOL)


def _failure(error: BaseException, hide: str, where: str, depth: int) -> dict[str, Any]:
    try:
        pickled: bytes | None = dumps(error)
        pickle.loads(pickled)
    except Exception:
        pickled = None
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": _text(error),
        "exception": pickled,
        "frames": _frames(error.__traceback__, hide, where),
        "notes": list(getattr(error, "__notes__", [])),
        "cause": _failure(cause, hide, where, depth + 1) if cause is not None and depth < 5 else None,
        "direct": error.__cause__ is not None,
    }


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__qualname__} whose text can't be had>"


def _frames(traceback: TracebackType | None, hide: str, where: str) -> Frames:
    import linecache

    frames: Frames = []
    while traceback is not None:
        code: CodeType = traceback.tb_frame.f_code
        name = code.co_filename
        if not hide or not name.startswith(hide):
            line = linecache.getline(name, traceback.tb_lineno, traceback.tb_frame.f_globals)
            frames.append((f"<{where}>:{name}" if where else name, traceback.tb_lineno, code.co_name, line))
        traceback = traceback.tb_next
    return frames


def load_failure(data: bytes | memoryview) -> BaseException:
    """The exception again, of its own type where that exists here, with the remote frames as its traceback."""
    failure = pickle.loads(data)
    error = _restore(failure)
    try:
        setattr(error, FAILED_INPUT, failure.get("input", ""))
    except AttributeError:
        pass  # a class with slots: what is shown of it lacks the line about `ionian replay`
    return error


def _restore(failure: dict[str, Any]) -> BaseException:
    error = _exception(failure)
    error.__traceback__ = _traceback(failure["frames"])
    for note in failure["notes"]:
        if note not in getattr(error, "__notes__", []) and hasattr(error, "add_note"):
            error.add_note(note)
    if failure["cause"] is not None:
        cause = _restore(failure["cause"])
        if failure["direct"]:
            error.__cause__ = cause
        else:
            error.__context__ = cause
    return error


def _exception(failure: dict[str, Any]) -> BaseException:
    reason = "it can't be pickled"
    if failure["exception"] is not None:
        try:
            error = pickle.loads(failure["exception"])
            if isinstance(error, Exception):
                return error
            reason = "it would end this program too"  # SystemExit, KeyboardInterrupt
        except Exception as problem:
            reason = f"{type(problem).__name__}: {problem}"
    from .exception import RemoteError

    name = failure["type"] if failure["module"] == "builtins" else f"{failure['module']}.{failure['type']}"
    error = RemoteError(f"{name}: {failure['message']}")
    if hasattr(error, "add_note"):
        error.add_note(f"({name} could not be brought here: {reason})")
    return error


def _traceback(frames: Frames) -> TracebackType | None:
    """Traceback objects for frames of another process: code that raises at the right line of the right name."""
    import linecache

    traceback: TracebackType | None = None
    for name, line, function, source in reversed(frames):
        cached = linecache.cache.get(name)
        lines = list(cached[2]) if cached is not None and len(cached) == 4 else []
        lines.extend([""] * (line - len(lines)))
        lines[line - 1] = source
        linecache.cache[name] = (len(lines), None, lines, name)
        # No instruction (-1): else printers take the line and the columns from the code made here.
        traceback = TracebackType(traceback, _frame(name, line, function), -1, line)
    return traceback


def _frame(name: str, line: int, function: str) -> FrameType:
    code = compile("\n" * (line - 1) + "raise error", name, "exec").replace(co_name=function)
    try:
        exec(code, {"error": _Marker(), "__name__": function, "__file__": name})
    except _Marker as marker:
        inner = marker.__traceback__.tb_next if marker.__traceback__ is not None else None
        if inner is not None:
            return inner.tb_frame
    raise AssertionError("the frame's code did not raise")


class _Marker(Exception):
    """Raised to make a frame."""
