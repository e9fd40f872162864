"""Ionian: Modal's programming model as software that anyone can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import exception, runner
from .alias import install_alias
from .app import App
from .cloud_bucket_mount import CloudBucketMount
from .cls import Cls
from .clusters import Cluster, clustered
from .dict import Dict
from .environment import Environment
from .exception import Error
from .execution import current_function_call_id, current_input_id, is_local
from .file_pattern_matcher import FilePatternMatcher
from .function import Function
from .function_call import FunctionCall
from .image import Image
from .interaction import interact
from .output import enable_output
from .parameters import parameter
from .partial_function import batched, concurrent, enter, exit, method
from .queue import Queue
from .retries import Retries
from .schedule import Cron, Period
from .secret import Secret
from .tunnel import Tunnel, forward
from .version import __version__
from .volume import Volume
from .web_endpoint import asgi_app, fastapi_endpoint, web_endpoint, web_server, wsgi_app

if TYPE_CHECKING:  # loaded when it is first used
    from . import experimental, types

__all__ = [
    "App",
    "CloudBucketMount",
    "Cls",
    "Cluster",
    "Cron",
    "Dict",
    "Environment",
    "Error",
    "FilePatternMatcher",
    "Function",
    "FunctionCall",
    "Image",
    "Period",
    "Queue",
    "Retries",
    "Secret",
    "Tunnel",
    "Volume",
    "__version__",
    "asgi_app",
    "batched",
    "clustered",
    "concurrent",
    "current_function_call_id",
    "current_input_id",
    "enable_output",
    "enter",
    "exception",
    "exit",
    "experimental",
    "fastapi_endpoint",
    "forward",
    "install_alias",
    "interact",
    "is_local",
    "method",
    "parameter",
    "runner",
    "types",
    "web_endpoint",
    "web_server",
    "wsgi_app",
]


def __getattr__(name: str) -> Any:
    """Names that are retired, submodules on first use, and names that come later: they say so when they are used."""
    from . import later

    if name == "Stub":
        import warnings

        warnings.warn("modal.Stub is retired; write modal.App", exception.DeprecationError, stacklevel=2)
        return App
    if name in {"call_graph", "config", "experimental", "gpu", "types"}:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    found = later.top_level(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
