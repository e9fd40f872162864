"""Parameters of classes: `size: int = modal.parameter(default=1)`. Each distinct set of values has its own containers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .arguments import flag
from .exception import InvalidError

if TYPE_CHECKING:
    from .protocol.spec import ParameterSpec

TYPES: dict[str, type] = {"str": str, "int": int, "bool": bool, "bytes": bytes}
"""What a parameter may be. Its values are part of what names a pool of containers, so they are plain."""

PICKLED = ""
"""The type of a parameter of an `__init__` of the user's own: any value that can be pickled."""


class _NoDefault:
    def __repr__(self) -> str:
        return "no default"


NO_DEFAULT: Any = _NoDefault()


class Parameter:
    """A parameter as it stands in its class; a live object has its value in its place."""

    def __init__(self, default: Any, init: bool) -> None:
        self.default = default
        self.init = init
        self.type = PICKLED  # set where the class is read

    @property
    def has_default(self) -> bool:
        """Whether it may be left out."""
        return self.default is not NO_DEFAULT

    def __repr__(self) -> str:
        return f"modal.parameter({f'default={self.default!r}' if self.has_default else ''})"

    def __reduce__(self) -> Any:
        return _parameter, ((self.default,) if self.has_default else (), self.init, self.type)


def _parameter(default: tuple[Any, ...], init: bool, type: str) -> Parameter:
    made = Parameter(default[0] if default else NO_DEFAULT, init)
    made.type = type
    return made


def parameter(*, default: Any = NO_DEFAULT, init: bool = True) -> Any:
    """A parameter of a class: a keyword argument of its constructor, and an attribute of its objects.

    Its annotation says its type: `str`, `int`, `bool` or `bytes`. With `init=False` it is an attribute with a default
    and no argument.

    ```python
    @app.cls()
    class Model:
        size: int = modal.parameter(default=7)

        @modal.method()
        def name(self) -> str:
            return f"model-{self.size}b"

    Model(size=70).name.remote()
    ```

    Raises InvalidError, at `@app.cls()`, without an annotation, or where the default is of another type.
    """
    return Parameter(default, flag("init", init))


def of_class(user_cls: type) -> dict[str, Parameter]:
    """The parameters of a class and its bases, by name, in the order of their definition. Raises InvalidError."""
    found: dict[str, Parameter] = {}
    for klass in reversed(user_cls.__mro__):
        annotations: Mapping[str, Any] | None = None
        for name, value in vars(klass).items():
            if isinstance(value, Parameter):
                if annotations is None:
                    annotations = _annotations(klass)
                _read_type(user_cls, klass, name, value, annotations)
                found[name] = value
            else:
                found.pop(name, None)  # a subclass that says `size = 3` settles it
    return found


def _read_type(
    user_cls: type, klass: type, name: str, value: Parameter, annotations: Mapping[str, Any]
) -> None:
    where = f"{user_cls.__name__}.{name}"
    if name not in annotations:
        raise InvalidError(f"{where}: a parameter needs a type: write `{name}: str = modal.parameter()`")
    if not value.init:
        return
    annotation = annotations[name]
    if isinstance(annotation, str):
        annotation = TYPES.get(annotation.strip()) or _evaluated(klass, annotation)
    value.type = next((known for known, type_ in TYPES.items() if annotation is type_), PICKLED)
    if value.type == PICKLED:
        shown = getattr(annotation, "__name__", annotation)
        raise InvalidError(
            f"{where}: expected one of the types {', '.join(TYPES)} for a parameter, got {shown}"
        )
    if value.has_default:
        value.default = _checked(where, value.type, value.default, "its default")


def _annotations(klass: type) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        from importlib import import_module

        annotationlib: Any = import_module("annotationlib")  # of 3.14
        return annotationlib.get_annotations(klass, format=annotationlib.Format.FORWARDREF)
    return vars(klass).get("__annotations__", {})


def _evaluated(klass: type, annotation: str) -> Any:
    try:
        return eval(annotation, vars(sys.modules[klass.__module__]), dict(vars(klass)))
    except Exception:
        return annotation


# --- values


def bound(
    name: str, parameters: Iterable[ParameterSpec], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The values for the parameters of the class `name`, checked. Raises InvalidError, naming what is right."""
    known = {parameter.name: parameter for parameter in parameters}
    if args:
        raise InvalidError(
            f"{name} takes its parameters by name, as {_example(name, known)}, got {_counted(len(args))} without one"
        )
    for given in kwargs:
        if given not in known:
            raise InvalidError(f"{name}: no parameter {given!r}; {_list(known)}")
    missing = [
        parameter.name
        for parameter in known.values()
        if not parameter.has_default and parameter.name not in kwargs
    ]
    if missing:
        raise InvalidError(f"{name}: expected the parameter {', '.join(missing)}, as {_example(name, known)}")
    return {key: _checked(f"{name}({key})", known[key].type, value) for key, value in kwargs.items()}


def _checked(where: str, type_name: str, value: Any, what: str = "") -> Any:
    expected = TYPES[type_name]
    if not isinstance(value, expected):
        prefix = f"{what} to be " if what else ""
        raise InvalidError(f"{where}: expected {prefix}{_article(type_name)}, got {value!r}")
    if type(value) is expected:
        return value
    return expected(value)  # an int for a bool, a str for a str of a subclass: equal values name one pool


def encoded(values: Mapping[str, Any]) -> str:
    """Values of parameters as text, the same for the same values, whatever their order."""
    import base64
    import io
    import pickle

    from .serialization import PROTOCOL

    file = io.BytesIO()
    pickler = pickle.Pickler(file, PROTOCOL)
    pickler.fast = True  # no references to what came before: two equal strings are written as two
    pickler.dump(((), dict(sorted(values.items()))))
    return base64.b64encode(file.getvalue()).decode()


def encoded_by_value(args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> str:
    """Any arguments of a constructor as text. Raises SerializationError."""
    import base64

    from .serialization import dumps

    return base64.b64encode(dumps((args, dict(kwargs)), what)).decode()


def decoded(arguments: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a constructor from their text; none for ""."""
    if not arguments:
        return (), {}
    import base64

    from .serialization import loads

    return loads(base64.b64decode(arguments))


def _example(name: str, known: Mapping[str, ParameterSpec]) -> str:
    return f"{name}({', '.join(f'{key}=…' for key in known)})"


def _list(known: Mapping[str, ParameterSpec]) -> str:
    return f"there are {', '.join(known)}" if known else "the class has none"


def _article(type_name: str) -> str:
    return {"int": "an int"}.get(type_name, "bytes" if type_name == "bytes" else f"a {type_name}")


def _counted(number: int) -> str:
    return "a value" if number == 1 else f"{number} values"
