"""Dicts of the server: entries that containers and programs share, and that outlive them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from . import later
from .arguments import flag, wrong
from .exception import InvalidError
from .items_object import ItemsObject
from .named_object import Ephemeral, NamedObjects
from .steps import Item, Steps, StepsMethod, StreamMethod, run

if TYPE_CHECKING:
    from typing_extensions import Self

    from .protocol.items import Done, Op


@later.fill
class Dict(ItemsObject):
    """A dictionary that the server keeps: each change is on disk when its method returns.

    ```python
    seen = modal.Dict.from_name("seen", create_if_missing=True)

    @app.function()
    def visit(url: str) -> None:
        if seen.put(url, time.time(), skip_if_exists=True):
            ...
    ```

    Keys and values are whatever can be pickled. An entry that nobody reads or writes for 7 days is deleted.
    """

    _kind = "dict"
    objects: ClassVar[NamedObjects[Dict]] = NamedObjects()
    """All dicts of an environment: `create`, `list` and `delete`."""

    @classmethod
    def from_id(cls, dict_id: str, client: Any = None) -> Self:
        """The dict of an id, `di-…`."""
        later.refuse("Dict.from_id", client=client)
        return cls._of_id("dict_id", dict_id)

    @classmethod
    def ephemeral(
        cls, *, client: Any = None, environment_name: str | None = None, _heartbeat_sleep: float = 300
    ) -> Ephemeral[Self]:
        """A block with a dict that has no name and is deleted at its end: `with modal.Dict.ephemeral() as d:`.

        Functions that are called within get the dict as an argument.
        """
        later.refuse("Dict.ephemeral", client=client)
        return Ephemeral(cls, environment_name)

    # --- one key

    @StepsMethod
    def get(self, key: Any, default: Any = None) -> Steps[Any]:
        """The value of a key, or the default."""
        done = yield from self._on_key("GET", key)
        return default if done.status else (yield from _value_of(done))

    @StepsMethod
    def contains(self, key: Any) -> Steps[bool]:
        """Whether there is such a key."""
        done = yield from self._on_key("HAS", key)
        return not done.status

    @StepsMethod
    def put(self, key: Any, value: Any, *, skip_if_exists: bool = False) -> Steps[bool]:
        """Keeps a value under a key. Returns whether it did: with `skip_if_exists` a key that is there stays as it is.

        Raises SerializationError for what can't be pickled, RequestSizeError for a key of more than 1 MiB or a value of
        more than 1 GiB.
        """
        kind = "ADD" if flag("skip_if_exists", skip_if_exists) else "PUT"
        done = yield from self._on_key(kind, key, value)
        return not done.status

    @StepsMethod
    def pop(self, key: Any, default: Any = ...) -> Steps[Any]:
        """Takes a key out and returns its value; or the default. Raises KeyError where there is neither."""
        done = yield from self._on_key("POP", key)
        if done.status and default is ...:
            raise self._lacks(key)
        return default if done.status else (yield from _value_of(done))

    def __getitem__(self, key: Any) -> Any:
        """The value of a key. Raises KeyError where there is none."""
        return run(self._item(key))

    def _item(self, key: Any) -> Steps[Any]:
        done = yield from self._on_key("GET", key)
        if done.status:
            raise self._lacks(key)
        return (yield from _value_of(done))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        self.pop(key)

    def __contains__(self, key: Any) -> bool:
        return self.contains(key)

    def _lacks(self, key: Any) -> KeyError:
        return KeyError(f"{key!r:.200} is not in {self!r}")

    def _on_key(self, kind: str, key: Any, *value: Any) -> Steps[Done]:
        from .gathering import Ask

        object_id = yield from self._found()
        return (yield Ask((yield from _op(kind, object_id, key, *value))))

    # --- all of it

    @StepsMethod
    def update(self, other: Mapping[Any, Any] | None = None, /, **kwargs: Any) -> Steps[None]:
        """Keeps all entries of a mapping, and the named ones; those that are sent together, up to 4 MiB, appear at once."""
        from .gathering import AskAll

        if other is not None and not isinstance(other, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("other", "a mapping", other)
        entries: dict[Any, Any] = {**(other or {}), **kwargs}
        object_id = yield from self._found()
        ops: list[Op] = []
        for key, value in entries.items():
            ops.append((yield from _op("PUT", object_id, key, value)))
        yield AskAll(ops)

    @StepsMethod
    def len(self) -> Steps[int]:
        """How many entries there are."""
        done = yield from self._on_all("SIZE")
        return done.number

    @StepsMethod
    def clear(self) -> Steps[None]:
        """Deletes all entries."""
        yield from self._on_all("CLEAR")

    def _on_all(self, kind: str) -> Steps[Done]:
        from .gathering import Ask
        from .protocol import items

        object_id = yield from self._found()
        return (yield Ask(items.Op(getattr(items, kind), object_id)))

    @StreamMethod
    def keys(self) -> Steps[None]:
        """The keys, in no order: `for key in d.keys():`, `async for key in d.keys.aio():`.

        What others change meanwhile may be seen or not; each entry is seen once at most.
        """
        yield from self._each("keys")

    @StreamMethod
    def values(self) -> Steps[None]:
        """The values, likewise."""
        yield from self._each("values")

    @StreamMethod
    def items(self) -> Steps[None]:
        """Keys with their values, likewise."""
        yield from self._each("items")

    def _each(self, what: Any) -> Steps[None]:
        from .protocol.items import ReadDict, unpack_values
        from .stored_value import loaded

        object_id = yield from self._found()
        after, more = "", True
        while more:
            page, payload = yield ReadDict(object_id, what, after)
            found = unpack_values(memoryview(payload), page.count)
            step = 2 if what == "items" else 1
            for at in range(0, len(found), step):
                parts: list[Any] = []
                for value in found[at : at + step]:
                    parts.append((yield from loaded(value)))
                yield Item(tuple(parts) if step == 2 else parts[0])
            after, more = page.after, page.more

    def __iter__(self) -> Any:
        raise InvalidError(f"{self!r} is not iterated over itself; write .keys(), .values() or .items()")


def _op(kind: str, object_id: str, key: Any, *value: Any) -> Steps[Op]:
    from .dict_key import digest
    from .protocol import items
    from .serialization import dumps
    from .stored_value import check_key, stored

    if not value:
        return items.Op(getattr(items, kind), object_id, digest(key))
    pickled = dumps(key, "the key")
    check_key(pickled)
    kept = yield from stored(value[0])
    return items.Op(getattr(items, kind), object_id, digest(key) + pickled, (kept,))


def _value_of(done: Done) -> Steps[Any]:
    from .stored_value import loaded

    return (yield from loaded(done.values[0]))
