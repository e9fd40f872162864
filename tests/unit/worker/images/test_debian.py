"""Where Debian bases come from: apt's sources, in both forms, and this machine's own packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ionian.worker.images import debian, machine
from ionian.worker.images.debian import Mirror, apt_sources, source_line, sources_for
from ionian.worker.images.overlay import Owner

DEB822 = """Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib

# a comment
Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
"""

STATUS = """Package: base
Status: install ok installed
Essential: yes
Architecture: amd64
Depends: libc (>= 2)
Description: the base
 with a second line

Package: libc
Status: install ok installed
Architecture: amd64

Package: python3
Status: install ok installed
Architecture: amd64
Depends: missing | python3.11 (= 3.11.2), awk:any

Package: python3.11
Status: install ok installed
Architecture: amd64

Package: mawk
Status: install ok installed
Architecture: amd64
Provides: awk (= 1)

Package: gone
Status: deinstall ok config-files
Architecture: amd64

Package: editor
Status: install ok installed
Architecture: amd64
"""


def test_both_forms_of_apts_sources_are_read(tmp_path: Path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(
        "# none\ndeb [arch=amd64] http://old.test/debian bookworm main\ndeb-src x y z\n"
    )
    assert apt_sources(tmp_path) == [
        Mirror("http://old.test/debian", "bookworm", ("main",)),
        Mirror("http://mirror.test/debian", "bookworm", ("main", "contrib")),
        Mirror("http://mirror.test/debian", "bookworm-updates", ("main", "contrib")),
        Mirror("http://mirror.test/debian-security", "bookworm-security", ("main",)),
    ]


def test_another_release_is_asked_of_the_same_mirrors(tmp_path: Path):
    mirrors = [
        Mirror("http://m.test/debian", "bookworm", ("main", "contrib"), "/key"),
        Mirror("http://m.test/security", "bookworm-security", ("main",)),
        Mirror("http://m.test/debian", "bookworm-backports", ("main",)),
        Mirror("http://other.test/node", "nodistro", ("main",)),
    ]
    assert sources_for("trixie", mirrors, "bookworm") == [
        Mirror("http://m.test/debian", "trixie", ("main",), "/key"),
        Mirror("http://m.test/security", "trixie-security", ("main",)),
    ]


def test_a_source_line_names_its_key():
    assert source_line(Mirror("http://m.test/d", "trixie", ("main",), "/k.gpg")) == (
        "deb [signed-by=/k.gpg] http://m.test/d trixie main"
    )


def test_a_python_that_the_distribution_does_not_have_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(debian, "distribution", lambda: ("debian", "bookworm"))
    assert debian.why_not("3.12") == "debian's mirrors have Python 3.11, 3.13, not 3.12"
    monkeypatch.setattr(debian, "distribution", lambda: ("fedora", ""))
    assert debian.why_not("3.12") == "no apt mirrors here"


def test_a_machines_base_holds_what_is_essential_and_what_python_needs():
    packages = machine.installed(STATUS)
    chosen = machine.closure(packages, ["base", "python3", "not-installed"])
    assert [package.name for package in chosen] == ["base", "libc", "mawk", "python3", "python3.11"]
    assert packages["base"].essential
    assert "gone" not in packages
    assert "with a second line" in packages["base"].paragraph


def test_files_of_this_machine_are_copied_through_the_links_of_the_base(tmp_path: Path):
    target = tmp_path / "base"
    (target / "usr/bin").mkdir(parents=True)
    (target / "bin").symlink_to("usr/bin")
    machine.copy("/bin/sh", target)
    assert os.path.lexists(target / "usr/bin/sh")
    machine.copy("/nosuch/file", target)  # what is gone from the machine is left out


def test_a_skeleton_has_a_place_for_all_that_is_bound_on_it(tmp_path: Path):
    folder = debian.machine_skeleton(tmp_path / "s", Owner(os.geteuid(), os.getegid()))
    assert all((folder / name.lstrip("/")).is_dir() for name in debian.FOLDERS)
    assert (folder / "bin").is_symlink() == Path("/bin").is_symlink()
