"""`ionian replay`, in the container: imports the user's code, runs the one input, and stops at its failure."""

from __future__ import annotations

import json
import os
import pprint
import socket
import sys
from types import TracebackType
from typing import Any, NoReturn

from .. import execution, link
from ..protocol.container import REPLAY, RING, SIDE_FD, Begin, ReplayTask
from ..serialization import load
from . import lifecycle, loop, modules
from .kinds import ASYNC, ASYNC_GENERATOR, GENERATOR, Kinds
from .results import flush_output

OURS = (RING + "/", "<frozen ")
INTERRUPTED = 130


def main() -> None:
    """Runs the input, and ends the process: 0 where it succeeds now, 1 where it fails."""
    with open(f"{REPLAY}/task.json") as file:
        task = ReplayTask(**json.load(file))
    begin = Begin(**task.begin)
    begin.env = dict(os.environ)
    execution.enter_container()  # before the alias: what it would say of a hidden `modal` is for home
    _prepare(begin)

    def run() -> None:
        """Called where the module is imported, or where it enters app.run() and so will never return."""
        try:
            callables = lifecycle.prepare(begin)
            _run(callables, begin, task.input_id)
            callables.leave()
        except BaseException as error:
            _failed(error, debug=task.debug)
        _leave(0)

    execution.on_app_run(run)
    try:
        execution.set_importing(True)
        modules.load(begin)
        execution.set_importing(False)
    except BaseException as error:
        _failed(error, debug=task.debug)
    run()


def _prepare(begin: Begin) -> None:
    sys.argv = [begin.module]
    modules.install_finders()
    modules.show_plain_flags()
    sys.path[:1] = [folder for folder in begin.env.get("PYTHONPATH", "/root").split(":") if folder]
    try:
        os.set_inheritable(SIDE_FD, False)
    except OSError:
        return  # a shell closed it: what the code asks of the server is refused
    side = socket.socket(fileno=SIDE_FD)
    link.connect_by(lambda: _link(side, begin))


def _link(side: socket.socket, begin: Begin) -> Any:
    from .link import ContainerLink
    from .wire import Messages

    return ContainerLink(Messages(side), begin)


def _run(callables: lifecycle.Callables, begin: Begin, input_id: str) -> None:
    call_id, _, index = input_id.removeprefix("in-").partition(":")
    execution.set_input(f"fc-{call_id}", int(index or 0))
    with open(f"{REPLAY}/input", "rb") as file:
        given = load(file)
    args, kwargs = given[0], given[1]
    function, kind = Kinds(callables).of(given)
    if begin.batch_size:  # a batch of one
        args, kwargs = tuple([arg] for arg in args), {key: [value] for key, value in kwargs.items()}
    if kind == GENERATOR:
        for item in function(*args, **kwargs):
            _show("yielded", item)
    elif kind == ASYNC_GENERATOR:
        loop.run(_items(function(*args, **kwargs)))
    else:
        value = function(*args, **kwargs)
        value = loop.run(value) if kind == ASYNC else value
        _show("returned", value[0] if begin.batch_size else value)


async def _items(made: Any) -> None:
    async for item in made:
        _show("yielded", item)


def _show(what: str, value: Any) -> None:
    text = pprint.pformat(value)
    print(f"{what}: {text if len(text) < 10_000 else text[:10_000] + ' …'}", flush=True)


def _failed(error: BaseException, *, debug: bool) -> NoReturn:
    """Prints the user's traceback, and starts the debugger at their innermost line."""
    import traceback

    trace = _users(error.__traceback__)
    flush_output()
    traceback.print_exception(type(error), error.with_traceback(trace), trace)
    if isinstance(error, KeyboardInterrupt):
        _leave(INTERRUPTED)
    if isinstance(error, SystemExit):
        print(f"(the code ended its process: {error.code})", file=sys.stderr)
    if debug and trace is not None and sys.stdin.isatty():
        import pdb

        print("pdb at the failure: w where, p VALUE, u and d up and down, q end", flush=True)
        try:
            pdb.post_mortem(_to_users_line(trace))
        except (KeyboardInterrupt, EOFError):
            pass
    _leave(1)


def _users(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our frames."""
    frames: list[TracebackType] = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(OURS):
            frames.append(trace)
        trace = trace.tb_next
    return _chain(frames)


def _to_users_line(trace: TracebackType) -> TracebackType:
    """The traceback down to the last frame that is neither Python's nor an installed package's, if there is one."""
    import sysconfig

    libraries = tuple(sysconfig.get_path(kind) + "/" for kind in ("stdlib", "purelib", "platlib"))
    frames: list[TracebackType] = []
    last, each = 0, trace
    while True:
        frames.append(each)
        if not each.tb_frame.f_code.co_filename.startswith(libraries):
            last = len(frames)
        if each.tb_next is None:
            break
        each = each.tb_next
    return _chain(frames[: last or len(frames)]) or trace


def _chain(frames: list[TracebackType]) -> TracebackType | None:
    chain: TracebackType | None = None
    for frame in reversed(frames):
        chain = TracebackType(chain, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return chain


def _leave(code: int) -> NoReturn:
    """Ends the process as Python would, without unwinding the frames below: they may be the user's import."""
    import atexit

    try:
        atexit._run_exitfuncs()
    finally:
        flush_output()
        os._exit(code)
