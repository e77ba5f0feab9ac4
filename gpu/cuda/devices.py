"""Which NVIDIA GPUs this machine has, and opening one."""

from pathlib import Path
from typing import Any, NamedTuple

from gpu.cuda.backend import CudaBackend
from gpu.cuda.compiler import Compiler, architecture_for
from gpu.cuda.images import ImageFolder, default_cache, prepare
from gpu.cuda.pycuda import PyCudaDriver, imported
from gpu.errors import DeviceUnavailable


class DeviceInfo(NamedTuple):
    """A GPU: CUDA's number and name for it, its compute capability and its memory."""

    number: int
    name: str
    capability: tuple[int, int]
    memory_bytes: int


class Found(NamedTuple):
    """The GPUs of this machine; `problem` says why there are none."""

    devices: tuple[DeviceInfo, ...]
    problem: str


def find_devices() -> Found:
    """Look for GPUs; never raises."""
    try:
        cuda = imported()
    except DeviceUnavailable as error:
        return Found((), str(error))
    devices = tuple(
        _described(cuda.Device(number), number) for number in range(cuda.Device.count())
    )
    return Found(devices, "" if devices else "CUDA sees no GPU")


def prepared_images(number: int, cache: Path | None = None) -> ImageFolder:
    """The kernels of a device, compiled where they are not yet. Raises DeviceUnavailable."""
    cuda = imported()
    if not 0 <= number < cuda.Device.count():
        raise DeviceUnavailable(f"there is no GPU {number}: CUDA sees {cuda.Device.count()}")
    architecture = architecture_for(*cuda.Device(number).compute_capability())
    return prepare(Compiler(), architecture, cache or default_cache())


def open_device(number: int, images: Path) -> CudaBackend:
    """A device with kernels that were prepared. Raises DeviceUnavailable."""
    return CudaBackend(PyCudaDriver(number), ImageFolder(images))


def _described(device: Any, number: int) -> DeviceInfo:
    return DeviceInfo(
        number, device.name(), tuple(device.compute_capability()), device.total_memory()
    )
