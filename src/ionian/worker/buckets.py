"""Buckets of object stores as folders: one `rclone mount` for each that a container mounts, outside of the container.

The credentials are in the environment of that process alone. Files are written from their begin to their end, and are in the bucket
when they are closed: so a failure is told by `close`, and nothing is left to send when a container ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ..protocol.spec import BucketMount
from ..protocol.workers import StartContainer
from .sandbox import Bind, IdMap, SandboxError

log = logging.getLogger("ionian.worker")

READY_S = 30.0
LOOK_S = 0.05
END_S = 10.0

SEEN_S = 1
"""For so long a listing is remembered: after it, what others have put into the bucket is seen."""

PARTS_MIB = 16
"""Of a larger file the parts that are sent: of 10,000 at most, so a file has up to 156 GiB."""

NEEDED = ("rclone", "fusermount3", "setpriv")
HANDED_ON = (
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
)

KEYS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("GOOGLE_ACCESS_KEY_ID", "GOOGLE_ACCESS_KEY_SECRET"),
)


def lacking() -> str:
    """Why no bucket can be mounted on this machine; "" where it can."""
    if os.geteuid() != 0:  # first: what else lacks would be got for nothing
        return "a worker that mounts buckets runs as root, and this one as a plain user; use a volume, or run `ionian worker` as root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} lack; apt-get install rclone fuse3 util-linux"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse can't be opened; load the kernel's module fuse, or give this machine the device"
    return ""


class Buckets:
    """Those of one worker, each at a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def sweep(self) -> None:
        """Lets go of what a killed worker left."""
        for container in [*self._folder.glob("*")]:
            for place in [*container.glob("*")]:
                await _unmount(place)
            await asyncio.to_thread(_remove, container)

    @asynccontextmanager
    async def shown(self, ask: StartContainer) -> AsyncGenerator[list[Bind]]:
        """The buckets of a container, mounted as long as the block lasts. Raises SandboxError."""
        if not ask.function.buckets:
            yield []
            return
        if why := lacking():
            raise SandboxError(f"{ask.function.tag} mounts a bucket (CloudBucketMount), and {why}")
        folder = self._folder / ask.container_id
        binds: list[Bind] = []
        try:
            async with AsyncExitStack() as mounted:
                for number, bucket in enumerate(ask.function.buckets):
                    place = folder / str(number)
                    place.mkdir(parents=True, mode=0o700)
                    values = ask.bucket_secrets.get(bucket.secret_id, {})
                    await mounted.enter_async_context(_mounted(bucket, values, place))
                    binds.append(Bind(place, bucket.path, bucket.read_only))
                yield binds
        finally:
            await asyncio.to_thread(_remove, folder)


def environment(bucket: BucketMount, values: dict[str, str]) -> dict[str, str]:
    """What rclone is told about a bucket. Raises SandboxError where the secret lacks something."""
    name, key = next((pair for pair in KEYS if pair[0] in values), KEYS[0])
    if bucket.secret_id and not (values.get(name) and values.get(key)):
        raise SandboxError(
            f"the secret of the bucket {bucket.bucket!r} at {bucket.path} lacks {name if not values.get(name) else key}; it "
            "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_ACCESS_KEY_ID and GOOGLE_ACCESS_KEY_SECRET"
        )
    told = {
        "TYPE": "s3",
        "PROVIDER": "Other" if bucket.endpoint_url else "AWS",
        "ENDPOINT": bucket.endpoint_url,
        "REGION": values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION") or "us-east-1",
        "ACCESS_KEY_ID": values.get(name, ""),
        "SECRET_ACCESS_KEY": values.get(key, ""),
        "SESSION_TOKEN": values.get("AWS_SESSION_TOKEN", ""),
        "FORCE_PATH_STYLE": "true" if bucket.path_style else "false",
        "REQUESTER_PAYS": "true" if bucket.requester_pays else "false",
        "NO_CHECK_BUCKET": "true",
        "CHUNK_SIZE": f"{PARTS_MIB}Mi",
    }
    ours = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    return {
        **ours,
        "RCLONE_CONFIG": "/dev/null",
        **{f"RCLONE_CONFIG_BUCKET_{name}": value for name, value in told.items() if value},
    }


@asynccontextmanager
async def _mounted(bucket: BucketMount, values: dict[str, str], place: Path) -> AsyncGenerator[None]:
    ids = IdMap.current()
    arguments = [
        *("setpriv", "--pdeathsig", "TERM"),  # dies with this worker
        *("rclone", "mount", f"BUCKET:{bucket.bucket}/{bucket.prefix}", str(place)),
        *("--vfs-cache-mode", "off", "--dir-cache-time", f"{SEEN_S}s", "--attr-timeout", f"{SEEN_S}s"),
        *("--allow-other", "--uid", str(ids.host_uid), "--gid", str(ids.host_gid), "--umask", "022"),
        *(("--read-only",) if bucket.read_only else ()),
    ]
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env=environment(bucket, values),
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said = asyncio.ensure_future(_listen(process, bucket, values))
    try:
        await _ready(process, bucket, place, said)
        yield
    finally:
        await _end(process, place)
        said.cancel()


async def _ready(
    process: asyncio.subprocess.Process, bucket: BucketMount, place: Path, said: asyncio.Future[list[str]]
) -> None:
    until = asyncio.get_running_loop().time() + READY_S
    while asyncio.get_running_loop().time() < until:
        if process.returncode is not None:
            words = (await said)[-1:] or ["it said nothing"]
            raise SandboxError(f"the bucket {bucket.bucket!r} can't be mounted at {bucket.path}: {words[0]}")
        if await asyncio.to_thread(os.path.ismount, place):
            return
        await asyncio.sleep(LOOK_S)
    raise SandboxError(f"the bucket {bucket.bucket!r} was not mounted at {bucket.path} within {READY_S:g} s")


async def _listen(
    process: asyncio.subprocess.Process, bucket: BucketMount, values: dict[str, str]
) -> list[str]:
    """What rclone says, into the worker's log; the last lines of it."""
    assert process.stderr is not None
    lines: list[str] = []
    async for line in process.stderr:
        text = line.decode(errors="replace").strip()
        for value in values.values():
            text = text.replace(value, "…") if value else text
        log.info("bucket=%s: %s", bucket.bucket, text)
        lines = [*lines[-4:], text]
    return lines


async def _end(process: asyncio.subprocess.Process, place: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()  # it unmounts
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        process.kill()
        await process.wait()
    await _unmount(place)


async def _unmount(place: Path) -> None:
    """Lets go of a mount whose rclone is gone."""
    if await asyncio.to_thread(_is_mounted, place):
        process = await asyncio.create_subprocess_exec(
            "fusermount3", "-u", "-z", str(place), stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()


def _is_mounted(place: Path) -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return any(line.split(" ")[4] == str(place).replace(" ", "\\040") for line in file)


def _remove(folder: Path) -> None:
    """The folders of a container's mounts. It looks into none: what is mounted still is somebody's bucket."""
    for place in [*folder.glob("*"), folder]:
        with contextlib.suppress(OSError):
            os.rmdir(place)
