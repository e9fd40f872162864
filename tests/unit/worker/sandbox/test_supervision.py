from __future__ import annotations

import re
from pathlib import Path

import pytest

from ionian.container import fork
from ionian.worker.sandbox import enter, launcher, mounts, supervision
from ionian.worker.sandbox.seccomp import DENIED, build_filter, number

from .test_seccomp import ALLOWED, MACHINES, answer

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_of_a_template_lets_unshare_through_and_nothing_else(machine: str):
    program = build_filter(machine=machine, as_template=True)
    for name in DENIED:
        nr = number(name, machine)
        if nr is not None:
            assert answer(program, machine, nr) == (ALLOWED if name == "unshare" else "EPERM"), name


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_of_templates_are_those_of_the_kernels_headers(machine: str):
    if not HEADERS[machine].exists():
        pytest.skip(f"{HEADERS[machine]} (linux-libc-dev) is not here")
    text = HEADERS[machine].read_text()
    known = {n: int(nr) for n, nr in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    assert known["unshare"] == supervision.UNSHARE[machine] == number("unshare", machine)
    assert known["seccomp"] == supervision.SECCOMP[machine]
    assert known["pivot_root"] == mounts.PIVOT_ROOT[machine]
    assert known["capset"] == fork.CAPSET[machine] == enter.CAPSET[machine] == launcher.CAPSET[machine]
    for name in ("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "openat2", "mount_setattr"):
        assert known.get(name, getattr(mounts, name.upper())) == getattr(mounts, name.upper()), name
