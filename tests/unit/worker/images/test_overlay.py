"""Trees of overlay layers, read and merged as an overlay would show them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from ionian.worker.images import overlay
from ionian.worker.images.overlay import Owner

OURS = Owner(os.geteuid(), os.getegid())


def layer(root: Path, name: str, files: dict[str, str | None]) -> Path:
    """A layer with these files; None: whited out, "→x": a link to x, "": a folder."""
    folder = root / name
    folder.mkdir()
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            overlay.white_out(place)
        elif content == "":
            place.mkdir()
        elif content.startswith("→"):
            place.symlink_to(content[1:])
        else:
            place.write_text(content)
    return folder


def shown(layers: list[Path], target: Path) -> dict[str, str]:
    """What a merge of layers holds: path → content."""
    overlay.merge(layers, target)
    return {
        str(path.relative_to(target)): path.read_text()
        for path in sorted(target.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_the_topmost_file_is_shown(tmp_path: Path):
    layers = [layer(tmp_path, "a", {"x/f": "old", "x/g": "g"}), layer(tmp_path, "b", {"x/f": "new"})]
    assert shown(layers, tmp_path / "out") == {"x/f": "new", "x/g": "g"}
    found = overlay.lstat(layers, "x/f")
    assert found is not None
    assert found[1] == tmp_path / "b/x/f"


def test_a_whiteout_hides_a_file_and_a_whole_folder(tmp_path: Path):
    layers = [
        layer(tmp_path, "a", {"x/f": "1", "y/g": "2", "z": "3"}),
        layer(tmp_path, "b", {"x": None, "z": None}),
    ]
    assert shown(layers, tmp_path / "out") == {"y/g": "2"}
    assert overlay.lstat(layers, "x/f") is None
    assert set(overlay.names(layers, "/")) == {"y"}


def test_a_file_that_comes_back_after_its_deletion_is_the_new_one(tmp_path: Path):
    layers = [
        layer(tmp_path, "a", {"x": "1"}),
        layer(tmp_path, "b", {"x": None}),
        layer(tmp_path, "c", {"x": "3"}),
    ]
    assert shown(layers, tmp_path / "out") == {"x": "3"}


def test_an_opaque_folder_hides_what_lower_layers_have_in_it(tmp_path: Path):
    layers = [layer(tmp_path, "a", {"x/old": "1"}), layer(tmp_path, "b", {"x/new": "2"})]
    overlay.make_opaque(tmp_path / "b/x")
    assert shown(layers, tmp_path / "out") == {"x/new": "2"}
    assert overlay.lstat(layers, "x/old") is None
    assert set(overlay.names(layers, "/x")) == {"new"}


def test_a_file_may_replace_a_folder_and_a_folder_a_file(tmp_path: Path):
    layers = [
        layer(tmp_path, "a", {"x/f": "1", "y": "2"}),
        layer(tmp_path, "b", {"x": "file", "y/f": "folder"}),
    ]
    assert shown(layers, tmp_path / "out") == {"x": "file", "y/f": "folder"}


def test_a_merge_links_files_and_keeps_modes_and_links(tmp_path: Path):
    first = layer(tmp_path, "a", {"bin/f": "1", "l": "→bin/f"})
    (first / "bin/f").chmod(0o750)
    (first / "bin").chmod(0o711)
    overlay.merge([first], tmp_path / "out")
    assert (tmp_path / "out/bin/f").samefile(first / "bin/f")
    assert stat.S_IMODE((tmp_path / "out/bin").stat().st_mode) == 0o711
    assert os.readlink(tmp_path / "out/l") == "bin/f"


def test_links_are_followed_inside_the_image_only(tmp_path: Path):
    layers = [
        layer(
            tmp_path,
            "a",
            {"usr/bin/python3": "py", "bin": "→usr/bin", "etc/x": "→/bin/python3", "up": "→../../.."},
        ),
        layer(tmp_path, "b", {"usr/bin/python": "→python3"}),
    ]
    assert overlay.resolve(layers, "/bin/python") == ("/usr/bin/python3", tmp_path / "a/usr/bin/python3")
    assert overlay.resolve(layers, "/etc/x")[0] == "/usr/bin/python3"
    assert overlay.resolve(layers, "/up/usr/bin/python")[0] == "/usr/bin/python3"


def test_a_path_that_is_not_there_keeps_its_name_and_has_no_file(tmp_path: Path):
    layers = [layer(tmp_path, "a", {"usr/bin": "", "bin": "→usr/bin"})]
    assert overlay.resolve(layers, "/bin/new/deep") == ("/usr/bin/new/deep", None)


def test_links_in_a_circle_are_an_error_and_not_a_hang(tmp_path: Path):
    with pytest.raises(OSError) as error:
        overlay.resolve([layer(tmp_path, "a", {"x": "→y", "y": "→x"})], "/x")
    assert error.value.errno == errno.ELOOP


def test_new_folders_have_the_modes_of_those_below_them(tmp_path: Path):
    below = layer(tmp_path, "a", {"srv/private": "", "tmp": ""})
    (below / "srv/private").chmod(0o700)
    top = layer(tmp_path, "b", {})
    overlay.make_folders(top, "/srv/private/new", OURS, [below])
    assert stat.S_IMODE((top / "srv/private").stat().st_mode) == 0o700
    overlay.make_folders(top, "/var/tmp", OURS)
    assert stat.S_IMODE((top / "var/tmp").stat().st_mode) == 0o1777


def test_a_tree_is_removed_whatever_its_modes(tmp_path: Path):
    tree = layer(tmp_path, "a", {"x/y/z": "1"})
    (tree / "x/y").chmod(0o000)
    (tree / "x").chmod(0o500)
    overlay.remove(tree)
    assert not tree.exists()
