"""The filter, run by a small interpreter of the same instructions that the kernel runs."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from ionian.worker.sandbox.seccomp import CHOWN_FAMILY, DENIED, NUMBERS, build_filter, number

ALLOWED = "allowed"
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = sorted(ARCH)


def answer(program: bytes, machine: str, nr: int, *args: int, arch: int | None = None) -> str:
    """What a filter says to a call: "allowed", or the name of its error ("0" for pretended success)."""
    arguments = [*args, *[0] * (6 - len(args))]
    data = struct.pack("<iIQ6Q", nr, arch or ARCH[machine], 0, *(a & 0xFFFFFFFFFFFFFFFF for a in arguments))
    value, at = 0, 0
    while True:
        code, jt, jf, k = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            value = struct.unpack_from("<I", data, k)[0]
        elif code == 0x06:
            return ALLOWED if k == 0x7FFF0000 else errno.errorcode.get(k & 0xFFFF, "0")
        else:
            taken = {0x15: value == k, 0x25: value > k, 0x45: bool(value & k)}[code]
            at += jt if taken else jf


def call(machine: str, name: str, *args: int, **build: bool) -> str:
    nr = number(name, machine)
    assert nr is not None
    return answer(build_filter(machine=machine, **build), machine, nr, *args)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_the_table_is_refused_and_every_other_allowed(machine: str):
    program = build_filter(machine=machine)
    refused = {n for name in DENIED if (n := number(name, machine)) is not None}
    looked_at = {n for name in set(NUMBERS) - DENIED if (n := number(name, machine)) is not None}
    for nr in range(463):
        if nr not in looked_at:
            assert answer(program, machine, nr) == ("EPERM" if nr in refused else ALLOWED), nr


@pytest.mark.parametrize("machine", MACHINES)
def test_namespaces_are_refused_and_forks_and_threads_allowed(machine: str):
    assert call(machine, "clone", 0x10000000 | 17) == "EPERM"  # CLONE_NEWUSER
    assert call(machine, "clone", 0x02000000) == "EPERM"  # CLONE_NEWCGROUP
    assert call(machine, "clone", 17) == ALLOWED  # SIGCHLD: a fork
    assert call(machine, "clone", 0x003D0F00) == ALLOWED  # a thread of glibc
    assert call(machine, "clone3") == "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_to_the_hypervisor_and_to_kernel_crypto_are_refused(machine: str):
    assert [call(machine, "socket", family) for family in (1, 2, 10, 16)] == [ALLOWED] * 4
    assert [call(machine, "socket", family) for family in (38, 40)] == ["EPERM"] * 2


@pytest.mark.parametrize("machine", MACHINES)
def test_high_bits_of_an_argument_hide_nothing(machine: str):
    assert call(machine, "ioctl", 0, 0x5412) == "EPERM"
    assert call(machine, "ioctl", 0, 1 << 32 | 0x5412) == "EPERM"
    assert call(machine, "clone", 1 << 40 | 0x10000000) == "EPERM"
    assert call(machine, "ioctl", 0, 0x5413) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_only_harmless_personalities_are_allowed(machine: str):
    assert call(machine, "personality", 0xFFFFFFFF) == ALLOWED
    assert call(machine, "personality", 0x0040000) == "EPERM"  # ADDR_NO_RANDOMIZE


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_and_calls_of_the_future_do_not_exist(machine: str):
    program = build_filter(machine=machine)
    assert answer(program, machine, 1, arch=0x40000003) == "ENOSYS"  # i386
    assert answer(program, machine, 0x40000000 | 1) == "ENOSYS"  # x32
    assert answer(program, machine, 463) == "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
def test_owners_are_faked_for_builds_that_ask_for_it_only(machine: str):
    for name in CHOWN_FAMILY:
        if number(name, machine) is not None:
            assert call(machine, name) == ALLOWED
            assert call(machine, name, fake_chown=True) == "0"
    assert call(machine, "chroot") == "EPERM"
    assert call(machine, "chroot", as_build=True) == ALLOWED


def test_an_unknown_machine_is_refused():
    with pytest.raises(ValueError, match="expected an x86_64 or aarch64 machine, got riscv64"):
        build_filter(machine="riscv64")


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine: str, header: str):
    if not Path(header).exists():
        pytest.skip(f"{header} (linux-libc-dev) is not here")
    text = Path(header).read_text()
    known = {n: int(nr) for n, nr in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    for name in NUMBERS:
        if name in known:
            assert number(name, machine) == known[name], name
