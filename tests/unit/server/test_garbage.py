from __future__ import annotations

import os
import time

from tests.unit.server.answering import Server

from ionian.protocol.layers import FoundLayers, PackedLayer
from ionian.server.garbage import MAX_AGE_S, collect_garbage


def test_old_blobs_go_when_no_live_app_has_a_right_to_them(server: Server) -> None:
    live, over = server.new_app("live"), server.new_app("over")
    blobs, grants = server.context.blobs, server.store.blob_grants
    of_live, of_over, young = (blobs.put(content) for content in (b"live", b"over", b"young"))
    grants.allow(live, "main", [of_live])
    grants.allow(over, "main", [of_over])
    for digest in (of_live, of_over):
        then = time.time() - MAX_AGE_S - 60
        os.utime(blobs.path(digest), (then, then))
    assert collect_garbage(server.store, blobs) == 0
    server.store.apps.stop(over, "")
    server.store.apps.purge(over)
    assert collect_garbage(server.store, blobs) == 1
    assert blobs.missing([of_live, of_over, young]) == [of_over]


def test_packed_layers_stay_while_their_image_is_needed_and_go_with_what_is_known_of_them(
    server: Server,
) -> None:
    blobs, packed = server.context.blobs, server.store.packed
    digest = blobs.put(b"a layer")
    packed.keep("im-a", "x86_64", FoundLayers(True, [PackedLayer("one", digest, 7)]), "{}")
    then = time.time() - MAX_AGE_S - 60
    os.utime(blobs.path(digest), (then, then))
    assert collect_garbage(server.store, blobs, ["im-a"]) == 0
    assert packed.find("im-a", "x86_64") is not None
    assert collect_garbage(server.store, blobs, ["im-b"]) == 1
    assert packed.find("im-a", "x86_64") is None
