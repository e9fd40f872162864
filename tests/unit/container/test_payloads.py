"""Pickled values of a container: bytes while they are few, else a file."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian.container import payloads
from ionian.container.payloads import FilePayload, pickled, unpickled
from ionian.container.wire import memory_file, read_fd
from ionian.exception import ResourceExhaustedError, SerializationError
from ionian.protocol.wire import MAX_INLINE

LARGE = MAX_INLINE + 1

sizes = st.sampled_from([0, 1, 70_000, LARGE // 2, LARGE])
values = st.lists(
    st.one_of(sizes.map(bytes), sizes.map("ü".__mul__), sizes.map(bytearray), st.integers(), st.none()),
    max_size=5,
)


@given(values)
def test_values_of_any_size_come_back_equal(value: list[Any]):
    assert unpickled(pickled(value, "it")) == value


def test_a_small_value_is_bytes_that_any_pickle_reads():
    for value in (1, None, "text", {"a": [1, 2]}):
        payload = pickled(value, "it")
        assert isinstance(payload, bytes)
        assert pickle.loads(payload) == value


def test_what_no_message_carries_is_a_file_and_is_closed_once_read():
    payload = pickled(bytes(LARGE), "it")
    assert isinstance(payload, FilePayload)
    assert len(payload) == os.fstat(payload.fd).st_size > LARGE
    fd = payload.fd
    assert unpickled(payload) == bytes(LARGE)
    assert not Path(f"/proc/self/fd/{fd}").exists()


def test_a_file_that_nobody_reads_is_closed_when_it_is_dropped():
    payload = pickled(bytes(LARGE), "it")
    assert isinstance(payload, FilePayload)
    fd = payload.fd
    del payload
    gc.collect()
    assert not Path(f"/proc/self/fd/{fd}").exists()


def test_a_large_value_is_never_whole_in_its_pickle(monkeypatch: pytest.MonkeyPatch):
    longest = 0

    def write(fd: int, data: memoryview, *, written: Any = os.write) -> int:
        nonlocal longest
        longest = max(longest, len(data))
        return written(fd, data)

    monkeypatch.setattr(os, "write", write)
    parts = [bytes([n]) * 100_000 for n in range(200)]
    assert unpickled(pickled(parts, "it")) == parts
    assert longest <= 200_000


def test_code_of_main_is_pickled_by_value_behind_much_else():
    code = "def f(n): return n + 1\n"
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(code, space)
    payload = pickled([bytes(LARGE), space["f"]], "it")
    assert isinstance(payload, FilePayload)
    assert unpickled(payload)[1](1) == 2


def test_what_cannot_be_pickled_is_named_whatever_was_written_before_it():
    with pytest.raises(SerializationError, match="the result can't be pickled"):
        pickled([bytes(LARGE), (n for n in range(3))], "the result")


def test_without_a_folder_for_files_they_are_in_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(payloads, "FOLDER", "/nowhere")
    assert unpickled(pickled(bytes(LARGE), "it")) == bytes(LARGE)


def test_a_python_that_was_built_for_an_older_libc_has_files_in_memory_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    fd = memory_file(b"x" * 100_000)
    assert not os.get_inheritable(fd)
    assert read_fd(fd, 100_000) == b"x" * 100_000


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(payloads, "unnamed_file", lambda: os.open("/dev/full", os.O_RDWR))
    with pytest.raises(
        ResourceExhaustedError, match=r"no room for a result of 2,.* bytes or more: No space left"
    ):
        pickled(bytes(LARGE), "it")
