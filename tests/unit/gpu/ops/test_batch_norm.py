import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import OperandMismatch
from gpu.tensors import DType

EPSILON = 1e-5
SHAPES = [(2, 1), (3, 5), (1, 2, 2, 7), (2, 9, 15, 64), (1, 16, 16, 65), (257, 130), (3, 300, 4)]


def operands(arrays, shape, seed=1, made="normal"):
    make, width = getattr(arrays, made), shape[-1]
    vectors = [make(seed + i, width) for i in range(4)]
    return make(seed + 7, *shape), make(seed + 8, *shape), *vectors


def run(backend, arrays, x, gradient, weight, bias, mean, variance, momentum=0.1):
    """Result, means, 1 / deviations, both running ones, three gradients, and inference's result."""
    x, gradient, weight, bias = (arrays.put(backend, a) for a in (x, gradient, weight, bias))
    moved = []
    for start in (mean, variance):
        moved.append(backend.empty(*start.shape, dtype=DType.F32))
        backend.add_bias(
            arrays.put(backend, start[None]), zeros(backend, start), out=row(moved[-1])
        )
    out, means, inverse = backend.batchnorm(
        x, weight, bias, epsilon=EPSILON, running=tuple(moved), momentum=momentum
    )
    back = backend.batchnorm_gradient(x, gradient, weight, means, inverse)
    again = backend.batchnorm_inference(x, weight, bias, means, inverse)
    return [arrays.get(backend, t) for t in (out, means, inverse, *moved, *back, again)]


def zeros(backend, like):
    return backend.upload(bytes(4 * like.size), like.size, dtype=DType.F32)


def row(tensor):
    return tensor.reshape(1, tensor.size)


def exact(x, gradient, weight, bias, mean, variance, momentum=0.1):
    x, gradient, weight, bias, mean, variance = (
        a.astype(np.float64) for a in (x, gradient, weight, bias, mean, variance)
    )
    shape, x, gradient = x.shape, x.reshape(-1, len(weight)), gradient.reshape(-1, len(weight))
    spread = x.var(axis=0)
    inverse = 1 / np.sqrt(spread + EPSILON)
    normal = (x - x.mean(axis=0)) * inverse
    level, slope = gradient.sum(axis=0), (gradient * normal).sum(axis=0)
    back = weight * inverse * (gradient - level / len(x) - normal * slope / len(x))
    moved_mean = mean + momentum * (x.mean(axis=0) - mean)
    moved_variance = variance + momentum * (x.var(axis=0, ddof=1) - variance)
    out = (normal * weight + bias).reshape(shape)
    back = back.reshape(shape)
    return out, x.mean(axis=0), inverse, moved_mean, moved_variance, back, slope, level, out


@pytest.mark.parametrize("shape", SHAPES)
def test_bits_are_the_oracles(threaded, oracle, arrays, shape):
    data = operands(arrays, shape)
    expected = run(oracle, arrays, *data)
    for ours, true in zip(expected, exact(*data), strict=True):
        assert np.allclose(ours, true, rtol=2e-4, atol=2e-4)
    for backend in threaded:
        for ours, theirs in zip(run(backend, arrays, *data), expected, strict=True):
            assert arrays.same_bits(ours, theirs)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(2, 600),
    width=st.integers(1, 140),
    kind=st.sampled_from(["normal", "any_floats"]),
    seed=st.integers(0, 2**32 - 10),
    threads=st.integers(0, 3),
)
def test_any_shape_and_any_bits(threaded, oracle, arrays, rows, width, kind, seed, threads):
    data = operands(arrays, (rows, width), seed, kind)
    expected = run(oracle, arrays, *data)
    for ours, theirs in zip(run(threaded[threads], arrays, *data), expected, strict=True):
        assert arrays.same_bits(ours, theirs)
        assert set(ours.view(np.uint32)[np.isnan(ours)].tolist()) <= {0x7FC00000}


def test_a_mean_far_from_zero_costs_no_accuracy(backend, arrays):
    """Squares of what lies near 1000 would cancel."""
    x = arrays.normal(3, 5000, 3) + np.float32(1000)
    data = (x, *operands(arrays, x.shape)[1:])
    for ours, true in zip(run(backend, arrays, *data)[:3], exact(*data)[:3], strict=True):
        assert np.allclose(ours, true, rtol=2e-4, atol=1e-3)


def test_chunks_are_merged_in_ascending_order(backend, arrays):
    """The means from the definition, in float32 chains and doubles."""
    x = arrays.normal(4, 700, 5)
    mean, rows = np.zeros(5), 0
    for first in range(0, 700, 256):
        chunk = x[first : first + 256]
        total = np.zeros(5, np.float32)
        for values in chunk:
            total = total + values
        part = total * (np.float32(1) / np.float32(len(chunk)))
        share = len(chunk) / (rows + len(chunk))
        mean, rows = mean + (part.astype(np.float64) - mean) * share, rows + len(chunk)
    result = run(backend, arrays, x, *operands(arrays, x.shape)[1:])[1]
    assert arrays.same_bits(result, mean.astype(np.float32))


def test_bits_are_the_golden_ones(backend, arrays, goldens):
    results = run(backend, arrays, *operands(arrays, (3, 12, 13, 70), 9))
    digests = [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    assert digests == goldens["batchnorm"]


def test_refusals(oracle):
    x = oracle.empty(1, 1, 1, 4, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match="batchnorm: one value per channel has no variance"):
        oracle.batchnorm(x, None, None, epsilon=EPSILON)
    x = oracle.empty(2, 4, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match=r"bias is not \[4\]"):
        oracle.batchnorm(x, None, oracle.empty(3, dtype=DType.F32), epsilon=EPSILON)
