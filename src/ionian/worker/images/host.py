"""What this machine's pip, uv, apt and network settings ask for: builds obey them.

They are read afresh for each build, from the same files and variables that pip and apt read.
"""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlparse

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)
STEP_SETTINGS = ("disable-pip-version-check = true", "root-user-action = ignore", "no-cache-dir = true")
"""For pip in a step: what it caches would stay in the layer."""

LISTS = ("find-links", "extra-index-url", "constraint", "trusted-host")
"""Settings of pip that hold several values."""
APT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv")
"""apt's options that concern how this machine reaches its mirrors."""


@dataclass(frozen=True)
class PipSettings:
    """The settings of pip that say where packages come from."""

    index_url: str = ""
    no_index: bool = False
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    cert: str = ""
    timeout: str = ""
    proxy: str = ""

    def local_paths(self) -> list[Path]:
        """The files and folders of this machine that the settings name."""
        indexes = [_local(place) for place in (self.index_url, *self.extra_index_urls) if place]
        # An index on disk is two folders side by side: the pages, and the packages that they point at.
        around = [path.parent if path and path.name == "simple" else path for path in indexes]
        paths = around + [_local(place) for place in (*self.find_links, *self.constraints)]
        return [path for path in paths if path is not None and path.exists()]

    def as_config(self, cert: str) -> str:
        """The settings as a pip.conf, for a step that runs pip itself. `cert`: the CA bundle's path there."""
        lines = ["[global]", *STEP_SETTINGS]
        singles = {
            "index-url": self.index_url,
            "no-index": "true" if self.no_index else "",
            "cert": cert,
            "timeout": self.timeout,
            "proxy": self.proxy,
        }
        lines += [f"{name} = {value}" for name, value in singles.items() if value]
        several = (self.find_links, self.extra_index_urls, self.constraints, self.trusted_hosts)
        many = dict(zip(LISTS, several, strict=True))
        lines += [f"{name} =\n    " + "\n    ".join(values) for name, values in many.items() if values]
        return "\n".join(lines) + "\n"

    def as_uv_options(self, given: Sequence[str], env: Mapping[str, str]) -> list[str]:
        """The settings as options of `uv pip install`, less what the step's own options (`given`) or uv's
        own variables (UV_…) already say."""

        def said(*names: str) -> bool:
            return any(word.split("=", 1)[0] in names for word in given)

        out: list[str] = []
        if not said("--index-url", "-i", "--default-index", "--no-index") and not (
            env.get("UV_INDEX_URL") or env.get("UV_DEFAULT_INDEX")
        ):
            out += ["--index-url", self.index_url] if self.index_url else []
            out += ["--no-index"] if self.no_index else []
            for url in self.extra_index_urls:
                out += ["--extra-index-url", url]
        for place in self.find_links:
            path = _local(place)
            if path is None or path.exists():  # uv ends at a missing folder, pip goes on
                out += ["--find-links", place]
        for constraint in self.constraints:
            out += ["--constraint", constraint]
        for host in self.trusted_hosts:
            out += ["--allow-insecure-host", host]
        if not said("--index-strategy") and not env.get("UV_INDEX_STRATEGY"):
            # pip takes the best of all its indexes; uv by default only looks at the first that has the name.
            out += ["--index-strategy", "unsafe-best-match"]
        return out


@dataclass(frozen=True)
class HostSettings:
    """All that a build takes from this machine."""

    pip: PipSettings
    ca: str = ""  # the CA bundle, where this machine names one
    proxies: dict[str, str] = field(default_factory=dict[str, str])
    uv_env: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> HostSettings:
        """The settings as they are now."""
        pip = read_pip(env)
        named = [pip.cert, *(env.get(name, "") for name in CA_VARIABLES)]
        ca = next((place for place in named if place and Path(place).is_file()), "")
        proxies = {name: env[name] for word in PROXIES for name in (word, word.upper()) if env.get(name)}
        if pip.proxy:
            proxies = {"http_proxy": pip.proxy, "https_proxy": pip.proxy} | proxies
        uv_env = {name: value for name, value in env.items() if name.startswith("UV_") and value}
        return cls(pip, ca, proxies, uv_env)

    @property
    def apt(self) -> str:
        """Lines of an apt.conf. Asked of apt only when a step runs: an image that is built already needs none."""
        return read_apt()

    def package_key(self) -> list[str]:
        """What of the settings decides which packages a step gets: part of the layer's key."""
        uv = [f"{name}={value}" for name, value in sorted(self.uv_env.items()) if "CACHE" not in name]
        return [self.pip.as_config(""), *uv]


def read_pip(env: Mapping[str, str]) -> PipSettings:
    """pip's settings: its files, a later one winning over an earlier, then PIP_… variables."""
    values: dict[str, str] = {}
    for path in pip_files(env):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                values |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for name, value in env.items():
        if name.startswith("PIP_") and value:
            values[name[4:].lower().replace("_", "-")] = value
    many = {name: tuple(values.get(name, "").split()) for name in LISTS}
    return PipSettings(
        index_url=values.get("index-url", ""),
        no_index=values.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        find_links=many["find-links"],
        extra_index_urls=many["extra-index-url"],
        constraints=tuple(path for path in many["constraint"] if "://" in path or Path(path).is_file()),
        trusted_hosts=many["trusted-host"],
        cert=values.get("cert", ""),
        timeout=values.get("timeout", values.get("default-timeout", "")),
        proxy=values.get("proxy", ""),
    )


def pip_files(env: Mapping[str, str]) -> list[Path]:
    """The files that pip reads, weakest first."""
    only = env.get("PIP_CONFIG_FILE", "")
    if only == os.devnull:
        return []
    home = Path(env.get("HOME", "~")).expanduser()
    site = [Path(place) / "pip" for place in env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if place]
    user = Path(env.get("XDG_CONFIG_HOME", "") or home / ".config")
    files = [folder / "pip.conf" for folder in [*site, Path("/etc"), home / ".pip", user / "pip"]]
    return [*files, Path(sys.prefix) / "pip.conf", *([Path(only)] if only else [])]


def read_apt(run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> str:
    """The lines of this machine's apt configuration that say how mirrors are reached; "" without apt."""
    try:
        dump = run(["apt-config", "dump"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = [line for line in dump.splitlines() if line.startswith(APT_OPTIONS) and not line.endswith('"";')]
    return "".join(f"{line}\n" for line in lines)


def split_args(args: Sequence[str]) -> list[str]:
    """Arguments of a PIP step: a string of several words counts as several arguments where it is an option."""
    return [word for arg in args for word in (shlex.split(arg) if arg.startswith("-") else [arg])]


def _local(place: str) -> Path | None:
    """The path that a place of packages names, None for one elsewhere."""
    if place.startswith("file:"):
        return Path(unquote(urlparse(place).path))
    return None if "://" in place else Path(place)
