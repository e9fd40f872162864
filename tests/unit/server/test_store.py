from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from ionian.protocol.ids import new_id
from ionian.protocol.spec import FileRef, FunctionSpec, GpuRequest, Instruction, Resources
from ionian.protocol.workers import Usage
from ionian.server.store import Store
from ionian.server.store.functions import AppIsOver, FunctionIdTaken
from ionian.server.store.schema import Secret
from ionian.server.store.usage import Used


def new_app(store: Store, name: str = "app", *, client: str = "cl-1", detach: bool = False) -> str:
    return store.apps.create(new_id("ap"), environment="main", name=name, detach=detach, client=client).app_id


def function(tag: str = "f") -> FunctionSpec:
    return FunctionSpec(new_id("fu"), tag, "module", tag)


def secret(app_id: str, key_id: str = "key") -> Secret:
    return Secret(app_id, "st-1", "main", key_id, b"wrapped", b"sealed", 0.0)


def test_each_start_is_one_epoch_later(url: str) -> None:
    epochs: list[int] = []
    for _ in range(3):
        store = Store.open(url)
        epochs.append(store.next_epoch())
        store.close()
    assert epochs == [1, 2, 3]


def test_epochs_counted_at_once_differ(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        epochs = list(threads.map(Store.next_epoch, [store] * 16))
    assert sorted(epochs) == list(range(1, 17))


def test_the_main_environment_is_there_from_the_start(store: Store) -> None:
    store.environments.create("main")
    store.environments.create("dev")
    assert store.environments.names() == ["dev", "main"]
    assert not store.environments.exists("prod")


def test_an_app_that_is_made_again_is_the_same_app(store: Store) -> None:
    app_id = new_app(store, "one")
    again = store.apps.create(app_id, environment="main", name="two", detach=True, client="cl-2")
    assert (again.name, again.detach, again.client, again.state) == ("one", False, "cl-1", "initializing")


def test_a_stopped_app_is_not_live_and_stops_once(store: Store) -> None:
    first, second = new_app(store), new_app(store)
    assert store.apps.stop(first, "enough")
    assert not store.apps.stop(first, "again")
    assert not store.apps.stop("ap-none", "")
    assert [app.app_id for app in store.apps.live()] == [second]
    stopped = store.apps.find(first)
    assert stopped is not None
    assert (stopped.state, stopped.reason) == ("stopped", "enough")


def test_apps_of_one_name_are_found_newest_first(store: Store) -> None:
    ids = [new_app(store, "same") for _ in range(3)]
    new_app(store, "other")
    assert [app.app_id for app in store.apps.live_named("main", "same")] == ids[::-1]
    assert store.apps.live_named("dev", "same") == []


def test_the_apps_that_end_with_a_client_are_its_live_ones_detached_or_not(store: Store) -> None:
    mine, detached, over = new_app(store), new_app(store, detach=True), new_app(store)
    new_app(store, client="cl-2")
    store.functions.publish(detached, [])
    store.apps.stop(over, "")
    assert [app.app_id for app in store.apps.live_of("cl-1")] == [mine, detached]


def test_functions_come_back_as_they_were_published(store: Store) -> None:
    app_id = new_app(store)
    spec = function()
    spec.image.instructions.append(Instruction("COPY", ["/"], [FileRef("a", "0" * 64, 1)]))
    spec.resources = Resources(cpu_milli=500, gpus=[GpuRequest("A100", 2, exact=True)])
    spec.env = {"NAME": "värde\n"}
    app = store.functions.publish(app_id, [spec, function("g")])
    assert app.state == "ephemeral"
    assert store.functions.of(app_id)[0] == spec
    assert store.functions.tagged(app_id, "f") == spec
    assert store.functions.tagged(app_id, "h") is None
    assert list(store.functions.tags(app_id)) == ["f", "g"]


def test_publishing_again_replaces_the_functions(store: Store) -> None:
    app_id = new_app(store, detach=True)
    kept = function("kept")
    store.functions.publish(app_id, [kept, function("gone")])
    app = store.functions.publish(app_id, [kept, function("new")])
    assert app.state == "detached"
    assert list(store.functions.tags(app_id)) == ["kept", "new"]


def test_a_stopped_app_takes_no_functions(store: Store) -> None:
    app_id = new_app(store)
    store.apps.stop(app_id, "")
    with pytest.raises(AppIsOver):
        store.functions.publish(app_id, [function()])


def test_a_function_id_of_another_app_is_refused_and_nothing_changes(store: Store) -> None:
    theirs, mine = function(), function("mine")
    store.functions.publish(new_app(store), [theirs])
    app_id = new_app(store)
    store.functions.publish(app_id, [mine])
    with pytest.raises(FunctionIdTaken):
        store.functions.publish(app_id, [function("other"), theirs])
    assert store.functions.of(app_id) == [mine]


def test_a_volume_asked_for_at_once_by_many_is_made_once(store: Store) -> None:
    start = threading.Barrier(8)

    def ask(_: int) -> str:
        start.wait(10)
        return store.objects.create(new_id("vo"), kind="volume", environment="main", name="data").object_id

    with ThreadPoolExecutor(8) as threads:
        (volume_id,) = set(threads.map(ask, range(8)))
    found = store.objects.find("volume", "main", "data")
    assert found is not None
    assert found.object_id == volume_id
    assert store.objects.find("volume", "main", "other") is None
    assert store.volumes.missing("main", {volume_id, "vo-none"}) == {"vo-none"}


def test_a_stopped_app_is_purged_of_secrets_and_rights(store: Store) -> None:
    app_id, other = new_app(store), new_app(store)
    for each in (app_id, other):
        store.secrets.put(secret(each))
        store.blob_grants.allow(each, "main", ["a" * 64])
    store.apps.stop(app_id, "")
    store.apps.purge_stopped()
    assert store.secrets.find(app_id, ["st-1"]) == {}
    assert store.blob_grants.allowed(app_id, ["a" * 64]) == set()
    assert list(store.secrets.find(other, ["st-1"])) == ["st-1"]
    assert store.blob_grants.all_digests() == {"a" * 64}


def test_a_secret_is_kept_as_it_first_came(store: Store) -> None:
    app_id = new_app(store)
    store.secrets.put(secret(app_id))
    store.secrets.put(secret(app_id, "other"))
    assert store.secrets.find(app_id, ["st-1", "st-2"])["st-1"].key_id == "key"
    assert store.secrets.sealed_otherwise("key") == {}
    assert store.secrets.count() == 1


def test_blob_rights_are_of_one_app_and_may_be_many(store: Store) -> None:
    app_id, other = new_app(store), new_app(store)
    digests = [f"{number:064x}" for number in range(1200)]
    store.blob_grants.allow(app_id, "main", digests)
    store.blob_grants.allow(app_id, "main", digests[:3])
    assert store.blob_grants.allowed(app_id, digests) == set(digests)
    assert store.blob_grants.allowed(other, digests) == set()


def test_workers_are_waited_for_until_they_are_given_up(url: str) -> None:
    store = Store.open(url)
    store.workers.joined("wo-1", name="one", token_id="ti-1")
    store.workers.joined("wo-2", name="two", token_id="ti-1")
    store.workers.gone("wo-2")
    store.workers.gone("wo-none")
    store.close()
    store = Store.open(url)
    assert [worker.worker_id for worker in store.workers.alive()] == ["wo-1"]
    store.workers.joined("wo-2", name="two", token_id="ti-1")
    assert [worker.worker_id for worker in store.workers.alive()] == ["wo-1", "wo-2"]
    store.close()


def test_usage_is_summed_and_a_container_counts_once(store: Store) -> None:
    def record(container_id: str, usage: Usage, app_id: str = "ap-1") -> None:
        store.usage.record(
            container_id, usage, environment="main", app_id=app_id, function_id="fu-1", worker_id="wo-1"
        )

    record("ta-1", Usage(1.0, 0.5, 2.0, 0.0))
    record("ta-1", Usage(2.0, 1.0, 4.0, 0.0))
    record("ta-2", Usage(3.0, 1.5, 1.0, 3.0))
    record("ta-3", Usage(9.0, 9.0, 9.0, 9.0), "ap-2")
    used = store.usage.of_app("ap-1")
    assert (used.containers, used.container_seconds, used.cpu_seconds) == (2, 5.0, 2.5)
    assert (used.memory_gib_seconds, used.gpu_seconds) == (5.0, 3.0)
    assert store.usage.of_app("ap-none").containers == 0


def test_usage_of_many_containers_is_kept_in_one_transaction_and_each_counts_once(store: Store) -> None:
    used = [
        Used(f"ta-{number % 1200}", Usage(1.0 + number // 1200), "main", "ap-1", "fu-1", "wo-1")
        for number in range(1250)
    ]
    store.usage.record_all(used)
    store.usage.record_all([])
    total = store.usage.of_app("ap-1")
    assert (total.containers, total.container_seconds) == (1200, 1250.0)


def test_a_revoked_token_stays_revoked(store: Store) -> None:
    def add() -> None:
        store.tokens.add("ti-1", kind="client", environment="", name="laptop", secret_hash="00")

    add()
    assert store.tokens.revoke("ti-1")
    assert not store.tokens.revoke("ti-none")
    add()
    (token,) = store.tokens.all()
    assert token.revoked_at is not None
    assert store.tokens.find("ti-2") is None


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def fail_halfway() -> None:
        with store.database.write() as session:
            session.execute(text("INSERT INTO environments (name, created_at) VALUES ('half', 0)"))
            raise LookupError

    with pytest.raises(LookupError):
        fail_halfway()
    assert not store.environments.exists("half")


def test_readers_are_not_kept_waiting_by_a_writer(store: Store) -> None:
    with store.database.write() as session:
        session.execute(text("INSERT INTO environments (name, created_at) VALUES ('half', 0)"))
        assert store.environments.names() == ["main"]
    assert store.environments.names() == ["half", "main"]
