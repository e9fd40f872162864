"""Settings: variables first, then the active profile, then defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionian import config
from ionian.exception import InvalidError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("IONIAN_SERVER_URL", "IONIAN_ENVIRONMENT", "MODAL_ENVIRONMENT", "IONIAN_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "ionian.toml"
    monkeypatch.setenv("IONIAN_CONFIG_PATH", str(path))
    return path


TWO = (
    '[home]\nactive = true\nserver_url = "ws://home"\n[work]\nserver_url = "ws://work"\nenvironment = "dev"\n'
)


def test_without_a_file_there_are_defaults(file: Path) -> None:
    assert config.get("server_url") == ""
    assert config.active_profile() == "default"
    with pytest.raises(KeyError):
        config.get("no_such_setting")


def test_the_active_profile_counts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(TWO)
    assert config.get("server_url") == "ws://home"
    assert config.get("server_url", profile="work") == "ws://work"
    monkeypatch.setenv("IONIAN_PROFILE", "work")
    assert (config.get("server_url"), config.get("environment")) == ("ws://work", "dev")


def test_a_variable_wins_and_modals_own_means_the_same_where_it_can(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(TWO)
    monkeypatch.setenv("MODAL_ENVIRONMENT", "theirs")
    monkeypatch.setenv("MODAL_SERVER_URL", "http://theirs")
    assert (config.get("environment"), config.get("server_url")) == ("theirs", "ws://home")
    monkeypatch.setenv("IONIAN_ENVIRONMENT", "ours")
    assert config.get("environment") == "ours"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[", "can't be read"),
        ("token = 1", "outside of any"),
        ("[a]\nactive = true\n[b]\nactive = true\n", "one active profile"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidError, match=expected):
        config.get("token")


def test_a_profile_that_is_not_there_is_an_error(file: Path) -> None:
    file.write_text(TWO)
    with pytest.raises(InvalidError, match="it has home, work"):
        config.get("token", profile="other")


def test_programs_read_settings_as_modals_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_ENVIRONMENT", "staging")
    monkeypatch.setenv("IONIAN_TOKEN", "ti-1.secret")
    assert config.config["environment"] == config.config.get("environment") == "staging"
    assert config.config.get("server_url") is None
    assert "secret" not in repr(config.config)
    with pytest.raises(KeyError):
        config.config["workspaces"]
