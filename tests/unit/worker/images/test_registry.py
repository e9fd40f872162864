"""Names of images, logins, and what a registry's layers become on disk."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import IO, cast

import pytest

from ionian.worker.images import overlay
from ionian.worker.images.registry import OutOfReach, Reference, RegistryError, Unreachable, credentials
from ionian.worker.images.unpack import apply


def tar_of(*members: tuple[str, str], modes: dict[str, int] | None = None) -> IO[bytes]:
    """A layer: name → content; "→x" a link to x, "=x" the same file as x, "/" a folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1_700_000_000
            info.mode = (modes or {}).get(name, 0o755 if content == "/" else 0o644)
            if content == "/":
                info.type = tarfile.DIRTYPE
            elif content.startswith("→"):
                info.type, info.linkname = tarfile.SYMTYPE, content[1:]
            elif content.startswith("="):
                info.type, info.linkname = tarfile.LNKTYPE, content[1:]
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()) if info.type == tarfile.REGTYPE else None)
    data.seek(0)
    return cast(IO[bytes], data)


def unpacked(folder: Path, *layers: IO[bytes]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for stream in layers:
        apply(stream, folder, lambda path, uid, gid: None)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("reg.test:5000/a/b:1", "https://reg.test:5000/v2/a/b 1"),
        ("localhost:5000/x", "http://localhost:5000/v2/x latest"),
        ("http://reg.test/x:2", "http://reg.test/v2/x 2"),
        ("reg.test/x@sha256:ab", "https://reg.test/v2/x sha256:ab"),
    ],
)
def test_a_name_tells_where_to_ask(name: str, url: str):
    reference = Reference.parse(name)
    assert f"{reference.url} {reference.tag}" == url


def test_a_name_without_a_registry_means_the_configured_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("IONIAN_REGISTRY", raising=False)
    assert Reference.parse("python:3.12-slim") == Reference("docker.io", "library/python", "3.12-slim")
    monkeypatch.setenv("IONIAN_REGISTRY", "http://mirror.test:5000")
    assert Reference.parse("python:3.12-slim") == Reference("http://mirror.test:5000", "python", "3.12-slim")


def test_a_name_that_is_none_is_refused_with_an_example():
    with pytest.raises(RegistryError, match=r"such as python:3.12-slim, got 'No Such'"):
        Reference.parse("No Such")


def test_a_login_of_docker_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert credentials("reg.test") == ""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"reg.test": {"auth": "dTpw"}}}))
    assert credentials("reg.test") == "dTpw"


def test_a_registry_that_did_not_answer_is_not_asked_again(monkeypatch: pytest.MonkeyPatch):
    registries = OutOfReach()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        registries.find("127.0.0.1:9/x:1")  # the discard port: nobody listens

    def again(*_: object, **__: object) -> None:
        pytest.fail("asked again")

    monkeypatch.setattr("urllib.request.urlopen", again)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        registries.find("127.0.0.1:9/y:1")


def test_layers_add_up_and_deletions_are_carried_out(tmp_path: Path):
    first = tar_of(("a", "/"), ("a/x", "1"), ("a/y", "2"), ("b", "3"), ("d", "/"), ("d/old", "4"))
    second = tar_of(("a/.wh.x", ""), (".wh.b", ""), ("d/new", "5"), ("d/.wh..wh..opq", ""), ("c", "6"))
    assert unpacked(tmp_path / "i", first, second) == {"a/y": "2", "c": "6", "d/new": "5"}


def test_modes_links_and_times_are_kept(tmp_path: Path):
    layer = tar_of(("f", "x"), ("l", "→f"), ("h", "=f"), ("s", "/"), modes={"f": 0o4755, "s": 0o1777})
    unpacked(tmp_path / "i", layer)
    assert stat.S_IMODE((tmp_path / "i/f").stat().st_mode) == 0o4755
    assert stat.S_IMODE((tmp_path / "i/s").stat().st_mode) == 0o1777
    assert (tmp_path / "i/h").samefile(tmp_path / "i/f")
    assert os.readlink(tmp_path / "i/l") == "f"
    assert (tmp_path / "i/f").stat().st_mtime == 1_700_000_000


def test_a_file_below_a_link_lands_where_the_link_leads_in_the_image(tmp_path: Path):
    first, second = tar_of(("usr/bin", "/"), ("bin", "→usr/bin")), tar_of(("bin/tool", "t"))
    assert unpacked(tmp_path / "i", first, second) == {"usr/bin/tool": "t"}


def test_no_path_or_link_of_a_layer_leads_out_of_the_image(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    layer = tar_of(
        ("../outside/a", "1"),
        ("out", f"→{tmp_path}/outside"),
        ("out/b", "2"),
        ("up", "→../../outside"),
        ("up/c", "3"),
    )
    unpacked(tmp_path / "i", layer)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_may_be_replaced_by_a_folder(tmp_path: Path):
    first, second = tar_of(("x", "→/etc")), tar_of(("x", "/"), ("x/f", "1"))
    assert unpacked(tmp_path / "i", first, second) == {"x/f": "1"}
    assert overlay.resolve([tmp_path / "i"], "/x/f")[0] == "/x/f"
