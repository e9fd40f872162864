"""Files of volumes as the server sees them: nothing in a volume leads out of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from ionian.machine import beneath
from ionian.machine.beneath import BadPath
from ionian.server.volume_files import Content, VolumeFiles

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    (tmp_path / "drafts").mkdir()
    (tmp_path / "secret").write_text("hidden")
    return tmp_path / "volume"


@pytest.fixture
def files(root: Path) -> VolumeFiles:
    return VolumeFiles(root, root.parent / "drafts")


def put(files: VolumeFiles, path: str, content: bytes = b"x", *, force: bool = False) -> None:
    files.put([Content(path, 0o644, content)], force=force)


def test_a_file_is_written_with_the_folders_that_it_needs_and_read_in_parts(files: VolumeFiles) -> None:
    put(files, "/a/b/c.txt", b"0123456789")
    part, content = files.read("a/b/c.txt", 4, 3)
    assert (part.size, content) == (10, b"456")
    assert [(entry.path, entry.type, entry.size) for entry in files.list("a/b", "")[0]] == [
        ("a/b/c.txt", "file", 10)
    ]
    assert [(entry.path, entry.type) for entry in files.list("", "")[0]] == [("a", "directory")]


def test_a_file_that_is_there_is_replaced_only_by_force(files: VolumeFiles, root: Path) -> None:
    put(files, "a", b"old")
    with pytest.raises(FileExistsError, match="a: it is there already"):
        put(files, "a", b"new")
    assert (root / "a").read_bytes() == b"old"
    put(files, "a", b"new", force=True)
    assert (root / "a").read_bytes() == b"new"
    assert files.existing(["a", "b"]) == ["a"]
    assert list((root.parent / "drafts").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../secret", "a/../../secret", "a\0b", "x" * 256, "a/" * 3000 + "b", "\udc80"]
)
def test_a_path_that_no_file_of_a_volume_has_is_refused(files: VolumeFiles, path: str) -> None:
    for act in (
        lambda: put(files, path),
        lambda: files.read(path, 0, 1),
        lambda: files.remove(path, recursive=True),
        lambda: files.list(path, ""),
        lambda: files.copy([path], "b", recursive=True),
    ):
        with pytest.raises(BadPath, match="expected a path"):
            act()


@pytest.mark.parametrize("old_kernel", [False, True])
@pytest.mark.parametrize("leads_to", ["../secret", "{}/secret", "/proc/self/root/etc/passwd"])
def test_a_link_out_of_a_volume_is_not_followed(
    files: VolumeFiles, root: Path, leads_to: str, old_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old_kernel:
        monkeypatch.setattr(beneath, "OPENAT2", 9999)
    (root / "link").symlink_to(leads_to.format(root.parent))
    with pytest.raises(OSError, match="link: ") as error:
        files.read("link", 0, 10)
    assert "hidden" not in str(error.value)
    (root / "out").symlink_to(root.parent)
    for act in (
        lambda: files.read("out/secret", 0, 10),
        lambda: put(files, "out/secret", force=True),
        lambda: files.remove("out/secret", recursive=True),
        lambda: files.copy(["out/secret"], "mine", recursive=True),
        lambda: files.copy(["link"], "out/taken", recursive=True),
    ):
        with pytest.raises(OSError, match=r"out/|link|mine"):
            act()
    assert (root.parent / "secret").read_text() == "hidden"
    assert not (root.parent / "taken").exists()
    files.copy(["link"], "copied", recursive=False)
    assert (root / "copied").is_symlink()


def test_a_link_within_a_volume_is_read(files: VolumeFiles, root: Path) -> None:
    put(files, "blobs/1", b"weights")
    (root / "snapshot").mkdir()
    (root / "snapshot/model.bin").symlink_to("../blobs/1")
    assert files.read("snapshot/model.bin", 0, 100)[1] == b"weights"
    assert [entry.type for entry in files.list("snapshot", "")[0]] == ["symlink"]


def test_what_is_no_file_is_not_waited_for(files: VolumeFiles, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(OSError, match="pipe: it is no file with content"):
        files.read("pipe", 0, 1)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        files.read("", 0, 1)
    with pytest.raises(FileNotFoundError, match="none: there is no such file"):
        files.read("none", 0, 1)


def test_folders_are_removed_and_copied_only_where_that_is_said(files: VolumeFiles, root: Path) -> None:
    put(files, "from/sub/a", b"1")
    with pytest.raises(IsADirectoryError, match="from: it is a folder"):
        files.copy(["from"], "to", recursive=False)
    files.copy(["from"], "to", recursive=True)
    files.copy(["from"], "to", recursive=True)  # into the folder that is there now
    assert (root / "to/sub/a").read_bytes() == (root / "to/from/sub/a").read_bytes() == b"1"
    with pytest.raises(OSError, match="below itself"):
        files.copy(["from"], "from/sub", recursive=True)
    with pytest.raises(IsADirectoryError, match="recursive=True removes"):
        files.remove("from", recursive=False)
    files.remove("from", recursive=True)
    assert not (root / "from").exists()
    with pytest.raises(OSError, match="expected a path of a file"):
        files.remove("/", recursive=True)


def test_several_files_are_copied_into_a_folder_alone(files: VolumeFiles, root: Path) -> None:
    put(files, "a", b"1")
    put(files, "b", b"2")
    with pytest.raises(NotADirectoryError, match="no such folder"):
        files.copy(["a", "b"], "c", recursive=False)
    (root / "c").mkdir()
    files.copy(["a", "b"], "c", recursive=False)
    assert sorted(path.name for path in (root / "c").iterdir()) == ["a", "b"]


def test_a_large_folder_is_listed_page_by_page(files: VolumeFiles, root: Path) -> None:
    for number in range(1100):
        (root / f"{number:04}").touch()
    seen: list[str] = []
    after, more = "", True
    while more:
        page, more = files.list("", after)
        seen += [entry.path for entry in page]
        after = seen[-1]
    assert seen == [f"{number:04}" for number in range(1100)]


def test_a_write_that_fails_leaves_what_was_there(files: VolumeFiles, root: Path, tmp_path: Path) -> None:
    put(files, "a", b"old")
    with pytest.raises(OSError, match="a: "):
        files.put([Content("a", 0o644, tmp_path / "gone")], force=True)
    assert (root / "a").read_bytes() == b"old"
    assert list((root.parent / "drafts").iterdir()) == []


def test_many_files_are_written_at_once_and_leave_no_draft(files: VolumeFiles, root: Path) -> None:
    files.put([Content(f"{n % 3}/{n}", 0o600, str(n).encode()) for n in range(100)], force=False)
    assert {path.read_text() for path in root.rglob("*") if path.is_file()} == {str(n) for n in range(100)}
    with pytest.raises(FileExistsError, match="0/99: it is there already"):
        files.put(
            [Content(f"new/{n}", 0o600, b"") for n in range(9)] + [Content("0/99", 0o600, b"")], force=False
        )
    assert (root / "0/99").read_text() == "99"
    assert list((root.parent / "drafts").iterdir()) == []


def test_what_is_sent_again_is_no_other_file(files: VolumeFiles) -> None:
    put(files, "a", b"same")
    put(files, "a", b"same")
    for other in (b"sama", b"same and more", b""):
        with pytest.raises(FileExistsError, match="a: it is there already"):
            put(files, "a", other)


def test_of_two_writers_of_a_file_the_last_wins_and_which_gave_way_is_told(files: VolumeFiles) -> None:
    both = [Content("a", 0o644, b"1"), Content("b", 0o644, b"2")]
    assert files.put(both[:1], force=True) == []
    assert files.put(both, force=True) == ["a"]


def test_a_volume_on_another_disk_than_the_drafts_is_refused_in_a_sentence(root: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if os.stat(other).st_dev == root.stat().st_dev:
            pytest.skip("expected two file systems")
        for force in (False, True):
            with pytest.raises(OSError, match="a: it would lie on another disk than volumes/drafts"):
                put(VolumeFiles(root, Path(other)), "a", force=force)
        assert os.listdir(other) == []


def test_a_file_does_not_take_the_place_of_a_folder(files: VolumeFiles) -> None:
    put(files, "a/b")
    with pytest.raises(IsADirectoryError, match="a: there is a folder of that name"):
        put(files, "a", force=True)
