"""Identifiers: they sort by their time, and no two are equal."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from ionian.protocol.ids import CALL_ID_LENGTH, LETTERS, derived_id, input_id, new_id, ulid, ulid_of

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def test_an_id_is_its_prefix_and_a_ulid() -> None:
    made = new_id("fc")
    assert len(made) == CALL_ID_LENGTH
    assert made[:3] == "fc-"
    assert ULID.fullmatch(made[3:])


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    before = time.time_ns() // 1_000_000
    made = ulid()
    after = time.time_ns() // 1_000_000
    assert ulid_of(before, b"")[:10] <= made[:10] <= ulid_of(after, b"")[:10]
    assert ulid_of(before, b"\xff" * 10) < ulid_of(before + 1, b"")


def test_ids_of_one_millisecond_differ_in_every_letter_behind_the_time() -> None:
    made = [ulid() for _ in range(2000)]
    assert len(set(made)) == len(made)
    for place in range(10, 26):
        assert len({one[place] for one in made}) == 32


def test_a_forked_process_makes_other_ids() -> None:
    ulid()  # the random parts of the next ones are there
    code = (
        "import os; from ionian.protocol.ids import ulid; ulid(); parts = lambda: [ulid()[10:] for _ in range(100)]\n"
        "if not os.fork(): print(*parts(), flush=True); os._exit(0)\n"
        "os.wait(); print(*parts())"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=30
    ).stdout.split()
    assert len(set(made)) == len(made) == 200


def test_threads_make_different_ids() -> None:
    with ThreadPoolExecutor(8) as threads:
        some = [threads.submit(lambda: [ulid() for _ in range(500)]) for _ in range(8)]
    made = [one for future in some for one in future.result()]
    assert len(set(made)) == len(made)


def test_every_letter_is_as_likely_as_any_other() -> None:
    assert len(LETTERS) == 256
    assert {LETTERS.count(letter) for letter in LETTERS} == {8}


def test_the_ulid_of_a_time_and_bytes_is_always_the_same() -> None:
    assert ulid_of(0, bytes(10)) == "0" * 26
    assert ulid_of(2**48 - 1, b"\xff" * 10) == "7" + "Z" * 25
    assert ulid_of(1, bytes(9) + b"\x01") == "0000000001" + "0" * 15 + "1"


def test_equal_texts_have_equal_ids() -> None:
    assert derived_id("vo", "a") == derived_id("vo", "a") != derived_id("vo", "b")
    assert re.fullmatch(r"vo-[0-9A-HJKMNP-TV-Z]{26}", derived_id("vo", "a"))


def test_an_inputs_id_follows_from_its_call() -> None:
    assert input_id("fc-1", 3) == "in-1:3"
