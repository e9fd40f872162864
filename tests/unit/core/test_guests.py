"""Containers that a person asked for: they take room beside those that calls need."""

from __future__ import annotations

from tests.unit.core.rig import WORKER, Rig

from ionian.core.actions import Start
from ionian.protocol.spec import GpuRequest, Resources
from ionian.protocol.workers import Capacity, Device

WHOLE = Resources(cpu_milli=1000, memory_mib=1024)


def test_a_guest_takes_room_and_gives_it_back() -> None:
    rig = Rig(worker=Capacity(1000, 1024))
    guests = rig.dispatcher.guests
    guest = guests.take(WHOLE, "")
    assert guest is not None
    assert guests.take(WHOLE, "") is None
    assert rig.dispatcher.has_container(WORKER, guest.number)
    assert guests.leave(WORKER, guest.number)
    assert not guests.leave(WORKER, guest.number)
    assert not rig.dispatcher.has_container(WORKER, guest.number)
    assert guests.take(WHOLE, "") is not None


def test_a_guest_has_its_devices_alone() -> None:
    devices = [Device("nvidia.com/gpu=0", "T4"), Device("nvidia.com/gpu=1", "T4")]
    rig = Rig(worker=Capacity(8000, 8192, devices))
    wanted = Resources(gpus=[GpuRequest("T4")])
    given = [rig.dispatcher.guests.take(wanted, "") for _ in range(3)]
    names = [guest.reservation.devices for guest in given if guest is not None]
    assert sorted(names) == [["nvidia.com/gpu=0"], ["nvidia.com/gpu=1"]]
    assert given[2] is None


def test_its_number_is_no_other_containers() -> None:
    rig = Rig()
    guest = rig.dispatcher.guests.take(Resources(), "")
    assert guest is not None
    assert guest.number not in [start.number for start in rig.get(Start)]
    other = rig.dispatcher.guests.take(Resources(), "")
    assert other is not None
    assert other.number != guest.number


def test_room_of_a_worker_that_joined_again_is_not_given_back_twice() -> None:
    rig = Rig(worker=Capacity(1000, 1024))
    guest = rig.dispatcher.guests.take(WHOLE, "")
    assert guest is not None
    rig.dispatcher.worker_gone(1.0, WORKER)
    rig.dispatcher.worker_joined(2.0, WORKER, Capacity(1000, 1024))
    rig.dispatcher.guests.leave(WORKER, guest.number)
    assert rig.dispatcher.guests.take(WHOLE, "") is not None
    assert rig.dispatcher.guests.take(WHOLE, "") is None
