import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import OperandMismatch
from gpu.tensors import DType

WIDTHS = [*range(1, 20), 31, 32, 33, 100, 127, 128, 129, 300, 4095, 4096, 4097, 9001]
EPSILON = 1e-5
OPERATIONS = ("softmax", "rmsnorm", "layernorm", "row_sums")


def run(backend, arrays, operation, x, weight=None, bias=None):
    x, weight, bias = (a if a is None else arrays.put(backend, a) for a in (x, weight, bias))
    calls = {
        "softmax": lambda: backend.softmax(x),
        "rmsnorm": lambda: backend.rmsnorm(x, weight, epsilon=EPSILON),
        "layernorm": lambda: backend.layernorm(x, weight, bias, epsilon=EPSILON),
        "row_sums": lambda: backend.row_sums(x),
    }
    return arrays.get(backend, calls[operation]())


def exact(operation, x, weight, bias):
    x = x.astype(np.float64)
    if operation == "softmax":
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    if operation == "rmsnorm":
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPSILON) * weight
    if operation == "layernorm":
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred / np.sqrt(x.var(axis=-1, keepdims=True) + EPSILON) * weight + bias
    return x.sum(axis=-1)


@pytest.mark.parametrize("width", [1, 5, 128, 130, 4096, 4097, 10_000])
def test_order_is_l128(backend, arrays, orders, width):
    x = arrays.normal(width, 2, width)
    result = run(backend, arrays, "row_sums", x)
    assert arrays.same_bits(result, np.array([orders.l128(row) for row in x]))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_bits_are_the_oracles(threaded, oracle, arrays, operation, width):
    x = arrays.normal(width, 5, width)
    weight, bias = arrays.normal(1, width), arrays.normal(2, width)
    expected = run(oracle, arrays, operation, x, weight, bias)
    plain = run(oracle, arrays, operation, x)
    assert np.allclose(expected, exact(operation, x, weight, bias), rtol=1e-4, atol=2e-5)
    for backend in threaded:
        assert arrays.same_bits(run(backend, arrays, operation, x, weight, bias), expected)
        assert arrays.same_bits(run(backend, arrays, operation, x), plain)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    width=st.integers(1, 700),
    seed=st.integers(0, 2**32 - 1),
    operation=st.sampled_from(OPERATIONS),
    threads=st.integers(0, 3),
)
def test_any_shape_and_any_bits(threaded, oracle, arrays, rows, width, seed, operation, threads):
    x = arrays.any_floats(seed, rows, width)
    expected = run(oracle, arrays, operation, x)
    assert arrays.same_bits(run(threaded[threads], arrays, operation, x), expected)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_special_values(backend, oracle, arrays, operation):
    """Each special value in each lane of a row of ordinary ones."""
    rows = []
    for value in arrays.SPECIAL:
        for place in (0, 7, 8, 127, 128, 199):
            row = arrays.normal(3, 200)
            row[place] = value
            rows.append(row)
    x = np.array(rows)
    result = run(backend, arrays, operation, x)
    assert arrays.same_bits(result, run(oracle, arrays, operation, x))
    assert set(result.view(np.uint32)[np.isnan(result)].tolist()) <= {0x7FC00000}


def test_softmax_of_what_has_none(backend, arrays):
    x = np.float32([[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf] * 3, [-np.inf, 0, 0], [3e38] * 3])
    result = run(backend, arrays, "softmax", x)
    assert np.isnan(result[:3]).all()
    assert result[3].tolist() == [0, 0.5, 0.5]
    assert np.allclose(result[4], 1 / 3)


def test_bits_are_the_golden_ones(backend, arrays, goldens):
    x, weight, bias = arrays.normal(4, 7, 5000), arrays.normal(5, 5000), arrays.normal(6, 5000)
    for operation in OPERATIONS:
        data = run(backend, arrays, operation, x, weight, bias).tobytes()
        assert hashlib.sha256(data).hexdigest() == goldens["rows"][operation]


def best(backend, arrays, x, count):
    values, indices = backend.top_k(arrays.put(backend, x), count)
    return arrays.get(backend, values), arrays.get(backend, indices)


def sorted_best(row, count):
    """numpy's stable sort by the total order, largest first."""
    bits = row.view(np.int32).astype(np.int64)
    keys = np.where(np.isnan(row), 2**40, np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits))
    return np.argsort(-keys, kind="stable")[:count]


@pytest.mark.parametrize(("width", "count"), [(1, 1), (9, 9), (100, 1), (1000, 40), (5000, 512)])
def test_the_largest_in_a_total_order(threaded, arrays, width, count):
    x = np.concatenate([arrays.any_floats(7, 3, width), np.zeros((1, width), np.float32)])
    x[2, ::3], x[3, ::2] = 1.5, -0.0
    expected = np.array([sorted_best(row, count) for row in x])
    for backend in threaded:
        values, indices = best(backend, arrays, x, count)
        assert np.array_equal(indices, expected)
        chosen = np.take_along_axis(x, expected, axis=1)
        there = ~np.isnan(chosen)
        assert arrays.same_bits(values[there], chosen[there])


def test_argmax_is_the_first_of_equal_ones(backend, arrays):
    x = np.float32([[1, 3, 3, 2], [-0.0, 0.0, -1, 0.0], [np.inf, np.nan, 5, np.nan]])
    assert arrays.get(backend, backend.argmax(arrays.put(backend, x))).tolist() == [1, 1, 1]
    one = backend.argmax(arrays.put(backend, x[0]))
    assert arrays.get(backend, one).tolist() == [1]


def test_refusals(oracle, arrays):
    x = arrays.put(oracle, arrays.normal(1, 3, 4))
    with pytest.raises(OperandMismatch, match=r"layernorm: weight is not \[4\] \(weight f32\[3\]"):
        oracle.layernorm(x, oracle.empty(3, dtype=DType.F32), None, epsilon=1e-5)
    with pytest.raises(OperandMismatch, match=r"top_k: a row has no 5 elements \(x f32\[3, 4\]\)"):
        oracle.top_k(x, 5)
    with pytest.raises(OperandMismatch, match=r"softmax: the result is f32\[3, 4\]"):
        oracle.softmax(x, out=oracle.empty(4, 3, dtype=DType.F32))
