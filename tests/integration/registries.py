"""A registry for tests, Debian's docker-registry, and images that stand on this machine's own shell."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest


@dataclass
class OwnRegistry:
    """Debian's docker-registry on a port of this machine."""

    host: str

    def push(self, name: str, tag: str, config: dict[str, Any], *layers: bytes) -> str:
        """Uploads an image by the registry's HTTP protocol; its digest."""
        described = [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "size": len(data),
                "digest": self.blob(name, data),
            }
            for data in layers
        ]
        body = json.dumps({"architecture": "amd64", "os": "linux", "config": config}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "size": len(body),
                "digest": self.blob(name, body),
            },
            "layers": described,
        }
        data = json.dumps(manifest).encode()
        self.ask("PUT", f"/v2/{name}/manifests/{tag}", data, str(manifest["mediaType"]))
        return _digest(data)

    def blob(self, name: str, data: bytes) -> str:
        place = self.ask("POST", f"/v2/{name}/blobs/uploads/", b"").headers["Location"]
        joint = "&" if "?" in place else "?"
        self.ask("PUT", f"{place}{joint}digest={_digest(data)}", data, "application/octet-stream")
        return _digest(data)

    def ask(self, method: str, url: str, data: bytes, kind: str = "") -> Any:
        url = url if "://" in url else f"http://{self.host}{url}"
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


LOGINS = """reader:$2b$04$eR7WHgg0aBw4FBzMvGTHSeY1cRY0nUMCoZNr2CFeDHQrdXq9Sh8Ki
_json_key:$2b$04$sRZthOq3vVl0B6u8dNvmrOZA3OrzOI/G7Ev5cAPFCG3e1AKZ8MrCS
"""
"""Who may read a private registry: the passwords are PASSWORD and ACCOUNT."""
PASSWORD = "hush"
ACCOUNT = '{"type": "service_account"}'


@contextmanager
def served(folder: Path, private: bool = False) -> Generator[OwnRegistry]:
    """A registry with its content below `folder`; a private one asks for a login."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: script/setup --dev does it as root")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    folder.mkdir(exist_ok=True)
    config: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": host},
    }
    if private:
        (folder / "logins").write_text(LOGINS)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "logins")}}
    (folder / "registry.yml").write_text(json.dumps(config))
    log = (folder / "registry.log").open("wb")
    process = subprocess.Popen([program, "serve", str(folder / "registry.yml")], stdout=log, stderr=log)
    try:
        made = OwnRegistry(host)
        asyncio.run(_answers(made))
        yield made
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[OwnRegistry]:
    with served(tmp_path / "public") as made:
        yield made


async def _answers(registry: OwnRegistry) -> None:
    host, _, port = registry.host.partition(":")
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise AssertionError("docker-registry did not open its port")


def system(**files: str) -> bytes:
    """A layer of this machine's shell and its libraries, and of these files."""
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        names = ["/bin/dash", "/bin/cat", "/bin/ls"]
        said = subprocess.run(["ldd", *names], capture_output=True, text=True, check=True).stdout
        for name in sorted({*names, *re.findall(r"(/\S+) \(0x", said)}):
            tar.add(os.path.realpath(name), f"usr{name}" if name.startswith("/bin") else name[1:])
        for name, target in (("bin", "usr/bin"), ("usr/bin/sh", "dash")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name, content in files.items():
            info = tarfile.TarInfo(f"data/{name}")
            info.size, info.uid, info.gid = len(content), 33, 70_000
            tar.addfile(info, BytesIO(content.encode()))
    return data.getvalue()


def deletion(name: str) -> bytes:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(f"data/.wh.{name}"))
    return data.getvalue()
