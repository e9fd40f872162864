"""The commands about images: what is built, seen and named by them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.messages import fails_with, said
from tests.integration.registries import PASSWORD, served, system

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

DOCKERFILE = "FROM scratch\nCOPY {mark} /mark\nENV MARK={mark}\n"


def built(home: Home, folder: Path, name: str) -> str:
    """The id of an image that a Dockerfile of its own makes."""
    folder.mkdir(exist_ok=True)
    mark = f"m{secrets.token_hex(8)}"  # images outlive test runs
    (folder / mark).write_text(mark)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(mark=mark))
    done = home.ionian("image", "build", str(folder), "-t", name)
    assert done.returncode == 0, done.stdout
    assert "image-build" not in done.stdout
    return next(line for line in done.stdout.splitlines() if line.startswith("✓ Image im-")).split()[2]


def printed(home: Home, *arguments: str) -> Any:
    done = home.ionian("image", *arguments, "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def test_an_image_is_built_listed_and_named_by_commands(home: Home, tmp_path: Path) -> None:
    name = f"made-{secrets.token_hex(4)}"
    first = built(home, tmp_path / "a", f"{name}:v1")
    second = built(home, tmp_path / "b", f"main/{name}:v1")
    assert first != second
    rows = {row["Image ID"]: row for row in printed(home, "list")}
    assert (rows[first]["Names"], rows[second]["Names"]) == ("", f"{name}:v1")
    assert (rows[second]["State"], rows[second]["App"], rows[second]["Python"]) == (
        "built",
        "image-build",
        "",
    )
    assert rows[second]["Size"]
    assert [row["Image ID"] for row in printed(home, "names", "list", "--prefix", name)] == [second]
    assert [row["Image ID"] for row in printed(home, "names", "history", f"{name}:v1")] == [second, first]
    steps = printed(home, "history", f"{name}:v1")
    assert [step["Instruction"].split()[0] for step in steps] == ["FROM", "COPY", "ENV"]
    assert steps[1]["State"] == "done"
    assert steps[1]["Size"]

    gone = home.ionian("image", "names", "delete", f"{name}:v1", "--yes")
    assert f"✓ The name {name}:v1 is gone." in gone.stdout
    fails_with(home.ionian("image", "history", f"{name}:v1"), f"there is no image '{name}:v1'")
    assert [step["Instruction"] for step in printed(home, "history", second)] == [
        step["Instruction"] for step in steps
    ]


def test_what_a_build_printed_is_shown_also_where_it_failed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM python:3.11-slim\nRUN echo first\nRUN echo second {tmp_path.name}; exit 3\n"
    )
    done = home.ionian("image", "build", str(tmp_path), "--name", "broken")
    assert done.returncode == 1, done.stdout
    failed = next(row for row in printed(home, "list") if row["State"] == "failed")
    assert home.ionian("image", "logs", failed["Image ID"]).stdout == f"second {tmp_path.name}\n"
    every = home.ionian("image", "logs", failed["Image ID"], "--all").stdout
    assert every.splitlines()[-1] == f"second {tmp_path.name}"
    fails_with(home.ionian("image", "logs", "broken"), "there is no image 'broken:latest'")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("logs im-nothing", "expected a name such as"),
        ("logs tools --layers 2 --all", "expected one of --layers and --all, got both of them"),
        ("history im-01JDZX00000000000000000000", "there is no image 'im-01JDZX00000000000000000000'"),
        ("names delete tools", "expected a name with its tag, such as tools:latest"),
        ("names history dev/tools --env main", "dev/tools names another environment than --env main"),
        ("build . -t tools", "there is no Dockerfile; name the Dockerfile by --file"),
    ],
)
def test_what_a_command_can_t_do_is_one_sentence(
    home: Home, command: str, sentence: str, tmp_path: Path
) -> None:
    done = home.ionian("image", *command.split(), cwd=tmp_path)
    assert done.returncode in (1, 2), done.stdout
    assert sentence in said(done)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with images of its own: those of other tests stay out of it."""
    with new_home() as made:
        images = tmp_path_factory.mktemp("images")
        images.chmod(0o700)
        (made.folder / "images").unlink()
        (made.folder / "images").symlink_to(images)
        yield made


def test_a_person_removes_the_images_that_nothing_needs(alone: Home, tmp_path: Path) -> None:
    plain = built(alone, tmp_path / "a", "plain")
    named = built(alone, tmp_path / "b", "named")
    alone.ionian("image", "names", "delete", "plain:latest", "--yes")
    assert printed(alone, "prune", "--yes")["images"] == []  # used within ten minutes
    done = printed(alone, "prune", "--unused-for", "0", "--yes")
    assert done["images"] == [plain]
    assert done["freed"] > 0
    assert [row["Image ID"] for row in printed(alone, "list")] == [named]
    assert printed(alone, "prune", "--unused-for", "0", "--yes")["images"] == []


def layers(home: Home) -> set[str]:
    return {path.name for path in (home.folder / "images" / "l").iterdir()}


def test_a_person_removes_an_image(alone: Home, tmp_path: Path) -> None:
    before = layers(alone) if (alone.folder / "images" / "l").exists() else set[str]()
    image = built(alone, tmp_path / "a", "going")
    assert len(layers(alone) - before) == 1
    fails_with(
        alone.ionian("image", "rm", image, "--yes"),
        f"image {image} is going:latest: programs may look for it",
    )
    assert len(layers(alone) - before) == 1
    done = alone.ionian("image", "rm", "going", "--force", "--yes")
    assert done.returncode == 0, done.stdout
    assert f"✓ Image {image} is gone: " in done.stdout
    assert layers(alone) == before
    fails_with(alone.ionian("image", "rm", image, "--yes"), f"there is no image '{image}'")
    fails_with(alone.ionian("image", "history", "going"), "there is no image 'going:latest'")


@pytest.fixture(scope="module")
def looked(home: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with a Python; it stays in the cache of images, and so does its base."""
    folder = tmp_path_factory.mktemp("looked")
    (folder / "Dockerfile").write_text("FROM python:3.11-slim\nENV MARK=from-the-image\n")
    done = home.ionian("image", "build", str(folder), "-t", "looked:at", timeout_s=280)
    assert done.returncode == 0, done.stdout
    return "looked:at"


def test_a_person_looks_into_an_image(home: Home, looked: str) -> None:
    done = home.ionian("image", "shell", looked, "-c", "echo $MARK; exit 3")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "from-the-image")
    fails_with(home.ionian("image", "shell", "nowhere"), "there is no image 'nowhere:latest'")


APP = """
import modal

app = modal.App("needy")


image = modal.Image.from_name("looked:at").env({"OF": "needy"})


@app.function(image=image, serialized=True)
def nobody_calls_this():
    pass


if __name__ == "__main__":
    app.deploy()
    print(image.object_id)
"""


def test_an_image_of_a_private_registry_is_built_with_a_login(alone: Home, tmp_path: Path) -> None:
    with served(tmp_path / "private") as open_to_all:
        open_to_all.push("team/secret", "1", {}, system(a="private"))
    with served(tmp_path / "private", private=True) as registry:
        image = f"{registry.host}/team/secret:1"
        (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY --from={image} /data/a /b\nRUN cat /b\n")
        command = ("image", "build", str(tmp_path), "-t", "private")
        fails_with(alone.ionian(*command), "asks for a login")
        login = {"REGISTRY_USERNAME": "reader", "REGISTRY_PASSWORD": PASSWORD}
        from_env = ("--registry-secret-from-env", ",".join(login))
        done = alone.ionian(*command, *from_env, environment=login)
        assert done.returncode == 0, done.stdout
        assert alone.ionian("image", "logs", "private").stdout == "private\n"
        pairs = [f"{name}={value}" for name, value in login.items()]
        assert alone.ionian("secret", "create", "login", *pairs).returncode == 0
        done = alone.ionian(*command, "--registry-secret", "login")
        assert done.returncode == 0, done.stdout
        assert PASSWORD not in done.stdout
    both = alone.ionian(*command, *from_env, "--registry-secret", "login", environment=login)
    assert "expected one of --registry-secret and --registry-secret-from-env" in said(both)


def test_an_image_stays_while_a_deployed_app_needs_it(home: Home, looked: str, tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text(APP)
    done = home.ionian("python", "-q", "needy.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    image = done.stdout.split()[-1]
    fails_with(
        home.ionian("image", "rm", image, "--force", "--yes"),
        f"image {image} is needed by the app 'needy' of environment 'main', which is deployed; stop it first: "
        "ionian app stop ap-",
    )
    assert home.ionian("app", "stop", "needy", "--yes").returncode == 0
    done = home.ionian("image", "rm", image, "--yes")
    assert f"✓ Image {image} is gone" in done.stdout
    assert home.ionian("image", "history", looked).returncode == 0
