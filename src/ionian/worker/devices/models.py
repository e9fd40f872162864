"""NVIDIA's names of its cards, as the names that `gpu=` takes."""

from __future__ import annotations

import re

from ...gpu import MODELS

MAKERS = {"NVIDIA", "TESLA", "GEFORCE"}
SLICE = re.compile(r"\bMIG \S+")
MEMORY = re.compile(r"\d+GB")
SUFFIXES = {"TI", "SUPER", "D", "LAPTOP"}
"""Words after a model that make it another card."""


def model_of(name: str, memory_mib: int) -> str:
    """ "NVIDIA A100-SXM4-80GB" → "A100-80GB". A card that `gpu=` doesn't know keeps its name, for `gpu="any"`.

    A slice of a card (MIG) is none of that card's model: "MIG-1G.5GB".
    """
    part = SLICE.search(name)
    if part:
        return part[0].replace(" ", "-").upper()
    words = [word for word in re.split(r"[\s_-]+", name.upper()) if word and word not in MAKERS]
    if words[:1] == ["RTX"] and words[1:2] and words[1] in MODELS:
        words = words[1:]  # "RTX A6000" is "A6000"
    for length in range(len(words), 0, -1):
        model = "-".join(words[:length])
        for known in (model, model.replace("-TI", "TI")):
            if known in MODELS:
                return _with_memory(known, words[length:], memory_mib)
    return "-".join(words) or "UNKNOWN"


def _with_memory(model: str, rest: list[str], memory_mib: int) -> str:
    sizes = [
        known
        for known in MODELS
        if known.startswith(f"{model}-") and MEMORY.fullmatch(known[len(model) + 1 :])
    ]
    if sizes:
        named = next((f"{model}-{word}" for word in rest if MEMORY.fullmatch(word)), "")
        if named in MODELS:
            return named
        # The driver keeps a part for itself: the size that is nearest is meant.
        return (
            min(sizes, key=lambda size: abs(int(size[len(model) + 1 : -2]) - memory_mib / 1024))
            if memory_mib
            else model
        )
    return "-".join([model, *(word for word in rest if word in SUFFIXES)])
