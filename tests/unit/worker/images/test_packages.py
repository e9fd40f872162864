"""What uv is asked, what its answers mean, and how what it wrote becomes a layer."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from ionian.worker.images import overlay
from ionian.worker.images.overlay import Owner
from ionian.worker.images.packages import (
    NeedsBuild,
    Target,
    explain,
    hide,
    mend_scripts,
    move,
    platform_of,
    seed,
)
from ionian.worker.images.records import ImageError, Python
from ionian.worker.images.sources import check_wheel, index_options

SITE = "/usr/local/lib/python3.13/site-packages"
PYTHON = Python(
    path="/usr/local/bin/python",
    real="/usr/local/bin/python3.13 1 2",
    version="3.13",
    release="3.13.5",
    tag="cpython-313",
    purelib=SITE,
    platlib=SITE,
    scripts="/usr/local/bin",
    data="/usr/local",
    manylinux="2_36",
)


def package(site: Path, name: str, version: str, *modules: str) -> None:
    """Installs a package of these modules as pip would."""
    metadata = site / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    for module in modules:
        (site / module).parent.mkdir(parents=True, exist_ok=True)
        (site / module).write_text(version)
    lines = [
        f"{name},sha256=x,1" for name in (*modules, f"{metadata.name}/METADATA", f"{metadata.name}/RECORD")
    ]
    (metadata / "RECORD").write_text("\n".join(lines))


def target(tmp_path: Path, *below: Path) -> Target:
    layer = tmp_path / "layer"
    layer.mkdir()
    return Target(layer, below, PYTHON, Owner(os.geteuid(), os.getegid()))


def test_uv_is_told_the_platform_of_the_image_and_not_of_this_machine():
    def named(manylinux: str) -> str:
        return platform_of(Python(**{**PYTHON.__dict__, "manylinux": manylinux})).partition("-")[2]

    assert named("2_36") == "manylinux_2_36"
    assert named("2_27") == "manylinux_2_17"
    assert named("2_99") == "manylinux_2_40"
    assert named("") == "unknown-linux-musl"


def test_a_package_that_is_nowhere_is_one_clear_sentence():
    said = [
        "error: No solution",
        "  cause: Because nosuch was not found in the package registry and you require nosuch",
    ]
    with pytest.raises(ImageError, match=r"there is no package 'nosuch' in the package index"):
        explain(["nosuch"], 1, said)


def test_a_package_without_a_wheel_is_told_apart():
    with pytest.raises(NeedsBuild):
        explain(
            ["docopt"],
            1,
            ["  cause: Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2"],
        )


def test_any_other_end_of_uv_shows_its_last_lines():
    with pytest.raises(ImageError, match=r"(?s)pip_install a b: ended with exit code 2.*versions conflict"):
        explain(["a", "b"], 2, ["error: versions conflict"])


def test_packages_of_lower_layers_are_shown_to_uv_and_not_taken_into_the_layer(tmp_path: Path):
    base = tmp_path / "base"
    package(base / SITE[1:], "six", "1.0", "six.py")
    where, site = target(tmp_path, base), tmp_path / "prefix/lib/python3.11/site-packages"
    had = seed(site, where)
    assert [entry.name for entry in site.iterdir()] == ["six-1.0.dist-info"]
    package(site, "new", "2.0", "new/__init__.py")
    placed = move(tmp_path / "prefix", site, had, where)
    assert placed == [where.layer / SITE[1:] / "new-2.0.dist-info"]
    assert sorted(entry.name for entry in (where.layer / SITE[1:]).iterdir()) == ["new", "new-2.0.dist-info"]


def test_a_package_that_uv_replaced_is_hidden_with_its_bytecode(tmp_path: Path):
    base = tmp_path / "base"
    package(base / SITE[1:], "lib", "1.0", "lib/__init__.py", "lib/old/__init__.py")
    pyc = base / SITE[1:] / "lib/old/__pycache__/__init__.cpython-313.pyc"
    pyc.parent.mkdir()
    pyc.write_text("")
    where, site = target(tmp_path, base), tmp_path / "prefix/lib/python3.11/site-packages"
    had = seed(site, where)
    overlay.remove(site / "lib-1.0.dist-info")  # as uv does
    package(site, "lib", "2.0", "lib/__init__.py")
    move(tmp_path / "prefix", site, had, where)
    overlay.merge([base, where.layer], tmp_path / "merged")
    merged = tmp_path / "merged" / SITE[1:]
    assert (merged / "lib/__init__.py").read_text() == "2.0"
    assert {entry.name for entry in merged.iterdir()} == {"lib", "lib-2.0.dist-info"}
    assert not (merged / "lib/old").exists()


def test_a_package_that_uv_installed_again_in_the_same_version_is_new(tmp_path: Path):
    base = tmp_path / "base"
    package(base / SITE[1:], "lib", "1.0", "lib.py")
    where, site = target(tmp_path, base), tmp_path / "prefix/lib/python3.11/site-packages"
    had = seed(site, where)
    kept = site / "lib-1.0.dist-info"
    kept.rename(tmp_path / "away")  # so that the new folder can't get the number of the old one
    package(site, "lib", "1.0", "lib.py")
    assert len(move(tmp_path / "prefix", site, had, where)) == 1
    assert (where.layer / SITE[1:] / "lib.py").is_file()


def test_hiding_a_package_that_is_not_below_does_nothing(tmp_path: Path):
    where = target(tmp_path, tmp_path)
    hide(where, SITE, "x-1.dist-info", ["x.py"])
    assert list(where.layer.iterdir()) == []


def test_data_and_scripts_go_where_the_image_wants_them(tmp_path: Path):
    where, prefix = target(tmp_path), tmp_path / "prefix"
    site = prefix / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin/tool").write_text(f"#!{sys.executable}\nprint()\n")
    (prefix / "share/tool").mkdir(parents=True)
    (prefix / "share/tool/data").write_text("d")
    move(prefix, site, {}, where)
    assert (where.layer / "usr/local/bin/tool").read_text() == "#!/usr/local/bin/python\nprint()\n"
    assert (where.layer / "usr/local/share/tool/data").read_text() == "d"


def test_only_scripts_of_our_python_are_changed_and_never_through_a_link(tmp_path: Path):
    cached = tmp_path / "cached"
    cached.write_text(f"#!{sys.executable}\n1\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    os.link(cached, folder / "linked")
    (folder / "shell").write_text("#!/bin/sh\necho\n")
    (folder / "long").write_text(f"#!/bin/sh\n'''exec' '{sys.executable}' \"$0\" \"$@\"\n' '''\n")
    (folder / "binary").write_bytes(b"\x7fELF")
    mend_scripts(folder, PYTHON)
    assert (folder / "linked").read_text() == "#!/usr/local/bin/python\n1\n"
    assert sys.executable in cached.read_text()
    assert (folder / "shell").read_text() == "#!/bin/sh\necho\n"
    assert "'/usr/local/bin/python'" in (folder / "long").read_text()
    assert (folder / "binary").read_bytes() == b"\x7fELF"


def test_of_a_source_builds_arguments_those_about_indexes_stay():
    args = [
        "-r",
        "r.txt",
        "--index-url",
        "https://i.test",
        "--pre",
        "-f=x",
        "--no-index",
        "git+https://x.test/y",
        "-U",
    ]
    assert index_options(args) == ["--index-url", "https://i.test", "--pre", "-f=x", "--no-index"]


def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "")
    return path


def test_only_a_whole_wheel_of_its_name_is_admitted(tmp_path: Path):
    check_wheel(wheel(tmp_path / "a-1.0-py3-none-any.whl", "a.py", "a-1.0.dist-info/METADATA"))
    (tmp_path / "b-1.0-py3-none-any.whl").write_text("no zip")
    bad = [
        tmp_path / "b-1.0-py3-none-any.whl",
        wheel(tmp_path / "c-1.0-py3-none-any.whl", "numpy-9.dist-info/METADATA"),
        wheel(tmp_path / "d-1.0-py3-none-any.whl", "d-1.0.dist-info/METADATA", "../../etc/passwd"),
        wheel(tmp_path / "nonsense.whl", "x"),
    ]
    for path in bad:
        with pytest.raises(ImageError, match="not a wheel of that name"):
            check_wheel(path)
