"""Images: each method is a step, and what can't be is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.kept import Kept

import ionian
from ionian import execution
from ionian.exception import DeprecationError, InvalidError, ModuleNotMountable
from ionian.image import Image
from ionian.image_function import key_of
from ionian.local_files import LocalFile
from ionian.protocol.spec import FileRef, GpuRequest, Instruction, Resources, VolumeMount
from ionian.volume import Volume

SLIM = Image.debian_slim("3.11")


def steps(image: Image) -> list[Instruction]:
    return image.spec(Kept()).instructions


def last(image: Image) -> Instruction:
    return steps(image)[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.pyc", "sub/c.txt", "sub/d.pyc", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


MADE: list[tuple[Callable[[], Image], tuple[str, list[str]]]] = [
    (lambda: SLIM, ("FROM", ["debian_slim", "3.11"])),
    (lambda: Image.from_registry("python:3.12-slim"), ("FROM", ["registry", "python:3.12-slim"])),
    (lambda: SLIM.pip_install("b", ["a", "c>=1"]), ("PIP", ["a", "b", "c>=1"])),
    (
        lambda: SLIM.pip_install(
            "a",
            find_links="/l",
            index_url="http://i",
            extra_index_url="http://e",
            pre=True,
            extra_options="--no-deps",
        ),
        (
            "PIP",
            [
                "--find-links",
                "/l",
                "--index-url",
                "http://i",
                "--extra-index-url",
                "http://e",
                "--prerelease",
                "allow",
                "--no-deps",
                "a",
            ],
        ),
    ),
    (lambda: SLIM.uv_pip_install("a"), ("PIP", ["a"])),
    (lambda: SLIM.apt_install("git", ["curl"]), ("APT", ["git", "curl"])),
    (lambda: SLIM.run_commands("echo 1"), ("RUN", ["echo 1"])),
    (lambda: SLIM.env({"A": "1", "B": "2"}), ("ENV", ["A", "1", "B", "2"])),
    (lambda: SLIM.workdir("/app"), ("WORKDIR", ["/app"])),
    (lambda: SLIM.entrypoint(["/start"]), ("ENTRYPOINT", ["/start"])),
    (lambda: SLIM.entrypoint([]), ("ENTRYPOINT", [])),
    (lambda: SLIM.cmd(["sleep", "1"]), ("CMD", ["sleep", "1"])),
    (lambda: SLIM.shell(["/bin/bash", "-c"]), ("SHELL", ["/bin/bash", "-c"])),
]


@pytest.mark.parametrize(("make", "step"), MADE, ids=[" ".join([op, *args]) for _, (op, args) in MADE])
def test_a_method_is_a_step(make: Callable[[], Image], step: tuple[str, list[str]]) -> None:
    made = last(make())
    assert (made.op, made.args) == step


def test_each_method_gives_a_new_image_on_the_old_one() -> None:
    first = SLIM.run_commands("a")
    second = first.run_commands("b", ["c"])
    assert [step.args for step in steps(first)[1:]] == [["a"]]
    assert [step.args for step in steps(second)[1:]] == [["a"], ["b"], ["c"]]


def test_what_runs_of_a_dockerfile_has_the_gpu_that_it_asks_for() -> None:
    _, copied, ran = steps(SLIM.dockerfile_commands("ENV A=1", "RUN nvidia-smi", gpu="H100"))
    assert (copied.resources, ran.resources) == (None, Resources(gpus=[GpuRequest("H100")]))


def test_installing_nothing_is_no_step() -> None:
    assert SLIM.pip_install() is SLIM
    assert SLIM.apt_install([]) is SLIM
    assert SLIM.run_commands() is SLIM
    assert SLIM.env({}) is SLIM


def test_a_step_has_its_own_variables_secrets_and_force() -> None:
    made = last(
        SLIM.run_commands(
            "x", env={"A": "1"}, secrets=[ionian.Secret.from_dict({"T": "t"})], force_build=True
        )
    )
    assert (made.env, made.secret_ids, made.force) == ({"A": "1"}, ["T"], True)


def test_without_a_version_the_python_is_that_of_this_process() -> None:
    import sys

    assert last(Image.debian_slim()).args == ["debian_slim", f"{sys.version_info[0]}.{sys.version_info[1]}"]


def test_a_file_is_mounted_unless_it_is_copied(folder: Path) -> None:
    mounted = SLIM.add_local_file(folder / "a.txt", "/data/x.txt")
    assert steps(mounted) == steps(SLIM)
    assert mounted.mounts() == [LocalFile(folder / "a.txt", "/data/x.txt")]
    copied = SLIM.add_local_file(folder / "a.txt", "/data/", copy=True)
    assert copied.mounts() == []
    assert last(copied) == Instruction("COPY", ["/data"], files=[FileRef("a.txt", "a.txt", 0)])


def test_a_folder_leaves_out_what_is_ignored(folder: Path) -> None:
    image = SLIM.add_local_dir(folder, "/data", ignore=["**/*.pyc", ".git"])
    assert [file.remote for file in image.mounts()] == ["/data/a.txt", "/data/sub/c.txt"]
    image = SLIM.add_local_dir(folder, "/data", ignore=lambda path: path.suffix != ".pyc")
    assert [file.remote for file in image.mounts()] == ["/data/b.pyc", "/data/sub/d.pyc"]
    image = SLIM.add_local_dir(
        str(folder), "/data", copy=True, ignore=~ionian.FilePatternMatcher("sub/*.txt")
    )
    assert [file.path for file in last(image).files] == ["sub/c.txt"]


def test_files_are_looked_for_when_the_app_runs(folder: Path) -> None:
    image = SLIM.add_local_dir(folder, "/data", ignore=["**/*.pyc", ".git"])
    (folder / "new.txt").write_text("new")
    assert "/data/new.txt" in [file.remote for file in image.mounts()]


def test_of_two_files_at_one_place_the_later_is_mounted(folder: Path) -> None:
    image = SLIM.add_local_file(folder / "a.txt", "/x").add_local_file(folder / "sub/c.txt", "/x")
    assert image.mounts() == [LocalFile(folder / "sub/c.txt", "/x")]


def test_a_step_on_mounted_files_is_refused(folder: Path) -> None:
    image = SLIM.add_local_file(folder / "a.txt", "/x")
    for use in (
        lambda: image.run_commands("cat /x"),
        lambda: image.add_local_file(folder / "a.txt", "/y", copy=True),
    ):
        with pytest.raises(InvalidError, match="copy=True"):
            use()
    assert image.add_local_file(folder / "a.txt", "/y").mounts()


def test_python_source_brings_modules_and_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "package").mkdir()
    for name in ("package/__init__.py", "package/part.py", "package/data.csv", "single.py"):
        (folder / name).write_text("")
    monkeypatch.syspath_prepend(folder)
    image = SLIM.add_local_python_source("package", "single")
    assert [file.remote for file in image.mounts()] == [
        "/root/package/__init__.py",
        "/root/package/part.py",
        "/root/single.py",
    ]
    everything = SLIM.add_local_python_source("package", ignore=[]).mounts()
    assert "/root/package/data.csv" in [file.remote for file in everything]
    with pytest.raises(ModuleNotMountable, match="no_such_module"):
        SLIM.add_local_python_source("no_such_module")
    with pytest.raises(ModuleNotMountable, match="no Python source"):
        SLIM.add_local_python_source("sys")


def test_requirements_bring_the_files_that_they_include(folder: Path) -> None:
    (folder / "requirements.txt").write_text(
        "numpy\n-r sub/more.txt  # more\n--constraint=limits.txt\n-r http://x/y\n"
    )
    (folder / "sub/more.txt").write_text("pandas\n")
    (folder / "limits.txt").write_text("numpy<3\n")
    made = last(SLIM.pip_install_from_requirements(folder / "requirements.txt", pre=True))
    assert made.args == ["--prerelease", "allow", "--requirement", "0/requirements.txt"]
    assert [file.path for file in made.files] == ["0/limits.txt", "0/requirements.txt", "0/sub/more.txt"]
    made = last(
        SLIM.uv_pip_install("a", requirements=[str(folder / "sub/more.txt"), str(folder / "limits.txt")])
    )
    assert made.args == ["--requirement", "0/more.txt", "--requirement", "1/limits.txt", "a"]


def test_requirements_outside_of_the_folder_are_refused(folder: Path) -> None:
    (folder / "sub/r.txt").write_text("-r ../a.txt\n")
    with pytest.raises(InvalidError, match="outside of its folder"):
        SLIM.pip_install_from_requirements(folder / "sub/r.txt")


WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("debian_slim", lambda: Image()),
    ("python_version", lambda: Image.debian_slim("3.9")),
    ("python_version", lambda: Image.debian_slim("3.11.x")),
    ("force_build", lambda: Image.debian_slim("3.11", force_build=1)),  # pyright: ignore
    ("tag", lambda: Image.from_registry("")),
    ("pip_install", lambda: SLIM.pip_install(5)),  # pyright: ignore
    ("extra_options", lambda: SLIM.pip_install("--pre")),
    ("extra_options", lambda: SLIM.pip_install("a", extra_options="'")),
    ("index_url", lambda: SLIM.pip_install("a", index_url=5)),  # pyright: ignore
    ("pre", lambda: SLIM.pip_install("a", pre="yes")),  # pyright: ignore
    ("requirements_txt", lambda: SLIM.pip_install_from_requirements("/nowhere.txt")),
    ("run_commands", lambda: SLIM.run_commands("")),
    ("env", lambda: SLIM.env({"A": 1})),  # pyright: ignore
    ("env", lambda: SLIM.env({"A": None})),  # pyright: ignore
    ("entrypoint", lambda: SLIM.entrypoint("sh")),  # pyright: ignore
    ("local_path", lambda: SLIM.add_local_file("/nowhere", "/x")),
    ("local_path", lambda: SLIM.add_local_dir(__file__, "/x")),
    ("remote_path", lambda: SLIM.add_local_file(__file__, "x")),
    ("ignore", lambda: SLIM.add_local_dir(".", "/x", ignore="*.pyc")),
    ("secrets", lambda: SLIM.run_commands("x", secrets={"A": "1"})),  # pyright: ignore
    ("needs an image", lambda: Image.pip_install("numpy")),  # pyright: ignore
]


@pytest.mark.parametrize(("name", "make"), WRONG)
def test_a_wrong_argument_is_refused_by_its_name(name: str, make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidError, match=name):
        make()


def test_a_version_as_a_number_is_refused_for_what_it_would_mean() -> None:
    with pytest.raises(TypeError, match=r"3\.10 would be 3.1"):
        Image.debian_slim(3.11)  # pyright: ignore


def test_pipe_passes_the_image_on() -> None:
    def with_git(image: Image, *more: str) -> Image:
        return image.apt_install("git", *more)

    assert last(SLIM.pipe(with_git, "curl")).args == ["git", "curl"]


def test_a_retired_copy_is_a_step_with_a_warning(folder: Path) -> None:
    with pytest.warns(DeprecationError, match="add_local_file"):
        made = last(SLIM.copy_local_file(folder / "a.txt", "x.txt"))
    assert (made.args, [file.path for file in made.files]) == (["/root"], ["x.txt"])


@pytest.fixture
def in_container() -> Iterator[None]:
    execution.enter_container()
    yield
    execution.leave_container()


def test_imports_that_fail_here_are_passed_over() -> None:
    with SLIM.imports():
        import no_such_module  # pyright: ignore  # noqa: F401
    with pytest.warns(UserWarning, match="ZeroDivisionError"), SLIM.imports():
        _ = 1 / 0
    assert SLIM.import_error is None


def test_imports_that_fail_in_a_container_fail_the_functions_of_that_image(in_container: None) -> None:
    app, image, other = ionian.App(), Image.debian_slim(), Image.debian_slim()

    @app.function(image=image)
    def broken() -> None: ...

    @app.function(image=other)
    def sound() -> None: ...

    with image.imports():
        import no_such_module  # pyright: ignore  # noqa: F401

    sound.check_imports()
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        broken.check_imports()


LIMIT = 3


def used() -> int:
    return LIMIT


def bake(times: int = 1) -> int:
    return used() * times


def test_a_function_of_a_build_is_a_step_with_its_module_arguments_and_source() -> None:
    made = last(
        SLIM.run_function(
            bake,
            args=[2],
            gpu="H100",
            cpu=(1, 2),
            memory=512,
            timeout=60,
            volumes={"/data": Volume.from_name("v")},
        )
    )
    assert (made.op, made.args[:2]) == ("CALL", [__name__, "bake"])
    assert made.files[0].path == "call.pickle"
    assert f"/root/{__name__.replace('.', '/')}.py" in [file.path for file in made.files]
    assert made.resources == Resources(1000, 2000, 512, gpus=[GpuRequest("H100")])
    assert made.timeout_s == 60
    assert made.volumes == [VolumeMount("/data", "vo-v")]


def test_a_function_without_its_source_brings_its_arguments_alone() -> None:
    made = last(SLIM.run_function(bake, include_source=False))
    assert [file.path for file in made.files] == ["call.pickle"]


def test_a_function_of_a_function_goes_by_value() -> None:
    def inner() -> int:
        return LIMIT

    made = last(SLIM.run_function(inner))
    assert (made.args[0], [file.path for file in made.files]) == ("", ["call.pickle", "function.pickle"])


def test_a_function_runs_again_when_a_global_changes_that_it_or_what_it_calls_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = key_of(bake)  # pyright: ignore[reportArgumentType]
    assert key_of(bake) == before  # pyright: ignore[reportArgumentType]
    monkeypatch.setitem(globals(), "LIMIT", 4)
    assert key_of(bake) != before  # pyright: ignore[reportArgumentType]


def generated() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda: SLIM.run_function(lambda: 1), "a lambda has no source of its own"),
        (lambda: SLIM.run_function(generated), "expected a function that returns, and generated yields"),
        (lambda: SLIM.run_function(cast(Any, 3)), "run_function: expected a function, got 3"),
        (lambda: SLIM.run_function(bake, args=(1, 2)), "bake can't be called with these: too many positional"),
        (lambda: SLIM.run_function(bake, args="ab"), "args: expected a tuple of arguments, got 'ab'"),
        (lambda: SLIM.run_function(bake, gpu="H1000"), "'H1000' is no GPU that Ionian knows"),
        (lambda: SLIM.run_function(bake, timeout=0), "timeout: expected a number of seconds"),
        (lambda: SLIM.run_commands("true", volumes={"/v": 3}), "volumes: expected a modal.Volume for each"),
        (lambda: steps(SLIM.run_function(bake, args=(b"a" * (3 << 20),))), "pickle to 3,145"),
    ],
)  # fmt: skip
def test_a_function_that_no_build_could_run_is_refused(write: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InvalidError) as refused:
        write()
    assert sentence in str(refused.value)
