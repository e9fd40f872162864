"""Who follows an app hears of it, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ionian.protocol.apps import ContainerNews, Log
from ionian.protocol.calls import CallState
from ionian.protocol.workers import HoldLogs
from ionian.server.auth import Actor
from ionian.server.news import BEHIND, News


class Follower:
    """A session that keeps what it hears, and reads at once."""

    backlog = 0

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.actor = Actor("client", "cl-1")
        self.news = asyncio.Event()

    def send(self, message: Any, payload: bytes = b"") -> None:
        self.heard.append((message, payload) if payload else message)
        self.news.set()


class Engine:
    """Two apps of one function each; the state of a function is what the test says."""

    def __init__(self) -> None:
        self.states: dict[str, CallState | None] = {"fu-1": None, "fu-2": None}
        self.specs = {id: (None, id.replace("fu", "ap"), "main") for id in self.states}
        self.dispatcher = self
        self.called: set[str] = set()

    def called_by(self, caller: str) -> set[str]:
        assert caller == "cl-1"
        return self.called

    def state_of(self, function_id: str, now: float) -> CallState | None:
        return self.states[function_id]


def play(scene: Callable[[News, Engine], Awaitable[None]]) -> None:
    async def run() -> None:
        engine = Engine()
        await scene(News(engine), engine)  # type: ignore[arg-type]

    asyncio.run(asyncio.wait_for(run(), 10))


LOG = Log("ap-1", "f", "ta-1", 1)


class Book:
    """A log book with so many bytes that are not on the disk yet."""

    backlog = 0


def test_containers_wait_while_the_disk_is_behind_with_what_they_print():
    async def run() -> None:
        engine, book = Engine(), Book()
        told: list[HoldLogs] = []
        engine.tell_workers = told.append  # type: ignore[attr-defined]
        news = News(engine, book)  # type: ignore[arg-type]
        news.log(LOG, b"line\n")
        assert told == []
        book.backlog = BEHIND + 1
        news.log(LOG, b"line\n")
        news.log(LOG, b"line\n")
        assert told == [HoldLogs("ap-1", True)]
        assert news.held == {"ap-1"}
        book.backlog = 0
        while len(told) < 2:
            await asyncio.sleep(0.005)
        assert (told[1], news.held) == (HoldLogs("ap-1", False), set())

    asyncio.run(asyncio.wait_for(run(), 10))


def test_followers_of_an_app_hear_its_logs_and_containers():
    async def scene(news: News, engine: Engine) -> None:
        one, two, other = Follower(), Follower(), Follower()
        for follower, app in ((one, "ap-1"), (two, "ap-1"), (other, "ap-2")):
            news.follow(app, follower)  # type: ignore[arg-type]
        started = ContainerNews("ap-1", "f", "ta-1", "starting")
        news.log(LOG, b"line\n")
        news.container(started)
        assert one.heard == two.heard == [(LOG, b"line\n"), started]
        assert other.heard == []

    play(scene)


def test_one_that_left_hears_nothing_more():
    async def scene(news: News, engine: Engine) -> None:
        one, two = Follower(), Follower()
        for follower in (one, two):
            news.follow("ap-1", follower)  # type: ignore[arg-type]
        news.unfollow(one)  # type: ignore[arg-type]
        news.log(LOG, b"line\n")
        assert (one.heard, two.heard) == ([], [(LOG, b"line\n")])
        news.forget("ap-1")
        news.log(LOG, b"line\n")
        assert len(two.heard) == 1

    play(scene)


def test_the_state_of_a_function_is_told_when_it_has_changed():
    async def scene(news: News, engine: Engine) -> None:
        follower = Follower()
        busy, idle = CallState("fu-1", 1, 0, 5, 1), CallState("fu-1", 1, 0, 0, 0)
        engine.states["fu-1"] = busy
        news.follow("ap-1", follower)  # type: ignore[arg-type]
        assert follower.heard == [busy]
        follower.news.clear()
        engine.states["fu-1"] = idle
        await follower.news.wait()
        assert follower.heard == [busy, idle]
        news.unfollow(follower)  # type: ignore[arg-type]

    play(scene)


def test_who_calls_another_apps_function_hears_how_it_is_doing_until_the_call_ends():
    async def scene(news: News, engine: Engine) -> None:
        follower = Follower()
        waits = CallState("fu-2", 0, 0, 1, 0, "no worker has a card", "theirs")
        engine.states["fu-2"] = waits
        news.follow("ap-1", follower)  # type: ignore[arg-type]
        assert follower.heard == []
        engine.called.add("fu-2")
        await follower.news.wait()
        assert follower.heard == [waits]
        follower.news.clear()
        engine.called.clear()
        await follower.news.wait()
        assert follower.heard == [waits, CallState("fu-2", 0, 0, 0, 0, "", "theirs")]
        news.unfollow(follower)  # type: ignore[arg-type]

    play(scene)
