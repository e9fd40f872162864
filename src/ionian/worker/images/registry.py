"""A client of OCI registries: what a tag stands for now, and the content of its layers.

Blocking code on the standard library; callers run it in a thread.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

DEFAULT = "docker.io"
DEFAULT_HOST = "registry-1.docker.io"  # who answers for it
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CONNECT_S = 3.0
"""A registry that hasn't answered its first request by then is out of reach: builds go on to the next source."""
READ_S = 60.0
MOST_DESCRIBED = 16 << 20
"""Bytes of a manifest or a configuration: Docker's own are below 4 MiB."""

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class RegistryError(Exception):
    """A registry refused, or what it sent is not what it should be."""


class Unreachable(RegistryError):
    """No registry answered."""


@dataclass(frozen=True)
class Reference:
    """A name such as `python:3.12-slim`, in its parts."""

    registry: str  # "localhost:5000", with "http://" in front where it was given
    repository: str
    tag: str  # or a digest, "sha256:…"

    @classmethod
    def parse(cls, name: str) -> Reference:
        """The parts of a name; a name without a registry means the one in $IONIAN_REGISTRY, else Docker's."""
        if not re.fullmatch(r"[A-Za-z0-9:/@._-]+", name):
            raise RegistryError(f"expected an image name such as python:3.12-slim, got {name!r}")
        scheme, _, rest = name.rpartition("://")
        head, slash, tail = rest.partition("/")
        if not (slash and ("." in head or ":" in head or head == "localhost")):
            default = os.environ.get("IONIAN_REGISTRY") or DEFAULT
            return cls.parse(f"{default.rstrip('/')}/{rest}")
        repository, _, digest = tail.partition("@")
        repository, _, tag = repository.partition(":")
        if head == DEFAULT and "/" not in repository:
            repository = f"library/{repository}"
        if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository):
            raise RegistryError(f"expected an image name such as python:3.12-slim, got {name!r}")
        return cls(f"{scheme}://{head}" if scheme else head, repository, digest or tag or "latest")

    @property
    def url(self) -> str:
        """Where the repository's content is asked for."""
        host = DEFAULT_HOST if self.registry == DEFAULT else self.registry
        if "://" not in host:
            local = host.split(":")[0] in ("localhost", "127.0.0.1")
            host = f"{'http' if local else 'https'}://{host}"
        return f"{host}/v2/{self.repository}"


@dataclass(frozen=True)
class Layer:
    """One layer of an image in a registry."""

    digest: str
    media_type: str
    size: int


@dataclass
class Found:
    """What a name stands for, on this machine's architecture."""

    reference: Reference
    digest: str
    layers: list[Layer]
    config: dict[str, Any] = field(default_factory=dict[str, Any])


class Registry:
    """One repository, with the token that it asked for."""

    def __init__(self, reference: Reference, login: str = "") -> None:
        self.reference = reference
        self._login = login  # base64 of "user:password"; "": what `docker login` kept
        self._authorization = ""

    def find(self) -> Found:
        """What the name stands for now. Raises Unreachable or RegistryError."""
        body, digest = self._manifest(self.reference.tag, CONNECT_S)
        if "manifests" in body:
            digest = _of_this_machine(body["manifests"], self.reference)
            body, digest = self._manifest(digest, READ_S)
        try:
            config = _json(self._read(body["config"]["digest"]), self.reference)
            layers = [
                Layer(one["digest"], one["mediaType"], int(one.get("size", 0))) for one in body["layers"]
            ]
        except (KeyError, TypeError, ValueError):
            raise RegistryError(_no_image(self.reference)) from None
        return Found(self.reference, digest, layers, config.get("config") or {})

    def blob(self, digest: str) -> IO[bytes]:
        """The content of a blob, as a stream. The caller checks its digest."""
        return self._get(f"blobs/{digest}", READ_S)

    def _read(self, digest: str) -> bytes:
        with self.blob(digest) as stream:
            data = _bounded(stream, self.reference)
        _check(digest, data)
        return data

    def _manifest(self, tag: str, timeout_s: float) -> tuple[dict[str, Any], str]:
        with self._get(f"manifests/{tag}", timeout_s, ", ".join(MANIFESTS)) as stream:
            data = _bounded(stream, self.reference)
        if tag.startswith("sha256:"):
            _check(tag, data)
        return _json(data, self.reference), "sha256:" + hashlib.sha256(data).hexdigest()

    def _get(self, path: str, timeout_s: float, accept: str = "*/*", again: bool = True) -> IO[bytes]:
        request = urllib.request.Request(f"{self.reference.url}/{path}", headers={"Accept": accept})
        if self._authorization:
            # Not carried over a redirect: the storage behind a registry refuses a request with two credentials.
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            return urllib.request.urlopen(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == 401 and again:
                self._authorization = authorise(
                    self.reference, error.headers.get("WWW-Authenticate", ""), self._login
                )
                return self._get(path, timeout_s, accept, again=False)
            if error.code in (502, 503, 504):
                raise Unreachable(f"{self.reference.registry} answered {error.code} {error.reason}") from None
            raise RegistryError(_refusal(self.reference, error, bool(self._login))) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(f"{self.reference.registry} is out of reach: {reason}") from None


def authorise(reference: Reference, challenge: str, login: str = "") -> str:
    """The Authorization header that answers a registry's challenge."""
    kind, _, rest = challenge.partition(" ")
    basic = login or credentials(reference.registry)
    if kind.lower() == "basic" and basic:
        return f"Basic {basic}"
    if kind.lower() != "bearer":
        raise RegistryError(f"{reference.registry} asks for a login: {_cure(reference, bool(login))}")
    asked: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.pop("realm", "")
    query = {"scope": f"repository:{reference.repository}:pull", **asked}
    request = urllib.request.Request(f"{realm}?{urllib.parse.urlencode(query)}")
    if basic:
        request.add_header("Authorization", f"Basic {basic}")
    try:
        with urllib.request.urlopen(request, timeout=READ_S) as answer:
            body = json.load(answer)
    except (OSError, ValueError) as error:
        raise RegistryError(f"no token for {reference.repository} from {realm}: {error}") from None
    return f"Bearer {body.get('token') or body.get('access_token', '')}"


def credentials(registry: str) -> str:
    """What `docker login` kept for a registry: base64 of "user:password", or ""."""
    folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    try:
        auths: dict[str, dict[str, str]] = json.loads((Path(folder) / "config.json").read_text())["auths"]
    except (OSError, ValueError, KeyError):
        return ""
    host = registry.rpartition("://")[2]
    names = [host, f"https://{host}", f"https://index.{host}/v1/"]
    found = next((auths[name] for name in names if name in auths), dict[str, str]())
    login = f"{found.get('username', '')}:{found.get('password', '')}"
    return found.get("auth", "") or (base64.b64encode(login.encode()).decode() if len(login) > 1 else "")


class OutOfReach:
    """The registries that did not answer, remembered for the life of the process: asked once, not at every build."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def find(self, name: str, login: str = "") -> tuple[Registry, Found]:
        """Like Registry.find. Raises Unreachable at once where this registry didn't answer before."""
        registry = Registry(Reference.parse(name), login)
        place = registry.reference.registry
        with self._lock:
            if place in self._reasons:
                raise Unreachable(self._reasons[place])
        try:
            return registry, registry.find()
        except Unreachable as error:
            self.refuse(place, str(error))
            raise

    def refuse(self, place: str, reason: str) -> None:
        """From now on this registry counts as out of reach."""
        with self._lock:
            self._reasons[place] = reason


def _of_this_machine(manifests: list[dict[str, Any]], reference: Reference) -> str:
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    offered: list[str] = []
    for manifest in manifests:
        target = manifest.get("platform", {})
        if target.get("os") == "linux" and target.get("architecture") == machine:
            return manifest["digest"]
        offered.append(f"{target.get('os')}/{target.get('architecture')}")
    raise RegistryError(
        f"{reference.repository}:{reference.tag} is there for {', '.join(offered) or 'nothing'}, not for linux/{machine}"
    )


def _check(digest: str, data: bytes) -> None:
    got = "sha256:" + hashlib.sha256(data).hexdigest()
    if got != digest:
        raise RegistryError(f"expected content with digest {digest}, got {got}")


def _bounded(stream: IO[bytes], reference: Reference) -> bytes:
    """A manifest or a configuration, which are small."""
    data = stream.read(MOST_DESCRIBED + 1)
    if len(data) > MOST_DESCRIBED:
        raise RegistryError(
            f"{reference.registry} describes {reference.repository} in more than {MOST_DESCRIBED >> 20} MiB"
        )
    return data


def _json(data: bytes, reference: Reference) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RegistryError(_no_image(reference))
    return cast("dict[str, Any]", body)


def _no_image(reference: Reference) -> str:
    return (
        f"what {reference.registry} has as {reference.repository}:{reference.tag} is no image that this reads"
    )


def _cure(reference: Reference, login: bool) -> str:
    if login:
        return "it doesn't take the login of the secret"
    return f"give a secret with REGISTRY_USERNAME and REGISTRY_PASSWORD, or run `docker login {reference.registry}`"


def _refusal(reference: Reference, error: urllib.error.HTTPError, login: bool) -> str:
    name = f"{reference.repository}:{reference.tag}"
    if error.code == 404:
        return f"no image {name} in {reference.registry}"
    if error.code in (401, 403):
        private = "" if login else "if it is private, "
        return f"{reference.registry} refuses {name}: {private}{_cure(reference, login)}"
    return f"{reference.registry} answered {error.code} {error.reason} for {name}"


def login_of(kind: str, secret: Mapping[str, str]) -> str:
    """The login that a secret holds for a kind of registry, as base64; "" where there is no secret."""
    if not secret:
        return ""
    names = {"gcp": ("", "SERVICE_ACCOUNT_JSON")}.get(kind, ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"))
    missing = [name for name in names if name and not secret.get(name)]
    if missing:
        raise RegistryError(
            f"expected a secret with the key {missing[0]}, and this one has {', '.join(sorted(secret))}"
        )
    user, password = names
    login = f"{secret[user] if user else '_json_key'}:{secret[password]}"
    return base64.b64encode(login.encode()).decode()
