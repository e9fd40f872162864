"""Dockerfiles built for real, from a registry that the test starts."""

from __future__ import annotations

import http.server
import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from tests.integration.image_bench import Bench, bench, cached, go
from tests.integration.registries import OwnRegistry, registry, system
from tests.kept import Kept

from ionian.client.dockerfile_steps import Context, Dockerfile
from ionian.file_pattern_matcher import matcher
from ionian.local_files import LocalFile
from ionian.protocol.spec import FileRef, Instruction
from ionian.worker.images import BuiltImage, ImageError

__all__ = ["bench", "cached", "registry"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(120)]


@pytest.fixture
def base(registry: OwnRegistry) -> str:
    """The name of an image with a shell, `cat` and `ls`."""
    config = {"Env": ["PATH=/usr/bin:/bin", "FROM_BASE=yes"], "WorkingDir": "/data"}
    registry.push("base", "1", config, system(a="of the base"))
    return f"{registry.host}/base:1"


class Desk:
    """A folder with a Dockerfile and its context."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        folder.mkdir()

    def put(self, name: str, content: str | bytes, mode: int = 0o644) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    def steps(self, text: str, **build_args: str) -> list[Instruction]:
        read = Dockerfile(text, "Dockerfile", Context(self.folder, matcher([])), build_args)
        return [step.instruction(Kept(self._references)) for step in read.image()]

    async def build(self, text: str, **build_args: str) -> BuiltImage:
        return await self.bench.build(*self.steps(text, **build_args))

    def _references(self, files: Sequence[LocalFile]) -> list[FileRef]:
        return [self._reference(file) for file in files]

    def _reference(self, file: LocalFile) -> FileRef:
        import hashlib

        data = file.local.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        (self.bench.blobs / digest).write_bytes(data)
        return FileRef(file.remote, digest, len(data), file.local.stat().st_mode & 0o777)


@pytest.fixture
def desk(bench: Bench, tmp_path: Path) -> Desk:
    return Desk(bench, tmp_path / "context")


def test_stages_of_a_dockerfile_take_files_from_each_other(desk: Desk, base: str) -> None:
    text = f"""
FROM {base} AS one
RUN echo 1 > /one.txt
FROM {base} AS two
COPY --from=one /one.txt /data/a* /copied/
RUN echo 2 > /copied/two.txt
FROM one
COPY --from=two /copied /all/
COPY --from={base} /data/a renamed
"""

    async def main() -> None:
        built = await desk.build(text)
        assert await desk.bench.output(
            built, "cat", "/all/one.txt", "/all/two.txt", "/all/a", "/data/renamed"
        ) == ("1\n2\nof the baseof the base")
        await desk.build(text)
        assert {step.state for step in desk.bench.said} == {"cached"}

    go(main)


def test_only_what_an_instruction_depends_on_builds_it_again(desk: Desk, base: str) -> None:
    desk.put("used.txt", "1")
    desk.put("other.txt", "1")
    text = f"FROM {base}\nARG V=0\nCOPY used* /x/\nRUN cat /x/used.txt\nCOPY . /all/\nENV W=$V\n"

    async def main() -> None:
        await desk.build(text)
        desk.put("other.txt", "2")
        await desk.build(text)
        assert desk.bench.states("COPY used") == ["cached"]
        assert desk.bench.states("RUN") == ["cached"]
        assert desk.bench.states("COPY .") == ["done"]
        built = await desk.build(text, V="7")
        assert desk.bench.states("RUN") == ["done"]
        assert built.env["W"] == "7"

    go(main)


def test_words_are_replaced_by_what_the_base_says(desk: Desk, base: str) -> None:
    desk.put("yes/x.txt", "x")
    text = f'FROM {base}\nENV A="$FROM_BASE sir" B=${{NONE:-b}}\nWORKDIR sub/${{B}}\nCOPY $FROM_BASE ./\nCMD echo $A\n'

    async def main() -> None:
        built = await desk.build(text)
        assert (built.env["A"], built.env["B"], built.workdir) == ("yes sir", "b", "/data/sub/b")
        assert await desk.bench.output(built, "cat", "x.txt") == "x"
        assert built.cmd == ["/bin/sh", "-c", "echo $A"]

    go(main)


def test_run_knows_both_forms_its_arguments_and_heredocs(desk: Desk, base: str) -> None:
    text = f"""FROM {base}
ARG NAME=it
RUN ["/bin/sh", "-c", "echo $NAME > exec.txt"]
RUN cat <<ONE > two.txt && echo end >> two.txt
first $NAME
ONE
RUN <<ALL
echo a > three.txt
echo b >> three.txt
ALL
"""

    async def main() -> None:
        built = await desk.build(text)
        said = await desk.bench.output(built, "cat", "exec.txt", "two.txt", "three.txt")
        assert said == "it\nfirst it\nend\na\nb"
        assert "NAME" not in built.env

    go(main)


def test_mounts_of_a_run_are_there_and_leave_nothing(desk: Desk, base: str) -> None:
    desk.put("lock/list.txt", "listed")
    text = f"""FROM {base} AS other
RUN echo other > /other.txt
FROM {base}
RUN --mount=type=cache,target=/cache --mount=type=bind,source=lock,target=/lock \\
    --mount=type=bind,from=other,source=/other.txt,target=/o.txt --mount=type=secret,id=TOKEN \\
    cat /lock/list.txt /o.txt > /got.txt && echo x > /cache/x && cat /run/secrets/TOKEN
"""

    async def main() -> None:
        steps = desk.steps(text)
        steps[-1].secret_ids = ["st-1"]
        built = await desk.bench.build(*steps, secrets={"st-1": {"TOKEN": "hush"}})
        assert desk.bench.logged().endswith("hush")
        assert await desk.bench.output(built, "cat", "/got.txt") == "listedother"
        assert sorted(os.listdir(built.layers[-1])) == ["got.txt"]
        with pytest.raises(
            ImageError, match=r"\(line 4\): expected a secret with the key 'TOKEN' in secrets="
        ):
            await desk.build(text.replace("/got.txt", "/again.txt"))

    go(main)


def archive() -> bytes:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in ("top.txt", "../../escaped.txt", "deep/x.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, BytesIO(b"ok"))
    return data.getvalue()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server with one file, and two more that it gives to who asks for both at once."""
    both = threading.Barrier(2, timeout=60)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/both/"):
                both.wait()
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(b"of the web")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_stages_that_need_nothing_of_each_other_are_built_at_the_same_time(
    desk: Desk, base: str, web: str
) -> None:
    # The server answers neither of the two before it has been asked for both.
    text = f"""
FROM {base} AS one
ADD {web}/both/1.txt /1.txt
FROM {base} AS two
ADD {web}/both/2.txt /2.txt
FROM {base}
COPY --from=one /1.txt /x
COPY --from=two /2.txt /y
"""

    async def main() -> None:
        built = await desk.build(text)
        assert await desk.bench.output(built, "cat", "/x", "/y") == "of the webof the web"

    go(main)


def test_add_unpacks_archives_and_fetches_urls(desk: Desk, base: str, web: str) -> None:
    desk.put("packed.tar.gz", archive())

    async def main() -> None:
        built = await desk.build(
            f"FROM {base}\nADD packed.tar.gz /un/\nCOPY packed.tar.gz /kept/\nADD {web}/file.txt .\n"
        )
        said = await desk.bench.output(
            built, "cat", "/un/top.txt", "/un/deep/x.txt", "/un/escaped.txt", "file.txt"
        )
        assert said == "okokokof the web"
        assert await desk.bench.output(built, "ls", "/kept") == "packed.tar.gz"
        for line, why in {
            f"ADD {web}/none /x": "can't be fetched: Not Found",
            f"ADD --checksum=sha256:00 {web}/file.txt /x": "with the checksum sha256:00, got sha256:",
            "ADD ftp://example.org/a /x": "expected http:// or https://",
        }.items():
            with pytest.raises(ImageError, match=why):
                await desk.build(f"FROM {base}\n{line}\n")

    go(main)


def test_a_copy_gives_files_the_owner_and_mode_that_it_says(desk: Desk, base: str) -> None:
    desk.put("run.sh", "x", 0o755)
    desk.put("plain.txt", "x", 0o600)

    async def main() -> None:
        built = await desk.build(
            f"FROM {base}\nCOPY run.sh plain.txt /mine/\nCOPY --chown=7:8 --chmod=604 plain.txt /theirs/\n"
        )
        listed = (await desk.bench.output(built, "ls", "-ln", "/mine", "/theirs")).splitlines()
        modes = {line.split()[-1]: line.split() for line in listed if line.startswith("-")}
        assert modes["run.sh"][0] == "-rwxr-xr-x"
        theirs = next(line.split() for line in listed[::-1] if line.endswith("plain.txt"))
        assert theirs[0] == "-rw----r--"
        if os.geteuid() == 0:
            assert theirs[2:4] == ["7", "8"]
            assert modes["run.sh"][2:4] == ["0", "0"]

    go(main)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("COPY none* /x", r"COPY none\* /x \(line 2\): nothing in the context is 'none\*'"),
        ("COPY --from=0 /none /x", r"there is no '/none' in 0"),
        ("COPY --chown=nobodyatall a.txt /x", "the image has no user 'nobodyatall'"),
        ("COPY a.txt b.txt /x", "several sources need a folder: write /x/ for /x"),
        ("COPY --chmod=u+x a.txt /x", "expected --chmod with a mode such as 755, got 'u\\+x'"),
        ("RUN exit 4", r"RUN exit 4 \(line 2\): ended with exit code 4"),
        ("WORKDIR ${A", r"WORKDIR \$\{A \(line 2\): expected"),
        ("COPY --from=NOWHERE/no:1 /a /b", "no image no:1 in"),
    ],
)
def test_what_fails_names_its_line(desk: Desk, base: str, lines: str, said: str) -> None:
    desk.put("a.txt", "a")
    desk.put("b.txt", "b")
    lines = lines.replace("NOWHERE", base.partition("/")[0])

    async def main() -> None:
        text = (
            f"FROM {base}\n{lines}\n" if "--from=0" not in lines else f"FROM {base}\nFROM {base}\n{lines}\n"
        )
        with pytest.raises(ImageError, match=said):
            await desk.build(text)
        assert not list((desk.bench.root / "tmp").iterdir())

    go(main)
