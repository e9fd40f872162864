"""Images as objects: what their ids and names mean, and to whom."""

from __future__ import annotations

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.apps import BuildStep, PublishApp
from ionian.protocol.ids import new_id
from ionian.protocol.images import (
    DeleteImageName,
    FindImage,
    ListImageNames,
    ListImages,
    PublishImage,
    ReadImageLogs,
    ReadImageName,
    image_id_of,
    split_name,
)
from ionian.protocol.spec import FunctionSpec, ImageSpec, Instruction
from ionian.protocol.stream import Refused
from ionian.server.auth import Actor
from ionian.server.build_logs import LINES_MAX

pytestmark = pytest.mark.timeout(60)

SPEC = ImageSpec([Instruction("FROM", ["debian_slim", "3.11"]), Instruction("RUN", ["make"])])
OTHER = ImageSpec([*SPEC.instructions, Instruction("RUN", ["more"])])
OF_DEV = Actor("client", new_id("cl"), "dev", stream=2)


def keep(server: Server, spec: ImageSpec = SPEC, environment: str = "main", *, cached: bool = False) -> str:
    """An image as it is after its build."""
    image_id = image_id_of(spec)
    server.store.images.built(
        environment, image_id, spec, app="a", by="me", seconds=1.5, python="3.11", size=7, cached=cached
    )
    return image_id


def standing_on(image_id: str, spec: ImageSpec) -> ImageSpec:
    return ImageSpec([Instruction("FROM", ["image", image_id], image=spec)])


def publish(server: Server, image_id: str, spec: ImageSpec) -> None:
    function = FunctionSpec(new_id("fu"), "f", "m", "f", image_id=image_id, image=spec)
    server.ask(PublishApp(server.new_app(), [function]))


def test_an_image_is_found_by_its_id_and_by_the_newest_meaning_of_a_name(server: Server) -> None:
    first, second = keep(server), keep(server, OTHER)
    server.ask(PublishImage(first, "tools:v1"))
    server.ask(PublishImage(second, "tools:v1"))
    server.ask(PublishImage(first, "tools"))
    found = server.ask(FindImage(name="tools:v1"))
    assert (found.image_id, found.image, found.python, found.size) == (second, OTHER, "3.11", 7)
    assert server.ask(FindImage(name="tools:latest")).image_id == first
    assert server.ask(FindImage(first)).image == SPEC
    names = server.ask(ListImageNames()).names
    assert [(each.name, each.image_id) for each in names] == [("tools:latest", first), ("tools:v1", second)]
    assert server.ask(ListImageNames(prefix="toolz")).names == []
    history = server.ask(ReadImageName("tools:v1")).names
    assert [each.image_id for each in history] == [second, first]
    assert [image.names for image in server.ask(ListImages()).images] == [["tools:v1"], ["tools:latest"]]
    server.ask(DeleteImageName("tools:v1"))
    with pytest.raises(Refused, match=r"there is no image 'tools:v1'.*there are: tools:latest"):
        server.ask(FindImage(name="tools:v1"))
    assert server.ask(FindImage(second)).image_id == second


def test_an_image_that_was_there_already_keeps_the_time_of_its_build(server: Server) -> None:
    image_id = keep(server)
    before = server.ask(FindImage(image_id))
    keep(server, cached=True)
    after = server.ask(FindImage(image_id))
    assert (after.built_at, after.built_by) == (before.built_at, before.built_by)
    assert after.used_at > before.used_at
    keep(server)
    assert server.ask(FindImage(image_id)).built_at > before.built_at


def test_a_failed_build_is_kept_with_its_reason_and_has_no_name(server: Server) -> None:
    image_id, images = image_id_of(SPEC), server.store.images
    images.failed("main", image_id, SPEC, app="a", by="me", error="it broke")
    found = server.ask(FindImage(image_id))
    assert (found.state, found.error) == ("failed", "it broke")
    with pytest.raises(Refused, match="was not built: it broke"):
        server.ask(PublishImage(image_id, "tools"))
    keep(server)
    images.failed("main", image_id, SPEC, app="a", by="me", error="it broke again")
    assert server.ask(FindImage(image_id)).state == "built"


def test_an_image_of_another_environment_is_out_of_reach(server: Server) -> None:
    server.store.environments.create("dev")
    image_id = keep(server)
    for message in (FindImage(image_id), ReadImageLogs(image_id), PublishImage(image_id, "mine", "dev")):
        with pytest.raises(Refused, match="there is no image"):
            server.ask(message, actor=OF_DEV)
    with pytest.raises(Refused, match="belongs to 'dev'"):
        server.ask(FindImage(name="tools", environment="main"), actor=OF_DEV)
    with pytest.raises(Refused, match="there is no image"):
        server.ask(PublishApp(server.new_app(environment="dev"), [_function(image_id)]), actor=OF_DEV)
    server.ask(PublishImage(image_id, "tools", "dev"))
    assert server.ask(FindImage(name="tools"), actor=OF_DEV).image == SPEC


def _function(image_id: str) -> FunctionSpec:
    return FunctionSpec(new_id("fu"), "f", "m", "f", image_id=image_id, image=standing_on(image_id, SPEC))


def test_an_image_is_what_its_id_says_or_refused(server: Server) -> None:
    image_id = keep(server)
    publish(server, image_id, SPEC)
    publish(server, image_id, standing_on(image_id, SPEC))
    further = ImageSpec([*standing_on(image_id, SPEC).instructions, Instruction("RUN", ["more"])])
    publish(server, image_id_of(further), further)
    with pytest.raises(Refused, match="is not that of this image"):
        publish(server, image_id, OTHER)
    with pytest.raises(Refused, match="there is no image"):
        publish(server, image_id, standing_on(image_id, OTHER))
    with pytest.raises(Refused, match="there is no image"):
        publish(server, image_id_of(OTHER), standing_on(image_id_of(OTHER), OTHER))


@pytest.mark.parametrize("name", ["", ":v1", "a:", "a:b:c", "im-x", "a b", "x" * 65, "ümlaut", "a/b", "../a"])
def test_what_is_no_name_of_an_image_is_refused(server: Server, name: str) -> None:
    with pytest.raises(Refused, match="an image: expected a name such as"):
        server.ask(PublishImage(keep(server), name))


def test_a_name_is_split_into_environment_name_and_tag() -> None:
    assert split_name("tools") == ("", "tools:latest")
    assert split_name("dev/tools:v2") == ("dev", "tools:v2")
    assert [split_name(each) for each in ("/tools", "dev/", "a/b/c", "dev/im-1")] == [None] * 4


def test_a_step_that_was_there_already_has_the_log_of_the_build_that_made_it(server: Server) -> None:
    first, second = keep(server), keep(server, OTHER)
    logs = server.context.build_logs
    heard = logs.begin("main", SPEC)
    for state, text in (("start", "RUN make"), ("log", "made\nit"), ("done", "RUN make")):
        heard.heard(BuildStep(first, 2, 2, text, state, 2.5, 70))  # type: ignore[arg-type]
    heard = logs.begin("main", OTHER)
    heard.heard(BuildStep(second, 2, 3, "RUN make", "cached"))
    heard.heard(BuildStep(second, 3, 3, "RUN more", "start"))
    for number in range(LINES_MAX + 10):
        heard.heard(BuildStep(second, 3, 3, f"line {number}", "log"))
    heard.failed()
    steps = server.ask(ReadImageLogs(second)).steps
    assert [(step.text, step.state, step.size) for step in steps] == [
        ("", "", 0),
        ("RUN make", "done", 70),
        ("RUN more", "failed", 0),
    ]
    assert [line.text for line in steps[1].lines] == ["made", "it"]
    assert (len(steps[2].lines), steps[2].lines[-1].text) == (LINES_MAX, f"line {LINES_MAX + 9}")
    assert [step.text for step in server.ask(ReadImageLogs(second, steps=1)).steps] == ["RUN more"]
