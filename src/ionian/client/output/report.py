"""What the run of an app shows: its steps, its containers' output, and what it used."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...protocol.apps import AppUsage, BuildStep, ContainerNews, Log
from ...protocol.calls import CallState
from ...protocol.clusters import first_of
from ...protocol.lines import LineAssembler, Written
from ...protocol.tags import method_service_tag, shown
from .progress import MapProgress
from .screen import Line, Row, Screen, now_text
from .waiting import PATIENCE_S, Waiting
from .words import count, duration, money

if TYPE_CHECKING:
    from ...link import Link

STREAM_STYLES = {1: "", 2: "red", 3: "yellow"}


class Report:
    """Turns the messages of a run into lines and rows. The handlers run on the connection's thread."""

    def __init__(
        self,
        screen: Screen,
        *,
        show_progress: bool = True,
        timestamps: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.screen = screen
        self.show_progress = show_progress
        self.timestamps = timestamps
        self._assemblers: dict[tuple[str, int], tuple[LineAssembler, str]] = {}
        self._containers: dict[str, dict[str, str]] = {}  # function → container → state
        self._functions: set[str] = set()
        self._waiting = Waiting(screen, self.say, patience_s)
        self._failures: set[str] = set()
        self._numbers = itertools.count()
        self._builds: dict[str, tuple[float, BuildStep, str]] = {}
        self._lock = threading.Lock()
        self._apps = 0
        self._unsubscribe: list[Callable[[], None]] = []

    def listen(self, link: Link) -> Callable[[], None]:
        """Hears what the server sends, once however many apps run; returns what an app calls at its end."""
        with self._lock:
            self._apps += 1
            if self._apps == 1:
                self._unsubscribe = [
                    link.subscribe(Log, self.log),
                    link.subscribe(ContainerNews, self.container),
                    link.subscribe(BuildStep, self.build_step),
                    link.subscribe(CallState, self.call_state),
                ]
        return self._ignore

    def _ignore(self) -> None:
        with self._lock:
            self._apps -= 1
            if self._apps == 0:
                for unsubscribe in self._unsubscribe:
                    unsubscribe()
                self._unsubscribe = []
                self._waiting.clear()

    # -- messages of the server

    def log(self, message: Log, payload: bytes) -> None:
        """Output of a container, cut anywhere."""
        with self._lock:
            self._know(message.function, message.container_id)
            key = (message.container_id, message.fd)
            if key not in self._assemblers:
                self._assemblers[key] = (LineAssembler(), message.function)
            lines = self._assemblers[key][0].feed(payload)
            self._write(lines, message.function, message.container_id, message.fd)

    def container(self, message: ContainerNews, payload: bytes = b"") -> None:
        """A container starts, is ready, or has ended: then its last line is shown without a newline, too."""
        del payload
        with self._lock:
            states = self._know(message.function, message.container_id)
            states[message.container_id] = message.state
            if message.state in ("gone", "failed"):
                self._flush(message.container_id)
                failure = f"{shown(message.function)}: {message.detail}"
                if message.detail and message.state == "failed" and failure not in self._failures:
                    self._failures.add(failure)  # a start that is tried again fails in the same words
                    self.say(failure, "yellow", always=True)

    def build_step(self, message: BuildStep, payload: bytes = b"") -> None:
        """An image is being built."""
        del payload
        if not self.show_progress:
            return
        place = f"{message.step}/{message.steps}"
        if message.state == "log":
            self._build_log(message)
        elif message.state == "source":
            self.say(f"  {message.text}", "dim")
        elif message.state == "cached":
            self.say(f"= {place} {message.text} (cached)", "dim")
        elif message.state == "done":
            self.say(f"✓ {place} {message.text} ({duration(message.seconds)})")
            self._builds.pop(message.image_id, None)
            self.screen.drop(message.image_id)
        else:
            self._builds[message.image_id] = (time.monotonic(), message, "")
            self.screen.show(message.image_id, lambda: self._build_row(message.image_id))
            if not self.screen.live:
                self.say(f"  {place} {message.text} …")

    def call_state(self, message: CallState, payload: bytes = b"") -> None:
        """How a call's function is doing; a reason to wait is shown only while nothing runs."""
        del payload
        if self.show_progress:
            why = "" if message.running else message.waiting_for
            self._waiting.update(message.function_id, shown(message.tag), why)

    # -- what the runner and the call engine tell

    def say(self, text: str, style: str = "", *, always: bool = False) -> None:
        """A message of ours; `quiet` silences those that only tell how it goes."""
        if self.show_progress or always:
            self.screen.say(text, style)

    def expect(self, functions: list[str]) -> None:
        """The functions of the app: with several, each line names its own."""
        self._functions.update(functions)

    def end_builds(self, image_id: str) -> None:
        """A build has ended, well or not: its row goes."""
        self._builds.pop(image_id, None)
        self.screen.drop(image_id)

    def map_progress(self, function: Any) -> MapProgress:
        """The progress of a map over this function."""
        tag = str(function.tag)
        return MapProgress(self.screen, f"map {next(self._numbers)}", tag, lambda: self.alive(tag))

    def alive(self, function: str) -> int:
        """The containers of a function, or of a method's class, that are there now."""
        service = method_service_tag(function)
        states = self._containers.get(function) or self._containers.get(service, {})
        return sum(state == "ready" for state in list(states.values()))

    def summary(self, seconds: float, usage: AppUsage) -> None:
        """The last line of a run."""
        parts = [count(usage.containers, "container"), f"{usage.container_seconds:,.1f} container-seconds"]
        if usage.cpu_seconds:
            parts.append(f"{usage.cpu_seconds:,.1f} CPU-seconds")
        if usage.gpu_seconds:
            parts.append(f"{usage.gpu_seconds:,.1f} GPU-seconds")
        if usage.currency:
            parts.append(money(usage.cost, usage.currency))
        used = f": {', '.join(parts)}" if usage.containers else ""
        self.say(f"✓ App finished in {duration(seconds)}{used}", "green")

    def drain(self) -> None:
        """Shows what stands without a newline, and waits until all is written."""
        with self._lock:
            for container in {key[0] for key in self._assemblers}:
                self._flush(container)
        self.screen.flush()

    # -- within

    def _know(self, function: str, container: str) -> dict[str, str]:
        self._functions.add(function)
        states = self._containers.setdefault(function, {})
        states.setdefault(container, "ready")
        return states

    def _flush(self, container: str) -> None:
        for key in [key for key in self._assemblers if key[0] == container]:
            assembler, function = self._assemblers.pop(key)
            self._write(assembler.flush(), function, container, key[1])

    def _write(self, lines: list[Written], function: str, container: str, fd: int) -> None:
        if not lines:
            return
        prefix = self._prefix(function, container)
        for line in lines:
            self.screen.write(Line(line.text, 1 if fd == 1 else 2, STREAM_STYLES.get(fd, ""), prefix))

    def _prefix(self, function: str, container: str) -> str:
        parts: list[str] = []
        if len(self._functions) > 1:
            parts.append(shown(function))
        if len(self._containers.get(function, ())) > 1:
            first = first_of(container)
            parts.append(first[-4:] + container[len(first) :])  # of a member of a cluster with its rank
        stamp = now_text() if self.timestamps else ""
        return f"{stamp}{' '.join(parts)} | " if parts else stamp

    def _build_log(self, message: BuildStep) -> None:
        lines = message.text.rstrip("\n").split("\n")
        if not self.screen.live:
            for line in lines:
                self.say(f"    {line}", "dim")
        elif message.image_id in self._builds:
            begun, step, _ = self._builds[message.image_id]
            self._builds[message.image_id] = (begun, step, lines[-1].strip())

    def _build_row(self, image_id: str) -> Row | None:
        if image_id not in self._builds:
            return None
        begun, step, last = self._builds[image_id]
        seconds = duration(time.monotonic() - begun)
        return Row(f"{step.step}/{step.steps} {step.text}", detail=f"{seconds}  {last}")
