"""NVML, by a library with its functions that the test compiles: the calls are made through the real interface of C."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ionian.worker.devices.nvml import Card, Gauge, GpuUse, cards

DRIVER = r"""
#include <stddef.h>
#include <stdio.h>
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned minor; const char *uuid, *name; unsigned long long mib; } card_t;
static card_t card[] = {
    {1, "GPU-a", "NVIDIA A100-SXM4-40GB", 40960},
    {0, "GPU-b", "Tesla T4", 15360},
    {2, "GPU-c", "broken", 0},
};
static card_t slice = {1, "MIG-a", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864};
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **handle) {
    if (n > 1) return 15;
    *handle = &card[n];
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    for (int n = 0; n < 2; n++)
        if (!strcmp(uuid, card[n].uuid)) { *handle = &card[n]; return 0; }
    if (strcmp(uuid, slice.uuid)) return 6;
    *handle = &slice;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) {
    if (handle == &slice) return 3;
    rates[0] = 75;
    rates[1] = 10;
    return 0;
}
int nvmlDeviceGetMinorNumber(void *handle, unsigned *minor) { *minor = ((card_t *)handle)->minor; return 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    memory->total = ((card_t *)handle)->mib << 20;
    memory->free = 0;
    memory->used = 1 << 30;
    return 0;
}
int nvmlDeviceGetUUID(void *handle, char *text, unsigned length) {
    return snprintf(text, length, "%s", ((card_t *)handle)->uuid) < 0;
}
int nvmlDeviceGetName(void *handle, char *text, unsigned length) {
    return snprintf(text, length, "%s", ((card_t *)handle)->name) < 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    if (handle != &card[0]) return 3;
    *count = 7;
    return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned n, void **out) {
    if (n != 2) return 6;
    *out = &slice;
    return 0;
}
"""


def compiled(folder: Path, init: int) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to make the library")
    source, library = folder / "nvml.c", folder / "libnvidia-ml.so.1"
    source.write_text(DRIVER)
    subprocess.run([compiler, "-shared", "-fPIC", f"-DINIT={init}", "-o", library, source], check=True)
    return str(library)


def test_cards_and_their_slices_are_told_and_a_broken_one_is_left_out(tmp_path: Path) -> None:
    assert cards(compiled(tmp_path, 0)) == [
        Card("0", 1, "GPU-a", "NVIDIA A100-SXM4-40GB", 40960),
        Card("0:2", 1, "MIG-a", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864),
        Card("1", 0, "GPU-b", "Tesla T4", 15360),
    ]


def test_a_driver_that_does_not_answer_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert cards(compiled(tmp_path, 9)) == []
    assert "NVML error 9" in caplog.text


def test_no_driver_is_no_cards_and_no_word(caplog: pytest.LogCaptureFixture) -> None:
    assert cards("libnvidia-ml-that-is-not-there.so.1") == []
    assert not caplog.records


def test_what_cards_do_is_told_by_uuid_and_of_a_slice_its_memory_alone(tmp_path: Path) -> None:
    gauge = Gauge(compiled(tmp_path, 0))
    for _ in range(2):
        assert gauge.use(["GPU-b", "MIG-a", "GPU-none"]) == {
            "GPU-b": GpuUse(0.75, 1 << 30),
            "MIG-a": GpuUse(-1.0, 1 << 30),
        }


def test_without_an_answer_of_the_driver_nothing_is_known_of_cards(tmp_path: Path) -> None:
    assert Gauge(compiled(tmp_path, 9)).use(["GPU-b"]) == {}
    assert Gauge("libnvidia-ml-that-is-not-there.so.1").use(["GPU-b"]) == {}
