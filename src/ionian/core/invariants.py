"""What must hold after every event. Tests call it; it is too slow for anything else."""

from __future__ import annotations

from .ledger import DELAYED, HELD, QUEUED
from .state import Core
from .worker import Container, State


def check(core: Core) -> None:
    """Raises AssertionError where the books don't add up."""
    _check_containers(core)
    _check_calls(core)
    _check_functions(core)
    _check_workers(core)


def _check_containers(core: Core) -> None:
    seen: dict[tuple[str, int], object] = {}
    for worker in core.workers.values():
        for container in worker.containers.values():
            assert container.state is not State.GONE
            assert container.outstanding == sum(len(rows) for rows in container.held.values())
            assert container.outstanding or not container.slowed, (
                "an empty container waits for an input to end"
            )
            for call_id, rows in container.held.items():
                assert rows, "an empty set is kept"
                for index in rows:
                    assert (call_id, index) not in seen, f"{call_id}:{index} is in two containers"
                    seen[call_id, index] = container
                    call = core.calls.get(call_id)
                    if call is not None:
                        assert call.ledger.state(index) == HELD
                    else:
                        assert core.early_held[call_id][index][0] is container
    for call in core.calls.values():
        for index in call.ledger.indexes(HELD):
            assert (call.id, index) in seen, f"{call.id}:{index} is held by none"


def _check_calls(core: Core) -> None:
    for call in core.calls.values():
        assert call.queued == len(call.ledger.indexes(QUEUED))
        assert call.running == len(call.ledger.indexes(HELD))
        assert call.starts == sorted(segment.start for segment in call.segments)
        assert call.in_ring == (call in call.function.ring)
        assert call.in_ring == bool(call.queued and not call.held_back)
        assert not call.closed or (call.running and not call.queued and not call.delayed), (
            "a closed call is kept"
        )
        assert sorted(call.delayed) == call.ledger.indexes(DELAYED)
        assert call.alone == (
            {index for index in call.suspects if call.ledger.state(index) == QUEUED}
            if call.function.shares
            else set()
        ), "inputs that must run alone are not known as such"
        live = call.queued + call.running + len(call.delayed) - len(call.bare)
        assert live == sum(segment.left for segment in call.segments), "payloads are kept or lost"
        assert call.id in call.caller.calls


def _check_functions(core: Core) -> None:
    for function in core.functions.values():
        calls = [call for call in core.calls.values() if call.function is function]
        assert function.queued == sum(call.queued for call in calls if not call.held_back)
        assert function.running == sum(call.running for call in calls)
        most = function.spec.scaling.max_containers
        assert function.alone == sum(len(call.alone) for call in calls if not call.held_back)
        started = sum(not container.adopted for container in function.containers)
        assert not most or started <= max(most, function.over), "more containers than max_containers"
        for container in function.containers:
            assert (container in function.idle) == bool(not container.outstanding and container.room())
            assert (container in function.open) == bool(container.outstanding and container.room())
        for container in function.containers:
            _check_container(container)
        if function.queued:
            assert not function.idle, "inputs wait although a container is idle"
            assert not function.open, "inputs wait although a container has room"


def _check_container(container: Container) -> None:
    if container.retired:
        assert (
            container.state is not State.READY
            or container.outstanding
            or container.taking
            or container.adopted
        )
    if container.shares:
        assert container.outstanding <= container.limit or container.adopted, (
            "more inputs than it runs at once"
        )
    held = [(id, index) for id, rows in container.held.items() for index in rows]
    assert not container.exclusive or len(held) <= 1, "something that must run alone has company"


def _check_workers(core: Core) -> None:
    for worker in core.workers.values():
        leaving = {c for c in worker.containers.values() if c.state is State.STOPPING or c.retired}
        assert set(worker.leaving) == leaving, "who leaves is not known"
        node = worker.node
        taken = [container.reservation for container in worker.containers.values()]
        taken += worker.strangers.values()
        assert node.cpu_milli == node.capacity.cpu_milli - sum(r.cpu_milli for r in taken)
        assert node.memory_mib == node.capacity.memory_mib - sum(r.memory_mib for r in taken)
        devices = [name for reservation in taken for name in reservation.devices]
        assert len(devices) == len(set(devices)), "a device is given twice"
        assert node.starting == sum(c.state is State.STARTING for c in worker.containers.values())
