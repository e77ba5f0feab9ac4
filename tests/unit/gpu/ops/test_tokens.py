import hashlib

import numpy as np
import pytest

from gpu.errors import KernelFailed, OperandMismatch
from gpu.tensors import DType


def turned(backend, arrays, x, positions, frequencies, **options):
    operands = (arrays.put(backend, a) for a in (x, positions, frequencies))
    return arrays.get(backend, backend.rope(*operands, **options))


def exactly_turned(x, positions, frequencies, interleaved):
    angles = np.float32(positions[:, None] * frequencies).astype(np.float64)[:, None]
    half = x.shape[2] // 2
    pair = (
        (np.s_[..., 0::2], np.s_[..., 1::2])
        if interleaved
        else (np.s_[..., :half], np.s_[..., half:])
    )
    out, (a, b) = np.empty(x.shape), (x[index].astype(np.float64) for index in pair)
    out[pair[0]] = a * np.cos(angles) - b * np.sin(angles)
    out[pair[1]] = b * np.cos(angles) + a * np.sin(angles)
    return out


def problem(arrays, heads, size):
    positions = np.array([0, 1, 17, 4095, 131_071, 2_000_000], np.int32)
    frequencies = (10000.0 ** (-np.arange(0, size, 2) / size)).astype(np.float32)
    return arrays.normal(size, len(positions), heads, size), positions, frequencies


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("heads", "size"), [(1, 2), (3, 6), (2, 64), (5, 100), (1, 1100)])
def test_rope(threaded, oracle, arrays, heads, size, interleaved):
    operands = problem(arrays, heads, size)
    expected = turned(oracle, arrays, *operands, interleaved=interleaved)
    assert np.abs(expected - exactly_turned(*operands, interleaved)).max() < 3e-6
    for backend in threaded:
        result = turned(backend, arrays, *operands, interleaved=interleaved)
        assert arrays.same_bits(result, expected)


def test_rope_golden(backend, arrays, goldens):
    data = turned(backend, arrays, *problem(arrays, 3, 128)).tobytes()
    assert hashlib.sha256(data).hexdigest() == goldens["rope"]


def test_rope_of_special_values(backend, oracle, arrays):
    x = np.resize(arrays.SPECIAL, (4, 2, 2 * len(arrays.SPECIAL)))
    positions = np.array([0, 3, -5, 2**31 - 1], np.int32)
    frequencies = np.resize(arrays.SPECIAL, len(arrays.SPECIAL))
    result = turned(backend, arrays, x, positions, frequencies)
    assert arrays.same_bits(result, turned(oracle, arrays, x, positions, frequencies))


@pytest.mark.parametrize("dtype", [DType.F32, DType.BF16, DType.F16])
@pytest.mark.parametrize("width", [1, 8, 33])
def test_embedding(threaded, arrays, dtype, width):
    table = arrays.normal(1, 50, width)
    indices = np.array([[0, 49, 7], [7, 7, 1]], np.int32)
    for backend in threaded:
        kept = arrays.put(backend, table)
        whole = table
        if dtype is not DType.F32:
            kept = backend.cast(kept, dtype)
            whole = arrays.get(backend, backend.cast(kept, DType.F32))
        result = backend.embedding(kept, arrays.put(backend, indices))
        assert arrays.same_bits(arrays.get(backend, result), whole[indices])


@pytest.mark.parametrize("wrong", [-1, 50, 2**31 - 1])
def test_an_index_outside_the_table(backend, arrays, wrong):
    table = arrays.put(backend, arrays.normal(1, 50, 4))
    indices = arrays.put(backend, np.array([0, wrong], np.int32))
    with pytest.raises(KernelFailed, match="gather: an index is no row of the table"):
        backend.embedding(table, indices)


def test_refusals(oracle, arrays):
    x = arrays.put(oracle, arrays.normal(1, 3, 4))
    positions = arrays.put(oracle, np.zeros(3, np.int32))
    with pytest.raises(OperandMismatch, match=r"rope: x is not .* \(x f32\[3, 4\]\)"):
        oracle.rope(x, positions, x)
    cube = x.reshape(3, 1, 4)
    with pytest.raises(OperandMismatch, match=r"rope: frequencies is not \[2\]"):
        oracle.rope(cube, positions, x)
    with pytest.raises(OperandMismatch, match=r"embedding: operands are i32 \(indices f32"):
        oracle.embedding(x, x)
