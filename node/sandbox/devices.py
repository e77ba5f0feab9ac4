"""The device that jobs are computed on, as a program of the child.

The node compiles a GPU's kernels before the child starts, because a confined child neither writes
the cache nor needs the compiler. It may then open the driver's device files and read what the
driver reads; the device is tested in the child, as it will be used.
"""

from pathlib import Path

from gpu.errors import GpuError
from node.sandbox.errors import SandboxNotStarted
from node.sandbox.launch import Program

CPU = "cpu"
MODULE = "node.sandbox.compute"

_DEVICE_FILES = "nvidia*"  # /dev/nvidia0, nvidiactl, nvidia-uvm, and the folder nvidia-caps
_READ_BY_THE_DRIVER = (
    *("/proc/driver", "/proc/self", "/proc/devices", "/proc/modules", "/proc/meminfo"),
    *("/proc/cpuinfo", "/proc/sys/vm", "/sys/bus/pci", "/sys/devices", "/sys/module"),
    "/etc/nvidia",
)


def program_for(device: str) -> Program:
    """The program for `cpu` or `cuda:N`. Raises SandboxNotStarted when there is no such device."""
    if device == CPU:
        return Program(MODULE)
    from gpu.cuda.devices import prepared_images

    number = device.partition(":")[2]
    try:
        images = prepared_images(int(number)).path
    except GpuError as error:
        raise SandboxNotStarted(
            f"[worker] device {device!r} cannot be used: {error}",
            remedy="`tmnode doctor` tests the devices of this machine",
        ) from error
    return Program(
        MODULE,
        arguments={"gpu": number, "images": str(images)},
        readable=(str(images), *_READ_BY_THE_DRIVER),
        devices=tuple(sorted(map(str, Path("/dev").glob(_DEVICE_FILES)))),
    )
