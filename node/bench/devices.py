"""Devices by the names that a configuration gives them, for benchmarks."""

from gpu.cpu import CpuBackend
from gpu.cuda.backend import CudaBackend
from gpu.cuda.devices import open_device, prepared_images
from gpu.errors import DeviceUnavailable
from node.errors import Unavailable

CPU = "cpu"


def opened(device: str) -> CpuBackend | CudaBackend:
    """`cpu` or `cuda:N`; raises Unavailable."""
    if device == CPU:
        return CpuBackend()
    number = int(device.partition(":")[2])
    try:
        return open_device(number, prepared_images(number).path)
    except DeviceUnavailable as error:
        remedy = "`tmnode doctor` tests the devices of this machine"
        raise Unavailable(str(error), field=device, remedy=remedy) from error
