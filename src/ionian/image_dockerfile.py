"""The methods of an image that carry out Dockerfiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import strings, text, variables
from .execution import is_local
from .file_pattern_matcher import FilePatternMatcher, matcher
from .image_chain import Chain, made, then
from .image_steps import added_python
from .local_files import existing_file, existing_folder

if TYPE_CHECKING:
    from pathlib import Path

    from .client.dockerfile_steps import Context
    from .image import Image
    from .image_chain import Secrets, Variables
    from .image_steps import Step
    from .secret import Secret

    Ignored = Sequence[str] | Callable[[Path], bool]


class _AutoDockerignore:
    """Stands for the patterns of the `.dockerignore` that belongs to a Dockerfile."""

    def __repr__(self) -> str:
        return "AUTO_DOCKERIGNORE"


AUTO_DOCKERIGNORE: Any = _AutoDockerignore()
"""`ignore=` unless told otherwise: `NAME.dockerignore` beside the Dockerfile, else `.dockerignore` in the context."""


class DockerfileSteps(Chain):
    """What carries out Dockerfiles."""

    @staticmethod
    def from_dockerfile(
        path: str | os.PathLike[str],
        *,
        force_build: bool = False,
        context_dir: str | os.PathLike[str] | None = None,
        ignore: Ignored = AUTO_DOCKERIGNORE,
        build_args: Mapping[str, str] = {},
        registry_secret: Secret | None = None,
        secrets: Secrets | None = None,
        env: Variables | None = None,
        gpu: Any = None,
        add_python: str | None = None,
    ) -> Image:
        """The image of a Dockerfile. Its COPY takes files of `context_dir` (None: the folder where you are), and one of
        several stages is built only if the last one needs it. `env`, `secrets` and `gpu` are there while its RUN runs. `add_python`
        puts a Python of that version into it.

        Raises InvalidError, with the line, for what Ionian does not carry out.
        """
        if not is_local():
            return made((), ())
        from .client.dockerfile_steps import Dockerfile

        file = existing_file("path", path)
        context = _context(context_dir, ignore, file)
        source = file.read_text(encoding="utf-8-sig")
        steps = Dockerfile(source, file.name, context, variables("build_args", build_args)).image()
        given = _given(steps, force_build, env, secrets, registry_secret, gpu)
        return made((*given, *added_python(add_python)), ())

    def dockerfile_commands(
        self,
        *dockerfile_commands: str | Sequence[str],
        context_files: dict[str, str] = {},  # noqa: B006  (Modal's default, never changed)
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
        context_dir: str | os.PathLike[str] | None = None,
        force_build: bool = False,
        ignore: Ignored = AUTO_DOCKERIGNORE,
        build_args: Mapping[str, str] = {},
    ) -> Image:
        """Instructions of a Dockerfile: `"RUN make"`, or lists of them; all but FROM.

        `context_files` gives single files: their path for COPY → the file here.
        """

        def steps() -> list[Step]:
            from .client.dockerfile_steps import Dockerfile

            lines = strings("dockerfile_commands", dockerfile_commands)
            context = _context(context_dir, ignore, None)
            files = {
                text("context_files", name).lstrip("/"): existing_file("context_files", local)
                for name, local in context_files.items()
            }
            given = variables("build_args", build_args)
            read = Dockerfile("\n".join(lines), "dockerfile_commands", context._replace(files=files), given)
            return _given(read.commands(), force_build, env, secrets, None, gpu)

        return then(self, "dockerfile_commands", steps)


def _context(context_dir: Any, ignore: Any, file: Path | None) -> Context:
    from pathlib import Path

    from .client.dockerfile_steps import Context

    folder = Path.cwd() if context_dir is None else existing_folder("context_dir", context_dir)
    if not isinstance(ignore, _AutoDockerignore):
        return Context(folder, matcher(ignore))
    candidates = [folder / ".dockerignore"]
    if file is not None:
        candidates.insert(0, file.with_name(f"{file.name}.dockerignore"))
    found = next((path for path in candidates if path.is_file()), None)
    return Context(folder, matcher([]) if found is None else FilePatternMatcher.from_file(found))


def _of_image(step: Step) -> bool:
    """Whether it takes files from an image of a registry."""
    return step.docker is not None and step.docker.flags.get("from", "").startswith("image ")


def _given(
    steps: list[Step], force_build: Any, env: Any, secrets: Any, registry_secret: Secret | None, gpu: Any
) -> list[Step]:
    """The steps with what the method was given: variables for what runs, a secret for what is pulled."""
    out: list[Step] = []
    for step in steps:
        if (step.op == "FROM" and step.args[0] == "registry" and registry_secret is not None) or (
            step.op in ("COPY", "ADD") and registry_secret is not None and _of_image(step)
        ):
            step = step.given(False, None, [registry_secret])
        elif step.op == "RUN":
            step = step.given(False, env, secrets, gpu=gpu)
        out.append(step)
    if out and force_build:
        out = [step._replace(force=step.force or step.op == "FROM") for step in out]
        out[0] = out[0]._replace(force=True)
    return out
