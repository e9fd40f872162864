"""An S3 server for tests: moto's, in a virtual environment of its own that outlives the run."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.homes import cache_folder
from uv import find_uv_bin

MOTO = ("moto[s3]==5.2.5", "flask", "flask-cors")

SIGNED = "AWS4-HMAC-SHA256 Credential=anybody/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any"


@dataclass
class ObjectStore:
    """It takes any credentials."""

    url: str

    def request(self, method: str, path: str, content: bytes = b"") -> bytes:
        request = urllib.request.Request(f"{self.url}/{path}", data=content or None, method=method)
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Authorization", SIGNED)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def make_bucket(self, name: str) -> None:
        """With versions: moto takes no request for a version of a bucket without, which others answer."""
        self.request("PUT", name)
        versions = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        self.request("PUT", f"{name}?versioning", versions)

    def keys(self, bucket: str) -> list[str]:
        return re.findall("<Key>(.*?)</Key>", self.request("GET", f"{bucket}?list-type=2").decode())


@contextmanager
def object_store(log: Path) -> Generator[ObjectStore]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_moto() / "bin/moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        )
        try:
            _wait_for(process, port)
            yield ObjectStore(f"http://127.0.0.1:{port}")
        finally:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "moto's server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("moto's server did not open its port")


def _moto() -> Path:
    folder = cache_folder() / f"{MOTO[0].replace('[', '-').replace(']', '-')}-py{sys.version_info[1]}"
    if not (folder / "complete").exists():
        for arguments in (["venv", "--clear", folder], ["pip", "install", "-p", folder, *MOTO]):
            subprocess.run(
                [find_uv_bin(), *map(str, arguments)], check=True, capture_output=True, timeout=150
            )
        (folder / "complete").touch()
    return folder
