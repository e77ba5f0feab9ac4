"""Operands of the self-test: pieces of SHAKE-256, so that nothing but the host is relied on."""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from gpu.ops import Operations
from gpu.tensors import DType, Tensor

WIDTHS = (1, 130, 4100, 33_000)
EPSILON = 1e-5

Results = Iterator[Tensor]
Case = Callable[[Operations], Results]


def bits(device: Operations, name: str, *shape: int, dtype: DType = DType.F32) -> Tensor:
    """Any bits: as floats, NaNs, infinities and denormals among them."""
    size = int(np.prod(shape)) * dtype.item_bytes
    return device.upload(hashlib.shake_256(name.encode()).digest(size), *shape, dtype=dtype)


def numbers(device: Operations, name: str, *shape: int) -> Tensor:
    """Multiples of 2^-13 in [-4, 4)."""
    data = hashlib.shake_256(name.encode()).digest(2 * int(np.prod(shape)))
    floats = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(8192)
    return device.upload(floats.tobytes(), *shape, dtype=DType.F32)


def rough(device: Operations, name: str, *shape: int) -> Tensor:
    """Numbers whose sums are rounded, so that their order shows."""
    data = hashlib.shake_256(name.encode()).digest(4 * int(np.prod(shape)))
    pairs = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(8192)
    floats = pairs[::2] * pairs[1::2]
    return device.upload(floats.tobytes(), *shape, dtype=DType.F32)


def i32(device: Operations, *numbers: int) -> Tensor:
    return device.upload(np.array(numbers, "<i4").tobytes(), len(numbers), dtype=DType.I32)


def residues(device: Operations, name: str, *shape: int) -> Tensor:
    data = hashlib.shake_256(name.encode()).digest(int(np.prod(shape)))
    return device.upload((np.frombuffer(data, np.uint8) % 241).tobytes(), *shape)
