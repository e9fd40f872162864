"""A machine with GPUs: a CDI spec whose cards are device nodes that every machine has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

NODES = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""Nodes of this machine that stand in for cards: everybody may open them."""

CONTROL = "/dev/null"
"""What every container with a card has besides."""


def offer(folder: Path, *models: str) -> dict[str, str]:
    """Makes a machine with a card of each model; returns the environment that its worker has to have."""
    devices = [
        {
            "name": str(number),
            "annotations": {
                "ionian.dev/model": model,
                "ionian.dev/memory-mib": "40960" if "40GB" in model else "81920",
            },
            "containerEdits": {"deviceNodes": [{"path": f"/dev/nvidia{number}", "hostPath": node}]},
        }
        for number, (model, node) in enumerate(zip(models, NODES, strict=False))
    ]
    spec: dict[str, Any] = {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "devices": devices,
        "containerEdits": {"deviceNodes": [{"path": "/dev/nvidiactl", "hostPath": CONTROL}]},
    }
    (folder / "nvidia.json").write_text(json.dumps(spec))
    return {"IONIAN_CDI_DIRS": str(folder)}


def number_of(node: str) -> str:
    """The device number of a node, as a container says it too."""
    found = os.stat(node).st_rdev
    return f"{os.major(found)}:{os.minor(found)}"
