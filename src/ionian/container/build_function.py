"""A function of an image build (`Image.run_function`): run once in a sandbox over the image so far.

Nothing of Ionian serves it there: what it prints is the log of the build, and its exit code says how it ended.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import sys
import traceback
from typing import Any

from .. import execution
from ..protocol.container import BUILD_CALL, RING, Begin
from . import modules


def main() -> None:
    """Runs the function that the command line names: its module ("" for one that goes by value), and its name there."""
    module, qualname = sys.argv[1:3]
    by_value = f"{BUILD_CALL}/function.pickle" if not module else ""
    begin = Begin(
        "", "", "", module, qualname, "serialized" if by_value else "file", by_value, workdir=os.getcwd()
    )
    execution.enter_container()
    modules.install_finders()
    sys.argv = [module]
    sys.path[:] = ["/root", *(folder for folder in sys.path if folder not in ("", RING)), RING]

    def go_on() -> None:
        _finish(_run(begin))

    execution.on_app_run(go_on)
    go_on() if _loaded(begin) else _finish(1)


def _loaded(begin: Begin) -> bool:
    """Imports the user's module, without leaving its bytecode in the image."""
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    execution.set_importing(True)
    try:
        modules.load(begin)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        _show(error)
        return False
    finally:
        execution.set_importing(False)
        sys.dont_write_bytecode = writes
    return True


def _run(begin: Begin) -> int:
    try:
        function = modules.find(begin)
        with open(f"{BUILD_CALL}/call.pickle", "rb") as file:
            args, kwargs = pickle.load(file)
        result: Any = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as error:
        _show(error)
        return 1
    return 0


def _show(error: BaseException) -> None:
    """The traceback, from the user's first line on."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


def _is_ours(file: str) -> bool:
    return file.startswith((f"{RING}/", "<frozen importlib"))


def _finish(code: int) -> None:
    """Ends with that code, as a program does: what it began to write, and what it registered, is done before."""
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
