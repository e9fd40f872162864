"""Versions of volumes: what merges into what, and what is refused."""

from __future__ import annotations

import pytest

from ionian.machine.manifest import (
    BadManifest,
    Change,
    Entry,
    Manifest,
    merge,
    pack,
    same,
    unpack_changes,
    unpack_manifest,
)

pytestmark = pytest.mark.timeout(30)

FOLDER = Entry("folder")


def file(content: str) -> Entry:
    return Entry("file", 0o644, content.encode() * 64, 1)


def merged(newest: Manifest, *changes: Change) -> tuple[Manifest, list[bytes]]:
    return merge(newest, changes)


def test_writers_of_different_files_both_have_theirs() -> None:
    newest = {b"a": file("1"), b"theirs": file("2")}
    assert merged(newest, Change(b"ours", None, file("3"))) == ({**newest, b"ours": file("3")}, [])


def test_of_two_writers_of_one_file_the_last_wins_and_the_loss_is_told() -> None:
    theirs = {b"a": file("2")}
    assert merged(theirs, Change(b"a", file("1"), file("3"))) == ({b"a": file("3")}, [b"a"])


def test_what_both_wrote_alike_is_no_loss() -> None:
    assert merged({b"a": file("3")}, Change(b"a", file("1"), file("3"))) == ({b"a": file("3")}, [])


def test_what_another_has_changed_is_not_deleted() -> None:
    theirs = {b"a": file("2"), b"b": file("1")}
    assert merged(theirs, Change(b"a", file("1"), None), Change(b"b", file("1"), None)) == (
        {b"a": file("2")},
        [],
    )


def test_a_folder_is_deleted_with_what_was_in_it_but_not_with_what_another_put_there() -> None:
    newest = {b"d": FOLDER, b"d/a": file("1")}
    gone = (Change(b"d", FOLDER, None), Change(b"d/a", file("1"), None))
    assert merged(newest, *gone)[0] == {}
    assert merged({**newest, b"d/theirs": file("2")}, *gone)[0] == {b"d": FOLDER, b"d/theirs": file("2")}


def test_a_file_brings_back_the_folders_that_another_deleted() -> None:
    assert merged({}, Change(b"a/b/c", None, file("1")))[0] == {
        b"a": FOLDER,
        b"a/b": FOLDER,
        b"a/b/c": file("1"),
    }


def test_a_file_where_another_has_a_folder_takes_its_place_and_the_other_way_round() -> None:
    folder = {b"a": FOLDER, b"a/b": file("1")}
    assert merged(folder, Change(b"a", None, file("2"))) == ({b"a": file("2")}, [b"a", b"a/b"])
    assert merged({b"a": file("2")}, Change(b"a/b", None, file("1"))) == (folder, [b"a"])


def test_a_manifest_is_the_same_bytes_whatever_came_first_and_comes_back_whole() -> None:
    one = {b"b": file("1"), b"a\xff\n": Entry("link", 0o777, b"\xfe")}
    assert pack(one) == pack(dict(reversed(one.items())))
    assert unpack_manifest(pack(one)) == one


def test_another_time_alone_is_no_change() -> None:
    assert same(Entry("file", 0o644, b"x", 1, 5), Entry("file", 0o644, b"x", 1, 6))


@pytest.mark.parametrize(
    "path",
    [b"", b"/etc", b"../a", b"a/../b", b"a//b", b"a/", b".", b"a\0b", b"n" * 256, b"ab/" * 2000 + b"a"],
)
def test_a_path_that_leads_out_of_the_volume_or_is_none_is_refused(path: bytes) -> None:
    for unpack, data in (
        (unpack_changes, pack([Change(path, None, FOLDER)])),
        (unpack_manifest, pack({path: FOLDER})),
    ):
        with pytest.raises(BadManifest, match="path"):
            unpack(data)


@pytest.mark.parametrize(
    "entry",
    [
        Entry("file", 0o644, b"../../etc/shadow"),
        Entry("file", 0o4755, b"a" * 64),
        Entry("file", 0o644, b"a" * 64, -1),
        Entry("link", 0o777, b""),
        Entry("link", 0o777, b"a\0"),
    ],
)
def test_an_entry_that_no_file_can_be_is_refused(entry: Entry) -> None:
    with pytest.raises(BadManifest, match="expected"):
        unpack_changes(pack([Change(b"a", None, entry)]))


def test_a_manifest_whose_files_are_below_a_link_is_refused() -> None:
    with pytest.raises(BadManifest, match="below what is no folder"):
        unpack_manifest(pack({b"a": Entry("link", 0o777, b"/etc"), b"a/shadow": file("1")}))


def test_bytes_that_are_no_manifest_are_refused() -> None:
    with pytest.raises(BadManifest, match="expected the files of a volume"):
        unpack_manifest(b"\xc1nonsense")
