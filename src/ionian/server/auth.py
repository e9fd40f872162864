"""Who may do what: tokens, actors, and `authorise`, the one place that decides."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ionian.protocol.ids import new_id, ulid
from ionian.protocol.stream import Refused
from ionian.protocol.tokens import Role

from ..machine.state import StateFolder
from .roles import NO_ROLE, refusal, role_of

if TYPE_CHECKING:
    from .store import Store  # not at run time: a client makes its local token without a database library
    from .store.schema import Token

Kind = Literal["client", "worker", "container", "nobody"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever sent a message. A container acts as its app in its app's environment, not as who started the app."""

    kind: Kind
    id: str  # the peer ("cl-…", "wo-…"), or the container ("ta-…")
    environment: str = ""  # "": every environment
    app_id: str = ""  # of a container
    token_id: str = ""
    stream: int = 0  # a peer has up to two; each is an actor of its own
    restricted: bool = False  # of a container: its function has restrict_modal_access
    role: Role = "admin"  # of a client's token


NOBODY = Actor("nobody", "")
"""A peer before its Hello was accepted."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a message is about. Empty: of no environment, of no app (worker affairs, content without an owner)."""

    environment: str = ""
    app_id: str = ""


OBJECTS = frozenset(
    {
        "FindObject",
        "CreateObject",
        "CreateEphemeral",
        "KeepEphemeral",
        "ListObjects",
        "DeleteObject",
        "RenameObject",
    }
    | {"ItemOps", "StopWaiting", "ReadDict", "PeekQueue", "MeasureQueue"}
)
"""What concerns objects by their names, and what is in them."""

STATISTICS = frozenset(
    {"DescribeApp", "MeasureApp", "InspectFunction", "MeasureFunction", "MeasureSeries", "ListVariants"}
)
"""What apps and functions are, and what they did."""

VOLUMES = frozenset({"ListFiles", "ReadFile", "FindExisting", "PutFiles", "RemoveFile", "CopyFiles"})
"""What concerns the files of volumes."""

IMAGES = frozenset(
    {
        *("FindImage", "ListImages", "PublishImage", "RemoveImage", "PruneImages", "ReadImageLogs"),
        *("ListImageNames", "ReadImageName", "DeleteImageName"),
    }
)
"""What concerns images that were built."""

ALLOWED: dict[Kind, frozenset[str]] = {
    "nobody": frozenset({"Hello"}),
    "client": frozenset(
        {
            *("CreateApp", "StopApp", "PublishApp", "BuildImage", "FindVolume", "PutSecret", "FollowApp"),
            *("OpenCall", "CloseCalls", "Confirm", "FindFunction", "CheckResources", "INPUTS"),
            *(
                "Spawn",
                "SpawnEach",
                "ListCalls",
                "GetOutputs",
                "GetCallInfo",
                "CancelCall",
                "GetCallGraph",
                "ExplainCall",
                "FindEndpoints",
                "FindEndpoint",
            ),
            *("DescribeFunction", "BindFunction", "UpdateAutoscaler", "GetAutoscaler", "GetFunctionStats"),
            *("FindApp", "ListApps", "AppHistory", "RollbackApp", "TagApp", "ListContainers", "EndContainer"),
            "GetCluster",
            *("ReadLogs", "StartExec", "StartReplay", "StartShell", "ExecData", "ResizeExec", "KillExec"),
            *("ExecTaken", "LendTerminal", "TakeTerminal"),
            *OBJECTS,
            *VOLUMES,
            *IMAGES,
            *STATISTICS,
            *(
                "FindEnvironment",
                "ListEnvironments",
                "CreateEnvironment",
                "UpdateEnvironment",
                "DeleteEnvironment",
                "ListRoles",
                "UpdateRoles",
            ),
            *("FindVolumeUsers", "CopyOffered", "PlaceFiles"),
            *("PutNamedSecret", "FindSecret", "ListSecrets", "RotateMasterKey"),
            *("DescribeToken", "CreateToken", "ListTokens", "RevokeToken"),
            *("FindBlobs", "Blob", "ReadBlob"),
            *("FindDashboard", "OpenDashboard"),
            *("ReadUsage", "ReadPrices"),
        }
    ),
    "worker": frozenset(
        {
            *(
                "Inventory",
                "ContainerState",
                "FirstInput",
                "Sampled",
                "TakenBack",
                "FromContainer",
                "Log",
                "BuildStep",
                "Metered",
                "RESULTS",
            ),
            *("ExecData", "ExecEnded", "ExecTaken"),
            *("FindBlobs", "Blob", "ReadBlob", "FindLayers"),
            *("FindVersion", "CommitChanges"),
        }
    ),
    "container": frozenset(
        {
            *("OpenCall", "CloseCalls", "Confirm", "FindFunction", "FindVolume", "INPUTS"),
            "GetCluster",
            *("FindApp", "Spawn", "GetOutputs", "GetCallInfo", "CancelCall", "GetCallGraph", "ExplainCall"),
            *("DescribeFunction", "BindFunction", "UpdateAutoscaler", "GetAutoscaler", "GetFunctionStats"),
            *("FindEnvironment", "FindSecret", "ReadLogs"),
            *OBJECTS,
            *VOLUMES,
            *STATISTICS,
            *("FindBlobs", "Blob", "ReadBlob"),
            *("TakePart", "AwaitTaken", "FindEndpoints", "FindDashboard"),
            *("OpenTunnel", "CloseTunnel", "TakeConnection", "TakeData", "GiveData", "EndConnection"),
            *("Interact", "ReturnTerminal"),
        }
    ),
}
"""The messages that each kind of peer may send unasked, by name; INPUTS and RESULTS are the batches.
What is not here is refused: a new message is nobody's until it is written down."""

RESTRICTED = frozenset({"TakePart", "AwaitTaken"})
"""All that a container of a function with restrict_modal_access may send: it asks for the rest of its own web requests."""

OWN_APP = frozenset({"FindBlobs", "Blob", "ReadBlob", "ReadLogs"})
"""What a container may do to its own app alone; anything else it may do in its app's whole environment."""

NOT_OF_SECRETS = OBJECTS - {"FindObject"}
"""What a container may do with objects, and not with secrets: no code that runs lists, changes or deletes them."""

OF_ALL = frozenset(
    {
        "CreateEnvironment",
        "UpdateEnvironment",
        "DeleteEnvironment",
        "UpdateRoles",
        "CreateToken",
        "ListTokens",
    }
    | {"RotateMasterKey", "PruneImages"}
)
"""What concerns more than one environment: not for who belongs to one."""


class PermissionDenied(Refused):
    """The actor may not do this."""

    def __init__(self, message: str) -> None:
        super().__init__("PermissionDeniedError", message)


def authorise(actor: Actor, action: str, target: Target) -> None:
    """Lets a message through or raises PermissionDenied. `action` is the name of its class, or of a batch kind."""
    _permit(actor, action)
    if actor.restricted and action not in RESTRICTED:
        raise PermissionDenied(
            "restrict_modal_access=True: containers of this function may call no function, use no object by its name, and "
            f"ask the server for nothing else ({action})"
        )
    if actor.environment and action in OF_ALL:
        raise PermissionDenied(
            f"{action} is for tokens of all environments; this {_name(actor)} belongs to {actor.environment!r}"
        )
    if actor.environment and target.environment and actor.environment != target.environment:
        raise PermissionDenied(
            f"{action} concerns environment {target.environment!r}; this {_name(actor)} belongs to {actor.environment!r}"
        )
    if actor.kind != "container":
        return
    if not actor.environment or not actor.app_id:
        raise PermissionDenied(f"expected a container of an app, got one of none; it may not send {action}")
    if action in OWN_APP and target.app_id != actor.app_id:
        raise PermissionDenied(
            f"{action} concerns what is not of app {actor.app_id}; its containers may not do that"
        )


def permit(actor: Actor, message: Any) -> None:
    """Refuses a message that is nobody's of this kind or role, before anything looks at its target. Raises PermissionDenied."""
    _permit(actor, type(message).__name__)
    if actor.role == "viewer" and getattr(message, "create", False):
        raise PermissionDenied(refusal("viewer", "create_if_missing"))


def _permit(actor: Actor, action: str) -> None:
    if action not in ALLOWED[actor.kind]:
        raise PermissionDenied(f"a {_name(actor)} may not send {action}")
    if actor.role != "admin" and (why := refusal(actor.role, action)):
        raise PermissionDenied(why)


def _name(actor: Actor) -> str:
    return "peer that has not said Hello" if actor.kind == "nobody" else actor.kind


_streams = itertools.count(1)

# --- tokens: "ti-ID.SECRET"; the store has the id and a hash of the secret


def new_token() -> str:
    """A token that nobody can guess: its secret has 256 random bits, so a plain hash of it is safe to keep."""
    return f"{new_id('ti')}.{secrets.token_urlsafe(32)}"


def admit_token(
    store: Store,
    token: str,
    *,
    kind: Literal["client", "worker"],
    environment: str = "",
    name: str = "",
    expires_at: float | None = None,
    role: Role = "admin",
) -> str:
    """From now on the token lets a peer of this kind in; returns its id. A revoked one stays revoked."""
    token_id, secret = _halves(token)
    store.tokens.add(
        token_id,
        kind=kind,
        environment=environment,
        name=name,
        secret_hash=_hash(secret),
        expires_at=expires_at,
        role=role,
    )
    return token_id


def authenticate(store: Store, token: str, *, role: str, peer_id: str) -> Actor:
    """The actor behind a Hello. Raises Refused (AuthError). Role "blobs" is open to clients and workers."""
    token_id, secret = _halves(token)
    row = store.tokens.find(token_id)
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(secret)):
        raise Refused(
            "AuthError", "the server does not know this token; check IONIAN_TOKEN, or ask for a new one"
        )
    _check_good(row)
    kind: Kind = "worker" if row.kind == "worker" else "client"
    if role not in (kind, "blobs"):
        raise Refused("AuthError", f"expected a token for a {role}, got one for a {kind}")
    prefix = {"client": "cl-", "worker": "wo-"}[kind]
    if not peer_id.startswith(prefix):
        raise Refused("AuthError", f"expected the id of a {kind} ({prefix}…), got {peer_id[:40]!r}")
    return Actor(kind, peer_id, row.environment, "", token_id, next(_streams), role=role_of(row.role))


def readmit(store: Store, token_id: str, peer_id: str) -> Actor:
    """The actor of a client whose token was seen before, if it is still good. Raises Refused (AuthError)."""
    row = store.tokens.find(token_id)
    if row is None or row.kind != "client":
        raise Refused("AuthError", "the server does not know this token; ask for a new one")
    _check_good(row)
    return Actor("client", peer_id, row.environment, "", token_id, next(_streams), role=role_of(row.role))


def _check_good(row: Token) -> None:
    if row.revoked_at is not None:
        raise Refused("AuthError", f"token {row.token_id} was revoked; ask for a new one")
    if row.expires_at is not None and row.expires_at <= time.time():
        raise Refused("AuthError", f"token {row.token_id} has expired; ask for a new one")
    if row.role == NO_ROLE:
        raise Refused(
            "AuthError",
            f"token {row.token_id} gives no access to environment {row.environment!r} now; an admin may change that",
        )


def container_actor(container_id: str, *, environment: str, app_id: str, restricted: bool = False) -> Actor:
    """What a container is, seen from the server: its worker vouches for its number, the server knows the rest."""
    return Actor("container", container_id, environment, app_id, restricted=restricted)


def local_token(state: StateFolder, kind: Literal["client", "worker"] = "client") -> str:
    """The token of this user's own processes on this machine, made where it is missing, in a file for them alone."""
    file = state.runtime / f"{kind}.token"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return _create(file)


def _create(file: Path) -> str:
    temporary = file.with_name(f"{file.name}.{ulid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(new_token() + "\n")
        try:
            os.link(temporary, file)  # whole or not at all; of two processes the first wins
        except FileExistsError:
            pass
    finally:
        temporary.unlink()
    return file.read_text().strip()


def _halves(token: str) -> tuple[str, str]:
    token_id, dot, secret = token.partition(".")
    if not (token_id.startswith("ti-") and dot and secret and token.isascii()):
        raise Refused(
            "AuthError",
            "expected a token like ti-….SECRET; `ionian server status --tokens` shows them where the server runs",
        )
    return token_id, secret


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
