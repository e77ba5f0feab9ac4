"""The cases of the self-test: each operation on operands of awkward shapes.

The operands are pieces of SHAKE-256, so that the test takes nothing for granted but the host. A new
operation gets a case here and its digest in goldens.json.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from gpu.ops import Binary, Distribution, Operations, Unary
from gpu.tensors import DType, Tensor

_WIDTHS = (1, 130, 4100, 33_000)
_SHAPES = ((1, 300, 33), (3, 2300, 33), (5, 70, 129), (130, 257, 40))
_EPSILON = 1e-5
_KEY = bytes(range(32))
_NUMBERS, _HALF = (DType.I8, DType.I32), (DType.BF16, DType.F16)

Results = Iterator[Tensor]
Case = Callable[[Operations], Results]


def _bits(device: Operations, name: str, *shape: int, dtype: DType = DType.F32) -> Tensor:
    """Any bits: as floats, NaNs, infinities and denormals among them."""
    size = int(np.prod(shape)) * dtype.item_bytes
    return device.upload(hashlib.shake_256(name.encode()).digest(size), *shape, dtype=dtype)


def _numbers(device: Operations, name: str, *shape: int) -> Tensor:
    """Multiples of 2^-13 in [-4, 4)."""
    data = hashlib.shake_256(name.encode()).digest(2 * int(np.prod(shape)))
    floats = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(8192)
    return device.upload(floats.tobytes(), *shape, dtype=DType.F32)


def _residues(device: Operations, name: str, *shape: int) -> Tensor:
    data = hashlib.shake_256(name.encode()).digest(int(np.prod(shape)))
    return device.upload((np.frombuffer(data, np.uint8) % 241).tobytes(), *shape)


def _unary(function: Unary, device: Operations) -> Results:
    yield device.apply(function, _bits(device, "x", 20_000))
    yield device.apply(function, _numbers(device, "x", 3, 1001))


def _binary(function: Binary, device: Operations) -> Results:
    yield device.combine(function, _bits(device, "x", 20_000), _bits(device, "y", 20_000))
    yield device.combine(function, _numbers(device, "x", 3, 1001), _numbers(device, "y", 3, 1001))


def _casts(device: Operations) -> Results:
    x = _bits(device, "x", 20_000)
    for dtype in (*_NUMBERS, *_HALF):
        narrow = device.cast(x, dtype)
        yield narrow
        yield device.cast(narrow, DType.F32)


def _random(device: Operations) -> Results:
    for distribution in Distribution:
        yield device.random(distribution, 5001, key=(3, 2**32 - 1), stream=7, step=1, first=2)


def _softmax(device: Operations) -> Results:
    for width in _WIDTHS:
        yield device.softmax(_numbers(device, "x", 2, width))
    yield device.softmax(_bits(device, "x", 9, 300))


def _norms(device: Operations) -> Results:
    for width in _WIDTHS:
        x = _numbers(device, "x", 2, width)
        weight, bias = _numbers(device, "w", width), _numbers(device, "b", width)
        yield device.rmsnorm(x, weight, epsilon=_EPSILON)
        yield device.layernorm(x, weight, bias, epsilon=_EPSILON)
        yield device.layernorm(x, None, None, epsilon=_EPSILON)


def _row_sums(device: Operations) -> Results:
    for width in _WIDTHS:
        yield device.row_sums(_numbers(device, "x", 2, width))


def _top_k(device: Operations) -> Results:
    yield from device.top_k(_bits(device, "x", 3, 1000), 17)
    yield device.argmax(_numbers(device, "x", 4, 33_000))


def _rope(device: Operations) -> Results:
    positions = device.upload(
        np.array([0, 1, 4095, 2**31 - 1], "<i4").tobytes(), 4, dtype=DType.I32
    )
    x, frequencies = _numbers(device, "x", 4, 3, 50), _numbers(device, "f", 25)
    yield device.rope(x, positions, frequencies)
    yield device.rope(x, positions, frequencies, interleaved=True)


def _embedding(device: Operations) -> Results:
    table = _numbers(device, "x", 50, 33)
    indices = device.upload(np.array([0, 49, 7, 7], "<i4").tobytes(), 2, 2, dtype=DType.I32)
    for dtype in (DType.F32, *_HALF):
        kept = table if dtype is DType.F32 else device.cast(table, dtype)
        yield device.embedding(kept, indices)


def _matmul(device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        for turned in (False, True):
            for other in (False, True):
                left = _numbers(device, "x", *((inner, rows) if turned else (rows, inner)))
                right = _numbers(device, "y", *((columns, inner) if other else (inner, columns)))
                yield device.matmul(left, right, left_transposed=turned, right_transposed=other)


def _matmul_i8(device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        left = _bits(device, "x", rows, inner, dtype=DType.I8)
        right = _bits(device, "y", inner, columns, dtype=DType.I8)
        yield device.matmul(left, right)
        yield device.matmul(right, left, left_transposed=True, right_transposed=True)


def _linear(kind: DType, device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        weights = device.pack(_numbers(device, "w", inner, columns), kind, group=64)
        yield device.linear(_numbers(device, "x", rows, inner), weights)
        turned = device.pack(_numbers(device, "w", columns, inner), kind, transposed=True)
        yield device.linear(_numbers(device, "x", rows, inner), turned)


def _expand(device: Operations) -> Results:
    for first, nonzero in ((0, False), (13, True), (2**35, False), (2**36 - 2000, False)):
        out = device.empty(1, 1999)
        device.expand(out, _KEY, 1, 2, first=first, nonzero=nonzero)
        yield out


def _product(device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        left, right = _residues(device, "x", rows, inner), _residues(device, "y", inner, columns)
        out = device.empty(rows, columns)
        device.product(left, right, out)
        yield out
        scale, column, row = (_residues(device, "v", 1, n) for n in (inner, rows, columns))
        full = device.empty(rows, columns)
        device.product(left, right, full, scale=scale, column=column, row=row)
        device.scale_rows(full, _residues(device, "f", 1, rows))
        yield full


def _questions(device: Operations) -> Results:
    """Each answer as the first dimension of a tensor of zeros."""
    whole, other = _residues(device, "x", 20, 300), _bits(device, "x", 20, 300, dtype=DType.U8)
    parts = (whole.tile(slice(3, 9), slice(5, 100)), other.tile(slice(3, 9), slice(5, 100)))
    for answer in (
        *(device.is_canonical(x) for x in (whole, other, *parts)),
        *(device.equal(x, y) for x, y in ((whole, whole), (whole, other), parts)),
    ):
        yield device.upload(bytes([answer]), 1)
    yield from parts


CASES: Mapping[str, Case] = {
    **{function.name.lower(): partial(_unary, function) for function in Unary},
    **{function.name.lower(): partial(_binary, function) for function in Binary},
    "cast": _casts,
    "random": _random,
    "softmax": _softmax,
    "norms": _norms,
    "row_sums": _row_sums,
    "top_k": _top_k,
    "rope": _rope,
    "embedding": _embedding,
    "matmul": _matmul,
    "matmul i8": _matmul_i8,
    "linear": partial(_linear, DType.F32),
    "linear bf16": partial(_linear, DType.BF16),
    "linear i8": partial(_linear, DType.I8),
    "expand": _expand,
    "product": _product,
    "comparisons": _questions,
}
