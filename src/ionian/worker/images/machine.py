"""A base from this machine's own packages: what a minimal Debian with its Python would hold, copied file by file.

Copied, and not bound: the overlay's lower layers must not change under it, every file must belong to an id that the
sandbox knows, and an upgrade of the machine must not change an image. Neither /usr/local nor a package outside
the list below comes along. dpkg's own records do, so `apt-get install` works on it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import overlay
from .debian import PACKAGES, apt_sources, distribution, source_line, sources_for
from .overlay import Owner

DPKG = Path("/var/lib/dpkg")
ADDED = ("apt", "debian-archive-keyring", "ubuntu-keyring", *PACKAGES)
LEFT_OUT = re.compile(r"/usr/share/(doc/[^/]+/(?!copyright)|man/|info/|locale/)|/EXTERNALLY-MANAGED$|\.a$")
EMPTY_FOLDERS = ("tmp", "var/tmp", "run", "proc", "sys", "dev", "root", "home", "mnt", "opt", "srv")
STARTING_FILES = {
    "etc/passwd": "/usr/share/base-passwd/passwd.master",
    "etc/group": "/usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "/usr/share/base-files/nsswitch.conf",
    "etc/profile": "/usr/share/base-files/profile",
    "root/.profile": "/usr/share/base-files/dot.profile",
    "root/.bashrc": "/usr/share/base-files/dot.bashrc",
}
"""Files that packages write when they are configured: image → where the package keeps its original."""


AS_HERE = ("etc/ssl/certs/ca-certificates.crt", "etc/ca-certificates.conf", "etc/ld.so.cache")
"""Files that packages make when they are configured, and whose content here serves there too."""


@dataclass(frozen=True)
class Package:
    """One installed package, as dpkg's status file has it."""

    name: str
    paragraph: str
    depends: tuple[tuple[str, ...], ...]  # alternatives, each
    provides: tuple[str, ...]
    essential: bool
    architecture: str


def installed(status: str) -> dict[str, Package]:
    """The packages of a dpkg status file that are installed."""
    out: dict[str, Package] = {}
    for paragraph in status.split("\n\n"):
        values = {
            name: re.sub(r"\n\s+", " ", value).strip()
            for name, value in re.findall(r"^([A-Za-z-]+):((?:.*\n?)(?: .*\n?)*)", paragraph, re.MULTILINE)
        }
        if values.get("Status", "").split()[-1:] != ["installed"]:
            continue
        groups = f"{values.get('Pre-Depends', '')},{values.get('Depends', '')}".split(",")
        depends = tuple(tuple(map(_bare, group.split("|"))) for group in groups if group.strip())
        provides = tuple(_bare(name) for name in values.get("Provides", "").split(",") if name.strip())
        essential = values.get("Essential") == "yes" or values.get("Priority") == "required"
        package = Package(
            values["Package"], paragraph.strip(), depends, provides, essential, values.get("Architecture", "")
        )
        if package.name not in out or package.architecture in ("all", _architecture()):
            out[package.name] = package
    return out


def closure(packages: dict[str, Package], wanted: Iterator[str] | list[str]) -> list[Package]:
    """The wanted packages that are installed, with all that they need."""
    providers = {name: package for package in packages.values() for name in package.provides}
    todo, done = [name for name in wanted if name in packages], dict[str, Package]()
    while todo:
        package = packages[todo.pop()]
        if package.name in done:
            continue
        done[package.name] = package
        for alternatives in package.depends:
            have = [packages.get(name) or providers.get(name) for name in alternatives]
            todo += [one.name for one in have if one is not None][:1]
    return sorted(done.values(), key=lambda package: package.name)


def why_not(version: str) -> str:
    """Why this machine's own packages can't be such a base, "" where they can."""
    if not (DPKG / "status").is_file():
        return "this machine has no dpkg"
    if not Path(f"/usr/bin/python{version}").exists():
        return f"this machine's own Python is not {version}"
    return ""


def copy_machine(version: str, target: Path, owner: Owner) -> str:
    """Writes the base into the folder `target`. Returns where it came from. Raises OSError."""
    status = (DPKG / "status").read_text()
    packages = installed(status)
    essential = [package.name for package in packages.values() if package.essential]
    chosen = closure(packages, [*essential, *ADDED, f"python{version}"])
    target.mkdir()
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if (Path("/") / name).is_symlink():
            (target / name).symlink_to(os.readlink(Path("/") / name))
            (target / "usr" / name).mkdir(parents=True, exist_ok=True)
    for package in chosen:
        for path in file_list(package):
            if not LEFT_OUT.search(path):
                copy(path, target)
    records(chosen, target)
    alternatives(target)
    starting_files(target)
    owner.take_tree(target)
    name, release = distribution()
    digest = hashlib.sha256("\n".join(package.paragraph for package in chosen).encode()).hexdigest()[:12]
    return f"this machine's own packages ({name} {release}, {digest})"


def file_list(package: Package) -> list[str]:
    """The files and folders of a package."""
    for name in (f"{package.name}:{package.architecture}", package.name):
        path = DPKG / "info" / f"{name}.list"
        if path.is_file():
            return [line for line in path.read_text(errors="replace").splitlines() if line not in ("", "/.")]
    return []


def copy(path: str, target: Path) -> None:
    """Copies one file, link or folder of this machine. What this user may not read is left out."""
    try:
        status = os.lstat(path)
    except OSError:
        return
    real, _ = overlay.resolve([target], os.path.dirname(path))
    place = target / real.lstrip("/") / os.path.basename(path)
    if os.path.lexists(place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(status.st_mode):
        place.symlink_to(os.readlink(path))
    elif stat.S_ISDIR(status.st_mode):
        place.mkdir()
        place.chmod(stat.S_IMODE(status.st_mode) | 0o700)
    elif stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
        shutil.copyfile(path, place)
        place.chmod(stat.S_IMODE(status.st_mode) | 0o600)
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def records(chosen: list[Package], target: Path) -> None:
    """dpkg's records of the chosen packages."""
    info = target / "var/lib/dpkg/info"
    info.mkdir(parents=True, exist_ok=True)
    for name in ("updates", "parts", "triggers", "alternatives"):
        (info.parent / name).mkdir(exist_ok=True)
    for name in ("available", "diversions", "statoverride", "lock"):
        (info.parent / name).touch()
    text = "\n\n".join(package.paragraph for package in chosen)
    (info.parent / "status").write_text(text + "\n")
    shutil.copyfile(DPKG / "info/format", info / "format")
    for path in (DPKG / "triggers").iterdir():
        if path.is_file() and path.name not in ("Lock", "Unincorp"):
            shutil.copyfile(path, info.parent / "triggers" / path.name)
    names = {package.name for package in chosen}
    for entry in (DPKG / "info").iterdir():
        package, _, kind = entry.name.rpartition(".")
        if package.partition(":")[0] in names and kind and os.access(entry, os.R_OK):
            shutil.copyfile(entry, info / entry.name)
            shutil.copymode(entry, info / entry.name)


def alternatives(target: Path) -> None:
    """The links that `update-alternatives` made on this machine, for programs that were copied."""
    chosen = target / "etc/alternatives"
    chosen.mkdir(parents=True, exist_ok=True)
    for record in (DPKG / "alternatives").iterdir():
        link = record.read_text(errors="replace").splitlines()[1]
        current = Path("/etc/alternatives") / record.name
        if not current.is_symlink() or overlay.resolve([target], os.readlink(current))[1] is None:
            continue
        copy(str(current), target)
        copy(link, target)
        shutil.copyfile(record, target / "var/lib/dpkg/alternatives" / record.name)


def starting_files(target: Path) -> None:
    """What a fresh system has besides the files of its packages."""
    for name in EMPTY_FOLDERS:
        (target / name).mkdir(parents=True, exist_ok=True)
        (target / name).chmod(overlay.WORLD_WRITABLE.get(name, 0o755))
    for name, source in STARTING_FILES.items():
        if Path(source).is_file() and not (target / name).exists():
            shutil.copyfile(source, target / name)
    users = [line.split(":")[0] for line in (target / "etc/passwd").read_text().splitlines()]
    if "_apt" not in users:
        with (target / "etc/passwd").open("a") as file:
            file.write("_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n")
    (target / "etc/shadow").write_text("".join(f"{user}:*:19000:0:99999:7:::\n" for user in users))
    (target / "etc/shadow").chmod(0o640)
    if not (target / "usr/bin/sh").exists():
        (target / "usr/bin/sh").symlink_to("dash")
    for folder in (
        "etc/apt/sources.list.d",
        "etc/ssl/certs",
        "var/cache/apt/archives/partial",
        "var/lib/apt/lists",
    ):
        (target / folder).mkdir(parents=True, exist_ok=True)
    _, release = distribution()
    mirrors = sources_for(release, apt_sources(), release)
    (target / "etc/apt/sources.list").write_text("".join(f"{source_line(one)}\n" for one in mirrors))
    for name in AS_HERE:
        if Path("/", name).is_file():
            shutil.copyfile(Path("/", name), target / name)


def _bare(name: str) -> str:
    return re.split(r"[\s:(]", name.strip())[0]


def _architecture() -> str:
    path = DPKG / "arch-native"
    if path.is_file():
        return path.read_text().strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
