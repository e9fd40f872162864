"""Programs of persons: who hears whom, who may, and what ends when somebody goes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.server.test_engine import Person, World, call, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.apps import ExecData, ExecEnded, ExecTaken, KillExec, ResizeExec, StartExec, StartReplay
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Done, Hello
from ionian.protocol.stream import Refused, dial
from ionian.protocol.workers import Capacity, Inventory, StartContainer
from ionian.server.auth import admit_token, local_token, new_token
from ionian.version import VERSION


class Machine(Person):
    """A worker that runs every program it is asked to run."""

    def received(self, message: Any, request: int, payload: bytes) -> None:
        if isinstance(message, StartExec):
            self.reply(request, Done())
        super().received(message, request, payload)


async def machine(world: World) -> Machine:
    worker = await dial(world.url, Machine)
    world.people.append(worker)
    await worker.request(Hello("worker", local_token(world.server.state, "worker"), VERSION, new_id("wo")))
    worker.send(Inventory(new_id("wo"), "w", Capacity(8000, 8192)))
    await world.server.engine.any_worker(10)
    return worker


async def container(world: World, worker: Machine) -> str:
    client = await world.person("client")
    call(client, (await world.app(client))[1])
    return (await worker.hears(StartContainer)).container_id


async def program(world: World) -> tuple[Person, Machine, str]:
    """A person, the worker that runs their program, and its id."""
    worker = await machine(world)
    person, exec_id = await world.person("client"), new_id("ex")
    await person.request(StartExec(exec_id, await container(world, worker), ["sh"]))
    assert (await worker.hears(StartExec)).argv == ["sh"]
    return person, worker, exec_id


def test_a_person_and_their_program_hear_each_other(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, worker, exec_id = await program(world)
        for said in (ExecData(exec_id, 0), ExecTaken(exec_id, 5), ResizeExec(exec_id, 3, 4)):
            person.send(said)
            assert await worker.hears(type(said)) == said
        for said in (ExecData(exec_id, 1), ExecTaken(exec_id, 7), ExecEnded(exec_id, 3)):
            worker.send(said)
            assert await person.hears(type(said)) == said

    in_world(state, story)


def test_another_person_is_not_heard_and_hears_nothing(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, worker, exec_id = await program(world)
        other = await world.person("client")
        other.send(ExecData(exec_id, 0), b"rm -rf /")
        other.send(KillExec(exec_id))
        await other.request(
            StartExec(new_id("ex"), await container(world, worker), ["true"])
        )  # both were handled
        person.send(ResizeExec(exec_id, 1, 1))
        await worker.hears(ResizeExec)
        assert not [m for m in worker.heard if isinstance(m, (ExecData, KillExec))]
        worker.send(ExecData(exec_id, 1))
        await person.hears(ExecData)
        assert not other.heard

    in_world(state, story)


def test_another_worker_can_not_speak_for_a_program(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, worker, exec_id = await program(world)
        stranger = await machine(world)
        stranger.send(ExecEnded(exec_id, 0))
        stranger.send(ExecData(exec_id, 1), b"password: ")
        with pytest.raises(Refused):  # what was sent before it was handled
            await stranger.request(StartReplay(exec_id, "in-1"))
        worker.send(ExecEnded(exec_id, 9))
        assert (await person.hears(ExecEnded)).code == 9
        assert not [m for m in person.heard if isinstance(m, ExecData)]

    in_world(state, story)


def test_a_program_ends_when_its_person_goes(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, worker, exec_id = await program(world)
        person.disconnect()
        assert await worker.hears(KillExec) == KillExec(exec_id)

    in_world(state, story)


def test_a_person_hears_that_the_worker_was_lost(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, worker, exec_id = await program(world)
        worker.disconnect()
        assert await person.hears(ExecEnded) == ExecEnded(exec_id, -1, "its worker was lost")

    in_world(state, story)


def test_a_container_of_another_environment_is_out_of_reach(state: StateFolder) -> None:
    async def story(world: World) -> None:
        worker = await machine(world)
        container_id = await container(world, worker)
        store, token = world.server.store, new_token()
        store.environments.create("other")
        admit_token(store, token, kind="client", environment="other", name="o")
        stranger = await dial(world.url, Person)
        world.people.append(stranger)
        await stranger.request(Hello("client", token, VERSION, new_id("cl")))
        with pytest.raises(Refused, match="belongs to 'other'"):
            await stranger.request(StartExec(new_id("ex"), container_id, ["sh"]))

    in_world(state, story)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (StartExec("ex-" + "0" * 26, "ta-1", ["sh"]), "there is no container 'ta-1'"),
        (StartExec("ex-" + "0" * 26, "ta-1", []), "expected a command to run in the container, got none"),
        (StartExec("ex-" + "0" * 26, "ta-1", ["a\0b"]), "without NUL characters"),
        (StartReplay("ex-" + "0" * 26, "in-1"), "no failed input 'in-1' is kept"),
    ],
)
def test_what_can_not_be_run_is_refused_with_what_to_do(state: StateFolder, message: Any, said: str) -> None:
    async def story(world: World) -> None:
        person = await world.person("client")
        with pytest.raises(Refused, match=said):
            await person.request(message)

    in_world(state, story)


def test_an_id_is_one_programs_alone(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, worker, exec_id = await program(world)
        with pytest.raises(Refused, match="runs already"):
            await person.request(StartExec(exec_id, await container(world, worker), ["sh"]))
        with pytest.raises(Refused, match="expected an id like ex-"):
            await person.request(StartExec("ex-1", await container(world, worker), ["sh"]))

    in_world(state, story)
