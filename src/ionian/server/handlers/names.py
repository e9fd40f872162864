"""Names and ids that peers choose, checked where they come in; and the environment that a message means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from ionian.protocol import names
from ionian.protocol.stream import Refused

from ..auth import Actor
from .context import Context, in_thread

VERSION_TAG = re.compile(r"[A-Za-z0-9._-]{1,50}\Z")
TAGS_MAX = 64
ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\Z")


def check_name(kind: str, name: str) -> None:
    """Refuses what is no name of an app, volume, secret and so on."""
    if not names.is_object(name):
        raise Refused("InvalidError", f"{kind}: expected {names.EXPECTED_OBJECT}, got {name[:80]!r}")


def check_environment_name(name: str) -> None:
    """Refuses what is no name of an environment."""
    if not names.is_environment(name):
        raise Refused(
            "InvalidError", f"an environment: expected {names.EXPECTED_ENVIRONMENT}, got {name[:80]!r}"
        )


def check_version_tag(tag: str) -> None:
    """Refuses what is no tag of a version."""
    if tag and not VERSION_TAG.match(tag):
        raise Refused(
            "InvalidError",
            f"expected a tag of up to 50 letters, digits, dots, dashes and underscores, got {tag[:80]!r}",
        )


def check_word(name: str, word: str) -> None:
    """Refuses what can't stand in a list that people read."""
    if len(word) > 255 or not word.isprintable():
        raise Refused("InvalidError", f"{name}: expected up to 255 printable characters, got {word[:80]!r}")


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuses what are no tags of an app."""
    if len(tags) > TAGS_MAX or any(not key or len(key) > 63 or len(tags[key]) > 255 for key in tags):
        raise Refused(
            "InvalidError",
            f"expected up to {TAGS_MAX} tags of an app, keys of 1 to 63 and values of up to 255 characters",
        )


def check_id(prefix: str, value: str) -> None:
    """Refuses what is no id of this prefix with a ULID."""
    if value[:3] != f"{prefix}-" or not ID.match(value[3:]):
        raise Refused(
            "InvalidError", f"expected an id like {prefix}-01JD… with 26 characters, got {value[:80]!r}"
        )


async def environment_of(actor: Actor, named: str, context: Context) -> str:
    """The environment that a message names, else the actor's own, else main. Refuses one that is not there."""
    environment = named or actor.environment or "main"
    if not await in_thread(context.store.environments.exists, environment):
        there = there_are(environment, await in_thread(context.store.environments.names))
        raise Refused("NotFoundError", f"there is no environment {environment[:80]!r}; {there}")
    return environment


NAMES_SHOWN = 20


def there_are(wanted: str, existing: Iterable[str]) -> str:
    """The names that exist, those that are most like the wanted one first: "there are: a, b"."""
    every = list(dict.fromkeys(existing))
    close = get_close_matches(wanted[:200], every, n=3, cutoff=0.5)
    ordered = [*close, *(name for name in every if name not in close)]
    more = f" and {len(ordered) - NAMES_SHOWN} more" if len(ordered) > NAMES_SHOWN else ""
    return f"there are: {', '.join(ordered[:NAMES_SHOWN])}{more}" if ordered else "there is none"
