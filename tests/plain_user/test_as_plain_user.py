"""The smoke set of containers, run by somebody who is not root: from a clone, by the same scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UID = 23456
"""A user id that nobody has here: no entry in passwd, no range of subordinate ids, the barest user there is."""

HOME = Path(f"/var/tmp/ionian-test-{UID}")
"""That user's home. It stays, so base images and wheels are had once; deleting it is harmless."""

SMOKE = [
    f"tests/integration/test_{name}.py"
    for name in (
        *(
            "sandbox",
            "zygote",
            "zygote_rights",
            "zygote_ends",
            "zygote_spares",
            "processes",
            "resources",
            "gpu",
            "exec",
            "replay",
            "templates",
            "network",
            "cluster_networks",
            "hostile",
        ),  # what a user without rights has otherwise
        *("functions", "classes", "concurrent", "batched", "spawn", "cancellation", "app_commands"),
    )
]
"""What is run as that user, of the tests that are marked `container`: all of them would take ten minutes."""

WITH_TUNNELS = """
    mount -t tmpfs -o mode=755 tmpfs /mnt && mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun &&
    umount -l /mnt && exec "$@"
"""
"""Anyone may open /dev/net/tun, as on most machines: some leave it to root, and this is no place to change that."""

pytestmark = [
    pytest.mark.skipif(
        os.getuid() != 0, reason="only root can become somebody else; the suites here ran as you"
    ),
    pytest.mark.timeout(1500),
]


def as_user(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    become = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--")
    if Path("/dev/net/tun").exists():
        become = ("unshare", "--mount", "sh", "-c", WITH_TUNNELS, "sh", *become)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("IONIAN_", "PYTEST_", "XDG_"))
    }
    path = "/usr/local/bin:/usr/bin:/bin"  # what root has besides may lie in folders of root's own
    environment = {**kept, "HOME": str(HOME), "USER": "plain", "TMPDIR": "/tmp", "PATH": path}
    return subprocess.run(
        (*become, *command), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone() -> Iterator[Path]:
    """A copy of what a commit would hold, owned by the plain user."""
    HOME.mkdir(mode=0o755, exist_ok=True)
    os.chown(HOME, UID, UID)
    folder = Path(tempfile.mkdtemp(prefix="ionian-clone-", dir="/var/tmp"))
    listed = subprocess.run(
        ("git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listed.stdout.splitlines():
        if (ROOT / line).is_file():
            (folder / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / line, folder / line)
    subprocess.run(("chown", "-R", f"{UID}:{UID}", folder), check=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_plain_user_sets_up_and_runs_containers_from_a_clone(clone: Path) -> None:
    setup = as_user("script/setup", "--dev", folder=clone)
    assert setup.returncode == 0, setup.stdout + setup.stderr
    tests = as_user(
        ".venv/bin/python",
        "-m",
        "pytest",
        "-q",
        "-m",
        "container",
        "-p",
        "no:cacheprovider",
        *SMOKE,
        folder=clone,
    )
    assert tests.returncode == 0, tests.stdout[-20_000:] + tests.stderr[-5_000:]
    print(tests.stdout.splitlines()[-1])
