"""GPUs of this machine, by the Container Device Interface (CDI).

A CDI spec is a file that the driver's tools write (`nvidia-ctk cdi generate`): which device nodes, libraries and
variables a container needs for each device. `cdi` reads the specs, `nvml` asks the driver for model and memory,
`models` turns NVIDIA's names into those of `gpu=`, `libraries` does what ldconfig would do in the container, and
`devices` puts it together.
"""

from .devices import Devices, Edits
from .nvml import GpuUse

__all__ = ["Devices", "Edits", "GpuUse"]
