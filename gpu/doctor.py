"""Which devices this machine has, and whether their kernels give the right bits."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gpu import selftest
from gpu.cpu import CpuBackend
from gpu.cuda.devices import DeviceInfo, Found, find_devices, open_device, prepared_images
from gpu.errors import DeviceUnavailable, GpuError
from gpu.ops import Operations


class Examined(NamedTuple):
    """A device: what a configuration calls it, what it is, and what came of the self-test.

    `problem` is empty for a device that may be used; else it names the operation, or says why the
    device could not be tested.
    """

    device: str
    description: str
    right: int
    problem: str


def examine(found: Found | None = None, cache: Path | None = None) -> Iterator[Examined]:
    """Test this machine's CPU and every GPU, one after the other."""
    yield _tested("cpu", CpuBackend, "")
    for device in (found or find_devices()).devices:
        opened = partial(_opened, device.number, cache)
        yield _tested(f"cuda:{device.number}", opened, _described(device))


def require_healthy(device: Operations) -> None:
    """Raise DeviceUnavailable, which names the operation, for a device with a wrong bit."""
    failure = selftest.first_failure(device)
    if failure is not None:
        raise DeviceUnavailable(
            f"{device.name} fails its self-test at {failure.operation} ({failure.problem})"
            " and is not used"
        )


def _tested(name: str, opened: Callable[[], Operations], description: str) -> Examined:
    try:
        device = opened()
    except GpuError as error:
        return Examined(name, description or "-", 0, str(error))
    findings = list(selftest.findings(device))
    wrong = [f"{finding.operation}: {finding.problem}" for finding in findings if finding.problem]
    return Examined(name, description or device.name, len(findings) - len(wrong), "; ".join(wrong))


def _opened(number: int, cache: Path | None) -> Operations:
    return open_device(number, prepared_images(number, cache).path)


def _described(device: DeviceInfo) -> str:
    major, minor = device.capability
    return f"{device.name}, compute capability {major}.{minor}, {device.memory_bytes >> 30} GiB"
