from __future__ import annotations

import pytest

from ionian.worker.devices.models import model_of


@pytest.mark.parametrize(
    ("name", "memory_mib", "model"),
    [
        ("NVIDIA A100-SXM4-80GB", 81920, "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", 81920, "A100-80GB"),
        ("A100-SXM4-40GB", 40536, "A100-40GB"),
        ("NVIDIA A100-PCIE-40GB", 40960, "A100-40GB"),
        ("NVIDIA A100-SXM", 40536, "A100-40GB"),
        ("NVIDIA A100-SXM", 0, "A100"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100"),
        ("NVIDIA H100 PCIe", 81559, "H100"),
        ("NVIDIA H100 NVL", 95830, "H100"),
        ("NVIDIA H200", 143771, "H200"),
        ("NVIDIA GH200 480GB", 97871, "GH200"),
        ("NVIDIA B200", 183359, "B200"),
        ("NVIDIA GB200", 189471, "GB200"),
        ("NVIDIA L4", 23034, "L4"),
        ("NVIDIA L40", 46068, "L40"),
        ("NVIDIA L40S", 46068, "L40S"),
        ("Tesla T4", 15360, "T4"),
        ("NVIDIA A10", 23028, "A10"),
        ("NVIDIA A10G", 23028, "A10G"),
        ("Tesla V100-SXM2-16GB", 16384, "V100-16GB"),
        ("Tesla V100-SXM3-32GB", 32768, "V100-32GB"),
        ("Tesla P100-PCIE-16GB", 16384, "P100"),
        ("Tesla K80", 11441, "K80"),
        ("NVIDIA RTX A6000", 49140, "A6000"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "RTX-6000-ADA"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, "RTX-PRO-6000"),
        ("NVIDIA GeForce RTX 4090", 24564, "RTX-4090"),
        ("NVIDIA GeForce RTX 2080 Ti", 11264, "RTX-2080TI"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 16376, "RTX-4070-TI-SUPER"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, "RTX-4090-LAPTOP"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864, "MIG-1G.5GB"),
        ("NVIDIA GeForce GTX 1080", 8192, "GTX-1080"),
        ("Quadro RTX 6000", 24576, "QUADRO-RTX-6000"),
        ("", 0, "UNKNOWN"),
    ],
)
def test_the_drivers_name_becomes_the_name_of_gpu(name: str, memory_mib: int, model: str) -> None:
    assert model_of(name, memory_mib) == model
