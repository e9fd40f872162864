"""Blobs that nobody needs any more: deleted by age and within a budget, a few at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from .blobs import BlobStore
from .store import Store
from .version_content import VersionContent
from .volume_versions import version_blobs

MIN_AGE_S = 24 * 3600.0
"""No blob younger than this goes: an upload, a build or an input may be about to refer to it."""

MAX_AGE_S = 7 * 24 * 3600.0
"""How long content is kept that no live app has a right to: as long as results are kept."""

DISK_SHARE = 0.5
"""All blobs together take up to this share of what their disk could give them; live apps' blobs count but stay."""


def collect_garbage(store: Store, blobs: BlobStore, images: Iterable[str] = ()) -> int:
    """Deletes what is due, and no packed layer of these images; returns how many blobs. Blocks, for a second or so per
    100,000 blobs: once an hour."""
    used = sum(entry.size for entry in blobs.entries())
    budget = int((shutil.disk_usage(blobs.folder).free + used) * DISK_SHARE)
    gone = blobs.collect(
        keep=store.blob_grants.all_digests()
        | store.old_calls.blobs()
        | store.failed_inputs.blobs()
        | store.old_items.blobs()
        | store.images.blobs()
        | store.packed.blobs(images)
        | version_blobs(store, blobs.read),
        budget_bytes=budget,
        max_age_s=MAX_AGE_S,
        min_age_s=MIN_AGE_S,
    )
    store.packed.lost(gone)
    return len(gone)


def collect_versions(store: Store, content: VersionContent) -> int:
    """The same in the bucket with the content of volumes' versions, where there is one."""
    return content.collect(lambda: version_blobs(store, content.read, content.place), MIN_AGE_S)
