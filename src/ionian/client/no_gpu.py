"""Functions that ask for a GPU, run without one: `--no-gpu`, or the setting `gpu = "ignore"`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from .. import config
from ..exception import InvalidError

SETTING = "IONIAN_GPU"


def ignore() -> None:
    """From here on, as if no function asked for a GPU."""
    os.environ[SETTING] = "ignore"


def ignored() -> bool:
    """Whether that was asked for. Raises InvalidError for a setting that is none."""
    value = config.get("gpu")
    if value not in ("", "ignore"):
        raise InvalidError(f'the setting gpu ({SETTING}): expected "ignore" or nothing, got {value!r}')
    return value == "ignore"


def command_line(argv: Sequence[str] | None = None) -> str:
    """The line that runs this program again, without GPUs. `argv` is how this process was started."""
    words = list(sys.orig_argv if argv is None else argv)
    at = next((at for at, word in enumerate(words[:2]) if os.path.basename(word) == "ionian"), -1)
    if at < 0 or len(words) < at + 2:
        return f"{SETTING}=ignore {shlex.join([os.path.basename(words[0]), *words[1:]])}"
    return shlex.join(["ionian", words[at + 1], "--no-gpu", *words[at + 2 :]])
