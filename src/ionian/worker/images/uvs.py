"""Versions of uv that users choose: each fetched once from this machine's package index.

They run in sandboxes alone. Beside the cache of the worker, which all images trust, only the worker's own uv runs.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

from . import overlay
from .locks import locked
from .packages import Uv
from .records import ImageError
from .sources import Chosen

VERSION = re.compile(r"\d+(\.\d+){0,2}")


async def choose(uv: Uv, version: str, kept: Path, log: Callable[[str], None]) -> Chosen:
    """The uv of that version, "0.8" the newest of 0.8. Raises ImageError where the index has none."""
    if not VERSION.fullmatch(version):
        raise ImageError(f'uv_version: expected a version such as "0.8.4", got {version!r}')
    home = kept / f"uv-{version}"
    program = home / "bin" / "uv"
    kept.mkdir(parents=True, exist_ok=True)
    async with locked(kept / f"{home.name}.lock"):
        if not program.exists():
            log(f"fetching uv {version}")
            await _fetch(uv, version, home)
    return Chosen(version, program)


async def _fetch(uv: Uv, version: str, home: Path) -> None:
    draft = home.with_name(f"{home.name}.{os.getpid()}")
    await asyncio.to_thread(overlay.remove, draft)
    wanted = f"uv=={version}" if version.count(".") == 2 else f"uv=={version}.*"
    args = ["--no-deps", "--no-build", "--link-mode", "copy", wanted]
    code, tail = await uv.run(
        [
            *("pip", "install", "--target", str(draft), "--cache-dir", str(uv.cache)),
            *uv.host.pip.as_uv_options(args, uv.host.uv_env),
            *args,
        ],
        home.parent,
        lambda line: None,
    )
    if code or not (draft / "bin" / "uv").is_file():
        await asyncio.to_thread(overlay.remove, draft)
        said = "".join(f"\n    {line}" for line in tail)
        raise ImageError(f"uv_version={version!r}: the package index of this worker gives no such uv{said}")
    for folder in (draft, draft / "bin"):
        folder.chmod(0o755)  # a sandbox is another user
    await asyncio.to_thread(overlay.remove, home)
    draft.rename(home)
