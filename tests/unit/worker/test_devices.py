"""Devices from CDI specs in a folder, with nodes that every machine has."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ionian.core.placement import pick_devices
from ionian.protocol.spec import GpuRequest
from ionian.protocol.workers import Device
from ionian.worker.devices import Devices, cdi
from ionian.worker.devices.nvml import Card

Write = Callable[..., Path]

NODES = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""They stand in for cards: only their numbers would differ."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a spec with these devices: (name, node here, node inside, annotations)."""

    def write(
        *devices: dict[str, Any], file: str = "nvidia.json", kind: str = "nvidia.com/gpu", **more: Any
    ) -> Path:
        spec = {"cdiVersion": "0.6.0", "kind": kind, "devices": list(devices), **more}
        path = tmp_path / file
        path.write_text(json.dumps(spec) if path.suffix == ".json" else yaml.safe_dump(spec))
        return path

    return write


def device(name: str, *nodes: str, inside: str = "", **annotations: str) -> dict[str, Any]:
    shown = [{"path": inside or node, "hostPath": node} for node in nodes]
    return {
        "name": name,
        "annotations": {f"ionian.dev/{key.replace('_', '-')}": value for key, value in annotations.items()},
        "containerEdits": {"deviceNodes": shown},
    }


def devices(folder: Path, *cards: Card) -> Devices:
    return Devices(cdi.read([folder]), lambda: cards)


def names(found: Devices) -> list[str]:
    return [offered.name for offered in found.offered()]


@pytest.mark.parametrize("file", ["gpus.json", "gpus.yaml", "gpus.yml"])
def test_a_spec_offers_its_devices_with_the_model_and_memory_it_names(
    write: Write, tmp_path: Path, file: str
) -> None:
    write(device("0", "/dev/zero", model="a100-80gb", memory_mib="81920"), file=file, kind="amd.com/gpu")
    assert devices(tmp_path).offered() == [Device("amd.com/gpu=0", "A100-80GB", 81920)]


def test_a_card_named_by_number_and_uuid_and_all_is_offered_once(write: Write, tmp_path: Path) -> None:
    uuid = "GPU-5a3b0f6c-1111-2222-3333-444455556666"
    write(
        device("all", "/dev/zero", "/dev/full"),
        device(uuid, "/dev/full"),
        device("10", "/dev/zero"),
        device("2", "/dev/full"),
    )
    assert names(devices(tmp_path)) == ["nvidia.com/gpu=2", "nvidia.com/gpu=10"]


def test_all_is_offered_where_it_is_the_only_device(write: Write, tmp_path: Path) -> None:
    write(device("all", "/dev/zero"))
    assert names(devices(tmp_path)) == ["nvidia.com/gpu=all"]


def test_a_card_in_slices_is_offered_as_its_slices(write: Write, tmp_path: Path) -> None:
    write(device("0", "/dev/zero"), device("0:0", "/dev/zero", "/dev/full"), device("1", "/dev/random"))
    found = devices(tmp_path, Card("0:0", 0, "MIG-1", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864))
    assert names(found) == ["nvidia.com/gpu=0:0", "nvidia.com/gpu=1"]
    assert found.offered()[0] == Device("nvidia.com/gpu=0:0", "MIG-1G.5GB", 4864)


def test_what_is_no_gpu_is_not_offered(write: Write, tmp_path: Path) -> None:
    write(device("0", "/dev/zero"), kind="mellanox.com/rdma")
    assert names(devices(tmp_path)) == []


def test_a_device_whose_node_is_gone_is_not_offered(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(device("0", "/dev/zero"), device("1", "/dev/nvidia-that-is-gone"))
    assert names(devices(tmp_path)) == ["nvidia.com/gpu=0"]
    assert "nvidia.com/gpu=1 is not offered" in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a.json", "{", "expected JSON"),
        ("a.json", "[1]", "expected a CDI spec"),
        ("a.json", '{"devices": []}', "kind"),
        ("a.json", '{"kind": "gpu"}', "expected a kind such as"),
        ("a.json", '{"kind": "nvidia.com/gpu", "devices": [{"name": "a b"}]}', "a device's name"),
        (
            "a.json",
            '{"kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": 7}]}',
            "containerEdits",
        ),
        ("a.json", "[" * 100_000, "a.json"),
        ("a.yaml", "kind: [", "expected YAML"),
        ("a.yaml", "!!python/object/apply:os.system [exit]", "expected YAML"),
        ("a.yaml", "\x00", "expected YAML"),
    ],
)
def test_a_broken_spec_is_said_in_one_sentence_and_the_others_count(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, content: str, said: str
) -> None:
    (tmp_path / file).write_text(content)
    write(device("0", "/dev/zero"), file="b.json")
    assert names(devices(tmp_path)) == ["nvidia.com/gpu=0"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert said in record.getMessage()
    assert "\n" not in record.getMessage()


def test_bytes_that_are_no_text_are_a_broken_spec(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    assert names(devices(tmp_path)) == []
    assert len(caplog.records) == 1


def test_a_later_folder_has_the_last_word(write: Write, tmp_path: Path) -> None:
    write(device("0", "/dev/zero", model="T4"), device("1", "/dev/full", model="T4"))
    later = tmp_path / "run"
    later.mkdir()
    write(device("0", "/dev/random", model="L4"), file="run/nvidia.json")
    found = Devices(cdi.read([tmp_path, later, tmp_path / "none"]), tuple)
    assert [(d.name, d.model) for d in found.offered()] == [
        ("nvidia.com/gpu=0", "L4"),
        ("nvidia.com/gpu=1", "T4"),
    ]
    assert [bind.source for bind in found.edits(["nvidia.com/gpu=0"]).devices] == [Path("/dev/random")]


def test_the_folders_are_those_of_the_variable(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(device("0", "/dev/zero", model="T4"))
    monkeypatch.setenv("IONIAN_CDI_DIRS", f"{tmp_path / 'none'}:{tmp_path}")
    assert names(Devices.found()) == ["nvidia.com/gpu=0"]
    monkeypatch.delenv("IONIAN_CDI_DIRS")
    assert [str(folder) for folder in cdi.folders()] == ["/etc/cdi", "/var/run/cdi"]


# --- models


def test_a_card_is_found_by_the_number_of_its_node_whatever_the_order(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The names are in the driver's order of the day when the spec was written.
    write(device("0", "/dev/nvidia1"), device("1", "/dev/nvidia0"))
    monkeypatch.setattr("ionian.worker.devices.devices._works", bool)
    cards = (
        Card("0", 0, "GPU-a", "NVIDIA L4", 23034),
        Card("1", 1, "GPU-b", "NVIDIA A100-SXM4-80GB", 81920),
    )
    assert [(d.name, d.model) for d in devices(tmp_path, *cards).offered()] == [
        ("nvidia.com/gpu=0", "A100-80GB"),
        ("nvidia.com/gpu=1", "L4"),
    ]


def test_a_card_that_is_named_by_uuid_alone_is_found_by_it(write: Write, tmp_path: Path) -> None:
    write(device("GPU-5a3b0f6c-1111-2222-3333-444455556666", "/dev/zero"))
    card = Card("0", 3, "GPU-5a3b0f6c-1111-2222-3333-444455556666", "Tesla T4", 15360)
    assert [(d.model, d.memory_mib) for d in devices(tmp_path, card).offered()] == [("T4", 15360)]


def test_without_a_driver_a_card_has_its_makers_name_and_any_takes_it(write: Write, tmp_path: Path) -> None:
    write(device("0", "/dev/zero"))
    offered = devices(tmp_path).offered()
    assert offered == [Device("nvidia.com/gpu=0", "NVIDIA", 0)]
    assert pick_devices(GpuRequest("ANY"), offered) == ["nvidia.com/gpu=0"]
    assert pick_devices(GpuRequest("A100"), offered) == []


def test_the_driver_is_not_asked_where_no_spec_names_its_cards(write: Write, tmp_path: Path) -> None:
    def ask() -> list[Card]:
        raise AssertionError("asked")

    write(device("0", "/dev/zero"), kind="amd.com/gpu")
    assert len(Devices(cdi.read([tmp_path]), ask).offered()) == 1


# --- edits


def test_a_container_without_devices_gets_nothing(write: Write, tmp_path: Path) -> None:
    write(device("0", "/dev/zero"), containerEdits={"deviceNodes": [{"path": "/dev/null"}], "env": ["A=1"]})
    edits = devices(tmp_path).edits([])
    assert (edits.devices, edits.binds, edits.env, edits.search_path("/x")) == (
        [],
        [],
        {},
        {"LD_LIBRARY_PATH": "/x"},
    )


def test_a_container_gets_the_nodes_of_its_devices_and_the_common_ones_and_no_others(
    write: Write, tmp_path: Path
) -> None:
    write(
        *(device(str(n), node, inside=f"/dev/nvidia{n}") for n, node in enumerate(NODES)),
        containerEdits={
            "deviceNodes": [{"path": "/dev/nvidiactl", "hostPath": "/dev/null"}, {"path": "/dev/gone"}]
        },
    )
    edits = devices(tmp_path).edits(["nvidia.com/gpu=1", "nvidia.com/gpu=3"])
    assert {bind.target: str(bind.source) for bind in edits.devices} == {
        "/dev/nvidiactl": "/dev/null",
        "/dev/nvidia1": "/dev/full",
        "/dev/nvidia3": "/dev/urandom",
    }


def test_the_container_counts_its_cards_from_0(write: Write, tmp_path: Path) -> None:
    write(
        device("4", "/dev/zero"),
        device("7", "/dev/full"),
        containerEdits={"env": ["NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_CTK=1", "broken"]},
    )
    assert devices(tmp_path).edits(["nvidia.com/gpu=4", "nvidia.com/gpu=7"]).env == {
        "NVIDIA_CTK": "1",
        "NVIDIA_VISIBLE_DEVICES": "0,1",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }


def test_a_device_that_no_spec_names_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"nvidia\.com/gpu=9"):
        devices(tmp_path).edits(["nvidia.com/gpu=9"])


def test_libraries_are_found_under_every_name_without_the_images_own(write: Write, tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    for name in ("libcuda.so.550.54", "libc.so.6", "nvidia-smi", "libnvidia-gl.so.550.54"):
        (lib / name).write_bytes(b"")
    (lib / "libcuda.so.1").symlink_to("libcuda.so.550.54")
    (lib / "libcuda.so").symlink_to("libcuda.so.1")
    (lib / "libcudart.so.1").symlink_to("libc.so.6")
    hook = [
        "nvidia-ctk",
        "hook",
        "create-symlinks",
        "--link",
        "../libnvidia-gl.so.550.54::/usr/lib/gbm/nvidia_gbm.so",
    ]
    write(
        device("0", "/dev/zero"),
        containerEdits={
            "mounts": [
                {
                    "hostPath": f"{lib}/libcuda.so.550.54",
                    "containerPath": "/usr/lib/libcuda.so.550.54",
                    "options": ["ro"],
                },
                {
                    "hostPath": f"{lib}/libnvidia-gl.so.550.54",
                    "containerPath": "/usr/lib/libnvidia-gl.so.550.54",
                },
                {"hostPath": f"{lib}/nvidia-smi", "containerPath": "/usr/bin/nvidia-smi", "options": ["ro"]},
                {"hostPath": "/that/is/gone", "containerPath": "/gone"},
            ],
            "hooks": [
                {"hookName": "createContainer", "path": "/usr/bin/nvidia-ctk", "args": hook},
                {
                    "hookName": "createContainer",
                    "path": "/usr/bin/nvidia-ctk",
                    "args": ["x", "update-ldcache"],
                },
            ],
        },
    )
    edits = devices(tmp_path).edits(["nvidia.com/gpu=0"])
    ours = "/usr/local/nvidia/lib64"
    assert {bind.target: (bind.source.name, bind.read_only) for bind in edits.binds} == {
        "/usr/lib/libcuda.so.550.54": ("libcuda.so.550.54", True),
        "/usr/lib/libnvidia-gl.so.550.54": ("libnvidia-gl.so.550.54", False),
        "/usr/bin/nvidia-smi": ("nvidia-smi", True),
        "/usr/lib/gbm/nvidia_gbm.so": ("libnvidia-gl.so.550.54", True),
        f"{ours}/libcuda.so.550.54": ("libcuda.so.550.54", True),
        f"{ours}/libcuda.so.1": ("libcuda.so.550.54", True),
        f"{ours}/libcuda.so": ("libcuda.so.550.54", True),
        f"{ours}/libnvidia-gl.so.550.54": ("libnvidia-gl.so.550.54", True),
    }
    assert edits.search_path("/opt/lib") == {"LD_LIBRARY_PATH": f"{ours}:/opt/lib"}


def test_of_two_workers_on_a_machine_one_offers_a_card_until_it_ends(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IONIAN_CDI_DIRS", str(tmp_path))
    write(device("0", "/dev/zero", model="T4"), device("1", "/dev/full", model="T4"))
    first = Devices.found()
    first.claim()
    write(device("b", "/dev/full", model="T4"), device("c", "/dev/random", model="T4"))  # by another name
    second, third = Devices.found(), Devices.found()
    second.claim()
    assert (names(first), names(second)) == (
        ["nvidia.com/gpu=0", "nvidia.com/gpu=1"],
        ["nvidia.com/gpu=c"],
    )
    assert "gpu=nvidia.com/gpu=b is not offered: another worker on this machine does" in caplog.text
    first.release()
    second.release()
    third.claim()
    assert names(third) == ["nvidia.com/gpu=b", "nvidia.com/gpu=c"]
    third.release()
