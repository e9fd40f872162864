"""What a template does before each of its forks leaves nothing in it: there is no collection any more."""

from __future__ import annotations

import gc

from ionian.container import native


def test_flushing_streams_makes_nothing_that_only_a_collection_would_find():
    native.flush_streams()
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            native.flush_streams()
        assert gc.collect() == 0
    finally:
        gc.enable()
