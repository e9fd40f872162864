"""A layer as one file, and back: nothing of it is lost, what was changed is found, and nothing is written elsewhere."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ionian.worker.images import overlay
from ionian.worker.images.packed import Damaged, Unpackable, pack, unpack
from ionian.worker.sandbox import IdMap

OURS = IdMap(((0, os.geteuid(), 1),), ((0, os.getegid(), 1),))


def keep(path: Path, uid: int, gid: int) -> None:
    del path, uid, gid


def facts(root: Path) -> dict[str, Any]:
    """What can be seen of a tree: kinds, modes, times, contents, links, attributes."""
    found: dict[str, Any] = {}
    inodes: dict[int, str] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status, name = path.lstat(), str(path.relative_to(root))
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = (path.read_bytes(), inodes.setdefault(status.st_ino, name))
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        attributes = {
            each: os.getxattr(path, each, follow_symlinks=False)
            for each in os.listxattr(path, follow_symlinks=False)
        }
        times = 0 if overlay.is_whiteout(status) else status.st_mtime_ns
        found[name] = (status.st_mode, times, content, attributes)
    return found


def a_layer(root: Path) -> Path:
    """One of all that a layer may have."""
    (root / "etc/new").mkdir(parents=True)
    (root / "etc/two words é\udcff").write_bytes(b"odd name")
    (root / "etc/config").write_text("value")
    os.link(root / "etc/config", root / "etc/new/same")
    (root / "etc/link").symlink_to("/nowhere/at all")
    os.mkfifo(root / "etc/pipe")
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(3 << 20))
    (root / ("long-" * 40)).write_text("long name")
    (root / "program").write_text("#!/bin/sh")
    (root / "program").chmod(0o4755)
    (root / "closed").mkdir()
    (root / "closed/within").write_text("x")
    overlay.white_out(root / "etc/gone")
    overlay.make_opaque(root / "etc/new")
    os.setxattr(root / "etc/config", "user.comment", b"bytes \xff\x00 too")
    os.utime(root / "etc/config", ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    os.utime(root / "etc/link", ns=(5_000_000_007, 5_000_000_007), follow_symlinks=False)
    (root / "closed").chmod(0o555)
    os.utime(root, ns=(1_600_000_000_000_000_001, 1_600_000_000_000_000_001))
    return root


def packed(folder: Path, file: Path) -> str:
    digest, size = pack(folder, file, OURS)
    assert size == file.stat().st_size
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    return digest


def archive(file: Path, *members: tuple[str, bytes, str]) -> str:
    """A packed layer that no packer makes: names with the tar type and what they link to."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o755
            tar.addfile(member)
    file.write_bytes(zstandard.compress(data.getvalue()))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_layer_is_unpacked_as_it_was(tmp_path: Path) -> None:
    layer, file, back = a_layer(tmp_path / "layer"), tmp_path / "file", tmp_path / "back"
    digest = packed(layer, file)
    back.mkdir()
    unpack(file, back, digest, keep)
    assert facts(back) == facts(layer)


def test_equal_layers_become_equal_files(tmp_path: Path) -> None:
    layer, file, back = a_layer(tmp_path / "layer"), tmp_path / "file", tmp_path / "back"
    digest = packed(layer, file)
    back.mkdir()
    unpack(file, back, digest, keep)
    assert packed(back, tmp_path / "again") == digest


def test_owners_are_packed_as_the_image_numbers_them(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    ids = IdMap(((0, 500_000, 10), (10, os.geteuid(), 1)), ((0, 600_000, 5), (5, os.getegid(), 1)))
    digest, _ = pack(tmp_path / "layer", tmp_path / "file", ids)
    given: list[tuple[int, int]] = []
    (tmp_path / "back").mkdir()
    unpack(tmp_path / "file", tmp_path / "back", digest, lambda path, uid, gid: given.append((uid, gid)))
    assert given == [(10, 5)]


def test_what_the_overlay_notes_for_itself_stays_behind(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    os.setxattr(layer, "user.overlay.impure", b"y")
    os.setxattr(layer, "user.overlay.origin", b"\x00\xfb")
    digest = packed(layer, tmp_path / "file")
    (tmp_path / "back").mkdir()
    unpack(tmp_path / "file", tmp_path / "back", digest, keep)
    assert os.listxattr(tmp_path / "back") == []


def test_a_file_named_like_a_deletion_can_t_be_packed(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/.wh.me").touch()
    with pytest.raises(Unpackable, match=r"\.wh\.me has a name that packed layers give to deletions"):
        pack(tmp_path / "layer", tmp_path / "file", OURS)


@pytest.mark.parametrize("at", [0, 10, 500, -1])
def test_a_changed_byte_is_found_by_the_digest(tmp_path: Path, at: int) -> None:
    file, back = tmp_path / "file", tmp_path / "back"
    digest = packed(a_layer(tmp_path / "layer"), file)
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    back.mkdir()
    with pytest.raises(Damaged, match=r"its [0-9,]+ bytes have the digest [0-9a-f]{12}"):
        unpack(file, back, digest, keep)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_broke_off_is_found_by_the_digest(tmp_path: Path, share: float) -> None:
    file, back = tmp_path / "file", tmp_path / "back"
    digest = packed(a_layer(tmp_path / "layer"), file)
    os.truncate(file, int(file.stat().st_size * share))
    back.mkdir()
    with pytest.raises(Damaged, match=r"its [0-9,]+ bytes have the digest [0-9a-f]{12}"):
        unpack(file, back, digest, keep)


FOLDER = (".", tarfile.DIRTYPE, "")


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([FOLDER, ("../out", tarfile.REGTYPE, "")], "'../out' leads out of the layer"),
        ([FOLDER, ("/out", tarfile.REGTYPE, "")], "'/out' leads out of the layer"),
        ([FOLDER, ("a/../../out", tarfile.REGTYPE, "")], "leads out of the layer"),
        (
            [FOLDER, ("l", tarfile.SYMTYPE, "OUT"), ("l/out", tarfile.REGTYPE, "")],
            "'l/out' lies in what is no folder",
        ),
        ([FOLDER, ("d/out", tarfile.REGTYPE, "")], "'d/out' lies in what is no folder"),
        (
            [FOLDER, ("d", tarfile.DIRTYPE, ""), ("d", tarfile.SYMTYPE, "OUT")],
            "'d' is there twice",
        ),
        ([FOLDER, ("l", tarfile.SYMTYPE, "OUT/out"), ("l", tarfile.REGTYPE, "")], "'l' is there twice"),
        ([FOLDER, ("h", tarfile.LNKTYPE, "OUT/secret")], "'h' is linked to what is no file of the layer"),
        ([FOLDER, ("h", tarfile.LNKTYPE, "../secret")], "'h' is linked to what is no file of the layer"),
        ([FOLDER, ("sda", tarfile.BLKTYPE, "")], "'sda' is a device"),
        ([FOLDER, ("null", tarfile.CHRTYPE, "")], "'null' is a device"),
        ([FOLDER, (".wh...", tarfile.REGTYPE, "")], "hides nothing that could be there"),
    ],
)
def test_an_archive_writes_nothing_outside_of_its_layer(
    tmp_path: Path, members: list[tuple[str, bytes, str]], sentence: str
) -> None:
    outside, back = tmp_path / "outside", tmp_path / "outer" / "back"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    back.mkdir(parents=True)
    there = [(name, kind, target.replace("OUT", str(outside))) for name, kind, target in members]
    digest = archive(tmp_path / "file", *there)
    with pytest.raises(Damaged, match=sentence):
        unpack(tmp_path / "file", back, digest, keep)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").stat().st_nlink == 1
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["back"]
