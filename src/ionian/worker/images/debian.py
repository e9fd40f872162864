"""A base from the Debian (or Ubuntu) mirrors that this machine's apt uses, made by mmdebstrap in a sandbox."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sandbox import Bind
from . import overlay
from .host import HostSettings
from .overlay import Owner
from .records import ImageError
from .step import Command, failed, run

SUITES = {
    ("debian", "3.11"): "bookworm",
    ("debian", "3.13"): "trixie",
    ("ubuntu", "3.10"): "jammy",
    ("ubuntu", "3.12"): "noble",
}
"""Which release of a distribution has which Python as its own."""

PACKAGES = ("python3", "python3-venv", "libpython3-dev", "ca-certificates", "netbase", "tzdata")
"""What python:X-slim has too; the headers are there for packages that are built from source."""

LEFT_OUT = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/lib/*/libpython3*.a",
    "path-exclude=/usr/lib/python3*/config-*/*.a",
    "path-exclude=/usr/lib/python3*/EXTERNALLY-MANAGED",  # plain `pip install` is right in an image
)
"""dpkg's filters, as Debian's own slim images have them; they stay in force in the image."""

NOISE = re.compile(r"cannot mount|unshare failed|: skipping |signed-by value")
"""What mmdebstrap says of mounts, which a sandbox doesn't allow and this use of it doesn't need."""

FOLDERS = ("/usr", "/etc", "/var/lib/dpkg")
TARGET = "/target"


@dataclass(frozen=True)
class Mirror:
    """One place of packages, from this machine's apt sources."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def suite_for(version: str, distribution: str) -> str:
    """The release that has this Python, "" where none has."""
    return SUITES.get((distribution, version), "")


def distribution() -> tuple[str, str]:
    """This machine's: ("debian", "bookworm"); ("", "") where it has none of these."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return "", ""
    values = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    return values.get("ID", ""), values.get("VERSION_CODENAME", "")


def apt_sources(folder: Path = Path("/etc/apt")) -> list[Mirror]:
    """What this machine's apt uses, in both forms that it writes them."""
    out: list[Mirror] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        try:
            text = path.read_text()
        except OSError:
            continue
        if path.suffix == ".sources":
            out += _deb822(text)
        elif path.suffix == ".list":
            out += _one_line(text)
    return out


def _deb822(text: str) -> Iterable[Mirror]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        joined = re.sub(r"\n\s+", " ", "\n".join(lines))
        values = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in joined.splitlines())
        }
        if "deb" not in values.get("types", "").split() or values.get("enabled", "yes").lower() == "no":
            continue
        for uri in values.get("uris", "").split():
            for suite in values.get("suites", "").split():
                yield Mirror(
                    uri, suite, tuple(values.get("components", "").split()), _key(values.get("signed-by", ""))
                )


def _one_line(text: str) -> Iterable[Mirror]:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line.strip())
        if match:
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            yield Mirror(match[2], match[3], tuple(match[4].split()), _key(signed[1] if signed else ""))


def _key(value: str) -> str:
    return value if value.startswith("/") and Path(value).is_file() else ""


def sources_for(suite: str, mirrors: Sequence[Mirror], here: str) -> list[Mirror]:
    """The mirrors of release `suite`, from those that this machine (release `here`) uses for itself."""
    out: list[Mirror] = []
    for mirror in mirrors:
        release, dash, part = mirror.suite.partition("-")
        if release == here and part in ("", "updates", "security"):
            wanted = [name for name in mirror.components if name in ("main", "universe")] or ["main"]
            out.append(Mirror(mirror.uri, f"{suite}{dash}{part}", tuple(wanted), mirror.signed_by))
    return list(dict.fromkeys(out))


def why_not(version: str) -> str:
    """Why this machine can't make such a base, "" where it can."""
    name, here = distribution()
    suite = suite_for(version, name)
    if not suite:
        has = ", ".join(python for (owner, python) in SUITES if owner == name)
        return (
            f"{name or 'this system'}'s mirrors have Python {has}, not {version}"
            if has
            else "no apt mirrors here"
        )
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed (`apt-get install mmdebstrap`)"
    if not sources_for(suite, apt_sources(), here):
        return f"apt's sources name no mirror of {here}"
    return ""


async def bootstrap(
    version: str, target: Path, scratch: Path, owner: Owner, host: HostSettings, log: Callable[[str], None]
) -> str:
    """Makes a base with this Python in the folder `target`. Returns where it came from."""
    name, here = distribution()
    suite = suite_for(version, name)
    mirrors = sources_for(suite, apt_sources(), here)
    target.mkdir()
    target.chmod(0o755)
    owner.take(target)
    command = Command(
        argv=[*mmdebstrap(host), suite, TARGET, *map(source_line, mirrors)],
        layers=[machine_skeleton(scratch / "machine", owner)],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        },
        binds=[Bind(Path(path), path) for path in FOLDERS if Path(path).is_dir()]
        + [Bind(target, TARGET, read_only=False)],
        host=host,
    )
    code, tail = await run(command, scratch / "box", lambda line: None if NOISE.search(line) else log(line))
    if code:
        raise failed(f"debian_slim: mmdebstrap {suite}", code, tail)
    if not any((target / "usr/bin").glob(f"python{version}")):
        raise ImageError(f"debian_slim: expected Python {version} in {suite}, and it has another")
    return f"{name} {suite} from {mirrors[0].uri}"


def mmdebstrap(host: HostSettings) -> list[str]:
    """The command without what comes last: release, folder, sources."""
    apt = [line.strip() for line in host.apt.splitlines()]
    options = ['APT::Sandbox::User "root"', *apt]
    return [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
        *(
            "--skip=chroot/mount",
            "--skip=chroot/mount/dev",
            "--skip=output/mknod",
            "--skip=cleanup/apt/lists",
        ),
        f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in options),
        *(f"--dpkgopt={filter}" for filter in LEFT_OUT),
    ]


def source_line(mirror: Mirror) -> str:
    """A mirror as a line of sources.list."""
    signed = f" [signed-by={mirror.signed_by}]" if mirror.signed_by else ""
    return f"deb{signed} {mirror.uri} {mirror.suite} {' '.join(mirror.components)}"


def machine_skeleton(folder: Path, owner: Owner) -> Path:
    """A layer on which this machine's own /usr and /etc can be bound, so that its programs run in a sandbox."""
    folder.mkdir(parents=True)
    for name in (*FOLDERS, "/root", "/run", TARGET):
        overlay.make_folders(folder, name, owner)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        link = Path("/") / name
        if link.is_symlink():
            (folder / name).symlink_to(os.readlink(link))
    folder.chmod(0o755)
    owner.take_tree(folder)
    return folder
