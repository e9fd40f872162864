"""Registries that want a login, and what they may send that is not right."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import tarfile
import threading
from io import BytesIO
from pathlib import Path

import pytest
from tests.integration.image_bench import Bench, bench, cached, go
from tests.integration.registries import ACCOUNT, PASSWORD, OwnRegistry, registry, served, system
from tests.kept import Kept

import ionian
from ionian.exception import InvalidError
from ionian.protocol.spec import Instruction
from ionian.worker.images import ImageError

__all__ = ["bench", "cached", "registry"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(120)]


def pull(name: str, kind: str = "registry", secret: bool = True) -> Instruction:
    return Instruction("FROM", [kind, name], secret_ids=["st-1"] if secret else [])


@pytest.fixture
def private(tmp_path: Path) -> str:
    """A folder whose registry has an image that is read with a login alone."""
    with served(tmp_path / "private") as open_to_all:
        open_to_all.push("team/secret", "1", {}, system(a="private"))
    return str(tmp_path / "private")


def test_a_private_registry_is_read_with_the_login_of_a_secret(bench: Bench, private: str) -> None:
    async def main(host: str) -> None:
        name = f"{host}/team/secret:1"
        right = {"REGISTRY_USERNAME": "reader", "REGISTRY_PASSWORD": PASSWORD}
        built = await bench.build(pull(name), secrets={"st-1": right})
        assert await bench.output(built, "cat", "/data/a") == "private"
        # What is here already is for those alone who may have it.
        with pytest.raises(ImageError, match=r"asks for a login: give a secret with REGISTRY_USERNAME"):
            await bench.build(pull(name, secret=False))
        with pytest.raises(
            ImageError, match=r"refuses team/secret:1: it doesn't take the login of the secret"
        ):
            await bench.build(pull(name), secrets={"st-1": right | {"REGISTRY_PASSWORD": "wrong"}})
        with pytest.raises(
            ImageError, match=r"the key REGISTRY_PASSWORD, and this one has REGISTRY_USERNAME"
        ):
            await bench.build(pull(name), secrets={"st-1": {"REGISTRY_USERNAME": "reader"}})
        said = "".join(step.text for step in bench.said)
        assert PASSWORD not in said

    with served(Path(private), private=True) as host:
        go(lambda: main(host.host))


def test_a_service_account_is_the_login_of_artifact_registry(bench: Bench, private: str) -> None:
    async def main(host: str) -> None:
        name = f"{host}/team/secret:1"
        built = await bench.build(pull(name, "gcp"), secrets={"st-1": {"SERVICE_ACCOUNT_JSON": ACCOUNT}})
        assert await bench.output(built, "cat", "/data/a") == "private"

    with served(Path(private), private=True) as host:
        go(lambda: main(host.host))
    with pytest.raises(
        InvalidError, match=r"secret: expected a modal.Secret with the key SERVICE_ACCOUNT_JSON"
    ):
        ionian.Image.from_gcp_artifact_registry("europe-docker.pkg.dev/p/r/i:1")


def test_keys_of_amazon_are_changed_for_a_token(bench: Bench, private: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            right = self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA1/")
            self.send_response(200 if right else 400)
            self.end_headers()
            token = base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
            self.wfile.write(json.dumps({"authorizationData": [{"authorizationToken": token}]}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    amazon = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=amazon.serve_forever, daemon=True).start()
    keys = {
        "AWS_ACCESS_KEY_ID": "AKIA1",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_ECR": f"http://127.0.0.1:{amazon.server_address[1]}",
    }

    async def main(host: str) -> None:
        name = f"{host}/team/secret:1"
        built = await bench.build(pull(name, "ecr"), secrets={"st-1": keys})
        assert await bench.output(built, "cat", "/data/a") == "private"
        with pytest.raises(ImageError, match="gives these keys no token: 400 Bad Request"):
            await bench.build(pull(name, "ecr"), secrets={"st-1": keys | {"AWS_ACCESS_KEY_ID": "other"}})
        with pytest.raises(
            ImageError, match="the key AWS_SECRET_ACCESS_KEY, and this one has AWS_ACCESS_KEY_ID"
        ):
            await bench.build(pull(name, "ecr"), secrets={"st-1": {"AWS_ACCESS_KEY_ID": "AKIA1"}})

    try:
        with served(Path(private), private=True) as host:
            go(lambda: main(host.host))
    finally:
        amazon.shutdown()
        amazon.server_close()


def test_an_image_may_begin_with_nothing(bench: Bench) -> None:
    async def main() -> None:
        image = ionian.Image.from_scratch().env({"A": "1"})
        built = await bench.build(*(step.instruction(Kept()) for step in image.steps))
        assert (built.env["A"], built.python) == ("1", "")

    go(main)


def test_setup_commands_stand_on_the_image_of_a_registry(bench: Bench, registry: OwnRegistry) -> None:
    async def main() -> None:
        registry.push("tool", "1", {"Env": ["PATH=/usr/bin:/bin"]}, system(a="x"))
        image = ionian.Image.from_registry(
            f"{registry.host}/tool:1", setup_dockerfile_commands=["ENV A=2", "RUN echo $A > /two"]
        )
        built = await bench.build(*(step.instruction(Kept()) for step in image.steps))
        assert await bench.output(built, "cat", "/two") == "2"

    go(main)


def test_a_damaged_layer_is_found_and_fetched_again_and_then_said(
    bench: Bench, registry: OwnRegistry, tmp_path: Path
):
    layer = system(a="right")
    digest = hashlib.sha256(layer).hexdigest()
    kept = tmp_path / "public/registry/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"

    async def main() -> None:
        registry.push("tool", "1", {}, layer)
        kept.write_bytes(layer.replace(b"right", b"wrong"))
        with pytest.raises(ImageError, match=f"expected a layer with digest sha256:{digest}, got sha256:"):
            await bench.build(pull(f"{registry.host}/tool:1", secret=False))
        assert "fetching the image again" in bench.logged()
        assert not list((bench.root / "tmp").iterdir())
        kept.write_bytes(layer)
        built = await bench.build(pull(f"{registry.host}/tool:1", secret=False))
        assert await bench.output(built, "cat", "/data/a") == "right"

    go(main)


def test_a_layer_that_leads_out_of_the_image_stays_inside(
    bench: Bench, registry: OwnRegistry, tmp_path: Path
):
    outside = tmp_path / "outside"
    outside.mkdir()
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, target in (("out", str(outside)), ("up", "../../../../..")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name in ("out/a", "../../b", "up/c"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, BytesIO(b"x"))
    evil = data.getvalue()

    async def main() -> None:
        registry.push("evil", "1", {}, system(), evil)
        built = await bench.build(pull(f"{registry.host}/evil:1", secret=False))
        assert await bench.output(built, "cat", "/b", "/c") == "xx"
        assert (built.layers[0] / str(outside / "a").lstrip("/")).read_text() == "x"
        assert not list(outside.iterdir())

    go(main)


def test_what_is_no_image_is_said_to_be_none(bench: Bench, registry: OwnRegistry) -> None:
    async def main() -> None:
        kind = "application/vnd.oci.image.index.v1+json"
        registry.ask(
            "PUT",
            "/v2/odd/manifests/1",
            b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % kind.encode(),
            kind,
        )
        with pytest.raises(ImageError, match="odd:1 is there for nothing, not for linux/"):
            await bench.build(pull(f"{registry.host}/odd:1", secret=False))

    go(main)
