"""The steps of an image as its builder methods note them: what the protocol's instructions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .arguments import flag, strings, text, variables, wrong
from .exception import InvalidError
from .local_files import LocalFile, LocalFolder, files
from .secret import secret_list

if TYPE_CHECKING:
    from .image_function import BuildFunction
    from .protocol.images import ImageInfo
    from .protocol.spec import DockerLine, FileRef, GpuRequest, Instruction, Op
    from .secret import Secret
    from .volume import Volume

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""What the inner ring runs on."""


class Server(Protocol):
    """What steps need of the server that builds them: it keeps what they refer to, and says its ids."""

    def references(self, files: Sequence[LocalFile], /) -> list[FileRef]:
        """Keeps files."""
        ...

    def content(self, content: bytes, /) -> str:
        """Keeps content that is no file; its digest."""
        ...

    def image(self, step: Step, /) -> ImageInfo:
        """The image that was built before and that this step begins with."""
        ...

    def secret(self, secret: Secret, /) -> str:
        """The id of a secret."""
        ...

    def volume(self, volume: Volume, /) -> str:
        """The id of a volume."""
        ...


class Step(NamedTuple):
    """One instruction, with files and secrets that still have no ids."""

    op: Op
    args: tuple[str, ...] = ()
    sources: tuple[LocalFile | LocalFolder, ...] = ()
    secrets: tuple[Secret, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    force: bool = False
    docker: DockerLine | None = None
    volumes: tuple[tuple[str, Volume], ...] = ()
    gpus: tuple[GpuRequest, ...] = ()
    function: BuildFunction | None = None  # of a CALL
    uv_version: str = ""  # of PIP and SYNC

    def instruction(self, server: Server) -> Instruction:
        """The step as the protocol says it."""
        from .protocol.spec import Instruction, Resources, VolumeMount

        if self.op == "FROM" and self.args[0] in ("image", "named"):
            known = server.image(self)
            return Instruction("FROM", ["image", known.image_id], image=known.image)
        made = Instruction(
            op=self.op,
            args=list(self.args),
            files=server.references(files(self.sources)) if self.sources else [],
            secret_ids=[server.secret(secret) for secret in self.secrets],
            env=dict(self.env),
            force=self.force,
            docker=self.docker,
            volumes=[
                VolumeMount(path, server.volume(volume), volume.is_read_only, volume.sub_path)
                for path, volume in self.volumes
            ],
            resources=Resources(gpus=list(self.gpus)) if self.gpus else None,
            uv_version=self.uv_version,
        )
        return made if self.function is None else self.function.complete(made, server)

    def given(
        self, force_build: Any, env: Any, secrets: Any, *, gpu: Any = None, volumes: Any = None
    ) -> Step:
        """The step with the arguments that all build methods have."""
        from .cloud_bucket_mount import without_buckets
        from .gpu import parse_gpus
        from .volume import volume_mounts

        return self._replace(
            secrets=secret_list(secrets),
            env=() if env is None else tuple(variables("env", env).items()),
            force=flag("force_build", force_build),
            gpus=tuple(parse_gpus(gpu)),
            volumes=()
            if volumes is None
            else tuple(volume_mounts(without_buckets("volumes", volumes)).items()),
        )


def python_version(value: Any) -> str:
    """The argument `python_version`; None is the version of this process."""
    if value is None:
        import sys

        value = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if isinstance(value, float):
        raise TypeError(
            f'python_version: expected a string such as "3.11", got the number {value} (3.10 would be 3.1)'
        )
    if not isinstance(value, str) or ".".join(value.split(".")[:2]) not in PYTHONS:
        raise wrong("python_version", f"one of {', '.join(PYTHONS)} as a string", value)
    if not all(part.isdecimal() for part in value.split(".")) or len(value.split(".")) > 3:
        raise wrong("python_version", 'a version such as "3.11" or "3.11.9"', value)
    return value


def added_python(value: Any) -> list[Step]:
    """The argument `add_python`: a step, or none."""
    if value is None:
        return []
    if value not in PYTHONS:
        raise wrong("add_python", f"one of {', '.join(PYTHONS)} as a string", value)
    return [Step("PYTHON", (value,))]


def uv_version_of(version: Any) -> str:
    """The argument `uv_version`; "" is the worker's own uv."""
    if version is None or version == "latest":
        return ""
    parts = version.split(".") if isinstance(version, str) else []
    if not 1 <= len(parts) <= 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise wrong("uv_version", 'a version of uv such as "0.8.4"', version)
    return version


def package_names(method: str, packages: tuple[Any, ...]) -> list[str]:
    """The packages of an install method. Options among them are refused: they have arguments of their own."""
    names = strings(method, packages)
    for name in names:
        if not name.strip():
            raise wrong(method, "names of packages", name)
        if name.startswith("-"):
            raise InvalidError(
                f'{method}: {name!r} is an option and no package; give it as extra_options="{name}"'
            )
    return names


def pip_options(
    find_links: Any, index_url: Any, extra_index_url: Any, pre: Any, extra_options: Any
) -> tuple[str, ...]:
    """The arguments that all methods which install Python packages have, as `uv pip install` takes them."""
    import shlex

    options: list[str] = []
    for name, value in (
        ("find_links", find_links),
        ("index_url", index_url),
        ("extra_index_url", extra_index_url),
    ):
        if value is not None:
            options += [f"--{name.replace('_', '-')}", text(name, value)]
    if flag("pre", pre):
        options += ["--prerelease", "allow"]
    if not isinstance(extra_options, str):
        raise wrong("extra_options", "a string of options", extra_options)
    try:
        return (*options, *shlex.split(extra_options))
    except ValueError as error:
        raise InvalidError(f"extra_options: {extra_options!r} can't be split into words: {error}") from None
