"""Deployed apps as far as the server's answers go: versions, variants, names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.server.answering import Server
from tests.unit.server.test_handlers import function, refused

from ionian.machine.state import StateFolder
from ionian.protocol.apps import (
    AppHistory,
    CreateApp,
    Deploy,
    FindApp,
    ListApps,
    PublishApp,
    PutSecret,
    RollbackApp,
    StopApp,
    TagApp,
)
from ionian.protocol.calls import AppFunctions, BindFunction, FindFunction
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Blob
from ionian.protocol.spec import (
    Batching,
    ClassSpec,
    Concurrency,
    FileRef,
    FunctionSpec,
    GpuRequest,
    MethodSpec,
    Overrides,
    ParameterSpec,
    Resources,
    RetryPolicy,
    VolumeMount,
)
from ionian.protocol.stream import Refused
from ionian.protocol.variants import variant_id
from ionian.server.handlers.functions import variants_of
from ionian.server.store import apps as store_apps
from ionian.server.store import versions as store_versions


def created(server: Server, name: str = "app", **fields: Any) -> str:
    """The id of the deployed app of a name, for a client of its own."""
    actor = replace(server.client, id=new_id("cl"))
    return server.ask(CreateApp(new_id("ap"), name, deploy=True, **fields), actor=actor).app_id


def deploy(server: Server, app_id: str, *specs: FunctionSpec, **fields: Any) -> AppFunctions:
    return server.ask(PublishApp(app_id, list(specs), Deploy(**fields)))


# --- deploys


def test_a_name_is_one_deployed_app_whoever_asks(server: Server) -> None:
    app_id = created(server)
    assert created(server) == app_id
    assert created(server, "other") != app_id
    assert server.new_app("app") != app_id


def test_functions_keep_their_ids_over_versions(server: Server) -> None:
    app_id, f, g = created(server), function("f"), function("g")
    assert deploy(server, app_id, f, g).functions == {"f": f.function_id, "g": g.function_id}
    found = server.ask(CreateApp(new_id("ap"), "app", deploy=True))
    assert (found.functions, found.state) == ({"f": f.function_id, "g": g.function_id}, "deployed")
    again = deploy(server, app_id, replace(function("f"), timeout_s=7.0), function("h"))
    assert again.functions["f"] == f.function_id
    assert set(again.functions) == {"f", "h"}
    assert again.version == 2


def test_each_deploy_is_a_version_and_the_engine_hears_of_it(server: Server) -> None:
    app_id, f = created(server), function("f")
    assert deploy(server, app_id, f).version == 1
    assert deploy(server, app_id, replace(f, timeout_s=9.0), strategy="recreate").version == 2
    assert [[spec.version for spec in specs] for _, specs in server.engine.published] == [[1], [2]]
    assert server.engine.recreated == [app_id]
    assert [(spec.version, spec.recreate) for spec in server.store.functions.of(app_id)] == [(2, True)]
    assert not deploy(server, app_id, replace(f, timeout_s=9.0)).changed  # how it came does not matter
    assert deploy(server, app_id, f).version == 3
    assert not server.store.functions.of(app_id)[0].recreate


def test_a_deploy_of_what_is_there_makes_no_version(server: Server) -> None:
    app_id, f = created(server, tags={"a": "1"}), function("f")
    deploy(server, app_id, f, tag="one")
    same = deploy(server, app_id, function("f"))
    assert (same.version, same.changed, same.functions) == (1, False, {"f": f.function_id})
    assert not deploy(server, app_id, f, tag="one", tags={"a": "1"}).changed
    assert len(server.engine.published) == 1
    assert deploy(server, app_id, f, tag="two").changed
    assert deploy(server, app_id, f, tags={"a": "2"}).changed
    assert deploy(server, app_id).changed


def test_a_deploy_that_is_refused_changes_nothing(server: Server) -> None:
    app_id, f = created(server), function("f")
    deploy(server, app_id, f)
    bad = replace(f, volumes=[VolumeMount("/v", "vo-1")])
    refused(server, PublishApp(app_id, [bad, function("g")], Deploy()), "no volume 'vo-1'")
    stolen = server.new_app("another")
    server.ask(PublishApp(stolen, [theirs := function("h")]))
    taken = PublishApp(app_id, [replace(f, timeout_s=2.0), theirs], Deploy())
    assert refused(server, taken, "belongs to another app") == "AlreadyExistsError"
    assert server.ask(AppHistory(app_id)).versions[0].number == 1
    assert [spec.tag for spec in server.store.functions.of(app_id)] == ["f"]


def test_a_version_that_the_engine_did_not_hear_of_runs_when_it_is_deployed_again(server: Server) -> None:
    app_id, f = created(server), function("f")
    publish = server.engine.publish

    async def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    server.engine.publish = fails  # type: ignore[method-assign]
    refused(server, PublishApp(app_id, [f], Deploy()), "No space left on device")
    server.engine.publish = publish  # type: ignore[method-assign]
    assert not deploy(server, app_id, f).changed
    assert [[spec.tag for spec in specs] for _, specs in server.engine.published] == [["f"]]
    assert not deploy(server, app_id, f).changed
    assert len(server.engine.published) == 1


@pytest.mark.parametrize("field", ["client_version", "commit", "user"])
@pytest.mark.parametrize("word", ["x" * 256, "\x1b[2J", "a\0b"])
def test_what_a_deploy_says_of_itself_is_a_word_that_people_can_read(
    server: Server, field: str, word: str
) -> None:
    app_id = created(server)
    deploy = replace(Deploy(), **{field: word})
    refused(server, PublishApp(app_id, [function("f")], deploy), f"{field}: expected up to 255 printable")


@pytest.mark.parametrize("tag", ["x" * 51, "a b", "ä"])
def test_a_version_needs_a_plain_tag(server: Server, tag: str) -> None:
    app_id = created(server)
    message = PublishApp(app_id, [function()], Deploy(tag))
    assert refused(server, message, "expected a tag of up to 50") == "InvalidError"


def test_a_run_is_no_deploy_and_a_deploy_no_run(server: Server) -> None:
    running, deployed = server.new_app("running"), created(server)
    refused(server, PublishApp(running, [function()], Deploy()), "expected a deploy of a deployed app")
    refused(server, PublishApp(deployed, [function()]), "expected a deploy of a deployed app")


def test_a_deployed_app_ends_when_it_is_stopped_for_good_and_not_with_a_session(server: Server) -> None:
    app_id = created(server)
    deploy(server, app_id, function())
    server.ask(StopApp(app_id))
    assert server.engine.stopped == []
    assert server.store.apps.live_of(server.client.id) == []
    server.ask(StopApp(app_id, "enough", for_good=True))
    assert server.engine.stopped == [(app_id, "enough")]
    assert refused(server, AppHistory(app_id), "was stopped") == "ConflictError"
    assert created(server) != app_id


def test_deployed_apps_are_there_after_a_restart(state: StateFolder) -> None:
    first = Server(state)
    app_id, f = created(first), function("f")
    deploy(first, app_id, f)
    unfinished = created(first, "unfinished")
    first.close()
    second = Server(state)
    try:
        assert [app.app_id for app in second.store.apps.live()] == [app_id, unfinished]
        assert second.ask(FindFunction("app", "f")).function_id == f.function_id
        assert [app.app_id for app in second.ask(ListApps()).apps] == [app_id]
    finally:
        second.close()


def test_a_first_deploy_that_never_ended_is_given_up_after_a_day(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Server(state)
    app_id = created(first)
    first.close()
    monkeypatch.setattr(store_apps, "UNFINISHED_S", -1.0)
    second = Server(state)
    try:
        app = second.store.apps.find(app_id)
        assert app is not None
        assert (app.state, app.reason) == ("stopped", "its deploy was not finished")
    finally:
        second.close()


# --- history


def test_the_history_says_what_made_each_version(server: Server) -> None:
    app_id, f = created(server), function("f")
    deploy(server, app_id, f, tag="v1", client_version="0.1.0", commit="abcdef1*", user="ann")
    deploy(server, app_id)
    two, one = server.ask(AppHistory(app_id)).versions
    assert (one.number, one.tag, one.client_version, one.commit, one.user, one.from_version) == (
        1,
        "v1",
        "0.1.0",
        "abcdef1*",
        "ann",
        0,
    )
    assert (two.number, two.tag) == (2, "")
    assert two.deployed_at >= one.deployed_at


@pytest.mark.parametrize(("version", "back"), [(-1, 2), (-2, 1), (1, 1), (2, 2)])
def test_a_rollback_makes_a_version_of_what_an_earlier_one_was(
    server: Server, version: int, back: int
) -> None:
    app_id, f = created(server), function("f")
    for timeout_s in (1.0, 2.0, 3.0):
        deploy(server, app_id, replace(f, timeout_s=timeout_s))
    rolled = server.ask(RollbackApp(app_id, version))
    assert (rolled.number, rolled.from_version) == (4, back)
    (spec,) = server.store.functions.of(app_id)
    assert (spec.function_id, spec.timeout_s, spec.version) == (f.function_id, float(back), 4)
    assert server.ask(AppHistory(app_id)).versions[0].from_version == back
    assert server.engine.rolled == []


def test_a_rollover_replaces_containers_of_what_is_the_same(server: Server) -> None:
    app_id = created(server)
    deploy(server, app_id, function())
    rolled = server.ask(RollbackApp(app_id, 0, "recreate"))
    assert (rolled.number, rolled.from_version) == (2, 1)
    assert (server.engine.rolled, server.engine.recreated) == ([app_id], [app_id])


def test_a_version_that_is_not_there_is_refused_with_those_that_are(server: Server) -> None:
    app_id = created(server)
    refused(server, RollbackApp(app_id), "is not deployed but initializing")
    deploy(server, app_id, function())
    assert refused(server, RollbackApp(app_id), "one version only") == "NotFoundError"
    deploy(server, app_id)
    refused(server, RollbackApp(app_id, 7), "no version v7; it has v1 to v2")
    refused(server, RollbackApp(app_id, -5), "no version 5 versions back; it has v1 to v2")


def test_versions_past_the_last_hundred_go_with_what_they_alone_name(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_versions, "KEPT", 2)
    app_id, f = created(server), function("f")
    blobs = [server_blob(server, app_id, text) for text in (b"old", b"both", b"new")]
    secret = server.ask(PutSecret(app_id, {"A": "1"})).secret_id
    deploy(server, app_id, replace(f, mounts=[blobs[0], blobs[1]], secret_ids=[secret]))
    deploy(server, app_id, replace(f, mounts=[blobs[1]]))
    assert server.store.secrets.find(app_id, [secret])
    deploy(server, app_id, replace(f, mounts=[blobs[2]]))
    assert [version.number for version in server.ask(AppHistory(app_id)).versions] == [3, 2]
    digests = {blob.digest for blob in blobs}
    assert server.store.blob_grants.allowed(app_id, digests) == digests - {blobs[0].digest}
    assert server.store.secrets.find(app_id, [secret]) == {}


def server_blob(server: Server, app_id: str, text: bytes) -> FileRef:
    import hashlib

    digest = hashlib.sha256(text).hexdigest()
    server.ask(Blob(digest, len(text), 0), text)
    return FileRef(f"/{text.decode()}", digest, len(text))


# --- names


def test_an_app_is_found_by_name_and_by_id_and_made_where_that_is_asked_for(server: Server) -> None:
    app_id = created(server, "mine")
    assert refused(server, FindApp("mine"), "neither deployed nor running") == "NotFoundError"
    deploy(server, app_id, f := function())
    for name in ("mine", app_id):
        found = server.ask(FindApp(name))
        assert (found.app_id, found.name, found.state) == (app_id, "mine", "deployed")
        assert found.functions == {"f": f.function_id}
    text = "app 'mini' is neither deployed nor running in environment 'main'; there are: mine"
    assert refused(server, FindApp("mini"), text) == "NotFoundError"
    made = server.ask(FindApp("mini", create=True))
    assert (made.state, server.ask(FindApp("mini")).app_id) == ("deployed", made.app_id)
    assert server.ask(FindApp("mini", create=True)).app_id == made.app_id


def test_a_deployed_app_is_preferred_to_a_run_of_its_name(server: Server) -> None:
    app_id = created(server)
    deploy(server, app_id, f := function())
    server.ask(PublishApp(server.new_app("app"), [function()]))
    assert server.ask(FindApp("app")).app_id == app_id
    assert server.ask(FindFunction("app", "f")).function_id == f.function_id


def test_what_is_not_there_is_refused_with_the_closest_first(server: Server) -> None:
    app_id = created(server)
    deploy(server, app_id, function("alpha"), function("square"))
    refused(server, FindFunction("app", "sqare"), "no function or class 'sqare'; there are: square, alpha")
    refused(server, FindFunction("app", "f", "mian"), "no environment 'mian'; there are: main")


def test_a_class_is_found_by_its_name_with_methods_and_parameters(server: Server) -> None:
    kind = ClassSpec([MethodSpec("run")], [ParameterSpec("size", "int", True)])
    app_id = created(server)
    deploy(server, app_id, model := function("Model.*", class_spec=kind))
    for tag in ("Model", "Model.*"):
        found = server.ask(FindFunction("app", tag))
        assert (found.function_id, found.is_class, found.tag) == (model.function_id, True, "Model.*")
        assert (found.methods, found.parameters) == (kind.methods, kind.parameters)
        assert (found.app_name, found.environment) == ("app", "main")
    refused(server, FindFunction("app", "Modle"), "there are: Model")


def test_apps_are_listed_with_their_state_and_version(server: Server) -> None:
    deployed = created(server, "deployed", tags={"a": "1"})
    deploy(server, deployed, function())
    server.ask(StopApp(stopped := server.new_app("stopped"), "Ctrl-C"))
    created(server, "unfinished")
    first, second = server.ask(ListApps()).apps
    assert (first.app_id, first.state, first.reason) == (stopped, "stopped", "Ctrl-C")
    assert (second.app_id, second.state, second.version, second.tags) == (
        deployed,
        "deployed",
        1,
        {"a": "1"},
    )
    assert [app.app_id for app in server.ask(ListApps(stopped=False)).apps] == [deployed]


def test_tags_are_replaced_as_a_whole(server: Server) -> None:
    app_id = server.new_app(tags={"a": "1"})
    assert server.ask(TagApp(app_id)).tags == {"a": "1"}
    assert server.ask(TagApp(app_id, {"b": "2"})).tags == {"b": "2"}
    assert server.ask(TagApp(app_id)).tags == {"b": "2"}
    assert refused(server, TagApp(app_id, {"": "2"}), "expected up to 64 tags") == "InvalidError"


# --- variants


def test_a_function_of_a_version_stays_as_it_was_and_so_does_what_it_calls(server: Server) -> None:
    app_id = created(server)
    f, g = function(), replace(function(), tag="g")
    deploy(server, app_id, f, g)
    deploy(server, app_id, replace(f, timeout_s=7.0))
    found = server.ask(FindFunction("app", "f", version=1))
    first = {spec.tag: spec for spec in server.engine.added}
    assert set(first) == {"f", "g"}
    assert first["f"].function_id == found.function_id == variant_id(f.function_id, Overrides(version=1))
    assert first["f"].pinned
    assert (first["f"].timeout_s, first["f"].version) == (f.timeout_s, 1)
    again = server.ask(BindFunction(found.function_id, Overrides(timeout_s=9.0)))
    assert again.function_id == variant_id(f.function_id, Overrides(version=1, timeout_s=9.0))
    deploy(server, app_id, replace(f, timeout_s=8.0))
    app, specs = server.engine.published[-1]
    kept = {spec.function_id: spec for spec in variants_of(app, specs, server.context)}
    assert kept[found.function_id].timeout_s == f.timeout_s
    assert kept[again.function_id].timeout_s == 9.0


def test_a_version_or_a_function_of_it_that_is_not_there_is_refused_with_what_is(server: Server) -> None:
    app_id = created(server)
    deploy(server, app_id, function())
    server.new_app(name="runs")
    assert (
        refused(server, FindFunction("app", "f", version=3), "has no version v3; it has v1 only")
        == "NotFoundError"
    )
    assert (
        refused(server, FindFunction("app", "g", version=1), "v1 of app 'app' has no function")
        == "NotFoundError"
    )
    assert refused(server, FindFunction("runs", "f", version=1), "is not deployed") == "NotFoundError"


def test_a_variant_is_made_once_and_told_to_the_engine(server: Server) -> None:
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [f := function()]))
    overrides = Overrides(timeout_s=5.0)
    found = server.ask(BindFunction(f.function_id, overrides))
    assert found.function_id == variant_id(f.function_id, overrides) == server.engine.added[0].function_id
    assert (found.tag, found.app_id) == ("f", app_id)
    assert server.engine.added[0].timeout_s == 5.0
    assert server.ask(BindFunction(f.function_id, overrides)) == found
    assert server.store.variants.of(app_id) == [(f.function_id, overrides, None)]
    assert server.ask(BindFunction(f.function_id, Overrides())).function_id == f.function_id


def test_a_variant_of_a_variant_is_one_of_the_function(server: Server) -> None:
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [f := function()]))
    one = server.ask(BindFunction(f.function_id, Overrides(timeout_s=5.0))).function_id
    two = server.ask(BindFunction(one, Overrides(env={"A": "1"}))).function_id
    assert two == variant_id(f.function_id, Overrides(timeout_s=5.0, env={"A": "1"}))
    assert server.engine.added[-1].base_id == f.function_id


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (Overrides(timeout_s=0.0), "timeout: expected 1 to 86400 seconds"),
        (Overrides(secret_ids=["st-1"]), "has no secret 'st-1'"),
        (Overrides(volumes=[VolumeMount("/v", "vo-1")]), "there is no volume 'vo-1'"),
        (Overrides(concurrency=Concurrency(0)), "max_inputs: expected 1 to"),
        (Overrides(concurrency=Concurrency(2, 3)), r"target_inputs: expected 1 to max_inputs \(2\)"),
        (Overrides(batching=Batching(0, 5)), "max_batch_size: expected 1 to"),
        (Overrides(batching=Batching(5, -1)), "wait_ms: expected 0 to"),
        (Overrides(retries=RetryPolicy(-1)), "retries: expected 0 to"),
        (Overrides(retries=RetryPolicy(1, 0.5)), "backoff_coefficient: expected 1 or more"),
        (Overrides(arguments="gAQ="), "f is a function, and takes no parameters"),
    ],
)
def test_a_variant_that_can_not_be_is_refused(server: Server, overrides: Overrides, text: str) -> None:
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [f := function()]))
    refused(server, BindFunction(f.function_id, overrides), text)
    assert server.store.variants.of(app_id) == []


def test_a_variant_of_nothing_and_of_another_environment_is_refused(server: Server) -> None:
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [f := function()]))
    assert refused(server, BindFunction(new_id("fu"), Overrides()), "there is no function") == "NotFoundError"
    dev = replace(server.client, environment="dev")
    refused(server, BindFunction(f.function_id, Overrides()), "belongs to 'dev'", actor=dev)
    server.ask(StopApp(app_id))
    assert refused(server, BindFunction(f.function_id, Overrides()), "was stopped") == "NotFoundError"
    assert server.store.variants.of(app_id) == []


def test_a_deploy_makes_variants_from_what_functions_are_now(server: Server) -> None:
    app_id, f, g = created(server), function("f"), function("g")
    deploy(server, app_id, f, g)
    server.ask(BindFunction(f.function_id, Overrides(env={"A": "1"})))
    server.ask(BindFunction(g.function_id, Overrides(env={"A": "1"})))
    server.ask(BindFunction(f.function_id, Overrides(concurrency=Concurrency(4, 2))))
    deploy(server, app_id, replace(f, timeout_s=7.0, env={"B": "1"}))
    app = server.store.apps.find(app_id)
    assert app is not None
    made = variants_of(app, server.store.functions.of(app_id), server.context)
    assert sorted((spec.timeout_s, len(spec.env), spec.version) for spec in made) == [
        (7.0, 1, 2),
        (7.0, 2, 2),
    ]


def test_a_variant_that_asks_for_more_than_there_is_gets_what_there_is_or_is_refused(server: Server) -> None:
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [f := function()]))

    async def fitted(tag: str, resources: Resources) -> Resources:
        if resources.gpus:
            raise Refused("ResourceExhaustedError", f"{tag} can't run: no worker has a GPU")
        return replace(resources, memory_mib=min(resources.memory_mib, 4096))

    server.engine.fitted = fitted  # type: ignore[method-assign]
    server.ask(BindFunction(f.function_id, Overrides(resources=Resources(memory_mib=1 << 20))))
    assert server.engine.added[-1].resources.memory_mib == 4096
    asks = Overrides(resources=Resources(gpus=[GpuRequest("A100")]))
    assert (
        refused(server, BindFunction(f.function_id, asks), "no worker has a GPU") == "ResourceExhaustedError"
    )


def test_a_variant_that_refers_to_what_is_gone_is_left_out_and_the_others_stay(server: Server) -> None:
    app_id = server.new_app()
    server.ask(PublishApp(app_id, [f := function()]))
    good = server.ask(BindFunction(f.function_id, Overrides(timeout_s=5.0))).function_id
    gone = Overrides(secret_ids=["st-gone"])
    server.store.variants.put("fu-gone", base_id=f.function_id, app_id=app_id, overrides=gone)
    app = server.store.apps.find(app_id)
    assert app is not None
    assert [spec.function_id for spec in variants_of(app, [f], server.context)] == [good]
