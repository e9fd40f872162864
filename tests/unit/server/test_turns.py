"""The lock of those that write to the database."""

from __future__ import annotations

import threading
import time

from ionian.server.store.turns import Turns


def test_who_waits_is_before_who_wants_it_again() -> None:
    turns, order = Turns(), list[str]()

    def other() -> None:
        with turns:
            order.append("other")

    thread = threading.Thread(target=other)
    with turns:
        thread.start()
        while not turns.waiting:
            time.sleep(0.001)
    with turns:
        order.append("again")
    thread.join()
    assert order == ["other", "again"]


def test_one_at_a_time_has_it_also_after_a_failure() -> None:
    turns, inside, most = Turns(), 0, 0

    def work(number: int) -> None:
        nonlocal inside, most
        for _ in range(200):
            try:
                with turns:
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
                    if number % 2:
                        raise ValueError
            except ValueError:
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most, turns.waiting) == (0, 1, 0)
