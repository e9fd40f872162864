"""Objects that the server keeps under a name: what dicts, queues and their like have in common.

A handle asks nothing of the server before it is used. A kind of object derives from `NamedObject`, says which it is, and has
a manager in `objects`:

    class Dict(NamedObject):
        _kind = "dict"
        objects: ClassVar[NamedObjects[Dict]] = NamedObjects()
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from . import config, later
from .arguments import environment, flag, integer, object_name, wrong
from .dashboard_link import OnDashboard
from .exception import Error, ExecutionError, InvalidError, NotFoundError, UnimplementedError
from .execution import is_local
from .steps import Steps, StepsMethod, run, run_async

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

    from .protocol import objects as protocol

T = TypeVar("T", bound="NamedObject")


class ObjectDetails(NamedTuple):
    """What `info()` says of an object."""

    name: str | None
    created_at: datetime
    created_by: str | None


class NamedObject(OnDashboard):
    """An object of the server, found by its name, or by its id."""

    _kind: ClassVar[protocol.ObjectKind]

    name: str | None  # None: an ephemeral one, or one that is known by its id alone
    environment_name: str  # "": the current one
    create_if_missing: bool
    _object_id: str  # "" until it is known

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kind = type(self).__name__
        raise InvalidError(
            f'a {kind} is had by its name: modal.{kind}.from_name("…", create_if_missing=True)'
        )

    # --- for the kinds

    @classmethod
    def _named(cls, name: str, environment_name: str | None, create_if_missing: bool) -> Self:
        """The handle of a name: what `from_name` returns."""
        if is_local():
            object_name("name", name)
            environment(environment_name)
            flag("create_if_missing", create_if_missing)
        return cls._made(name, environment_name or "", create_if_missing, "")

    @classmethod
    def _of_id(cls, argument: str, object_id: str) -> Self:
        """The handle of an id: what `from_id` returns."""
        from .protocol.objects import PREFIXES

        prefix = PREFIXES[cls._kind]
        if not isinstance(object_id, str) or not object_id.startswith(f"{prefix}-"):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong(argument, f'the id of a {cls._kind}, "{prefix}-…"', object_id)
        return cls._made(None, "", False, object_id)

    @classmethod
    def _made(cls, name: str | None, environment_name: str, create_if_missing: bool, object_id: str) -> Self:
        made = cls.__new__(cls)
        made.name = name
        made.environment_name = environment_name
        made.create_if_missing = create_if_missing
        made._object_id = object_id
        return made

    def _found(self) -> Steps[str]:
        """The id, asked for at the first use."""
        if not self._object_id:
            yield from self._described()
        return self._object_id

    def _described(self) -> Steps[protocol.ObjectInfo]:
        from .protocol.objects import FindObject

        where = config.environment(self.environment_name)
        message = FindObject(self._kind, self.name or "", where, self.create_if_missing)
        if self._object_id:
            message = FindObject(self._kind, object_id=self._object_id)
        info, _ = yield message
        self._object_id, self.name = info.object_id, info.name or None
        return info

    # --- for everybody

    @StepsMethod
    def hydrate(self, client: Any = None) -> Steps[Self]:
        """Sees to it that there is such an object, and returns it. Raises NotFoundError where there is none."""
        later.refuse(f"{type(self).__name__}.hydrate", client=client)
        yield from self._described()
        return self

    @StepsMethod
    def info(self) -> Steps[ObjectDetails]:
        """Its name, when it was made, and by whom."""
        return (yield from self._details())

    def _details(self) -> Steps[ObjectDetails]:
        from datetime import datetime

        info = yield from self._described()
        made_at = datetime.fromtimestamp(info.created_at).astimezone()
        return ObjectDetails(info.name or None, made_at, info.created_by or None)

    @property
    def object_id(self) -> str:
        """The server's id. Raises ExecutionError before it is known: `hydrate()` asks for it."""
        if not self._object_id:
            raise ExecutionError(f"{self!r} has no id before it is used; call .hydrate() first")
        return self._object_id

    def __reduce__(self) -> Any:
        return _again, (type(self), self.name, self.environment_name, self.create_if_missing, self._object_id)

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self.name is None:
            return f"{kind}.from_id({self._object_id!r})"
        return f"{kind}.from_name({self.name!r})"


def _again(
    kind: type[NamedObject], name: str | None, where: str, create_if_missing: bool, object_id: str
) -> Any:
    return kind._made(name, where, create_if_missing, object_id)  # pyright: ignore[reportPrivateUsage]


# --- all objects of a kind


class NamedObjects(Generic[T]):
    """The objects of a kind, by their names: `modal.Dict.objects.list()`."""

    _type: type[T]

    def __set_name__(self, owner: type[T], name: str) -> None:
        self._type = owner

    @StepsMethod
    def create(
        self,
        name: str,
        *,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Steps[None]:
        """Makes an object of that name. Raises AlreadyExistsError where there is one, unless `allow_existing`."""
        from .protocol.ids import new_id
        from .protocol.objects import PREFIXES, CreateObject

        no_client(client)
        kind = self._type._kind  # pyright: ignore[reportPrivateUsage]
        object_name("name", name)
        flag("allow_existing", allow_existing)
        where = config.environment(environment(environment_name))
        yield CreateObject(kind, new_id(PREFIXES[kind]), name, where, allow_existing)

    @StepsMethod
    def list(
        self,
        *,
        max_objects: int | None = None,
        created_before: datetime | str | None = None,
        environment_name: str = "",
        client: Any = None,
    ) -> Steps[list[T]]:
        """The objects that have a name, newest first.

        Args:
            max_objects: at most so many.
            created_before: those that were made before this moment: a datetime, or its text in ISO 8601.
        """
        from .protocol.objects import ListObjects

        no_client(client)
        limit = integer("max_objects", max_objects, least=0) if max_objects is not None else 0
        if max_objects == 0:
            return []
        where = config.environment(environment(environment_name or None))
        kind = self._type._kind  # pyright: ignore[reportPrivateUsage]
        listed, _ = yield ListObjects(kind, where, limit, _moment(created_before))
        made: Any = self._type._made  # pyright: ignore[reportPrivateUsage]
        return [made(info.name, info.environment, False, info.object_id) for info in listed.objects]

    @StepsMethod
    def delete(
        self,
        name: str,
        *,
        allow_missing: bool = False,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Steps[None]:
        """Deletes the object of that name with all that is in it: there is no way back.

        Raises NotFoundError where there is none, unless `allow_missing`.
        """
        from .protocol.objects import DeleteObject

        no_client(client)
        object_name("name", name)
        where = config.environment(environment(environment_name))
        try:
            yield DeleteObject(self._type._kind, name, where)  # pyright: ignore[reportPrivateUsage]
        except NotFoundError:
            if not flag("allow_missing", allow_missing):
                raise


def no_client(client: Any) -> None:
    """Refuses `client=`, where a method takes it."""
    if client is not None:
        raise UnimplementedError(
            f"client=… is not in this version of Ionian: it comes with connections by hand. {later.ADVICE}"
        )


def _moment(value: datetime | str | None) -> float:
    from datetime import datetime

    if value is None:
        return 0.0
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        return at.timestamp()
    except (AttributeError, ValueError, OverflowError):
        raise wrong("created_before", "a datetime, or its text in ISO 8601", value) from None


def retired(old: str, new: str) -> None:
    """Warns of a name that is retired."""
    import warnings

    from .exception import DeprecationError

    warnings.warn(f"{old} is retired; write {new}", DeprecationError, stacklevel=3)


# --- objects without a name


class Ephemeral(Generic[T]):
    """A block in which there is an object without a name: `with` and `async with`."""

    def __init__(self, kind: type[T], environment_name: str | None) -> None:
        self._type = kind
        self._environment = environment(environment_name)
        self._object_id = ""
        self._over = threading.Event()

    def __enter__(self) -> T:
        return run(self._begin())

    def __exit__(self, *_: object) -> None:
        run(self._end())

    async def __aenter__(self) -> T:
        return await run_async(self._begin())

    async def __aexit__(self, *_: object) -> None:
        await run_async(self._end())

    def _begin(self) -> Steps[T]:
        from .protocol.ids import new_id
        from .protocol.objects import PREFIXES, CreateEphemeral

        kind = self._type._kind  # pyright: ignore[reportPrivateUsage]
        where = config.environment(self._environment)
        self._over.clear()
        info, _ = yield CreateEphemeral(kind, new_id(PREFIXES[kind]), where)
        self._object_id = info.object_id
        threading.Thread(target=self._keep, name="ionian-ephemeral", daemon=True).start()
        return self._type._made(None, info.environment, False, info.object_id)  # pyright: ignore[reportPrivateUsage]

    def _end(self) -> Steps[None]:
        from .protocol.objects import DeleteObject

        self._over.set()
        try:
            yield DeleteObject(self._type._kind, object_id=self._object_id)  # pyright: ignore[reportPrivateUsage]
        except Error:  # it is deleted already, or will be: nobody keeps it any more
            pass

    def _keep(self) -> None:
        from . import link
        from .protocol.objects import KEEP_EVERY_S, KeepEphemeral

        while not self._over.wait(KEEP_EVERY_S):
            try:
                link.current().request(KeepEphemeral(self._object_id))
            except Error:  # the next time, or never where the server is gone
                continue
