"""Messages of containers: dataclasses to the type checker, and made like them, but without their machinery.

The module `dataclasses`, with what it imports, and the code that it generates for ten messages are a fifth of all that a
container's agent imports at its start. The outer ring encodes their `vars()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["field", "record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
    from dataclasses import field
else:

    class _Made:
        """A field whose default is made anew for each object."""

        def __init__(self, maker: Any, shown: bool) -> None:
            self.maker = maker
            self.shown = shown

    def field(*, default_factory: Any, repr: bool = True) -> Any:
        """A field with such a default; without `repr` it is not shown."""
        return _Made(default_factory, repr)

    def record(cls: type) -> type:
        """Gives a class an initialiser of its annotated fields, `==` and a `repr`."""
        names = tuple(cls.__annotations__)
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        made = {name: value for name, value in defaults.items() if isinstance(value, _Made)}
        for name in made:
            delattr(cls, name)

        def __init__(self: Any, *given: Any, **named: Any) -> None:
            if len(given) > len(names):
                raise TypeError(f"{cls.__name__} has {len(names)} fields, got {len(given)}")
            values = dict(zip(names, given))  # noqa: B905 (3.10)
            twice, unknown = values.keys() & named.keys(), named.keys() - set(names)
            if twice or unknown:
                raise TypeError(f"{cls.__name__} has no field, or has it already: {sorted(twice | unknown)}")
            values.update(named)
            for name in names:
                if name in values:
                    self.__dict__[name] = values[name]
                elif name in made:
                    self.__dict__[name] = made[name].maker()
                elif name in defaults:
                    self.__dict__[name] = defaults[name]
                else:
                    raise TypeError(f"{cls.__name__} needs {name!r}")

        def __eq__(self: Any, other: object) -> Any:
            return self.__dict__ == other.__dict__ if type(other) is cls else NotImplemented

        def __repr__(self: Any) -> str:
            shown = [name for name in names if name not in made or made[name].shown]
            return f"{cls.__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

        cls.__init__, cls.__eq__, cls.__repr__, cls.__hash__ = __init__, __eq__, __repr__, None
        return cls
