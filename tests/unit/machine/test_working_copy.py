"""A folder against a version of a volume: what was changed, and how another version is taken up."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ionian.machine import working_copy
from ionian.machine.manifest import Manifest, merge
from ionian.machine.working_copy import Changes, WorkingCopy

pytestmark = pytest.mark.timeout(60)


class Place:
    """A folder with a working copy; `versions` is what its machine knows of the others'."""

    def __init__(self, at: Path, contents: dict[str, bytes]) -> None:
        self.root = at / "files"
        self.drafts = at / "drafts"
        self.root.mkdir(parents=True)
        self.drafts.mkdir()
        self.kept = at / "kept"
        self.contents = contents
        self.reopen()

    def reopen(self) -> None:
        """As after a restart."""
        self.copy = WorkingCopy(self.root, self.kept, (os.getuid(), os.getgid()))

    def changes(self) -> Changes:
        found = self.copy.changes(self.drafts)
        for digest, draft in found.drafts.items():
            self.contents[digest] = draft.read_bytes()
            assert hashlib.sha256(self.contents[digest]).hexdigest() == digest
        found.drop()
        return found

    def commit(self, newest: Manifest) -> Manifest:
        found = self.changes()
        self.copy.committed(found.changes)
        return merge(newest, found.changes)[0]

    def take(self, newest: Manifest, version: str = "v") -> list[str]:
        update = self.copy.plan(version, newest, self.drafts)
        for path, draft in update.drafts.items():
            draft.write_bytes(self.contents[newest[path].digest])
        troubles = self.copy.apply(update)
        update.drop()
        return troubles

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in self.root.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path / "here", {})


@pytest.fixture
def there(tmp_path: Path, here: Place) -> Place:
    return Place(tmp_path / "there", here.contents)


def test_what_one_writes_and_commits_another_takes_up_with_modes_links_and_times(
    here: Place, there: Place
) -> None:
    (here.root / "a/b").mkdir(parents=True)
    (here.root / "a/b/run.sh").write_text("#!/bin/sh")
    (here.root / "a/b/run.sh").chmod(0o750)
    os.utime(here.root / "a/b/run.sh", (5, 5))
    (here.root / "link").symlink_to("a/b/run.sh")
    os.mkfifo(here.root / "pipe")
    there.take(here.commit({}))
    assert there.files() == {"a/b/run.sh": "#!/bin/sh"}
    status = (there.root / "a/b/run.sh").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o750, 5.0)
    assert os.readlink(there.root / "link") == "a/b/run.sh"
    assert not (there.root / "pipe").exists()
    assert there.changes() == Changes()


def test_what_was_not_changed_is_no_change_also_after_a_restart(here: Place) -> None:
    (here.root / "a").write_text("1")
    assert set(here.commit({})) == {b"a"}
    here.reopen()
    assert here.changes() == Changes()


def test_content_and_mode_and_deletion_are_changes(here: Place) -> None:
    for name in ("content", "mode", "gone", "kept"):
        (here.root / name).write_text(name)
    here.commit({})
    (here.root / "content").write_text("another")
    (here.root / "mode").chmod(0o700)
    (here.root / "gone").unlink()
    found = here.changes()
    assert sorted((change.path, change.now is None) for change in found.changes) == [
        (b"content", False),
        (b"gone", True),
        (b"mode", False),
    ]


def test_a_change_whose_commit_failed_is_a_change_still_and_outlives_an_update(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_copy, "RACY_NS", -(1 << 62))  # as if the files had been written long ago
    (here.root / "file").write_text("old")
    newest = here.commit({})
    there.take(newest)
    (here.root / "file").write_text("new")
    assert [change.path for change in here.changes().changes] == [b"file"]  # and nobody took them
    assert [change.path for change in here.changes().changes] == [b"file"]
    (there.root / "file").write_text("theirs")
    here.take(there.commit(newest))
    assert here.files() == {"file": "new"}
    assert here.commit(newest)[b"file"].digest == hashlib.sha256(b"new").hexdigest()
    assert here.changes().changes == []


def test_two_who_write_different_files_have_both_in_the_end(here: Place, there: Place) -> None:
    (here.root / "mine").write_text("1")
    (there.root / "yours").write_text("2")
    newest = there.commit(here.commit({}))
    here.take(newest)
    there.take(newest)
    assert here.files() == there.files() == {"mine": "1", "yours": "2"}


def test_a_file_is_deleted_where_another_deleted_it_and_a_folder_becomes_a_file(
    here: Place, there: Place
) -> None:
    (here.root / "d").mkdir()
    (here.root / "d/x").write_text("1")
    (here.root / "f").write_text("1")
    newest = here.commit({})
    there.take(newest)
    (there.root / "d/x").unlink()
    (there.root / "d").rmdir()
    (there.root / "d").write_text("file")
    (there.root / "f").unlink()
    (there.root / "f").mkdir()
    (there.root / "f/y").write_text("in it")
    assert here.take(there.commit(newest)) == []
    assert here.files() == there.files() == {"d": "file", "f/y": "in it"}


def test_what_was_written_here_and_not_committed_outlives_an_update(here: Place, there: Place) -> None:
    for name in ("changed", "gone"):
        (here.root / name).write_text("1")
    newest = here.commit({})
    there.take(newest)
    for name in ("changed", "new"):
        (there.root / name).write_text("theirs")
    (there.root / "gone").unlink()
    newest = there.commit(newest)
    for name in ("changed", "new", "gone"):
        (here.root / name).write_text("mine")
    here.take(newest)
    assert here.files() == {"changed": "mine", "new": "mine", "gone": "mine"}
    there.take(here.commit(newest))
    assert there.files() == here.files()


def test_a_file_that_was_deleted_here_stays_so_until_that_is_committed(here: Place, there: Place) -> None:
    (here.root / "a").write_text("1")
    newest = here.commit({})
    there.take(newest)
    (there.root / "a").write_text("2")
    newest = there.commit(newest)
    (here.root / "a").unlink()
    here.take(newest)
    assert here.files() == {}
    newest = here.commit(newest)
    assert newest[b"a"].size == 1  # what another has changed is not deleted
    here.take(newest)
    assert here.files() == {"a": "2"}


def test_names_with_every_odd_character_travel(here: Place, there: Place) -> None:
    names = [b"new\nline", b"\xff\xfe", b"-rf *", b" ", "ä😀".encode(), b"a" * 255, b"\\", b"'\""]
    for name in names:
        with open(os.fsencode(here.root) + b"/" + name, "w") as file:
            file.write("x")
    there.take(here.commit({}))
    assert sorted(os.listdir(os.fsencode(there.root))) == sorted(names)


def test_a_link_here_leads_no_update_out_of_the_volume(here: Place, there: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("safe")
    (there.root / "d").symlink_to(outside)
    (here.root / "d").mkdir()
    (here.root / "d/kept").write_text("evil")
    there.take(here.commit({}))
    assert (outside / "kept").read_text() == "safe"
    assert sorted(path.name for path in outside.iterdir()) == ["kept"]


def test_a_link_is_committed_as_a_link_and_what_it_leads_to_is_not_read(here: Place, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden")
    (here.root / "out").symlink_to(tmp_path / "secret")
    newest = here.commit({})
    assert newest[b"out"].kind == "link"
    assert b"hidden" not in here.contents.values()


def test_a_half_done_update_is_completed_after_a_restart_and_is_no_change_of_ours(
    here: Place, there: Place
) -> None:
    for name in "abc":
        (here.root / name).write_text(name)
    newest = here.commit({})
    update = there.copy.plan("v", newest, there.drafts)
    for path, draft in update.drafts.items():
        draft.write_bytes(here.contents[newest[path].digest])
    steps = iter(range(10))

    def killed() -> None:
        if next(steps) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.copy.apply(update, killed)
    there.reopen()
    after, lost = merge(newest, there.changes().changes)
    assert (after.keys(), lost) == (newest.keys(), [])
    there.take(there.commit(newest))
    assert there.files() == {"a": "a", "b": "b", "c": "c"}


def half_done(place: Place, newest: Manifest, steps: int) -> None:
    """A process that is killed amid an update, and one that takes its place."""
    update = place.copy.plan("half", newest, place.drafts)
    for path, draft in update.drafts.items():
        draft.write_bytes(place.contents[newest[path].digest])
    left = iter(range(steps))

    def killed() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.copy.apply(update, killed)
    place.reopen()


def test_what_a_killed_update_brought_is_no_change_and_gives_way_to_what_is_newer(
    here: Place, there: Place
) -> None:
    newest: Manifest = {}
    for generation in ("1", "2", "3"):
        for name in "abc":
            (here.root / name).write_text(generation)
        newest = here.commit(newest)
        if generation == "1":
            there.take(newest)
        if generation == "2":
            half_done(there, newest, 2)
            assert there.files() == {"a": "2", "b": "2", "c": "1"}
            assert there.changes().changes == []
    there.take(newest)
    assert there.files() == here.files() == dict.fromkeys("abc", "3")
    assert there.changes().changes == []


def test_what_a_killed_update_deleted_is_no_change_either(here: Place, there: Place) -> None:
    for name in "abc":
        (here.root / name).write_text(name)
    newest = here.commit({})
    there.take(newest)
    (here.root / "a").unlink()
    (here.root / "c").write_text("new")
    newest = here.commit(newest)
    half_done(there, newest, 0)
    assert there.files() == {"b": "b", "c": "c"}
    assert there.changes().changes == []


def test_what_two_wrote_alike_is_not_kept_as_a_change(here: Place, there: Place) -> None:
    (here.root / "a").write_text("alike")
    (there.root / "a").write_text("alike")
    newest = here.commit({})
    there.take(newest)
    (here.root / "a").write_text("newer")
    there.take(here.commit(newest))
    assert there.files() == {"a": "newer"}


def test_a_file_that_grows_while_it_is_read_is_committed_as_it_was_when_we_looked(here: Place) -> None:
    (here.root / "log").write_text("first")
    newest = here.commit({})
    with open(here.root / "log", "a") as log:
        log.write(" second")
    assert here.contents[here.commit(newest)[b"log"].digest] == b"first second"
