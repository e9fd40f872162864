"""Settings of this machine: `IONIAN_<NAME>`, else the active profile of `~/.ionian.toml`, else the default.

    [default]
    active = true
    server_url = "ws://127.0.0.1:7777"
    token = "…"
    environment = "main"

Containers have none: whatever a container needs comes with its start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .exception import InvalidError
from .execution import is_local

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS: dict[str, str] = {
    "server_url": "",  # "": a server of this machine, started when needed
    "token": "",  # whole, ti-ID.SECRET; or in two halves:
    "token_id": "",
    "token_secret": "",
    "environment": "",  # "": the server's default
    "gpu": "",  # "ignore": functions that ask for a GPU run without one
    "image_budget": "",  # of a worker's disk for image layers, as in "50GB"; "": half of what the disk could give
    "prices": "",  # the file of a server's prices; "": prices.toml in its folder
    "volumes": "",  # where a worker sees the server's folder of volumes: a file system that both have mounted
    "volume_bucket": "",  # s3://BUCKET/PREFIX: where a server has the content of volumes' versions; "": on its disk
    "idle_warning": "24h",  # a server tells of functions that had containers for so long on end; "off": of none
    "loglevel": "WARNING",
    "traceback": "",  # "1": errors show Ionian's own frames too
}
"""Every setting, and what it is when nobody says."""

OF_MODAL = {"environment": "MODAL_ENVIRONMENT", "loglevel": "MODAL_LOGLEVEL", "traceback": "MODAL_TRACEBACK"}
"""Variables of Modal that mean the same here. Its server and tokens are another's."""


def get(name: str, profile: str | None = None) -> str:
    """A setting. Raises KeyError for a name that is none, InvalidError where the file is not right."""
    default = DEFAULTS[name]
    for variable in (f"IONIAN_{name.upper()}", OF_MODAL.get(name)):
        if variable and variable in os.environ:
            return os.environ[variable]
    if not is_local():
        return default
    return str(_values(profile).get(name, default))


def path() -> Path:
    """The file of profiles."""
    from pathlib import Path

    return Path(os.environ.get("IONIAN_CONFIG_PATH") or Path.home() / ".ionian.toml")


def profiles() -> dict[str, dict[str, Any]]:
    """The profiles of the file by name."""
    import tomllib

    file = path()
    try:
        with file.open("rb") as opened:
            found = tomllib.load(opened)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidError(f"{file} can't be read as settings: {error}") from None
    for name, value in found.items():
        if not isinstance(value, dict):
            raise InvalidError(
                f"{file}: expected sections, one a profile, got the value {name!r} outside of any"
            )
    return found


def token() -> str:
    """The token of the server: whole, or its two halves put together; "" where there is none."""
    whole = get("token")
    if whole:
        return whole
    token_id, secret = get("token_id"), get("token_secret")
    if bool(token_id) != bool(secret):
        raise InvalidError(
            "expected both token_id and token_secret (or token, which is both), got one of them"
        )
    return f"{token_id}.{secret}" if token_id else ""


def environment(given: str | None) -> str:
    """The environment that is meant: the given one, else the current one; "" for the server's default."""
    return given or get("environment")


def active_profile() -> str:
    """The name of the profile that counts: `IONIAN_PROFILE`, else the active one, else "default"."""
    chosen = os.environ.get("IONIAN_PROFILE")
    if chosen:
        return chosen
    active = [name for name, values in profiles().items() if values.get("active") is True]
    if len(active) > 1:
        raise InvalidError(f"{path()}: expected one active profile, got {', '.join(active)}")
    return active[0] if active else "default"


def _values(name: str | None) -> dict[str, Any]:
    wanted = name or active_profile()
    found = profiles()
    if wanted not in found and (name or os.environ.get("IONIAN_PROFILE")):
        raise InvalidError(f"no profile {wanted!r} in {path()}; it has {', '.join(found) or 'none'}")
    return found.get(wanted, {})


class Config:
    """The settings as Modal's programs read them: `modal.config.config["environment"]`."""

    def get(self, key: str, *, profile: str | None = None) -> str | None:
        """A setting; None where nobody has set it. Raises KeyError for a name that is none.

        `profile`: the one to read it from, else the active one.
        """
        return get(key, profile) or None

    def __getitem__(self, key: str) -> str | None:
        return self.get(key)

    def to_dict(self) -> dict[str, str | None]:
        """All settings but tokens."""
        return {name: self.get(name) for name in DEFAULTS if not name.startswith("token")}

    def __repr__(self) -> str:
        return repr(self.to_dict())


config = Config()
