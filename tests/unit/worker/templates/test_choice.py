"""Whether a container waits for a template that is being made, and that for containers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from ionian.protocol.spec import FunctionSpec
from ionian.protocol.workers import StartContainer
from ionian.worker.images import BuiltImage
from ionian.worker.templates import Template, Templates
from ionian.worker.templates.key import key_of
from ionian.worker.templates.template import State

SPEC = FunctionSpec("fu-1", "f", "main", "f", image_id="im-1")
ASK = StartContainer(1, "ta-1", "ap-1", "main", SPEC)
NOWHERE = cast(Any, None)  # no template here gets as far as a process
IMAGE = cast(BuiltImage, Path())


def with_one_that_is_made(story: Callable[[Templates, Template], Awaitable[None]]) -> None:
    async def main() -> None:
        templates = Templates(NOWHERE)
        template = Template(NOWHERE, key_of(ASK), ASK, IMAGE, lambda _: None)
        templates._by_key[template.key] = template  # pyright: ignore[reportPrivateUsage]
        await story(templates, template)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_template_that_has_imported_is_waited_for():
    async def story(templates: Templates, template: Template) -> None:
        template.imported = True
        choice = asyncio.ensure_future(templates.choose(ASK, IMAGE))
        done, _ = await asyncio.wait([choice], timeout=0.01)
        assert not done
        template.state = State.READY
        template.settled.set()
        assert (await choice).template is template

    with_one_that_is_made(story)


def test_a_template_that_has_done_nothing_yet_is_not():
    async def story(templates: Templates, template: Template) -> None:
        choice = await templates.choose(ASK, IMAGE)
        assert (choice.template, choice.why_fresh) == (None, "its template is being made")

    with_one_that_is_made(story)


def test_a_template_of_a_function_whose_last_was_no_good_is_not():
    async def story(templates: Templates, template: Template) -> None:
        template.imported = True
        templates._unfit.add(SPEC.function_id)  # pyright: ignore[reportPrivateUsage]
        assert (await templates.choose(ASK, IMAGE)).template is None

    with_one_that_is_made(story)


def test_one_that_was_waited_for_in_vain_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ionian.worker.templates.templates.WAIT_S", 0.01)

    async def story(templates: Templates, template: Template) -> None:
        template.imported = True
        await templates.choose(ASK, IMAGE)
        monkeypatch.setattr("ionian.worker.templates.templates.WAIT_S", 60)
        assert (await templates.choose(ASK, IMAGE)).template is None

    with_one_that_is_made(story)


LATER = StartContainer(
    2,
    "ta-2",
    "ap-1",
    "main",
    FunctionSpec("fu-2", "g", "main", "g", image_id="im-1"),
    functions={"g": "fu-2"},
)


def giving_way(templates: Templates, template: Template) -> asyncio.Future[None]:
    return asyncio.ensure_future(templates.give_way(template, 0.0))


def test_a_template_is_made_once_no_container_starts_on_its_own():
    async def story(templates: Templates, template: Template) -> None:
        choice = await templates.choose(LATER, IMAGE)
        waits = giving_way(templates, template)
        done, _ = await asyncio.wait([waits], timeout=0.05)
        assert not done
        templates.ended(choice)
        await waits

    with_one_that_is_made(story)


def test_a_template_that_a_container_waits_for_gives_way_to_none():
    async def story(templates: Templates, template: Template) -> None:
        await templates.choose(LATER, IMAGE)
        waits = giving_way(templates, template)
        template.hurry()
        await waits

    with_one_that_is_made(story)


def test_a_template_gives_way_for_a_while_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ionian.worker.templates.templates.GIVE_WAY_S", 0.01)

    async def story(templates: Templates, template: Template) -> None:
        await templates.choose(LATER, IMAGE)
        await giving_way(templates, template)

    with_one_that_is_made(story)
