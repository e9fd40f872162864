"""Sandboxes: any program, over overlay layers, by bubblewrap, as root or as a plain user."""

from .bwrap import Bwrap, find_bwrap
from .idmap import IdMap
from .inside import Inside, Program
from .sandbox import Sandbox, start
from .scratch import prepare as prepare_scratch
from .scratch import remove as remove_folders
from .scratch import sweep
from .spawner import Spawner
from .spec import Bind, Exit, Limits, ResourceUse, SandboxError, SandboxSpec

__all__ = [
    "Bind",
    "Bwrap",
    "Exit",
    "IdMap",
    "Inside",
    "Limits",
    "Program",
    "ResourceUse",
    "Sandbox",
    "SandboxError",
    "SandboxSpec",
    "Spawner",
    "find_bwrap",
    "prepare_scratch",
    "remove_folders",
    "start",
    "sweep",
]
