"""A channel of conda for tests: a folder with packages that are made here."""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any


class CondaChannel:
    """A folder such as a web server or a disk shows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._packages: dict[str, dict[str, Any]] = {}
        (folder / "linux-64").mkdir(parents=True)
        (folder / "noarch").mkdir()
        self._index()

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str],
        depends: Sequence[str] = (),
        *,
        python: bool = False,
    ) -> None:
        """A package that runs anywhere; a value "→x" is a link to x. `python`: files of site-packages."""
        facts: dict[str, Any] = {
            "name": name,
            "version": version,
            "build": "0",
            "build_number": 0,
            "depends": list(depends),
            "noarch": "python" if python else "generic",
            "subdir": "noarch",
            "timestamp": int(time.time() * 1000),
        }
        paths = [
            {
                "_path": path,
                "path_type": "softlink" if content.startswith("→") else "hardlink",
                "sha256": hashlib.sha256(content.encode()).hexdigest(),
                "size_in_bytes": len(content.encode()),
            }
            for path, content in files.items()
        ]
        data = BytesIO()
        with tarfile.open(fileobj=data, mode="w:bz2") as tar:
            info = {"index.json": facts, "paths.json": {"paths": paths, "paths_version": 1}}
            if python:
                info["link.json"] = {"noarch": {"type": "python"}, "package_metadata_version": 1}
            for path, value in info.items():
                _add(tar, f"info/{path}", json.dumps(value))
            for path, content in files.items():
                _add(tar, path, content)
        file = f"{name}-{version}-0.tar.bz2"
        (self.folder / "noarch" / file).write_bytes(data.getvalue())
        digests = {kind: hashlib.new(kind, data.getvalue()).hexdigest() for kind in ("sha256", "md5")}
        self._packages[file] = facts | digests | {"size": len(data.getvalue())}
        self._index()

    def _index(self) -> None:
        for subdir, packages in (("linux-64", {}), ("noarch", self._packages)):
            data = {"info": {"subdir": subdir}, "packages": packages, "packages.conda": {}}
            (self.folder / subdir / "repodata.json").write_text(json.dumps(data))


def _add(tar: tarfile.TarFile, path: str, content: str) -> None:
    member = tarfile.TarInfo(path)
    if content.startswith("→"):
        member.type, member.linkname = tarfile.SYMTYPE, content[1:]
        tar.addfile(member)
        return
    member.size, member.mode = len(content.encode()), 0o755 if path.startswith("bin/") else 0o644
    tar.addfile(member, BytesIO(content.encode()))
