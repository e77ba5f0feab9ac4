"""Functions of one number on every float there is, and of two on pairs of awkward ones."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from gpu.check.outcome import Pair
from gpu.ops import Binary, Operations, Unary
from gpu.tensors import DType

Words = npt.NDArray[np.uint32]

ALL_FLOATS = 1 << 32
_AT_A_TIME = 1 << 22  # memory that is given back and taken again, not fresh from the system

# Exponents at both ends and around one, mantissas at both ends and in the middle, both signs.
_EXPONENTS = (*range(4), *range(22, 26), 64, 100, *range(125, 131), 150, 190, *range(251, 256))
_MANTISSAS = (0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x555555, 0x7FFFFE, 0x7FFFFF)


def every_float(pair: Pair, function: Unary, stride: int) -> str:
    """The first of every `stride`-th float whose result differs; empty when there is none."""
    most = -(-ALL_FLOATS // stride)
    first_words = np.arange(min(_AT_A_TIME, most), dtype=np.uint32) * np.uint32(stride)

    def problem(start: int) -> str:
        words = first_words[: most - start] + np.uint32(start * stride)
        result, right = (_applied(device, function, words) for device in pair)
        found = _first_wrong(function, (words,), result, right)
        return found and f"{found}, and {np.count_nonzero(result != right) - 1} more are wrong"

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy takes longer than either device
        problems = pool.map(problem, range(0, most, _AT_A_TIME))
        return next(filter(None, problems), "")


def awkward_pairs(pair: Pair, function: Binary) -> str:
    """The first pair of awkward floats whose result differs; empty when there is none."""
    floats = awkward_floats()
    x, y = np.repeat(floats, floats.size), np.tile(floats, floats.size)
    result, right = (_combined(device, function, x, y) for device in pair)
    return _first_wrong(function, (x, y), result, right)


def _first_wrong(
    function: Unary | Binary, operands: tuple[Words, ...], result: Words, right: Words
) -> str:
    wrong = np.flatnonzero(result != right)
    if not wrong.size:
        return ""
    first = int(wrong[0])
    called = ", ".join(f"{int(words[first]):#010x}" for words in operands)
    return (
        f"{function.name.lower()}({called}) is {int(result[first]):#010x}"
        f" instead of {int(right[first]):#010x}"
    )


def awkward_floats() -> Words:
    """Zeros, denormals, infinities, NaNs, and the ends of ranges, as words."""
    positive = [exponent << 23 | mantissa for exponent in _EXPONENTS for mantissa in _MANTISSAS]
    words = np.array(positive, np.uint32)
    return np.concatenate([words, words | np.uint32(1 << 31)])


def _applied(device: Operations, function: Unary, words: Words) -> Words:
    x = device.upload(words.data.cast("B"), words.size, dtype=DType.F32)
    return np.frombuffer(device.download(device.apply(function, x)), np.uint32)


def _combined(device: Operations, function: Binary, x: Words, y: Words) -> Words:
    left, right = (device.upload(a.data.cast("B"), a.size, dtype=DType.F32) for a in (x, y))
    return np.frombuffer(device.download(device.combine(function, left, right)), np.uint32)
