"""The settings of this machine's pip, uv and apt, as builds take them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ionian.worker.images.host import HostSettings, PipSettings, read_apt, read_pip, split_args


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment in which only files below tmp_path are pip's."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), **more}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_users_pip_conf_wins_over_the_systems_and_variables_over_both(tmp_path: Path):
    write(tmp_path / "xdg/pip/pip.conf", "[global]\nindex-url = https://system.test/simple\ntimeout = 7\n")
    write(tmp_path / ".config/pip/pip.conf", "[global]\nindex-url = https://user.test/simple\n")
    assert read_pip(environment(tmp_path)).index_url == "https://user.test/simple"
    assert read_pip(environment(tmp_path)).timeout == "7"
    changed = read_pip(environment(tmp_path, PIP_INDEX_URL="https://variable.test/simple"))
    assert changed.index_url == "https://variable.test/simple"


def test_settings_with_several_values_come_apart(tmp_path: Path):
    write(
        tmp_path / ".config/pip/pip.conf",
        "[global]\nextra-index-url =\n  https://a.test/s\n  https://b.test/s\n",
    )
    assert read_pip(environment(tmp_path)).extra_index_urls == ("https://a.test/s", "https://b.test/s")


def test_a_broken_or_unreadable_pip_conf_is_passed_over(tmp_path: Path):
    write(tmp_path / ".config/pip/pip.conf", "this is = [no\nconfig")
    assert (
        read_pip(environment(tmp_path)).extra_index_urls
        == read_pip(environment(tmp_path / "none")).extra_index_urls
    )


def test_uv_is_told_what_pip_is_told(tmp_path: Path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    pip = PipSettings(
        index_url="https://i.test/s",
        extra_index_urls=("https://e.test/s",),
        find_links=(str(folder), "/nosuch/folder"),
    )
    options = pip.as_uv_options([], {})
    assert options[:4] == ["--index-url", "https://i.test/s", "--extra-index-url", "https://e.test/s"]
    assert options[4:6] == ["--find-links", str(folder)]  # a missing folder would end uv, where pip goes on
    assert options[6:] == ["--index-strategy", "unsafe-best-match"]


def test_an_index_that_the_step_or_uv_itself_names_is_not_overridden():
    pip = PipSettings(index_url="https://i.test/s")
    assert "https://i.test/s" not in pip.as_uv_options(["--index-url", "https://own.test/s", "six"], {})
    assert "https://i.test/s" not in pip.as_uv_options(["--index-url=https://own.test/s"], {})
    assert "https://i.test/s" not in pip.as_uv_options([], {"UV_DEFAULT_INDEX": "https://uv.test/s"})
    assert "--index-strategy" not in pip.as_uv_options(["--index-strategy", "first-index"], {})


def test_an_index_on_disk_is_visible_with_the_packages_beside_it(tmp_path: Path):
    (tmp_path / "pypi/simple").mkdir(parents=True)
    pip = PipSettings(extra_index_urls=(f"file://{tmp_path}/pypi/simple", "https://far.test/simple"))
    assert pip.local_paths() == [tmp_path / "pypi"]


def test_a_step_gets_a_pip_conf_of_the_same_settings(tmp_path: Path):
    pip = PipSettings(index_url="https://i.test/s", find_links=("/a", "/b"), cert="/here/ca.crt")
    write(tmp_path / "pip.conf", pip.as_config("/inside/ca.crt"))
    again = read_pip(
        {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": "", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    )
    assert (again.index_url, again.find_links, again.cert) == (
        "https://i.test/s",
        ("/a", "/b"),
        "/inside/ca.crt",
    )


def test_the_settings_that_decide_about_packages_are_part_of_the_key(tmp_path: Path):
    before = HostSettings.read(environment(tmp_path)).package_key()
    assert HostSettings.read(environment(tmp_path)).package_key() == before
    assert HostSettings.read(environment(tmp_path, PIP_INDEX_URL="https://x.test/s")).package_key() != before
    assert HostSettings.read(environment(tmp_path, UV_PRERELEASE="allow")).package_key() != before
    assert HostSettings.read(environment(tmp_path, UV_CACHE_DIR="/elsewhere")).package_key() == before


def test_proxies_and_the_ca_bundle_are_taken_along(tmp_path: Path):
    bundle = write(tmp_path / "ca.crt", "certificates")
    host = HostSettings.read(
        environment(tmp_path, HTTPS_PROXY="http://proxy.test:8080", PIP_CERT=str(bundle))
    )
    assert host.proxies == {"HTTPS_PROXY": "http://proxy.test:8080"}
    assert host.ca == str(bundle)


def test_apt_takes_along_how_mirrors_are_reached_and_nothing_else():
    dump = 'APT::Architecture "amd64";\nAcquire::http::Proxy "http://p.test";\nAcquire::https "";\nDir "/";\n'

    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, dump, "")

    assert read_apt(run) == 'Acquire::http::Proxy "http://p.test";\n'


def test_a_machine_without_apt_has_no_apt_settings():
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError("apt-config")

    assert read_apt(run) == ""


def test_an_option_given_as_one_string_is_several_words():
    assert split_args(["--extra-index-url https://e.test/s", "numpy>=1, <2"]) == [
        "--extra-index-url",
        "https://e.test/s",
        "numpy>=1, <2",
    ]
