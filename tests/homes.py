"""A home of Ionian for tests: a folder with a server of its own, and base images that outlive the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IONIAN = Path(sys.executable).with_name("ionian")


def cache_folder() -> Path:
    """What tests keep between runs, outside the clone; deleting it is harmless."""
    folder = Path(os.environ.get("IONIAN_TEST_CACHE") or Path.home() / ".cache" / "ionian-test")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Home:
    """A folder for IONIAN_HOME; its server starts with the first command that needs one."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "IONIAN_HOME": str(self.folder),
            "IONIAN_CONFIG_PATH": str(self.folder / "ionian.toml"),
            "NO_COLOR": "1",
        }

    def ionian(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        timeout_s: float = 110,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command line; stdout and stderr come as one text, in `stdout`."""
        return self.run((IONIAN, *arguments), cwd, timeout_s, environment or {})

    def python(
        self, *arguments: str | Path, cwd: Path | None = None, timeout_s: float = 280
    ) -> subprocess.CompletedProcess[str]:
        """Runs plain Python, without the command line of Ionian; its output likewise."""
        return self.run((sys.executable, *arguments), cwd, timeout_s, {})

    def run(
        self,
        command: tuple[str | Path, ...],
        cwd: Path | None,
        timeout_s: float,
        environment: Mapping[str, str],
    ) -> subprocess.CompletedProcess[str]:
        """Runs any program with this home; its output likewise."""
        return subprocess.run(
            command,
            cwd=cwd,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@contextmanager
def new_home() -> Generator[Home]:
    """A home whose images are those of the cache. Its server is stopped at the end, and all but the images deleted."""
    images = cache_folder() / "images"
    images.mkdir(mode=0o700, exist_ok=True)
    # Below /tmp: a Unix socket's path holds 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ionian-", dir="/tmp"))
    (folder / "images").symlink_to(images)
    home = Home(folder)
    try:
        yield home
    finally:
        stopped = home.ionian("server", "stop")
        (folder / "images").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        assert stopped.returncode == 0, stopped.stdout
