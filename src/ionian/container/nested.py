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
    if isinstance(value, list):
        (inner,) = getattr(hint, "__args__", None) or (None,)
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_value(inner, item) for item in items]
    if isinstance(value, dict):
        for option in getattr(hint, "__args__", (hint,)):  # `Kind`, or `Kind | None`
            if hasattr(option, "__dataclass_fields__"):
                return made(option, value)  # pyright: ignore[reportUnknownArgumentType]
    return value  # pyright: ignore[reportUnknownVariableType]
