"""The line that a container's start leaves in its log."""

from __future__ import annotations

from ionian.protocol.workers import Start
from ionian.server.starts import line, measured


def test_what_the_worker_has_not_seen_of_a_start_was_the_way_and_the_queue() -> None:
    start = measured(Start("fresh", {"sandbox": 0.02, "imports": 0.01}), 0.05)
    assert round(start.parts["scheduled"], 3) == 0.02


def test_a_worker_that_says_more_than_passed_makes_nothing_negative() -> None:
    assert measured(Start("fresh", {"sandbox": 9.0, "nonsense": 1.0}), 0.05).parts == {
        "scheduled": 0.0,
        "sandbox": 9.0,
    }


def test_the_line_has_the_parts_in_their_order_and_why_it_is_no_fork() -> None:
    parts = {"first input": 0.0003, "sandbox": 0.005, "scheduled": 0.0006}
    assert line(Start("template", parts)) == (
        "started from a template in 5.9 ms: scheduled 0.6, sandbox 5.0, first input 0.3"
    )
    assert line(Start("fresh", {"sandbox": 0.02}, "its import starts a thread", "its fork hung")) == (
        "started afresh in 20.0 ms (its fork hung; its import starts a thread): sandbox 20.0"
    )
