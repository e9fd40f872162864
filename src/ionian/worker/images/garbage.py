"""Images and layers that nobody needs: removed within a budget of the disk, the longest unused first.

Never one that a server needs (what is deployed, published or runs; each server's list is kept beside the images, so that others
that share them know it), that a process uses (`uses.py`), or that was used a short while ago; and never while an image is built. A layer
leaves its place whole, by a rename, and is deleted afterwards: who is killed in between leaves what the next one sweeps.
"""

from __future__ import annotations

import json
import os
import re
import secrets as random
import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .records import Record, write_whole

if TYPE_CHECKING:
    from .store import ImageStore

DISK_SHARE = 0.5
"""Layers take up to this share of what their disk could give them, unless a budget is set."""

KEPT_FOR_S = 7 * 86_400.0
"""What a server needs that was not heard of for so long is needed no more."""


@dataclass
class Swept:
    """What came of a collection."""

    images: list[str] = field(default_factory=list[str])
    freed: int = 0  # bytes
    used: int = 0  # that all layers still take
    busy: bool = False  # nothing was looked at, for an image was being built
    doomed: list[Path] = field(default_factory=list[Path])  # folders that are to be deleted


def keep(store: ImageStore, server: str, image_ids: Iterable[str]) -> None:
    """A server needs these images, until it says otherwise."""
    write_whole(store.root / "keep" / server, json.dumps(sorted(image_ids)).encode())


def kept(store: ImageStore) -> set[str]:
    """The images that any server needs."""
    wanted: set[str] = set()
    folder = store.root / "keep"
    for file in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError, ValueError):
            if time.time() - file.stat().st_mtime < KEPT_FOR_S:
                wanted |= set(json.loads(file.read_text()))
    return wanted


class Sweep:
    """One collection, with the lock held that no build is under way. Blocks."""

    def __init__(self, store: ImageStore, min_age_s: float, only: Collection[str]) -> None:
        self._store = store
        self._oldest = time.time() - min_age_s
        self._only = only  # images that are to go, and nothing else; empty: whatever is due
        self._kept = kept(store)
        self._records = _images(store)
        self._layers = [entry.name for entry in os.scandir(store.root / "l")]
        self.swept = Swept(used=sum(store.sizes.of(name) for name in self._layers))

    def run(self, budget: int) -> Swept:
        """Takes away what is due until the rest is within the budget; the folders are deleted by the caller, without the lock."""
        due = self._due()
        for used_at, image_id, layer in due:
            if not self._only and (self.swept.used <= budget or used_at > self._oldest):
                break
            claimed = self._store.uses.claim(image_id or layer)
            if claimed is None:
                continue
            try:
                if image_id:
                    self._remove_image(image_id)
                else:
                    self._remove_layer(layer)
            finally:
                os.close(claimed)
        if self.swept.doomed:
            self._forget_records()
        return self.swept

    def _due(self) -> list[tuple[float, str, str]]:
        """What may go, the longest unused first: images, and layers that belong to none."""
        uses = self._store.uses
        if self._only:
            return [
                (0.0, name, "") for name in self._only if name in self._records and name not in self._kept
            ]
        due = [
            (max(uses.used_at(image_id), _made_at(self._store.root / "i" / image_id)), image_id, "")
            for image_id in self._records
            if image_id not in self._kept
        ]
        needed = self._needed()
        for name in self._layers:
            if name not in needed:
                due.append((max(uses.used_at(name), _made_at(self._store.path(name))), "", name))
        return sorted(due)

    def _needed(self) -> set[str]:
        return {name for record in self._records.values() if record is not None for name in record.layers}

    def _remove_image(self, image_id: str) -> None:
        (self._store.root / "i" / image_id).unlink(missing_ok=True)
        record = self._records.pop(image_id)
        self._store.uses.forget(image_id)
        self.swept.images.append(image_id)
        needed = self._needed()
        for name in reversed(record.layers if record is not None else ()):
            if name not in needed:
                self._remove_layer(name)

    def _remove_layer(self, name: str) -> None:
        size = self._store.sizes.of(name)
        gone = self._store.root / "tmp" / f"gone-{os.getpid()}-{random.token_hex(6)}"
        gone.mkdir()
        self._store.packs.forget(name)  # before: another layer may get the name
        try:
            self._store.path(name).rename(gone / "layer")
        except FileNotFoundError:  # it was one of two images'
            gone.rmdir()
            return
        self._store.sizes.forget(name)
        self._store.uses.forget(name)
        self.swept.doomed.append(gone)
        self.swept.freed += size
        self.swept.used -= size

    def _forget_records(self) -> None:
        """What is known of images whose layers are gone; and files of steps that no layer has any more."""
        for file in (self._store.root / "k").glob("*.json"):
            record = Record.load(file)
            if record is None or not all(path.is_dir() for path in self._store.paths(record)):
                file.unlink(missing_ok=True)
        for file in self._store.files.kept.glob("*/*"):
            status = file.lstat()
            if status.st_nlink == 1 and status.st_ctime < self._oldest:
                file.unlink(missing_ok=True)


def budget_of(setting: str, store: ImageStore, used: int) -> int:
    """The bytes that layers may take. Raises ValueError for what is no size."""
    if not setting:
        return int((shutil.disk_usage(store.root).free + used) * DISK_SHARE)
    return parsed_size(setting)


UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12} | {
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}


def parsed_size(text: str) -> int:
    """Bytes, of a text such as "50GB", "1.5TiB" or "1000". Raises ValueError."""
    number = text.strip().lower().removesuffix("b").rstrip()
    unit = number.lstrip("0123456789.").strip()
    value = number[: len(number) - len(unit)].strip()
    if unit not in UNITS or not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ValueError(f"image_budget: expected a size such as 50GB or 1.5TiB, got {text!r}")
    return int(float(value) * UNITS[unit])


def _images(store: ImageStore) -> dict[str, Record | None]:
    return {
        entry.name: store.record_of(entry.name)
        for entry in os.scandir(store.root / "i")
        if not entry.name.startswith(".")
    }


def _made_at(path: Path) -> float:
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0
