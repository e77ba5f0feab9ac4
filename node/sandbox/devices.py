"""The device that jobs are computed on, as a program of the child.

The node compiles a GPU's kernels before the child starts, because a confined child neither writes
the cache nor needs the compiler. It may then open the driver's device files and read what the
driver reads, and finds the driver's libraries where the node has found them, whose environment it
does not have; the device is tested in the child, as it will be used.
"""

import re
from pathlib import Path

from gpu.errors import GpuError
from node.sandbox.errors import SandboxNotStarted
from node.sandbox.launch import Program

CPU = "cpu"
MODULE = "node.sandbox.compute"

# The GPUs, what they share, and the rights to parts of a GPU. The others in /dev are for tools that
# watch processes, and for screens.
_DEVICE_FILE = re.compile(r"nvidia(\d+|ctl|-uvm|-caps)")
# With paths below /sys/devices the driver finds what it looks for through links in /sys/bus, too.
_READ_BY_THE_DRIVER = (
    *("/proc/driver", "/proc/self", "/proc/devices", "/proc/cpuinfo", "/proc/sys/vm"),
    *("/sys/devices", "/etc/nvidia"),
)
_DRIVER = re.compile(r"^(/.*)/libcuda\.so[.\d]*$")
_MAPPED_FILE = 5
"""The field of a line of `/proc/self/maps` that names the file."""
_START_S = 120.0
"""Waking a GPU takes seconds, testing it some more, and other children may be doing the same."""


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
    folders = driver_folders(Path("/proc/self/maps").read_text())
    return Program(
        MODULE,
        libraries=("pycuda",),
        arguments={"gpu": number, "images": str(images)},
        # Every kernel is machine code of this device: the driver compiles nothing, and keeps none.
        variables={"CUDA_CACHE_DISABLE": "1", "LD_LIBRARY_PATH": ":".join(folders)},
        readable=(str(images), *folders, *_READ_BY_THE_DRIVER),
        devices=device_files(Path("/dev")),
        start_s=_START_S,
    )


def device_files(folder: Path) -> tuple[str, ...]:
    """The files in `/dev` by which CUDA computes."""
    files = (file for file in folder.iterdir() if _DEVICE_FILE.fullmatch(file.name))
    return tuple(sorted(map(str, files)))


def driver_folders(maps: str) -> tuple[str, ...]:
    """Where CUDA's driver lies, by the maps of a process that has loaded it."""
    files = (line.split(maxsplit=_MAPPED_FILE)[_MAPPED_FILE:] for line in maps.splitlines())
    found = (_DRIVER.match(name) for names in files for name in names)
    return tuple(sorted({match[1] for match in found if match}))
