"""Packets of results as they come from a container, whatever user code wrote there."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from ionian.protocol.batch import Batch
from ionian.protocol.ids import new_id
from ionian.protocol.wire import MAX_INLINE, PREFIX, RESULTS
from ionian.worker.packets import LargeResult, results_of

CALL = new_id("fc")


def passed(content: bytes) -> int:
    fd = os.memfd_create("payload")
    os.write(fd, content)
    return fd


def head(sizes: list[int]) -> bytes:
    """A packet whose payload is elsewhere."""
    header = Batch(CALL, range(len(sizes)), sizes, b"").header()
    return PREFIX.pack(RESULTS, len(header), sum(sizes)) + header


def is_open(fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()


def test_a_result_within_the_packet_is_its_payload() -> None:
    (batch,) = results_of(Batch(CALL, [3], [5], b"hello").pack(RESULTS), [])
    assert (batch.index, batch.payloads()) == ((3,), [b"hello"])


def test_a_packet_may_hold_results_of_several_calls() -> None:
    calls = [new_id("fc") for _ in range(3)]
    packet = b"".join(Batch(call, [n], [1], b"%d" % n).pack(RESULTS) for n, call in enumerate(calls))
    batches = results_of(packet, [])
    assert [(batch.call_id, batch.payloads()) for batch in batches] == [
        (call, [b"%d" % n]) for n, call in enumerate(calls)
    ]


def test_results_that_came_by_a_descriptor_are_read_and_it_is_closed() -> None:
    fd = passed(b"hello" + b"x" * MAX_INLINE)
    (batch,) = results_of(head([5, MAX_INLINE]), [fd])
    assert batch.payloads() == [b"hello", b"x" * MAX_INLINE]
    assert not is_open(fd)


def test_a_result_too_large_for_a_message_stays_in_its_file_until_it_is_dropped() -> None:
    size = MAX_INLINE + 1
    fd = passed(b"y" * size)
    (batch,) = results_of(head([size]), [fd])
    assert isinstance(batch, LargeResult)
    assert (list(batch.size), batch.payload) == ([size], b"")
    assert os.pread(batch.file.fileno(), size + 1, 0) == b"y" * size
    del batch
    gc.collect()
    assert not is_open(fd)


def test_a_file_that_is_shorter_than_its_packet_says_is_no_result() -> None:
    with pytest.raises(ValueError, match="10 bytes, got 3"):
        results_of(head([10]), [passed(b"abc")])


def test_descriptors_that_nobody_asked_for_are_closed() -> None:
    fds = [passed(b"hello"), passed(b"more")]
    (batch,) = results_of(head([5]), fds)
    assert batch.payloads() == [b"hello"]
    assert not any(map(is_open, fds))


@pytest.mark.parametrize("what", ["eventfd", "pipe", "zeros"])
def test_a_descriptor_that_is_no_file_is_no_result(what: str) -> None:
    made = {
        "eventfd": lambda: os.eventfd(0),
        "pipe": lambda: os.pipe()[0],
        "zeros": lambda: os.open("/dev/zero", os.O_RDONLY),
    }
    fd = made[what]()
    with pytest.raises(ValueError, match="got another kind of descriptor"):
        results_of(head([10]), [fd])
    assert not is_open(fd)


def test_results_that_would_fill_the_workers_memory_are_none() -> None:
    fd = os.memfd_create("sparse")
    os.ftruncate(fd, 1 << 30)
    with pytest.raises(ValueError, match="expected at most"):
        results_of(head([1 << 28] * 4), [fd])
