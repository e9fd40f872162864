"""The steps of an image as its builder methods note them: what the protocol's instructions are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .arguments import flag, strings, text, variables, wrong
from .exception import InvalidError
from .local_files import LocalFile, LocalFolder, files
from .secret import secret_list

if TYPE_CHECKING:
    from .protocol.spec import DockerLine, FileRef, Instruction, Op
    from .secret import Secret

    Refer = Callable[[list[LocalFile]], list[FileRef]]

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""What the inner ring runs on."""


class Step(NamedTuple):
    """One instruction, with files and secrets that still have no ids."""

    op: Op
    args: tuple[str, ...] = ()
    sources: tuple[LocalFile | LocalFolder, ...] = ()
    secrets: tuple[Secret, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    force: bool = False
    docker: DockerLine | None = None

    def instruction(self, refer: Refer, secret_id: Callable[[Secret], str]) -> Instruction:
        """The step as the protocol says it."""
        from .protocol.spec import Instruction

        return Instruction(
            op=self.op,
            args=list(self.args),
            files=refer(files(self.sources)) if self.sources else [],
            secret_ids=[secret_id(secret) for secret in self.secrets],
            env=dict(self.env),
            force=self.force,
            docker=self.docker,
        )

    def given(self, force_build: Any, env: Any, secrets: Any) -> Step:
        """The step with the arguments that all build methods have."""
        return self._replace(
            secrets=secret_list(secrets),
            env=() if env is None else tuple(variables("env", env).items()),
            force=flag("force_build", force_build),
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
