"""Where a process stands: at home or in a container, and in which input."""

from __future__ import annotations

import ionian
from ionian import execution
from ionian.protocol.ids import input_id


def test_outside_of_containers_there_is_no_input() -> None:
    assert ionian.is_local()
    assert ionian.current_input_id() is None
    assert ionian.current_function_call_id() is None


def test_a_container_is_not_local() -> None:
    execution.enter_container()
    try:
        assert not ionian.is_local()
        with ionian.enable_output():
            pass
    finally:
        execution.leave_container()
    assert ionian.is_local()


def test_the_ids_are_those_of_the_input_that_runs() -> None:
    token = execution.set_input("fc-01", 3)
    try:
        assert ionian.current_function_call_id() == "fc-01"
        assert ionian.current_input_id() == input_id("fc-01", 3)
    finally:
        execution.reset_input(token)
    assert ionian.current_input_id() is None


def test_what_stops_an_import_passes_the_users_own_handlers() -> None:
    assert not issubclass(execution.StopImport, Exception)
