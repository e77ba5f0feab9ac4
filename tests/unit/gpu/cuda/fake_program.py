"""What runs over the fake driver, in a process that has no other: prints JSON for test_pycuda."""

import gc
import json
import sys
import threading

import numpy as np

from gpu import selftest
from gpu.check import whole
from gpu.cuda import devices
from gpu.cuda.backend import CudaBackend
from gpu.cuda.pycuda import PyCudaDriver
from gpu.cuda.sources import NAMES
from gpu.errors import GpuError
from gpu.ops import Unary
from gpu.tensors import DType

IMAGES = {name: b"\x7fELF" + name.encode() for name in NAMES}
LARGE = 20_000_001  # three pieces of pinned memory
PAST = 300 << 20


def problem_of(action):
    try:
        action()
    except GpuError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def large_copies(device):
    """Whether bytes survive the way there and back, though changed when an upload has returned."""
    data = np.random.default_rng(1).integers(0, 256, LARGE, np.uint8)
    expected = data.tobytes()
    tensor = device.upload(data.data, LARGE)
    data[:] = 0
    return bytes(device.download(tensor)) == expected


def memory_in_use(device):
    """Blocks that were freed with work under way are written over only after that work."""
    rights = []
    for number in range(20):
        x = device.upload(np.full(5000, number, np.float32).tobytes(), 5000, dtype=DType.F32)
        result = device.apply(Unary.NEGATIVE, x)
        del x
        gc.collect()
        device.upload(bytes(20_000), 5000, dtype=DType.F32)
        rights.append(set(np.frombuffer(device.download(result), np.float32)) == {-number})
    return all(rights)


def uploads_first(device):
    """Launches wait for uploads, also when streams are run to their ends, the computing first."""
    x = device.upload(np.full(5000, 2, np.float32).tobytes(), 5000, dtype=DType.F32)
    result = device.apply(Unary.NEGATIVE, x)
    device.empty(7)
    gc.collect()
    device._pool.trim()  # frees what nothing uses, for which CUDA finishes everything
    return set(np.frombuffer(device.download(result), np.float32)) == {-2}


def main():
    device = CudaBackend(PyCudaDriver(0), IMAGES)
    found = devices.find_devices()
    answer = {
        "found": [list(found.devices[0]), found.problem],
        "self-test": whole.self_test(device),
        "threads": whole.from_threads(device, 3),
        "chain": whole.chain(device, 100, 3),
        "large copies": large_copies(device),
        "uploads first": uploads_first(device),
        "memory in use": memory_in_use(device),
        "too large": problem_of(lambda: device.empty(PAST)),
        "no such number": problem_of(lambda: PyCudaDriver(1)),
        "bad image": problem_of(
            lambda: next(
                selftest.CASES["exp"](CudaBackend(PyCudaDriver(0), dict.fromkeys(NAMES, b"text")))
            )
        ),
    }
    x = device.empty(300, dtype=DType.F32)
    x.address += 1 << 40  # memory of nobody
    answer["bad address"] = problem_of(lambda: device.download(device.apply(Unary.EXP, x)))
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
    assert threading.active_count() == 1
