"""Sandboxes: any program, over overlay layers, by bubblewrap, as root or as a plain user."""

from .bwrap import Bwrap, find_bwrap
from .idmap import IdMap
from .inside import Inside, Program
from .sandbox import Sandbox, start
from .scratch import prepare as prepare_scratch
from .scratch import remove as remove_folders
from .scratch import sweep
from .spare import ForkSpec
from .spawner import Spawner
from .spec import Bind, Exit, Limits, NetNamespace, ResourceUse, SandboxError, SandboxSpec
from .warden_link import ForkError
from .zygote import Zygote, start_zygote

__all__ = [
    "Bind",
    "Bwrap",
    "Exit",
    "ForkError",
    "ForkSpec",
    "IdMap",
    "Inside",
    "Limits",
    "NetNamespace",
    "Program",
    "ResourceUse",
    "Sandbox",
    "SandboxError",
    "SandboxSpec",
    "Spawner",
    "Zygote",
    "find_bwrap",
    "prepare_scratch",
    "remove_folders",
    "start",
    "start_zygote",
    "sweep",
]
