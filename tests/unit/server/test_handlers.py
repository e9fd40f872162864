from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.apps import CreateApp, FindVolume, PublishApp, PutSecret, StopApp
from ionian.protocol.calls import FindFunction
from ionian.protocol.ids import new_id
from ionian.protocol.images import image_id_of
from ionian.protocol.messages import Blob
from ionian.protocol.spec import (
    FileRef,
    FunctionSpec,
    GpuRequest,
    ImageSpec,
    Instruction,
    Resources,
    Scaling,
    VolumeMount,
)
from ionian.protocol.stream import Refused
from ionian.protocol.workers import StopContainer, Usage
from ionian.server.auth import Actor
from ionian.server.handlers import handle
from ionian.server.handlers.apps import end_app
from ionian.server.store.schema import App


def function(tag: str = "f", **fields: Any) -> FunctionSpec:
    return replace(
        FunctionSpec(new_id("fu"), tag, "module", tag, image_id=image_id_of(ImageSpec())), **fields
    )


def refused(server: Server, message: Any, text: str, *, actor: Actor | None = None) -> str:
    """The type of the failure that answers a message."""
    with pytest.raises(Refused, match=text) as caught:
        server.ask(message, actor=actor)
    return caught.value.type


# --- apps


def test_an_app_is_made_in_the_environment_of_its_client(server: Server) -> None:
    server.store.environments.create("dev")
    dev = replace(server.client, environment="dev")
    assert server.ask(CreateApp(new_id("ap"), "a")).environment == "main"
    assert server.ask(CreateApp(new_id("ap"), "a", "dev")).environment == "dev"
    assert server.ask(CreateApp(new_id("ap"), "a"), actor=dev).environment == "dev"
    kind = refused(server, CreateApp(new_id("ap"), "a", "main"), "belongs to 'dev'", actor=dev)
    assert kind == "PermissionDeniedError"


def test_an_environment_that_is_not_there_is_refused_with_those_that_are(server: Server) -> None:
    kind = refused(server, CreateApp(new_id("ap"), "a", "prod"), "no environment 'prod'; there are: main")
    assert kind == "NotFoundError"


def test_making_an_app_again_is_harmless_until_it_is_stopped(server: Server) -> None:
    app_id = server.new_app("a")
    assert server.ask(CreateApp(app_id, "a")).app_id == app_id
    assert refused(server, CreateApp(app_id, "b"), "belongs to another app") == "AlreadyExistsError"
    other = replace(server.client, id=new_id("cl"))
    assert refused(server, CreateApp(app_id, "a"), "another app", actor=other) == "AlreadyExistsError"
    server.ask(StopApp(app_id))
    assert refused(server, CreateApp(app_id, "a"), "was stopped") == "ConflictError"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ä"])
def test_an_app_needs_a_plain_name(server: Server, name: str) -> None:
    assert refused(server, CreateApp(new_id("ap"), name), "expected a name of 1 to 64") == "InvalidError"


@pytest.mark.parametrize("app_id", ["", "ap-1", "fu-" + "0" * 26, "ap-" + "U" * 26])
def test_an_app_needs_a_whole_id(server: Server, app_id: str) -> None:
    assert refused(server, CreateApp(app_id, "a"), "expected an id like ap-") == "InvalidError"


def test_published_functions_reach_store_and_engine(server: Server) -> None:
    app_id, spec = server.new_app(), function()
    assert server.ask(PublishApp(app_id, [spec])).functions == {"f": spec.function_id}
    ((app, specs),) = server.engine.published
    assert (app.app_id, app.state, specs) == (app_id, "ephemeral", [spec])
    assert server.store.functions.of(app_id) == [spec]


def test_a_stopped_app_ends_in_store_and_engine_and_tells_its_usage(server: Server) -> None:
    app_id = server.new_app()
    secret_id = server.ask(PutSecret(app_id, {"A": "1"})).secret_id
    server.store.usage.record(
        "ta-1", Usage(wall_s=2.0), environment="main", app_id=app_id, function_id="fu-1", worker_id="wo-1"
    )
    for _ in range(2):
        used = server.ask(StopApp(app_id, "Ctrl-C"))
        assert (used.containers, used.container_seconds) == (1, 2.0)
    assert server.engine.stopped[0] == (app_id, "Ctrl-C")
    app = server.store.apps.find(app_id)
    assert app is not None
    assert (app.state, app.reason) == ("stopped", "Ctrl-C")
    assert server.store.secrets.find(app_id, [secret_id]) == {}
    assert refused(server, PublishApp(app_id, [function()]), r"was stopped \(Ctrl-C\)") == "ConflictError"
    assert refused(server, PutSecret(app_id, {"A": "1"}), "was stopped") == "ConflictError"


def test_a_detached_app_outlives_its_session(server: Server) -> None:
    app_id = server.new_app(detach=True)
    server.ask(PublishApp(app_id, [function()]))
    server.ask(StopApp(app_id))
    assert server.engine.stopped == []
    assert [app.app_id for app in server.store.apps.live()] == [app_id]
    server.run(end_app(app_id, "stopped by hand", server.context))
    assert server.store.apps.live() == []


def test_a_detached_app_without_functions_ends_with_its_session(server: Server) -> None:
    app_id = server.new_app(detach=True)
    server.ask(StopApp(app_id))
    assert server.store.apps.live() == []


def test_the_engine_hears_of_a_stop_after_the_publishing_before_it(server: Server) -> None:
    app_id = server.new_app()
    heard: list[str] = []

    async def publish(app: App, specs: object) -> None:
        await asyncio.sleep(0)
        heard.append("publish")

    async def stop(app_id: str, reason: str) -> None:
        heard.append("stop")

    server.engine.publish, server.engine.stop_app = publish, stop  # type: ignore[method-assign]

    async def both() -> None:
        await asyncio.gather(
            handle(server.client, PublishApp(app_id, [function()]), b"", server.context),
            handle(server.client, StopApp(app_id), b"", server.context),
            return_exceptions=True,
        )

    server.run(both())
    assert heard in (["publish", "stop"], ["stop"])


def test_an_app_that_is_not_there_is_named(server: Server) -> None:
    for message in (PublishApp("ap-none"), StopApp("ap-none"), PutSecret("ap-none", {})):
        assert refused(server, message, "there is no app 'ap-none'") == "NotFoundError"


def test_an_app_of_another_environment_is_out_of_reach(server: Server) -> None:
    app_id = server.new_app()
    server.store.environments.create("dev")
    stranger = replace(server.client, environment="dev")
    for message in (PublishApp(app_id), StopApp(app_id), PutSecret(app_id, {})):
        assert refused(server, message, "belongs to 'dev'", actor=stranger) == "PermissionDeniedError"


def test_a_function_id_of_another_app_is_refused(server: Server) -> None:
    spec = function()
    server.ask(PublishApp(server.new_app(), [spec]))
    kind = refused(server, PublishApp(server.new_app(), [spec]), "belongs to another app")
    assert kind == "AlreadyExistsError"


# --- what a function must be


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"function_id": "fu-1"}, "expected an id like fu-"),
        ({"tag": ""}, "name: expected 1 to 200 characters"),
        ({"image_id": ""}, "image: expected an id like im-"),
        ({"timeout_s": 0.5}, "timeout: expected 1 to 86400 seconds, got '0.5'"),
        ({"timeout_s": float("nan")}, "timeout: expected 1 to 86400"),
        ({"startup_timeout_s": 90_000.0}, "startup_timeout: expected"),
        ({"resources": Resources(cpu_milli=0)}, "cpu: expected at least 0.001 cores"),
        ({"resources": Resources(cpu_milli=2000, cpu_limit_milli=1000)}, "cpu: expected a limit at or over"),
        ({"resources": Resources(memory_mib=-1)}, "memory: expected at least 1 MiB"),
        (
            {"resources": Resources(memory_mib=512, memory_limit_mib=256)},
            "memory: expected a limit at or over",
        ),
        ({"resources": Resources(ephemeral_disk_mib=-1)}, "ephemeral_disk: expected 0 MiB or more"),
        ({"resources": Resources(gpus=[GpuRequest("A100", 0)])}, "gpu: expected a model and a count"),
        ({"scaling": Scaling(min_containers=-1)}, "min_containers: expected 0 or more"),
        ({"scaling": Scaling(max_containers=-1)}, "max_containers: expected 0 or more"),
        ({"scaling": Scaling(buffer_containers=-1)}, "buffer_containers: expected 0 or more"),
        ({"scaling": Scaling(min_containers=3, max_containers=2)}, r"no more than max_containers \(2\)"),
        ({"scaling": Scaling(scaledown_window_s=0)}, "scaledown_window: expected over 0"),
        ({"mounts": [FileRef("root/a.py", "0" * 64, 1)]}, "files: expected absolute paths"),
        ({"mounts": [FileRef("/root/../etc/passwd", "0" * 64, 1)]}, "files: expected absolute paths"),
        ({"mounts": [FileRef("/root/a.py", "xyz", 1)]}, "files: expected SHA-256 digests"),
        ({"volumes": [VolumeMount("/", "vo-1")]}, "volumes: expected different absolute paths below /"),
        (
            {"volumes": [VolumeMount("/a", "vo-1", sub_path="../b")]},
            "sub_path: expected a path within the volume",
        ),
        ({"volumes": [VolumeMount("/a", "vo-1"), VolumeMount("/a", "vo-2")]}, "volumes: expected different"),
        ({"env": {"A=B": "1"}}, "env: expected names without '='"),
        ({"env": {"A": "\0"}}, "env: expected"),
    ],
)
def test_a_function_that_no_container_could_run_is_refused(
    server: Server, fields: dict[str, Any], text: str
) -> None:
    app_id = server.new_app()
    assert refused(server, PublishApp(app_id, [function(**fields)]), text) == "InvalidError"
    assert server.engine.published == []


def test_a_function_twice_in_an_app_is_refused(server: Server) -> None:
    message = PublishApp(server.new_app(), [function("f"), function("f")])
    assert refused(server, message, "each function once in an app, got 'f' twice") == "InvalidError"


def test_functions_whose_files_volumes_or_secrets_are_not_there_are_refused(server: Server) -> None:
    app_id = server.new_app()
    other = server.ask(PutSecret(server.new_app("other"), {"A": "1"})).secret_id
    image = replace(function().image, instructions=[Instruction("COPY", ["/"], [FileRef("a", "1" * 64, 1)])])
    for spec, text in (
        (
            function(mounts=[FileRef("/root/a.py", "0" * 64, 1)]),
            "1 files of the app were not sent, one is 0000",
        ),
        (function(serialized="2" * 64), "were not sent, one is 2222"),
        (function(image=image), "were not sent, one is 1111"),
        (function(volumes=[VolumeMount("/data", "vo-none")]), "no volume 'vo-none' in environment 'main'"),
        (function(secret_ids=[other]), f"app app has no secret '{other}'"),
    ):
        assert refused(server, PublishApp(app_id, [spec]), text) == "NotFoundError"
    assert server.engine.published == []


def test_containers_may_read_what_their_functions_are_made_of(server: Server) -> None:
    app_id = server.new_app()
    source = server.context.blobs.put(b"source")
    other = server.context.blobs.put(b"other")
    server.ask(PublishApp(app_id, [function(mounts=[FileRef("/root/a.py", source, 6)])]))
    assert server.store.blob_grants.allowed(app_id, [source, other]) == {source}


# --- functions, volumes and secrets by name


def test_a_function_is_found_by_the_names_of_its_app_and_itself(server: Server) -> None:
    old, new = server.new_app("a"), server.new_app("a")
    first, second, third = function("f"), function("f", is_generator=True), function("only")
    server.ask(PublishApp(old, [first, third]))
    server.ask(PublishApp(new, [second]))
    found = server.ask(FindFunction("a", "f"))
    assert (found.function_id, found.app_id, found.is_generator) == (second.function_id, new, True)
    assert server.ask(FindFunction("a", "only")).app_id == old
    server.ask(StopApp(new))
    assert server.ask(FindFunction("a", "f")).function_id == first.function_id


def test_a_container_finds_the_functions_of_its_own_app_and_of_its_environment(server: Server) -> None:
    own, other, elsewhere = server.new_app("own"), server.new_app("other"), "dev"
    server.store.environments.create(elsewhere)
    specs = {app_id: function() for app_id in (own, other)}
    for app_id, spec in specs.items():
        server.ask(PublishApp(app_id, [spec]))
    container = server.container_of(own)
    assert server.ask(FindFunction("", "f"), actor=container).function_id == specs[own].function_id
    assert server.ask(FindFunction("other", "f"), actor=container).function_id == specs[other].function_id
    message = FindFunction("other", "f", elsewhere)
    assert refused(server, message, "belongs to 'main'", actor=container) == "PermissionDeniedError"


def test_a_function_that_is_not_there_is_refused_with_those_that_are(server: Server) -> None:
    app_id = server.new_app("a")
    server.ask(PublishApp(app_id, [function("f"), function("g")]))
    assert (
        refused(server, FindFunction("a", "h"), "'a' has no function or class 'h'; there are: f, g")
        == "NotFoundError"
    )
    assert (
        refused(
            server,
            FindFunction("b", "f"),
            "app 'b' is neither deployed nor running in environment 'main'; there are: a",
        )
        == "NotFoundError"
    )
    assert refused(server, FindFunction("", "f"), "only a container has an app of its own") == "InvalidError"


def test_a_volume_is_made_when_that_is_asked_and_has_a_folder(server: Server) -> None:
    kind = refused(server, FindVolume("data"), r"no volume 'data'.*create_if_missing=True")
    assert kind == "NotFoundError"
    volume_id = server.ask(FindVolume("data", create=True)).volume_id
    assert server.ask(FindVolume("data")).volume_id == volume_id
    assert (server.context.state.volumes / volume_id).is_dir()
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [function(volumes=[VolumeMount("/data", volume_id)])]))
    assert server.ask(FindVolume("data"), actor=server.container_of(app_id)).volume_id == volume_id
    assert refused(server, FindVolume("a/b", create=True), "expected a name") == "InvalidError"


@pytest.mark.parametrize(
    "values", [{"A B": "hidden"}, {"": "hidden"}, {"A": "hidden\0"}, {"A": "hidden" * 20_000}]
)
def test_a_secret_that_no_process_could_hold_is_refused_without_its_value(
    server: Server, values: dict[str, str]
) -> None:
    app_id = server.new_app()
    with pytest.raises(Refused, match="expected a") as caught:
        server.ask(PutSecret(app_id, values))
    assert "hidden" not in caught.value.message


def test_a_container_may_not_define_anything(server: Server) -> None:
    app_id = server.new_app()
    container = server.container_of(app_id)
    for message in (
        CreateApp(new_id("ap"), "a"),
        PublishApp(app_id),
        StopApp(app_id),
        PutSecret(app_id, {"A": "1"}),
    ):
        kind = refused(server, message, f"a container may not send {type(message).__name__}", actor=container)
        assert kind == "PermissionDeniedError"


def test_a_message_without_a_handler_is_refused_by_name(server: Server) -> None:
    assert refused(server, StopContainer(1), "expected another message.*got StopContainer") == "InvalidError"


def test_a_failure_of_the_servers_disk_is_a_sentence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(server.context.blobs, "writer", broken)
    message = Blob("0" * 64, 1)
    assert refused(server, message, "the server can't do this: .*Input/output error") == "InternalFailure"
