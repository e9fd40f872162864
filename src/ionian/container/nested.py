"""Messages from their JSON with the standard library alone: those that hold others, too."""

from __future__ import annotations

from typing import Any


def made(kind: type, body: dict[str, Any]) -> Any:
    """The message of this kind with these fields."""
    if not any(isinstance(value, (dict, list)) for value in body.values()):
        return kind(**body)
    from typing import get_type_hints

    hints = get_type_hints(kind)
    return kind(**{name: _value(hints.get(name), value) for name, value in body.items()})


def _value(hint: Any, value: Any) -> Any:
    options = getattr(hint, "__args__", ()) if _is_union(hint) else (hint,)
    for option in options:
        if isinstance(value, dict) and hasattr(option, "__dataclass_fields__"):
            return made(option, value)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, list) and getattr(option, "__origin__", None) is list:
            items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return [_value(option.__args__[0], item) for item in items]
    return value  # pyright: ignore[reportUnknownVariableType]


def _is_union(hint: Any) -> bool:
    from types import UnionType

    return isinstance(hint, UnionType)  # `Kind | None`
