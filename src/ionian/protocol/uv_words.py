"""The options of `uv sync` that an image takes: by the client, which refuses others, and by the worker, which gives each
to the part of the work that it is for.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

CHOOSE = {
    **dict.fromkeys(("--extra", "--no-extra", "--group", "--no-group", "--only-group"), 1),
    **dict.fromkeys(("--all-extras", "--all-groups", "--no-default-groups"), 0),
    **dict.fromkeys(("--no-dev", "--only-dev", "--no-install-local"), 0),
    "--no-install-package": 1,
}
"""What of the lock is installed, and how many words follow each."""

INDEX = {
    **dict.fromkeys(("--index", "--default-index", "--index-url", "-i", "--extra-index-url"), 1),
    **dict.fromkeys(("--find-links", "-f", "--index-strategy", "--allow-insecure-host"), 1),
    **dict.fromkeys(("--keyring-provider",), 1),
    "--no-index": 0,
}
"""Where packages come from."""

LOCK = {
    **dict.fromkeys(("--resolution", "--prerelease", "--fork-strategy", "--exclude-newer"), 1),
    **dict.fromkeys(("--upgrade-package", "-P"), 1),
    **dict.fromkeys(("--upgrade", "-U", "--no-sources"), 0),
}
"""How versions are chosen, where the lock doesn't say them."""

PLACE = {
    **dict.fromkeys(("--no-build-isolation-package", "--config-setting", "-C"), 1),
    "--no-build-isolation": 0,
}
"""How what has no wheel is built."""

FROZEN = "--frozen"
IDLE = {
    **dict.fromkeys((FROZEN, "--compile-bytecode", "--inexact", "--no-install-project"), 0),
    **dict.fromkeys(("--no-install-workspace", "--no-editable", "--no-cache", "-n"), 0),
    **dict.fromkeys(("--dev", "--quiet", "-q", "--verbose", "-v", "--no-progress"), 0),
    "--link-mode": 1,
}
"""What is so in any case, or changes nothing here."""

EXPORTED = {"--no-install-package": "--no-emit-package", "--no-install-local": "--no-emit-local"}
"""The names that `uv export` has for options of `uv sync`."""

_ALL = CHOOSE | INDEX | LOCK | PLACE | IDLE


class OptionError(ValueError):
    """An option that an image doesn't take; the message says which."""


def words(text: str) -> list[str]:
    """The words of a string of options. Raises OptionError for one that is none of these, or lacks its value."""
    try:
        split = shlex.split(text)
    except ValueError as error:
        raise OptionError(f"{text!r} can't be split into words: {error}") from None
    rest = iter(split)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in _ALL:
            raise OptionError(f"{word!r} is no option of `uv sync` that an image can take")
        if _ALL[name] and not equals and next(rest, None) is None:
            raise OptionError(f"{word!r} has no value")
    return split


def only(args: Sequence[str], *kinds: dict[str, int]) -> list[str]:
    """Of the words of `uv sync`, the options of these kinds with their values."""
    out: list[str] = []
    rest = iter(args)
    for word in rest:
        name, equals, _ = word.partition("=")
        taken = [word]
        if _ALL.get(name) and not equals:
            taken.append(next(rest, ""))
        if any(name in kind for kind in kinds):
            out += taken
    return out


def exported(args: Sequence[str]) -> list[str]:
    """Options of `uv sync` as `uv export` names them."""
    out: list[str] = []
    for word in args:
        name, equals, value = word.partition("=")
        out.append(f"{EXPORTED.get(name, name)}{equals}{value}")
    return out
