"""`Image.run_function`: a function that runs while an image is built, and what of it decides whether it runs again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from . import later
from .arguments import flag, wrong
from .exception import InvalidError
from .image_chain import Chain, then
from .image_steps import Step

if TYPE_CHECKING:
    from .image import Image
    from .image_steps import Server
    from .protocol.spec import Instruction
    from .secret import Secret
    from .volume import Volume

LARGEST_ARGUMENTS = 2 << 20
"""The pickled arguments may be no larger, as Modal's: data belong in files of the image and in volumes."""

PLAIN = (type(None), bool, int, float, complex, str, bytes)


class FunctionSteps(Chain):
    """What runs Python functions."""

    def run_function(
        self,
        raw_f: Callable[..., Any],
        *,
        env: Mapping[str, str | None] | None = None,
        secrets: Collection[Secret] | None = None,
        volumes: Mapping[str, Volume] = {},
        network_file_systems: Mapping[str, Any] = {},
        gpu: Any = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        timeout: int | None = 60 * 60,
        cloud: str | None = None,
        region: str | Sequence[str] | None = None,
        force_build: bool = False,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] = {},  # noqa: B006  (Modal's default, never changed)
        include_source: bool = True,
    ) -> Image:
        """Runs a function on the image so far, and keeps what it wrote to the disk: for models that are downloaded.

        It runs again when its source, a global that it uses, or its arguments change; what lies in `volumes` stays there
        and is no part of the image. `cpu` in cores, `memory` in MiB, `timeout` in seconds; a `(request, limit)` sets limits.

        ```python
        def download():
            snapshot_download("org/model", local_dir="/model")

        image = modal.Image.debian_slim().pip_install("huggingface_hub").run_function(download)
        ```
        """
        later.refuse(
            "Image.run_function", network_file_systems=network_file_systems, cloud=cloud, region=region
        )

        from .options import cpu_milli, memory_mib, seconds

        def step() -> Step:
            function = plain_function(raw_f)
            made = BuildFunction(
                function,
                _arguments(function, args, kwargs),
                cpu_milli(cpu),
                memory_mib(memory),
                3600.0 if timeout is None else seconds("timeout", timeout),
                flag("include_source", include_source),
            )
            call = Step("CALL", ("", function.__qualname__), function=made)
            return call.given(force_build, env, secrets, gpu=gpu, volumes=volumes)

        return then(self, "run_function", step)


class BuildFunction(NamedTuple):
    """A function of a build, before it is known under which name a container imports its module."""

    function: FunctionType
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    cpu_milli: tuple[int, int]  # request and limit
    memory_mib: tuple[int, int]
    timeout_s: float
    include_source: bool

    def complete(self, made: Instruction, server: Server) -> Instruction:
        """The instruction with all that the function needs."""
        import cloudpickle

        from .client.entry import import_name
        from .client.source import source_files
        from .protocol.spec import FileRef, Resources
        from .serialization import PROTOCOL

        def kept(name: str, content: bytes) -> FileRef:
            return FileRef(name, server.content(content), len(content))

        function = cast("FunctionType", self.function)
        module = import_name(function.__module__)
        arguments = cloudpickle.dumps(self.arguments, protocol=PROTOCOL)
        if len(arguments) > LARGEST_ARGUMENTS:
            raise InvalidError(
                f"run_function: the arguments of {function.__name__} pickle to {len(arguments):,} bytes, expected up to "
                f"{LARGEST_ARGUMENTS:,}; put large data into the image by add_local_file(…, copy=True), or into a volume"
            )
        made.args = [module, function.__qualname__, key_of(function)]
        made.files = [kept("call.pickle", arguments)]
        if not module or "<locals>" in function.__qualname__:
            made.args[0] = ""
            made.files.append(kept("function.pickle", cloudpickle.dumps(function, protocol=PROTOCOL)))
        elif self.include_source:
            made.files += server.references(source_files(function.__module__))
        gpus = made.resources.gpus if made.resources is not None else []
        made.resources = Resources(*self.cpu_milli, *self.memory_mib, gpus=gpus)
        made.timeout_s = self.timeout_s
        return made


def plain_function(value: Any) -> FunctionType:
    """The Python function that is meant. Raises InvalidError for what no build can run."""
    import inspect

    function = getattr(value, "raw", value)  # under @app.function, too
    if not isinstance(function, FunctionType):
        raise wrong("run_function", "a function", value)
    if function.__name__ == "<lambda>":
        raise InvalidError(
            "run_function: a lambda has no source of its own that could tell when it changed; write it as a function with def"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidError(f"run_function: expected a function that returns, and {function.__name__} yields")
    return function


def key_of(function: FunctionType) -> str:
    """What decides whether a function does the same again: its source, and the globals that it uses."""
    from hashlib import sha256

    return sha256("\n".join(_described(function, set())).encode()).hexdigest()


def _described(function: FunctionType, seen: set[FunctionType]) -> Iterator[str]:
    """Its source and globals, as lines; the functions of the user's that it calls likewise."""
    seen.add(function)
    yield _source(function)
    yield f"defaults {_value(function.__defaults__)} {_value(function.__kwdefaults__)}"
    variables = dict(function.__globals__)
    captured = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in captured:
        try:
            variables[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in sorted(_names(function.__code__) & variables.keys()):
        value = variables[name]
        value = getattr(value, "raw", value)
        if not isinstance(value, FunctionType) or value.__module__ != function.__module__:
            yield f"{name} = {_value(value)}"
        elif value not in seen:
            yield f"def {name}"
            yield from _described(value, seen)


def _source(function: FunctionType) -> str:
    import inspect

    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # of a prompt
        code = function.__code__
        return f"{code.co_code.hex()} {[each for each in code.co_consts if not isinstance(each, CodeType)]!r}"


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names) | set(code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _value(value: Any) -> str:
    """A value as text that is the same in each process; of what has no such text, its kind."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(each) for each in cast('Sequence[Any]', value))}]"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(_value(each) for each in cast('set[Any]', value)))}}}"
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return f"{{{', '.join(sorted(f'{_value(key)}: {_value(each)}' for key, each in items))}}}"
    if isinstance(value, (FunctionType, BuiltinFunctionType, type)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "__fspath__"):
        return str(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _arguments(function: FunctionType, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import inspect

    if not isinstance(args, (list, tuple)):
        raise wrong("args", "a tuple of arguments", args)
    if not isinstance(kwargs, Mapping):
        raise wrong("kwargs", "a dictionary of arguments", kwargs)
    given = tuple(cast("Sequence[Any]", args)), dict(cast("Mapping[str, Any]", kwargs))
    try:
        inspect.signature(function).bind(*given[0], **given[1])
    except TypeError as error:
        raise InvalidError(f"run_function: {function.__name__} can't be called with these: {error}") from None
    return given
