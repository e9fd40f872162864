"""Results that wait: in memory up to a bound, then on disk, and never another's."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from ionian.protocol.batch import Batch
from ionian.spill import Inbox, Spill

payloads = st.lists(st.binary(max_size=60), max_size=40)


@given(payloads, st.randoms(use_true_random=False), st.integers(0, 300))
def test_what_was_put_aside_comes_back_under_its_index(contents: list[bytes], random: object, limit: int):
    spill = Spill(in_memory=limit)
    for index, payload in enumerate(contents):
        spill.put(index, index % 3, payload)
    order = list(range(len(contents)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for index in order:
        assert index in spill
        assert spill.pop(index) == (index % 3, contents[index])
        assert index not in spill
    spill.close()


def batch(payload: bytes) -> Batch:
    return Batch("fc-1", [0], [len(payload)], payload)


@given(st.lists(st.one_of(st.binary(max_size=60), st.none()), max_size=60), st.integers(0, 200))
def test_batches_leave_the_inbox_with_their_payloads(steps: list[bytes | None], limit: int):
    """A payload is held, None takes the oldest out."""
    inbox = Inbox(in_memory=limit)
    waiting: list[tuple[Batch, bytes]] = []
    for step in [*steps, *[None] * len(steps)]:
        if step is not None:
            waiting.append((batch(step), step))
            inbox.hold(waiting[-1][0])
            assert sum(len(one.payload) for one, _ in waiting) <= limit
        elif waiting:
            one, payload = waiting.pop(0)
            inbox.release(one)
            assert one.payload == payload
    inbox.close()


def test_two_threads_share_an_inbox():
    inbox = Inbox(in_memory=1000)
    sent = [batch(bytes([number % 256]) * number) for number in range(1, 2000)]
    held = threading.Semaphore(0)

    def bring() -> None:
        for one in sent:
            inbox.hold(one)
            held.release()

    thread = threading.Thread(target=bring)
    thread.start()
    for number, one in enumerate(sent, 1):
        held.acquire()
        inbox.release(one)
        assert one.payload == bytes([number % 256]) * number
    thread.join()
    inbox.close()
