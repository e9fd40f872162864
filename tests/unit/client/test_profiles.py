"""The file of profiles: written whole, for its owner alone, with what people wrote in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ionian import config
from ionian.client import profiles
from ionian.exception import InvalidError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("IONIAN_SERVER_URL", "IONIAN_ENVIRONMENT", "IONIAN_TOKEN", "IONIAN_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "ionian.toml"
    monkeypatch.setenv("IONIAN_CONFIG_PATH", str(path))
    return path


def test_the_first_profile_is_the_active_one_and_nobody_else_reads_it(file: Path) -> None:
    profiles.store("work", {"server_url": "ws://work", "token": "ti-1.x"})
    profiles.store("home", {"server_url": "ws://home"})
    assert (config.active_profile(), config.token()) == ("work", "ti-1.x")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["ionian.toml"]


def test_another_profile_is_made_the_active_one(file: Path) -> None:
    profiles.store("work", {"environment": "a"})
    profiles.store("home", {"environment": "b"}, activate=True)
    assert config.get("environment") == "b"
    profiles.activate("work")
    assert config.get("environment") == "a"
    with pytest.raises(InvalidError, match=r"no profile 'other' .* it has work, home"):
        profiles.activate("other")
    assert config.active_profile() == "work"


def test_what_a_person_wrote_stays(file: Path) -> None:
    file.write_text('# mine\n[work]\n  environment = "a" # for now\nactive = true\n')
    profiles.store("work", {"token": 'a"b', "environment": None})
    assert file.read_text().startswith("# mine\n[work]\n")
    assert config.profiles() == {"work": {"active": True, "token": 'a"b'}}


def test_a_link_to_the_file_stays_one(file: Path, tmp_path: Path) -> None:
    (tmp_path / "real.toml").touch()
    file.symlink_to("real.toml")
    profiles.store("work", {"environment": "a"})
    assert file.is_symlink()
    assert "work" in (tmp_path / "real.toml").read_text()


def test_a_file_that_is_none_of_profiles_is_left_alone(file: Path) -> None:
    file.write_text("token = 1\n")
    with pytest.raises(InvalidError, match="outside of any"):
        profiles.store("work", {"environment": "a"})
    assert file.read_text() == "token = 1\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONIAN_CONFIG_PATH", str(tmp_path / "no" / "ionian.toml"))
    with pytest.raises(InvalidError, match=r"can't write .*ionian\.toml: .*IONIAN_CONFIG_PATH"):
        profiles.store("work", {"environment": "a"})


def test_a_token_may_stand_in_two_halves(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.store("work", {"token_id": "ti-1", "token_secret": "x"})
    assert config.token() == "ti-1.x"
    profiles.store("work", {"token_secret": None})
    with pytest.raises(InvalidError, match="both token_id and token_secret"):
        config.token()
    monkeypatch.setenv("IONIAN_TOKEN", "ti-2.y")
    assert config.token() == "ti-2.y"
