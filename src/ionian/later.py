"""What Modal's API has and Ionian doesn't have yet: refused by name where it is used, never ignored.

`docs/compatibility.md` shows the same names to people; tests/compat holds the two together and against Modal's API.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from .exception import UnimplementedError
from .execution import is_local

T = TypeVar("T")

NAMES: dict[str, str] = {
    name: reason
    for reason, names in {
        "web endpoints": (
            "experimental.OutboundPolicy experimental.ServerManager experimental.flash_forward "
            "experimental.flash_get_containers experimental.http_server experimental.server_forward "
            "sessioned Server App.server types.ServerAutoscalerSettings types.ServerContainerInfo "
            "types.ServerInfo types.ServerSessionCredentials types.ServerStats"
        ),
        "sandboxes": (
            "Sandbox SandboxSnapshot Probe App.sandboxes types.FileInfo types.FileType types.FileWatchEvent "
            "types.FileWatchEventType types.SandboxConnectCredentials types.SandboxGroupStats types.SandboxStats"
        ),
        "buckets as volumes": "NetworkFileSystem types.CloudBucketMountInfo",
        "clusters over several machines": (
            "experimental.ClusterReservation experimental.ClusterReservationTask "
            "experimental.list_cluster_reservations"
        ),
        "experiments": (
            "experimental.AppInfo experimental.AppLifecycle experimental.AppendResult "
            "experimental.DockerfileSpec experimental.Entry experimental.IdempotencyConflict "
            "experimental.Stream experimental.StreamInfo experimental.StreamToken experimental.StreamWriter "
            "experimental.get_app_lifecycle experimental.get_app_objects "
            "experimental.get_local_input_concurrency experimental.image_delete "
            "experimental.list_deployed_apps experimental.set_local_input_concurrency experimental.stop_app "
            "experimental.stop_fetching_inputs"
        ),
        "workspaces and usage": (
            "Environment.apps Workspace billing types.WorkspaceBillingSummary types.WorkspaceSettings"
        ),
        "roles": (
            "types.MemberTokenInfo types.ProxyTokenInfo types.ServiceUserInfo "
            "types.TokenData types.WorkspaceMemberInfo"
        ),
        "connections by hand": (
            "Client Dict.client Queue.client Cluster.client FunctionCall.client Cls.client Function.client Image.client Volume.client Secret.client Environment.client"
        ),
        "placement and proxies": "Proxy SchedulerPlacement",
    }.items()
    for name in names.split()
}
"""Names → the feature with which each comes. Members of a class that is here are not listed."""

PARAMETERS: dict[str, str] = {
    f"{callable_}({parameter})": reason
    for callable_, reasons in {
        "App.function": {
            "network isolation": "proxy i6pn",
            "placement": "cloud region routing_region",
            "buckets as volumes": "network_file_systems",
            "experiments": "experimental_options _experimental_restrict_output",
        },
        "App.cls": {
            "network isolation": "proxy i6pn",
            "placement": "cloud region routing_region",
            "buckets as volumes": "network_file_systems",
            "experiments": "experimental_options _experimental_restrict_output",
        },
        "CloudBucketMount.__init__": {"roles": "oidc_auth_role_arn"},
        "Cluster.from_id": {"connections by hand": "client"},
        "Cluster.hydrate": {"connections by hand": "client"},
        "Cls.from_name": {"connections by hand": "client"},
        "Cls.hydrate": {"connections by hand": "client"},
        "App.run": {"connections by hand": "client"},
        "App.deploy": {"connections by hand": "client"},
        "App.lookup": {"connections by hand": "client"},
        "App.stop": {"connections by hand": "client"},
        "App.set_tags": {"connections by hand": "client"},
        "App.get_tags": {"connections by hand": "client"},
        "Environment.from_name": {"connections by hand": "client"},
        "Environment.from_context": {"connections by hand": "client"},
        "Environment.hydrate": {"connections by hand": "client"},
        "Dict.from_name": {"connections by hand": "client"},
        "Dict.from_id": {"connections by hand": "client"},
        "Dict.ephemeral": {"connections by hand": "client"},
        "Dict.hydrate": {"connections by hand": "client"},
        "Queue.from_name": {"connections by hand": "client"},
        "Queue.from_id": {"connections by hand": "client"},
        "Queue.ephemeral": {"connections by hand": "client"},
        "Queue.hydrate": {"connections by hand": "client"},
        "Function.from_id": {"connections by hand": "client"},
        "Function.from_name": {"connections by hand": "client"},
        "Function.with_options": {"placement": "region cloud routing_region"},
        "FunctionCall.from_id": {"connections by hand": "client"},
        "FunctionCall.hydrate": {"connections by hand": "client"},
        "Function.hydrate": {"connections by hand": "client"},
        "Image.from_id": {"connections by hand": "client"},
        "Image.from_name": {"connections by hand": "client"},
        "Image.hydrate": {"connections by hand": "client"},
        "Image.publish": {"experiments": "experimental_options", "connections by hand": "client"},
        "Image.run_function": {
            "placement": "cloud region",
            "buckets as volumes": "network_file_systems",
        },
        "Secret.from_name": {"connections by hand": "client"},
        "Secret.hydrate": {"connections by hand": "client"},
        "Secret.from_dotenv": {"connections by hand": "client"},
        "Volume.ephemeral": {"options of Modal's storage": "create_options", "connections by hand": "client"},
        "Volume.from_id": {"connections by hand": "client"},
        "Volume.from_name": {"options of Modal's storage": "create_options", "connections by hand": "client"},
        "Volume.hydrate": {"connections by hand": "client"},
    }.items()
    for reason, parameters in reasons.items()
    for parameter in parameters.split()
}
"""Parameters that are refused when they are set → the feature with which each comes."""


class Later:
    """Stands for a name that comes later: using it in any way says so."""

    def __init__(self, name: str, reason: str) -> None:
        self._message = f"{name} is not in this version of Ionian: it comes with {reason}. {ADVICE}"

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UnimplementedError(self._message)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what Python and its tools ask of any object
            raise AttributeError(name)
        raise UnimplementedError(self._message)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        raise UnimplementedError(self._message)

    def __or__(self, other: Any) -> Any:  # in an annotation: `Dict | None`
        return Any

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<{self._message}>"


ADVICE = "docs/compatibility.md lists what is there."


def refuse(callable_: str, **given: Any) -> None:
    """Raises UnimplementedError where one of these parameters is set: their feature comes later."""
    if not is_local():
        return
    for parameter, value in given.items():
        if value:
            reason = PARAMETERS[f"{callable_}({parameter})"]
            raise UnimplementedError(
                f"{callable_}({parameter}=…) is not in this version of Ionian: it comes with {reason}. {ADVICE}"
            )


def fill(cls: type[T]) -> type[T]:
    """Gives a class its members that come later, so that using one says so instead of 'no attribute'."""
    prefix = f"{cls.__name__}."
    for name, reason in NAMES.items():
        if name.startswith(prefix):
            setattr(cls, name[len(prefix) :], Later(name, reason))
    return cls


def top_level(name: str) -> Later | None:
    """The stand-in for a name of the package that comes later."""
    reason = NAMES.get(name)
    return None if reason is None else Later(name, reason)
