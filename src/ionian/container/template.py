"""A template: a process that has imported a function's module, and then is forked into its containers.

It is a container itself, whose program is this; `fork.py` makes the forks. What it says and hears: protocol/container.py.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from .. import link
from ..protocol.container import Begin, Prepared, Prove, Proved, Unfit
from . import agent, lifecycle, loop, native
from .after_import import after_import
from .files import reopen, to_reopen
from .fitness import Fitness
from .gpus import Gpus
from .pools import Pools
from .progress_bars import ProgressBars
from .rehearsal import rehearse
from .reseed import Reseed
from .results import flush_output
from .surroundings import Surroundings
from .volume_reads import VolumeReads
from .wire import Messages
from .written import marks

ENTRYPOINT = "the entrypoint of its image"
IMPORT = "its import"
ENTER = "its @enter(snap=True)"


class Forking(Protocol):
    """What makes the forks (fork.py; tests have a plain one)."""

    def guard(self) -> None:
        """Before any user code: takes from this process what only forks may do."""

    def wait(self, before: Callable[[], None], ahead: Callable[[], None]) -> bool:
        """Forks on demand, calling `before` right before each. True in a container, False where the template ends. A container
        that is made ahead calls `ahead` before it waits for what is its own."""
        ...


def main() -> None:
    """Runs a template to its end, or one of its containers."""
    from .fork import Forks

    run(Forks())


def run(forks: Forking) -> None:
    """The same, with what forks."""
    forks.guard()
    side = agent.opened()
    Template(side, agent.begun(side, __name__), forks).load()


class Template:
    """States: importing → (entering) → prepared; and in a fork: a container."""

    def __init__(self, side: Messages, begin: Begin, forks: Forking) -> None:
        self._side = side
        self._begin = begin
        self._forks = forks
        self._at = IMPORT
        self._gpus = Gpus(wanted=begin.has_gpu)
        self._fitness = Fitness(self._gpus)
        self._renewed = False

    def load(self) -> None:
        """Imports the user's module and goes on from there; returns only where user code ends the process."""
        agent.become(self._begin)
        marks.install()
        self._pools = Pools()
        self._surroundings = Surroundings(agent.before)
        self._reseed = Reseed()
        self._bars = ProgressBars()
        after_import(
            {
                "numpy.random": self._reseed.of_numpy,
                "tqdm.std": self._bars.of_tqdm,
                "cv2": self._pools.of_opencv,
                "torch": self._pools.of_torch,
                **self._gpus.steps,
            }
        )
        link.connect_by(self._asked)
        self._reads = VolumeReads([] if self._begin.snapshot else self._begin.volumes)
        if agent.passed is not None:
            self._at = ENTRYPOINT
            self._check()
            self._at = IMPORT
        self._started = time.monotonic()
        agent.load(self._side, self._begin, self._go_on)

    def _go_on(self) -> None:
        seconds = {"imports": time.monotonic() - self._started}
        self._reads.over()
        reason = self._reads.reason(IMPORT)
        if reason:
            self._end(reason)
        preparation = lifecycle.Preparation(self._begin)
        self._check()
        if self._begin.snapshot:
            started, self._at = time.monotonic(), ENTER
            preparation.enter_snapshot()
            if not loop.close():
                self._unfit("leaves a task running on the event loop")
            self._check()
            seconds["enter"] = time.monotonic() - started
        self._import_rest(preparation)
        self._settle()
        self._side.send(Prepared(f"{sys.version_info[0]}.{sys.version_info[1]}", seconds))
        if not self._forks.wait(_flush, self._go_ahead):
            os._exit(0)
        self._live(preparation)

    def _asked(self) -> NoReturn:
        """Called where user code asks something of the server, to which a template is nobody."""
        self._unfit("asks something of the server")

    def _check(self) -> None:
        gc.collect()  # what nobody holds any more is not in the way
        reason = self._fitness.reason(self._at)
        if reason:
            self._end(reason)

    def _unfit(self, what: str) -> NoReturn:
        self._end(f"{self._at} {what}")

    def _end(self, reason: str) -> NoReturn:
        _flush()
        self._side.send(Unfit(reason))
        os._exit(0)

    def _import_rest(self, preparation: lifecycle.Preparation) -> None:
        """Imports, once, what else each container will need."""
        from . import link  # noqa: F401  # pyright: ignore[reportUnusedImport]

        agent.runner_of(self._begin)
        if preparation.is_async():
            import asyncio  # noqa: F401  # pyright: ignore[reportUnusedImport]
        for web in preparation.web():
            from .web import apps

            apps.preload(web)

    def _settle(self) -> None:
        """Makes this memory one that forks share for long, and finds what they have to do for themselves."""
        self._pools.look()
        self._pools.hide()
        self._reseed.look()
        self._surroundings.look()
        self._files = to_reopen(self._fitness.descriptors)
        self._collects = gc.isenabled()
        gc.disable()
        gc.collect()
        native.trim_memory()
        gc.freeze()  # a collection in a fork leaves these objects, and so their pages, alone

    # --- in a fork

    def _live(self, preparation: lifecycle.Preparation) -> None:
        name, body = agent.first(self._side)
        if name == Prove.__name__:
            self._prove(Prove(**body))
        begin = Begin(**body)
        with agent.told(self._side, begin):
            started = time.monotonic()
            self._become(begin.env)
            link.connect_by(lambda: agent.link_of(self._side, begin))
            entering = time.monotonic()
            callables = preparation.finish(begin)
            seconds = {"renew": entering - started, "enter": time.monotonic() - entering}
            agent.serve(self._side, begin, callables, seconds)

    def _go_ahead(self) -> None:
        self._renew()
        rehearse(self._begin)

    def _renew(self) -> None:
        """What no two containers may share, and is not told to them."""
        self._renewed = True
        self._surroundings.become(self._begin.env)
        self._reseed.renew()
        self._pools.release()
        self._bars.release()
        if self._collects:
            gc.enable()

    def _become(self, env: dict[str, str]) -> None:
        """One container: the one with this environment."""
        if not self._renewed:
            self._renew()
        agent.keep_own_descriptors()
        self._surroundings.become(env)
        reopen(self._files)

    def _prove(self, ask: Prove) -> NoReturn:
        from .canary import compute

        with agent.told(self._side, self._begin):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, ask.limit_s)
            self._become(self._begin.env)
            compute()
        self._side.send(Proved())
        _flush()
        os._exit(0)


def _flush() -> None:
    """What was printed is printed once, not by each fork again."""
    flush_output()
    native.flush_streams()
