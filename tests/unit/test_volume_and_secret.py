"""Volumes and secrets: handles that ask nothing of a server before an app runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import ionian
from ionian.exception import DeprecationError, ExecutionError, InvalidError


def test_a_volume_has_no_id_before_an_app_that_uses_it_runs() -> None:
    volume = ionian.Volume.from_name("v", create_if_missing=True)
    assert volume.create_if_missing
    with pytest.raises(ExecutionError, match=r"'v'\) has no id"):
        _ = volume.object_id
    assert ionian.Volume.from_id("vo-1").object_id == "vo-1"


def test_a_read_only_mount_is_another_handle_of_the_same_volume() -> None:
    volume = ionian.Volume.from_name("v")
    for other in (volume.with_mount_options(read_only=True), volume.read_only()):
        assert other.is_read_only
        assert other.name == "v"
    assert not volume.is_read_only


def test_a_folder_of_a_volume_is_named_by_its_path_within() -> None:
    volume = ionian.Volume.from_name("v").with_mount_options(sub_path="/models//a/")
    assert volume.sub_path == "models/a"
    assert volume.with_mount_options(read_only=True).sub_path == "models/a"
    assert pickle.loads(pickle.dumps(volume)).sub_path == "models/a"
    assert volume.with_mount_options(sub_path="/").sub_path == ""
    for bad in ("../other", 3, "a\0b"):
        with pytest.raises(InvalidError, match="sub_path: expected"):
            volume.with_mount_options(sub_path=bad)  # pyright: ignore[reportArgumentType]


def test_constructors_that_are_none_say_what_to_write() -> None:
    with pytest.raises(InvalidError, match="from_name"):
        ionian.Volume()
    with pytest.warns(DeprecationError, match="from_dict"):
        assert ionian.Secret({"A": "1"}).values == {"A": "1"}


def test_a_secret_shows_its_names_and_never_its_values() -> None:
    secret = ionian.Secret.from_dict({"TOKEN": "hidden", "NONE": None})
    assert secret.values == {"TOKEN": "hidden"}
    assert repr(secret) == "Secret(TOKEN)"


@pytest.mark.parametrize("values", [["A"], {"A": 1}, {1: "A"}, {"": "x"}])
def test_a_secret_is_of_strings_and_the_error_hides_values(values: object) -> None:
    with pytest.raises(InvalidError, match="env_dict"):
        ionian.Secret.from_dict(values)  # pyright: ignore
    with pytest.raises(InvalidError) as error:
        ionian.Secret.from_dict({"A": ["hidden"]})  # pyright: ignore
    assert "hidden" not in str(error.value)


def test_a_secret_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONIAN_TEST_TOKEN", "t")
    assert ionian.Secret.from_local_environ(["IONIAN_TEST_TOKEN"]).values == {"IONIAN_TEST_TOKEN": "t"}
    with pytest.raises(InvalidError, match="IONIAN_TEST_MISSING is not"):
        ionian.Secret.from_local_environ(["IONIAN_TEST_TOKEN", "IONIAN_TEST_MISSING"])


def test_a_dotenv_file_is_found_upward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".env").write_text("# ours\nexport A='1'\nEMPTY\n")
    monkeypatch.chdir(tmp_path / "sub")
    assert ionian.Secret.from_dotenv().values == {"A": "1"}
    assert ionian.Secret.from_dotenv(tmp_path / ".env").values == {"A": "1"}
    with pytest.raises(InvalidError, match=r"other\.env"):
        ionian.Secret.from_dotenv(filename="other.env")


def test_a_named_secret_is_a_name_until_it_is_used_and_goes_by_name_in_a_pickle() -> None:
    secret = ionian.Secret.from_name("huggingface", environment_name="dev", required_keys=["HF_TOKEN"])
    assert repr(secret) == "Secret.from_name('huggingface')"
    with pytest.raises(ExecutionError, match=r"call \.hydrate\(\) first"):
        _ = secret.object_id
    again = pickle.loads(pickle.dumps(secret))
    assert (again.name, again.environment_name, again.required_keys) == ("huggingface", "dev", ("HF_TOKEN",))


def test_a_pickle_of_a_secret_holds_no_value() -> None:
    assert b"hidden" not in pickle.dumps(ionian.Secret.from_dict({"TOKEN": "hidden"}))


def test_a_secret_without_a_name_is_not_asked_for() -> None:
    with pytest.raises(ExecutionError, match="belongs to the apps that have it"):
        ionian.Secret.from_dict({"A": "1"}).hydrate()


@pytest.mark.parametrize(
    "given",
    [
        {"name": "a b"},
        {"name": ""},
        {"name": "st-01JDZX0000000000000000000Z"},
        {"name": "s", "environment_name": "-"},
        {"name": "s", "required_keys": "KEY"},
        {"name": "s", "required_keys": [1]},
    ],
)
def test_a_name_of_a_secret_is_checked_where_it_is_written(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match=f"{list(given)[-1]}: expected"):
        ionian.Secret.from_name(**given)


@pytest.mark.parametrize("values", [["A"], {"A": ["hidden"]}, {"A=B": "hidden"}])
def test_values_that_are_no_strings_are_not_sent_and_not_shown(values: Any) -> None:
    for give in (
        lambda: ionian.Secret.objects.create("s", values),
        lambda: ionian.Secret.from_name("s").update(values),
    ):
        with pytest.raises(InvalidError, match="env_dict") as error:
            give()
        assert "hidden" not in str(error.value)
