"""What an operation is tried with: sizes, and operands made of a seed."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gpu.ops import Operations
from gpu.tensors import DType, Tensor

Shape = tuple[int, ...]
Results = Iterator[Tensor]


class Fuzz(NamedTuple):
    """An operation, and the names and the largest values of the sizes it is tried with."""

    sizes: dict[str, int]
    run: Callable[[Operations, Shape, int], Results]


def any_bits(device: Operations, seed: int, *shape: int, dtype: DType = DType.F32) -> Tensor:
    """Any bits: NaNs, infinities, denormals and both zeros among the floats."""
    random = np.random.default_rng([seed, len(shape), *shape])
    return device.upload(random.bytes(int(np.prod(shape)) * dtype.item_bytes), *shape, dtype=dtype)


def floats(device: Operations, seed: int, *shape: int) -> Tensor:
    """Normal numbers; with an odd seed any bits instead."""
    if seed % 2:
        return any_bits(device, seed, *shape)
    normal = np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)
    return device.upload(normal.tobytes(), *shape, dtype=DType.F32)


def i32(device: Operations, numbers: np.ndarray) -> Tensor:
    return device.upload(numbers.astype(np.int32).tobytes(), len(numbers), dtype=DType.I32)


def residues(device: Operations, seed: int, *shape: int) -> Tensor:
    random = np.random.default_rng([seed, *shape])
    return device.upload(random.integers(0, 241, shape, np.uint8).tobytes(), *shape)
