"""Modal's public API and commands (client 1.6.4) as facts, Ionian's own read the same way, and the table of the docs."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import ionian
from ionian import later

HERE = Path(__file__).parent
API: dict[str, Any] = json.loads((HERE / "modal-api.json").read_text())
COMMANDS: dict[str, Any] = json.loads((HERE / "modal-cli.json").read_text())
PAGE = HERE.parent.parent / "docs" / "compatibility.md"

RETIRED = {"keep_warm", "concurrency_limit", "container_idle_timeout", "allow_concurrent_inputs"}
"""Parameters that Modal no longer has and Ionian still takes, with a warning."""

OURS = {"budget"}
"""Parameters that Modal never had."""

KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "pos",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "",
    inspect.Parameter.KEYWORD_ONLY: "kw",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}

DEFAULTS = {
    "modal._image.AUTO_DOCKERIGNORE": "AUTO_DOCKERIGNORE",
    "modal.file_pattern_matcher.NON_PYTHON_FILES": repr(ionian.file_pattern_matcher.NON_PYTHON_FILES),
    "...": repr(...),
    "modal.cls._NO_DEFAULT()": repr(ionian.parameters.NO_DEFAULT),
}
"""Defaults that are objects, as Modal's facts write them and as they look here."""

ANY = [["*", "args", None], ["**", "kwargs", None]]
"""What a constructor has in the facts that is not for the public."""


class Row(NamedTuple):
    """A row of the table: what of Modal is not here, and why."""

    name: str
    reason: str


def rows() -> list[Row]:
    """The table of docs/compatibility.md."""
    lines = PAGE.read_text().partition("<!-- table -->")[2].partition("<!-- end -->")[0].splitlines()
    found = (re.fullmatch(r"\| `(.+?)` \| (.+?) \|", line) for line in lines)
    return [Row(match[1], match[2]) for match in found if match is not None]


def samples() -> dict[str, Any]:
    """An object of each class that is here."""

    def function(n: int) -> int:
        return n

    class Sample:
        pass

    return {
        "App": ionian.App("sample"),
        "CloudBucketMount": ionian.CloudBucketMount("sample"),
        "Cluster": ionian.Cluster.from_id("cu-01JDZX00000000000000000000"),
        "Cls": ionian.App().cls(serialized=True)(Sample),
        "Cron": ionian.Cron("0 6 * * *"),
        "Environment": ionian.Environment.from_name("dev"),
        "Dict": ionian.Dict.from_name("sample"),
        "FilePatternMatcher": ionian.FilePatternMatcher("*"),
        "Function": ionian.App().function(serialized=True)(function),
        "FunctionCall": ionian.FunctionCall.from_id("fc-01JDZX0000000000000000000"),
        "Image": ionian.Image.debian_slim("3.11"),
        "Period": ionian.Period(hours=1),
        "Queue": ionian.Queue.from_name("sample"),
        "Retries": ionian.Retries(max_retries=1),
        "Secret": ionian.Secret.from_dict({}),
        "Volume": ionian.Volume.from_name("sample"),
    }


def parameters(callable_: Any) -> list[list[str | None]]:
    """The parameters as the facts write them: kind, name, default. Retired and hidden ones are left out."""
    found: list[list[str | None]] = []
    for parameter in inspect.signature(callable_).parameters.values():
        hidden = parameter.name.startswith("_") and parameter.name != "_experimental_restrict_output"
        if hidden or parameter.name in RETIRED | OURS:
            continue
        default = None if parameter.default is parameter.empty else repr(parameter.default)
        found.append([KINDS[parameter.kind], parameter.name, default])
    return found


def expected(facts: list[list[str | None]]) -> list[list[str | None]]:
    """The parameters of the facts, with defaults as they look here."""
    return [
        [kind, name, DEFAULTS.get(default or "", default)]
        for kind, name, default in facts
        if name != "_heartbeat_sleep"
    ]


def public_names() -> set[str]:
    """Every name of Modal's API: `App`, `App.run`, `exception.Error`."""
    names: set[str] = set()
    for name, facts in API.items():
        if str(facts["kind"]).startswith("missing"):
            continue
        names.add(name)
        members = facts.get("members", {})
        if facts["kind"] == "class" or name in ("exception", "experimental", "types"):
            names.update(f"{name}.{member}" for member in members if member != "__init__")
    return names


def is_later(name: str) -> bool:
    """Whether this name, or the class that it belongs to, comes later."""
    return name in later.NAMES or name.partition(".")[0] in later.NAMES
