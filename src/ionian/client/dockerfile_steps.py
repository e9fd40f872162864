"""A Dockerfile as the steps of an image: its stages one after another, and the files that each COPY takes from here."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple, cast

from ..exception import InvalidError
from ..image_steps import Step
from ..local_files import LocalFile, LocalFolder
from ..protocol.dockerfile_words import WordError, expand, split
from ..protocol.spec import DockerLine, Op
from .dockerfile import Line, escape_of, json_list, read

NO_EFFECT = {"LABEL", "EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "MAINTAINER"}
"""Instructions that say nothing to functions: Docker's own commands read them."""

FLAGS = {
    "FROM": {"platform"},
    "RUN": {"mount", "network", "security"},
    "COPY": {"from", "chown", "chmod", "link"},
    "ADD": {"chown", "chmod", "link", "checksum"},
}
MOUNTS = {"cache", "tmpfs", "bind", "secret"}
GLOBS = "*?["


class Context(NamedTuple):
    """Where COPY finds files: a folder without what is ignored, and single files by their name there."""

    folder: Path
    ignore: Callable[[Path], bool]
    files: Mapping[str, Path] = {}


class Dockerfile:
    """One file, or the lines of `dockerfile_commands`, taken apart into steps."""

    def __init__(self, text: str, name: str, context: Context, build_args: Mapping[str, str]) -> None:
        self.lines = read(text, name)
        self.name = name
        self.context = context
        self.build_args = build_args
        self.escape = escape_of(text)
        self._globals: dict[str, str] = {}
        self._stages: list[list[Step]] = []
        self._names: dict[str, int] = {}

    def image(self, target: str = "") -> list[Step]:
        """The steps of the last stage, after those of the stages that it takes from."""
        for line in self.lines:
            if line.word == "FROM":
                self._stages.append([self._from(line)])
            elif self._stages:
                self._stages[-1] += self._steps(line)
            elif line.word == "ARG":
                self._globals |= self._arguments(line)
            else:
                raise line.wrong(self.name, "expected FROM first")
        if not self._stages:
            raise InvalidError(f"{self.name}: expected an instruction FROM, found none")
        return _needed(self._stages)

    def commands(self) -> list[Step]:
        """The steps of instructions that stand on an image."""
        steps: list[Step] = []
        for line in self.lines:
            if line.word == "FROM":
                raise line.wrong(self.name, "an image begins with it; write Image.from_dockerfile(…)")
            steps += self._steps(line)
        return steps

    def _from(self, line: Line) -> Step:
        flags, words = self._flags(line)
        platform = flags.get("platform", "")
        if platform and "$" not in platform and platform not in ("linux/amd64", "linux/x86_64"):
            raise line.wrong(self.name, f"--platform={platform}: images are for the machines of workers")
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise line.wrong(self.name, f"expected an image, or an image AS a name, got {line.value!r}")
        name = self._expand(line, words[0], self._globals)
        if not name:
            raise line.wrong(self.name, f"expected an image, and {words[0]} is empty")
        known = self._names.get(name.lower())
        if len(words) == 3:
            self._names[words[2].lower()] = len(self._stages)
        kind = ("stage", str(known)) if known is not None else ("registry", name)
        return Step("FROM", ("scratch", "") if name == "scratch" else kind, docker=_docker(line, {}))

    def _steps(self, line: Line) -> list[Step]:
        """The steps of an instruction other than FROM."""
        if line.word in NO_EFFECT:
            return []
        flags, words = self._flags(line)
        docker = _docker(line, flags)
        value = line.value
        match line.word:
            case "RUN":
                return [self._run(line, docker)]
            case "COPY" | "ADD":
                return [self._copy(line, docker, words)]
            case "ENV":
                return [Step("ENV", self._pairs(line, words), docker=docker)]
            case "ARG":
                pairs = self._arguments(line, quoted=True)
                return [
                    Step("ARG", (name, *given), docker=docker) for name, given in self._args(words, pairs)
                ]
            case "WORKDIR" | "USER":
                return [Step(cast("Op", line.word), (value,), docker=docker)]
            case "CMD" | "ENTRYPOINT" | "SHELL":
                listed = json_list(value)
                if listed is None and line.word == "SHELL":
                    raise line.wrong(self.name, f'expected a list such as ["/bin/bash", "-c"], got {value!r}')
                docker.exec_form = listed is not None
                return [
                    Step(cast("Op", line.word), (value,) if listed is None else tuple(listed), docker=docker)
                ]
            case _:
                raise line.wrong(
                    self.name,
                    "Ionian doesn't know this instruction; docs/images.md lists those that it carries out",
                )

    def _run(self, line: Line, docker: DockerLine) -> Step:
        command = line.value
        while command.startswith("--"):
            flag, _, command = command.partition(" ")
            command = command.lstrip()
            if flag.startswith("--mount="):
                docker.mounts.append(self._mount(line, flag.partition("=")[2]))
        docker.flags = {}
        if not command:
            raise line.wrong(self.name, "expected a command, got none")
        listed = json_list(command)
        docker.exec_form = listed is not None
        sources: list[LocalFile | LocalFolder] = []
        for mount in docker.mounts:
            if mount["type"] == "bind" and "from" not in mount:
                sources += self._sources(line, mount.get("source", "."))
        return Step("RUN", tuple(listed or [command]), tuple(sources), docker=docker)

    def _mount(self, line: Line, text: str) -> dict[str, str]:
        mount = {"type": "bind"}
        for part in text.split(","):
            key, _, value = part.partition("=")
            mount[{"src": "source", "dst": "target", "destination": "target"}.get(key, key)] = value
        if mount["type"] not in MOUNTS:
            raise line.wrong(
                self.name, f"--mount=type={mount['type']}: expected one of {', '.join(sorted(MOUNTS))}"
            )
        if "from" in mount:
            mount["from"] = self._source_image(mount["from"])
        return mount

    def _copy(self, line: Line, docker: DockerLine, words: list[str]) -> Step:
        listed = json_list(line.value[len(line.value) - len(line.value.lstrip()) :]) or None
        words = listed or words
        if len(words) < 2:
            raise line.wrong(self.name, f"expected sources and a destination, got {line.value!r}")
        docker.exec_form = listed is not None
        if "from" in docker.flags:
            docker.flags["from"] = self._source_image(docker.flags["from"])
            return Step(cast("Op", line.word), tuple(words), docker=docker)
        sources: list[LocalFile | LocalFolder] = []
        for word in words[:-1]:
            if "<<" in word or (line.word == "ADD" and "://" in word):
                continue
            if line.word == "ADD" and word.startswith("git@"):
                raise line.wrong(self.name, f"{word}: repositories are not fetched; RUN git clone does it")
            sources += self._sources(line, word)
        return Step(cast("Op", line.word), tuple(words), tuple(sources), docker=docker)

    def _source_image(self, name: str) -> str:
        known = self._names.get(name.lower())
        if known is None and name.isdecimal() and int(name) < len(self._stages):
            known = int(name)
        return f"stage {known}" if known is not None else f"image {name}"

    def _sources(self, line: Line, word: str) -> list[LocalFile | LocalFolder]:
        """What of the context a source may mean: exactly that, or more where a worker has to know its variables."""
        pattern = posixpath.normpath("/" + (word if "$" in word else self._expand(line, word, {}))).lstrip(
            "/"
        )
        if ".." in word.split("/") and posixpath.normpath(word.lstrip("/")).startswith(".."):
            raise line.wrong(self.name, f"{word!r} lies outside of the context {self.context.folder}")
        parts = pattern.split("/") if pattern else []
        extra = [
            LocalFile(local, name) for name, local in self.context.files.items() if _matches(name, parts)
        ]
        fixed = [part for part in parts if not any(char in part for char in GLOBS + "$")]
        literal = "/".join(fixed if len(fixed) == len(parts) else _before(parts))
        place = self.context.folder / literal
        if len(fixed) == len(parts) and not os.path.lexists(place) and not extra:
            raise line.wrong(self.name, f"there is no {word!r} in the context {self.context.folder}")
        if place.is_file():
            return [*extra, *([] if self.context.ignore(Path(literal)) else [LocalFile(place, literal)])]
        if not place.is_dir():
            return list(extra)
        if len(fixed) == len(parts) and not literal:
            return [*extra, LocalFolder(place, "", self.context.ignore)]
        return [*extra, LocalFolder(place, literal, self._below(literal, parts))]

    def _below(self, literal: str, parts: Sequence[str]) -> Callable[[Path], bool]:
        def ignored(path: PurePath) -> bool:
            full = PurePath(literal, path)
            if self.context.ignore(Path(full)):
                return True
            return "$" not in "/".join(parts) and not _matches(full.as_posix(), parts)

        return ignored

    def _flags(self, line: Line) -> tuple[dict[str, str], list[str]]:
        """The flags of an instruction, and its words."""
        words = split(line.value, self.escape)
        flags: dict[str, str] = {}
        while words and words[0].startswith("--") and line.word in FLAGS:
            name, _, value = words.pop(0)[2:].partition("=")
            if name not in FLAGS[line.word]:
                raise line.wrong(self.name, f"the flag --{name} is not one that Ionian carries out")
            flags[name] = value
        return flags, words

    def _pairs(self, line: Line, words: Sequence[str]) -> tuple[str, ...]:
        """`A=1 B=2`, or the old `A 1`, as names and values."""
        if words and "=" not in words[0]:
            _, _, rest = line.value.partition(words[0])
            if not rest.strip():
                raise line.wrong(self.name, f"expected a value for {words[0]}")
            return (words[0], rest.strip())
        out: list[str] = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise line.wrong(self.name, f"expected NAME=value, got {word!r}")
            out += [name, value]
        return tuple(out)

    def _arguments(self, line: Line, quoted: bool = False) -> dict[str, str]:
        """The values of ARG: what the build was given, else the default, else what stood before the first FROM."""
        values: dict[str, str] = {}
        for word in split(line.value, self.escape):
            name, equals, default = word.partition("=")
            if name in self.build_args:
                values[name] = shlex.quote(self.build_args[name]) if quoted else self.build_args[name]
            elif equals:
                values[name] = default if quoted else self._expand(line, default, self._globals | values)
            elif name in self._globals:
                values[name] = shlex.quote(self._globals[name]) if quoted else self._globals[name]
        return values

    def _args(self, words: Sequence[str], values: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
        names = [word.partition("=")[0] for word in words]
        return [(name, (values[name],) if name in values else ()) for name in names]

    def _expand(self, line: Line, word: str, values: Mapping[str, str]) -> str:
        try:
            return expand(word, values, self.escape)
        except WordError as error:
            raise line.wrong(self.name, str(error)) from None


def _docker(line: Line, flags: dict[str, str]) -> DockerLine:
    return DockerLine(line.number, line.text, flags, heredocs=list(line.heredocs))


def _before(parts: Sequence[str]) -> list[str]:
    """The folders before the first pattern."""
    out: list[str] = []
    for part in parts:
        if any(char in part for char in GLOBS + "$"):
            return out
        out.append(part)
    return out


def _matches(path: str, parts: Sequence[str]) -> bool:
    """Whether a file, or a folder that it lies in, is what a source names."""
    names = path.split("/")
    return len(names) >= len(parts) and all(map(fnmatch.fnmatchcase, names, parts))


def _needed(stages: Sequence[list[Step]]) -> list[Step]:
    """The steps of the stages that the last one needs, itself last, numbered anew."""
    wanted: set[int] = set()
    todo = [len(stages) - 1]
    while todo:
        one = todo.pop()
        if one not in wanted:
            wanted.add(one)
            todo += [number for step in stages[one] for number in _stages_of(step)]
    numbers = {old: new for new, old in enumerate(sorted(wanted))}
    steps: list[Step] = []
    for old in sorted(wanted):
        for step in stages[old]:
            steps.append(_renumbered(step, numbers))
    return steps


def _stages_of(step: Step) -> list[int]:
    if step.op == "FROM":
        return [int(step.args[1])] if step.args[0] == "stage" else []
    assert step.docker is not None
    named = [step.docker.flags.get("from", ""), *(mount.get("from", "") for mount in step.docker.mounts)]
    return [int(name.split()[1]) for name in named if name.startswith("stage ")]


def _renumbered(step: Step, numbers: Mapping[int, int]) -> Step:
    if step.op == "FROM":
        return (
            step
            if step.args[0] != "stage"
            else step._replace(args=("stage", str(numbers[int(step.args[1])])))
        )
    assert step.docker is not None
    for place in (step.docker.flags, *step.docker.mounts):
        name = place.get("from", "")
        if name.startswith("stage "):
            place["from"] = f"stage {numbers[int(name.split()[1])]}"
    return step
