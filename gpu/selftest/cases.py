"""The cases of the self-test: each operation on operands of awkward shapes.

A new operation gets a case here, or in training.py, and its digest in goldens.json.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from gpu.ops import Binary, Distribution, Mask, Operations, Unary
from gpu.selftest import training
from gpu.selftest.operands import (
    EPSILON,
    WIDTHS,
    Case,
    Results,
    bits,
    i32,
    numbers,
    residues,
    rough,
)
from gpu.tensors import DType

# Rows, inner elements, columns: few and many rows, ragged and in aligned fours.
_SHAPES = ((1, 300, 33), (3, 2300, 33), (5, 70, 129), (130, 257, 40), (20, 520, 132))
_KEY = bytes(range(32))
_NUMBERS, _HALF = (DType.I8, DType.I32), (DType.BF16, DType.F16)


def _unary(function: Unary, device: Operations) -> Results:
    yield device.apply(function, bits(device, "x", 20_000))
    yield device.apply(function, numbers(device, "x", 3, 1001))


def _binary(function: Binary, device: Operations) -> Results:
    yield device.combine(function, bits(device, "x", 20_000), bits(device, "y", 20_000))
    yield device.combine(function, numbers(device, "x", 3, 1001), numbers(device, "y", 3, 1001))


def _casts(device: Operations) -> Results:
    x = bits(device, "x", 20_000)
    for dtype in (*_NUMBERS, *_HALF):
        narrow = device.cast(x, dtype)
        yield narrow
        yield device.cast(narrow, DType.F32)


def _random(device: Operations) -> Results:
    for distribution in Distribution:
        yield device.random(distribution, 5001, key=(3, 2**32 - 1), stream=7, step=1, first=2)


def _softmax(device: Operations) -> Results:
    for width in WIDTHS:
        yield device.softmax(numbers(device, "x", 2, width))
    yield device.softmax(bits(device, "x", 9, 300))


def _norms(device: Operations) -> Results:
    for width in WIDTHS:
        x = numbers(device, "x", 2, width)
        weight, bias = numbers(device, "w", width), numbers(device, "b", width)
        yield device.rmsnorm(x, weight, epsilon=EPSILON)
        yield device.layernorm(x, weight, bias, epsilon=EPSILON)
        yield device.layernorm(x, None, None, epsilon=EPSILON)


def _row_sums(device: Operations) -> Results:
    for width in WIDTHS:
        yield device.row_sums(rough(device, "x", 2, width))


def _top_k(device: Operations) -> Results:
    yield from device.top_k(bits(device, "x", 3, 1000), 17)
    yield device.argmax(numbers(device, "x", 4, 33_000))


def _rope(device: Operations) -> Results:
    positions = i32(device, 0, 1, 4095, 2**31 - 1)
    x, frequencies = numbers(device, "x", 4, 3, 50), numbers(device, "f", 25)
    yield device.rope(x, positions, frequencies)
    yield device.rope(x, positions, frequencies, interleaved=True)


def _embedding(device: Operations) -> Results:
    table = numbers(device, "x", 50, 33)
    indices = i32(device, 0, 49, 7, 7).reshape(2, 2)
    for dtype in (DType.F32, *_HALF):
        kept = table if dtype is DType.F32 else device.cast(table, dtype)
        yield device.embedding(kept, indices)


def _attention(device: Operations) -> Results:
    """Rows of two sequences, some tokens put in twice; few rows and many, short and long.

    The last tokens are any bits, which the rows before them must not see.
    """
    for tokens, heads, cached, size in ((1100, 3, 1, 20), (70, 2, 2, 130)):
        cache = device.key_values(2, cached, tokens, size)
        order = [*range(tokens), *range(5)]
        count = len(order)
        keys, values = (numbers(device, name, count, cached, size) for name in "kv")
        for sequence in (0, 1):
            sequences = i32(device, *[sequence] * count)
            device.append(cache, keys, values, i32(device, *order), sequences=sequences)
            keys, values = values, keys
            wild = bits(device, "z", 3, cached, size)
            places = i32(device, *range(tokens - 3, tokens))
            device.append(cache, wild, wild, places, sequences=i32(device, *[sequence] * 3))
        mask = Mask(window=90, starts=i32(device, 3, 0), lengths=i32(device, tokens, tokens - 9))
        for rows in (4, 70):
            some = numbers(device, "q", rows, heads, size)
            last = i32(device, *order[:2], *range(tokens - rows + 2, tokens))
            sequences = i32(device, *(i // 3 % 2 for i in range(rows)))
            yield device.attention(some, cache, last)
            yield device.attention(some, cache, last, sequences=sequences, mask=mask)


def _convolutions(device: Operations) -> Results:
    """Whole groups, wide and narrow ones, ragged and in fours; sums of one chunk and of several."""
    layers: tuple[tuple[Any, ...], ...] = (
        ((2, 9, 31), 70, 20, 3, 1, {"padding": 1, "stride": (1, 2)}),
        ((1, 14, 9), 40, 60, 2, 2, {"padding": (1, 3), "dilation": (3, 2)}),
        ((3, 5, 6), 12, 24, 3, 12, {"padding": 2, "stride": 2}),
        ((2, 11, 10), 24, 40, 3, 2, {"padding": 1, "stride": 2}),
        ((1, 12, 13), 8, 36, 3, 1, {"padding": (2, 0), "dilation": (1, 2)}),
    )
    for (batch, height, width), channels, filters, kernel, groups, options in layers:
        for made in (numbers, bits):
            x = made(device, "x", batch, height, width, channels)
            weights = made(device, "w", kernel, kernel, channels // groups, filters)
            result = device.conv2d(x, weights, groups=groups, **options)
            yield result
            gradient = made(device, "g", *result.shape)
            yield device.conv2d_input(gradient, weights, (height, width), groups=groups, **options)
            yield device.conv2d_weights(x, gradient, (kernel, kernel), groups=groups, **options)


def _matmul(device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        for turned in (False, True):
            for other in (False, True):
                left = numbers(device, "x", *((inner, rows) if turned else (rows, inner)))
                right = numbers(device, "y", *((columns, inner) if other else (inner, columns)))
                yield device.matmul(left, right, left_transposed=turned, right_transposed=other)


def _matmul_i8(device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        left = bits(device, "x", rows, inner, dtype=DType.I8)
        right = bits(device, "y", inner, columns, dtype=DType.I8)
        yield device.matmul(left, right)
        yield device.matmul(right, left, left_transposed=True, right_transposed=True)


def _linear(kind: DType, device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        weights = device.pack(numbers(device, "w", inner, columns), kind, group=64)
        yield device.linear(numbers(device, "x", rows, inner), weights)
        turned = device.pack(numbers(device, "w", columns, inner), kind, transposed=True)
        yield device.linear(numbers(device, "x", rows, inner), turned)


def _expand(device: Operations) -> Results:
    for first, nonzero in ((0, False), (13, True), (2**35, False), (2**36 - 2000, False)):
        out = device.empty(1, 1999)
        device.expand(out, _KEY, 1, 2, first=first, nonzero=nonzero)
        yield out


def _product(device: Operations) -> Results:
    for rows, inner, columns in _SHAPES:
        left, right = residues(device, "x", rows, inner), residues(device, "y", inner, columns)
        out = device.empty(rows, columns)
        device.product(left, right, out)
        yield out
        scale, column, row = (residues(device, "v", 1, n) for n in (inner, rows, columns))
        full = device.empty(rows, columns)
        device.product(left, right, full, scale=scale, column=column, row=row)
        device.scale_rows(full, residues(device, "f", 1, rows))
        yield full


def _questions(device: Operations) -> Results:
    """Each answer as the first dimension of a tensor of zeros."""
    whole, other = residues(device, "x", 20, 300), bits(device, "x", 20, 300, dtype=DType.U8)
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
    "attention": _attention,
    "convolutions": _convolutions,
    "matmul": _matmul,
    "matmul i8": _matmul_i8,
    "linear": partial(_linear, DType.F32),
    "linear bf16": partial(_linear, DType.BF16),
    "linear i8": partial(_linear, DType.I8),
    "expand": _expand,
    "product": _product,
    "comparisons": _questions,
    **training.CASES,
}
