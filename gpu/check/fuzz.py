"""Operations on random shapes, on both devices; a failure is made as small as it goes."""

from functools import partial
from typing import Any

import numpy as np

from gpu.check import training
from gpu.check.operands import Fuzz, Results, Shape, any_bits, floats, i32, residues
from gpu.check.outcome import Pair, difference
from gpu.errors import GpuError
from gpu.ops import Binary, Distribution, Mask, Operations
from gpu.tensors import DType


def fuzz(pair: Pair, case: Fuzz, runs: int, seed: int) -> str:
    """The smallest shape found that fails, and how; empty when none does."""
    random = np.random.default_rng(seed)
    for run in range(runs):
        shape = tuple(_size(random, most) for most in case.sizes.values())
        if problem := _problem(pair, case, shape, run):
            shape, problem = _smallest(pair, case, shape, run, problem)
            named = ", ".join(f"{n}={s}" for n, s in zip(case.sizes, shape, strict=True))
            return f"{named}, seed {run}: {problem}"
    return ""


def _size(random: np.random.Generator, most: int) -> int:
    """Small sizes are as likely as large ones, and those around powers of two likelier."""
    size = int(np.exp(random.uniform(0, np.log(most + 1))))
    if random.random() < 0.3:
        size = (1 << size.bit_length()) + int(random.integers(-1, 2))
    return min(most, max(1, size))


def _problem(pair: Pair, case: Fuzz, shape: Shape, seed: int) -> str:
    expected = list(case.run(pair.reference, shape, seed))
    try:
        return difference(pair, case.run(pair.device, shape, seed), expected)
    except GpuError as error:
        return str(error)


def _smallest(pair: Pair, case: Fuzz, shape: Shape, seed: int, problem: str) -> tuple[Shape, str]:
    """Make one size after the other smaller as long as the failure stays."""
    for place in range(len(shape)):
        step = shape[place]
        while step := step // 2:
            while shape[place] > step:
                smaller = (*shape[:place], shape[place] - step, *shape[place + 1 :])
                found = _problem(pair, case, smaller, seed)
                if not found:
                    break
                shape, problem = smaller, found
    return shape, problem


def _binary(function: Binary, device: Operations, shape: Shape, seed: int) -> Results:
    yield device.combine(
        function, any_bits(device, seed, *shape), any_bits(device, seed + 1, *shape)
    )


def _casts(device: Operations, shape: Shape, seed: int) -> Results:
    x = any_bits(device, seed, *shape)
    for dtype in (DType.BF16, DType.F16, DType.I8, DType.I32):
        narrow = device.cast(x, dtype)
        yield narrow
        yield device.cast(narrow, DType.F32)


def _random(device: Operations, shape: Shape, seed: int) -> Results:
    count, first = shape
    for distribution in Distribution:
        yield device.random(distribution, count, key=(seed, 1), stream=2, step=3, first=first)


def _rows(device: Operations, shape: Shape, seed: int) -> Results:
    x, weight = floats(device, seed, *shape), floats(device, seed, shape[1])
    yield device.softmax(x)
    yield device.rmsnorm(x, weight, epsilon=1e-5)
    yield device.layernorm(x, weight, weight, epsilon=1e-5)
    yield device.row_sums(x)


def _best(device: Operations, shape: Shape, seed: int) -> Results:
    rows, width, count = shape
    yield from device.top_k(any_bits(device, seed, rows, width), min(width, count))


def _rope(device: Operations, shape: Shape, seed: int) -> Results:
    tokens, heads, half = shape
    positions = any_bits(device, seed, tokens, dtype=DType.I32)
    x, frequencies = floats(device, seed, tokens, heads, 2 * half), floats(device, seed, half)
    for interleaved in (False, True):
        yield device.rope(x, positions, frequencies, interleaved=interleaved)


def _attention(device: Operations, shape: Shape, seed: int) -> Results:
    tokens, heads, group, size, rows, window = shape
    cache = device.key_values(2, heads, tokens, size)
    both = np.repeat(np.arange(2, dtype=np.int32), tokens)
    places = i32(device, np.tile(np.arange(tokens, dtype=np.int32), 2))
    keys, values = (floats(device, seed + i, 2 * tokens, heads, size) for i in (0, 2))
    device.append(cache, keys, values, places, sequences=i32(device, both))
    random = np.random.default_rng([seed, *shape])
    queries = floats(device, seed, rows, heads * group, size)
    last, sequences = (i32(device, random.integers(0, n, rows)) for n in (tokens, 2))
    lengths = i32(device, random.integers(0, tokens + 1, 2))
    for mask in (Mask(), Mask(window=window), Mask(causal=False, lengths=lengths)):
        yield device.attention(queries, cache, last, sequences=sequences, mask=mask)


def _in_fours(shape: Shape, seed: int) -> Shape:
    """Every third shape with multiples of four, for which there are kernels of their own."""
    return shape if seed % 3 else tuple(size + -size % 4 for size in shape)


def _matmul(device: Operations, shape: Shape, seed: int) -> Results:
    rows, inner, columns = _in_fours(shape, seed)
    for turned, other in ((False, False), (True, False), (False, True), (True, True)):
        left = floats(device, seed, *((inner, rows) if turned else (rows, inner)))
        right = floats(device, seed, *((columns, inner) if other else (inner, columns)))
        yield device.matmul(left, right, left_transposed=turned, right_transposed=other)


def _matmul_i8(device: Operations, shape: Shape, seed: int) -> Results:
    rows, inner, columns = shape
    for turned in (False, True):
        left = any_bits(device, seed, *((inner, rows) if turned else (rows, inner)), dtype=DType.I8)
        right = any_bits(device, seed, *((columns, inner) if turned else (inner, columns)),
                     dtype=DType.I8)  # fmt: skip
        yield device.matmul(left, right, left_transposed=turned, right_transposed=turned)


def _linear(kind: DType, device: Operations, shape: Shape, seed: int) -> Results:
    rows, inner, columns = _in_fours(shape, seed)
    weights = device.pack(floats(device, seed, inner, columns), kind, group=32 * (1 + seed % 4))
    yield device.linear(floats(device, seed, rows, inner), weights)


def _convolutions(device: Operations, shape: Shape, seed: int) -> Results:
    batch, height, width, *channels, groups = shape
    inputs, outputs = _in_fours(tuple(channels), seed)
    random = np.random.default_rng([seed, *shape])
    sizes, kernel = (
        (height, width),
        (min(int(random.integers(1, 4)), height), int(random.integers(1, 4))),
    )
    options: dict[str, Any] = {
        "stride": tuple(map(int, random.integers(1, 4, 2))),
        "padding": (int(random.integers(0, 3)), kernel[1] - 1),
        "groups": groups,
    }
    x = floats(device, seed, batch, *sizes, inputs * groups)
    weights = floats(device, seed + 2, *kernel, inputs, outputs * groups)
    result = device.conv2d(x, weights, **options)
    yield result
    gradient = floats(device, seed + 4, *result.shape)
    yield device.conv2d_input(gradient, weights, sizes, **options)
    yield device.conv2d_weights(x, gradient, kernel, **options)


def _product(device: Operations, shape: Shape, seed: int) -> Results:
    rows, inner, columns = shape
    left, right = residues(device, seed, rows, inner), residues(device, seed, inner, columns)
    scale, column, row = (residues(device, seed, 1, n) for n in (inner, rows, columns))
    out, scaled = device.empty(rows, columns), device.empty(rows, columns)
    device.product(left, right, out, scale=scale, column=column, row=row)
    yield out
    device.product(left, right, scaled)
    device.scale_rows(scaled, column)
    yield scaled


def _expand(device: Operations, shape: Shape, seed: int) -> Results:
    count, first = shape
    out = device.empty(1, count)
    device.expand(out, bytes([seed % 256] * 32), seed, 1, first=first, nonzero=bool(seed % 2))
    yield out


_CACHE = {"tokens": 1500, "heads": 3, "group": 4, "size": 150, "rows": 90, "window": 500}
_IMAGES = {"batch": 3, "height": 20, "width": 20, "inputs": 60, "outputs": 150, "groups": 3}
_SHAPE = {"rows": 400, "inner": 1500, "columns": 400}

CASES: dict[str, Fuzz] = {
    **{f"{b.name.lower()}": Fuzz({"count": 200_000}, partial(_binary, b)) for b in Binary},
    "casts": Fuzz({"count": 200_000}, _casts),
    "random": Fuzz({"count": 200_000, "first": 1 << 40}, _random),
    "rows": Fuzz({"rows": 50, "width": 70_000}, _rows),
    "top_k": Fuzz({"rows": 20, "width": 50_000, "count": 300}, _best),
    "rope": Fuzz({"tokens": 40, "heads": 12, "half": 200}, _rope),
    "attention": Fuzz(_CACHE, _attention),
    "convolutions": Fuzz(_IMAGES, _convolutions),
    "matmul": Fuzz(_SHAPE, _matmul),
    "matmul i8": Fuzz(_SHAPE, _matmul_i8),
    "linear": Fuzz(_SHAPE, partial(_linear, DType.F32)),
    "linear bf16": Fuzz(_SHAPE, partial(_linear, DType.BF16)),
    "linear i8": Fuzz(_SHAPE, partial(_linear, DType.I8)),
    "product": Fuzz(_SHAPE, _product),
    "expand": Fuzz({"count": 300_000, "first": 1 << 35}, _expand),
    **training.CASES,
}
