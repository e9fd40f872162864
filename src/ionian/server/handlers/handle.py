"""From a message to its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ionian.protocol.apps import (
    AppHistory,
    CreateApp,
    EndContainer,
    FindApp,
    FindVolume,
    ListApps,
    ListContainers,
    PublishApp,
    PutSecret,
    ReadLogs,
    RollbackApp,
    StopApp,
    TagApp,
)
from ionian.protocol.calls import (
    BindFunction,
    CancelCall,
    DescribeFunction,
    ExplainCall,
    FindFunction,
    GetAutoscaler,
    GetCallGraph,
    GetCallInfo,
    GetFunctionStats,
    GetOutputs,
    ListCalls,
    UpdateAutoscaler,
)
from ionian.protocol.clusters import GetCluster
from ionian.protocol.dashboard import FindDashboard, OpenDashboard
from ionian.protocol.environment_roles import ListRoles, UpdateRoles
from ionian.protocol.environments import (
    CreateEnvironment,
    DeleteEnvironment,
    FindEnvironment,
    ListEnvironments,
    UpdateEnvironment,
)
from ionian.protocol.images import (
    DeleteImageName,
    FindImage,
    ListImageNames,
    ListImages,
    PruneImages,
    PublishImage,
    ReadImageLogs,
    ReadImageName,
    RemoveImage,
)
from ionian.protocol.items import MeasureQueue, PeekQueue, ReadDict
from ionian.protocol.layers import FindLayers
from ionian.protocol.messages import Blob, FindBlobs, ReadBlob
from ionian.protocol.metrics import MeasureSeries
from ionian.protocol.objects import (
    CreateEphemeral,
    CreateObject,
    DeleteObject,
    FindObject,
    KeepEphemeral,
    ListObjects,
    RenameObject,
)
from ionian.protocol.secrets import FindSecret, ListSecrets, PutNamedSecret, RotateMasterKey
from ionian.protocol.statistics import DescribeApp, InspectFunction, ListVariants, MeasureApp, MeasureFunction
from ionian.protocol.stream import Refused
from ionian.protocol.terminals import Interact, ReturnTerminal
from ionian.protocol.tokens import CreateToken, DescribeToken, ListTokens, RevokeToken
from ionian.protocol.tunnels import (
    CloseTunnel,
    EndConnection,
    GiveData,
    OpenTunnel,
    TakeConnection,
    TakeData,
)
from ionian.protocol.usage import ReadPrices, ReadUsage
from ionian.protocol.volumes import (
    CommitChanges,
    CopyFiles,
    CopyOffered,
    FindExisting,
    FindVersion,
    FindVolumeUsers,
    ListFiles,
    PlaceFiles,
    PutFiles,
    ReadFile,
    RemoveFile,
)
from ionian.protocol.web import AwaitTaken, FindEndpoint, FindEndpoints, TakePart

from ...machine.state import StateError
from ..auth import Actor, permit
from ..store import StoreError
from ..store.database import StoreFull
from .apps import create_app, publish_app, stop_app
from .blobs import find_blobs, read_blob, write_blob
from .calls import cancel_call, explain_call, get_call_graph, get_call_info, get_outputs, list_calls
from .containers import end_container, get_cluster, list_containers
from .context import Context
from .dashboard import find_dashboard, open_dashboard
from .deploys import app_history, find_app, list_apps, rollback_app, tag_app
from .environment_roles import list_roles, update_roles
from .environments import (
    create_environment,
    delete_environment,
    find_environment,
    list_environments,
    update_environment,
)
from .functions import bind_function, describe_function, find_function
from .image_removal import prune_images, remove_image
from .images import (
    delete_image_name,
    find_image,
    find_layers,
    list_image_names,
    list_images,
    publish_image,
    read_image_logs,
    read_image_name,
)
from .items import measure_queue, peek_queue, read_dict
from .logs import read_logs
from .metrics import measure_series
from .objects import (
    create_ephemeral,
    create_object,
    delete_object,
    find_object,
    keep_ephemeral,
    list_objects,
    rename_object,
)
from .scaling import get_autoscaler, get_function_stats, update_autoscaler
from .secrets import find_secret, list_secrets, put_named_secret, put_secret, rotate_master_key
from .statistics import describe_app, inspect_function, measure_app, measure_function
from .terminals import interact, return_terminal
from .tokens import create_token, describe_token, list_tokens, revoke_token
from .tunnels import (
    close_tunnel,
    end_connection,
    give_data,
    open_tunnel,
    take_connection,
    take_data,
)
from .usage import read_prices, read_usage
from .variants import list_variants
from .volume_versions import commit_changes, find_version
from .volumes import (
    copy_files,
    copy_offered,
    find_existing,
    find_volume,
    find_volume_users,
    list_files,
    place_files,
    put_files,
    read_file,
    remove_file,
)
from .web import await_taken, find_endpoint, find_endpoints, take_part

Handler = Callable[[Actor, Any, bytes, Context], Awaitable[tuple[Any, bytes]]]

HANDLED: dict[type, Handler] = {
    CreateApp: create_app,
    PublishApp: publish_app,
    StopApp: stop_app,
    FindApp: find_app,
    ListApps: list_apps,
    AppHistory: app_history,
    RollbackApp: rollback_app,
    ListContainers: list_containers,
    ListCalls: list_calls,
    EndContainer: end_container,
    GetCluster: get_cluster,
    ReadLogs: read_logs,
    TagApp: tag_app,
    PutSecret: put_secret,
    PutNamedSecret: put_named_secret,
    FindSecret: find_secret,
    ListSecrets: list_secrets,
    RotateMasterKey: rotate_master_key,
    FindVolume: find_volume,
    ListFiles: list_files,
    ReadFile: read_file,
    FindExisting: find_existing,
    FindVolumeUsers: find_volume_users,
    PutFiles: put_files,
    CopyOffered: copy_offered,
    PlaceFiles: place_files,
    RemoveFile: remove_file,
    CopyFiles: copy_files,
    FindVersion: find_version,
    CommitChanges: commit_changes,
    FindObject: find_object,
    CreateObject: create_object,
    CreateEphemeral: create_ephemeral,
    KeepEphemeral: keep_ephemeral,
    ListObjects: list_objects,
    DeleteObject: delete_object,
    RenameObject: rename_object,
    FindImage: find_image,
    ListImages: list_images,
    PublishImage: publish_image,
    PruneImages: prune_images,
    RemoveImage: remove_image,
    ListImageNames: list_image_names,
    ReadImageName: read_image_name,
    DeleteImageName: delete_image_name,
    ReadImageLogs: read_image_logs,
    ReadDict: read_dict,
    PeekQueue: peek_queue,
    MeasureQueue: measure_queue,
    FindFunction: find_function,
    DescribeFunction: describe_function,
    BindFunction: bind_function,
    GetOutputs: get_outputs,
    GetCallInfo: get_call_info,
    CancelCall: cancel_call,
    GetCallGraph: get_call_graph,
    ExplainCall: explain_call,
    UpdateAutoscaler: update_autoscaler,
    GetAutoscaler: get_autoscaler,
    GetFunctionStats: get_function_stats,
    DescribeApp: describe_app,
    MeasureApp: measure_app,
    InspectFunction: inspect_function,
    MeasureFunction: measure_function,
    MeasureSeries: measure_series,
    ListVariants: list_variants,
    ReadUsage: read_usage,
    ReadPrices: read_prices,
    CreateEnvironment: create_environment,
    FindEnvironment: find_environment,
    ListEnvironments: list_environments,
    UpdateEnvironment: update_environment,
    DeleteEnvironment: delete_environment,
    ListRoles: list_roles,
    UpdateRoles: update_roles,
    CreateToken: create_token,
    DescribeToken: describe_token,
    ListTokens: list_tokens,
    RevokeToken: revoke_token,
    FindBlobs: find_blobs,
    Blob: write_blob,
    ReadBlob: read_blob,
    FindLayers: find_layers,
    TakePart: take_part,
    AwaitTaken: await_taken,
    OpenTunnel: open_tunnel,
    CloseTunnel: close_tunnel,
    TakeConnection: take_connection,
    TakeData: take_data,
    GiveData: give_data,
    EndConnection: end_connection,
    Interact: interact,
    ReturnTerminal: return_terminal,
    FindEndpoints: find_endpoints,
    FindEndpoint: find_endpoint,
    FindDashboard: find_dashboard,
    OpenDashboard: open_dashboard,
}
"""The messages that are answered from here. Each handler authorises its actor itself: it knows the target."""


async def handle(actor: Actor, message: Any, payload: bytes, context: Context) -> tuple[Any, bytes]:
    """The answer to a request and its payload. Raises Refused.

    Chunks of one blob must be given in order (each call reaches the upload's queue before it first waits).
    """
    kind = message.__class__
    handler = HANDLED.get(kind)
    if handler is None:
        raise Refused("InvalidError", f"expected another message on this stream, got {kind.__name__}")
    permit(actor, message)
    try:
        return await handler(actor, message, payload, context)
    except StoreFull as error:
        raise Refused("ResourceExhaustedError", f"the server can't keep this: {error}") from error
    except (StoreError, StateError, OSError) as error:
        raise Refused("InternalFailure", f"the server can't do this: {error}") from error
