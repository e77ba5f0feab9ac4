import hashlib
from typing import NamedTuple

import numpy as np
import pytest

from gpu.errors import OperandMismatch
from gpu.ops import Binary, Unary
from gpu.tensors import DType


class Case(NamedTuple):
    rows: int
    heads: int
    keys: int
    key_heads: int
    size: int
    causal: bool = True
    first: int = 0

    @property
    def scale(self):
        return self.size**-0.5


CASES = [
    Case(1, 1, 1, 1, 1),
    Case(5, 2, 5, 2, 8),
    Case(37, 4, 37, 2, 24),
    Case(20, 3, 50, 1, 64, first=30),
    Case(33, 2, 70, 2, 17, causal=False),
    Case(300, 1, 300, 1, 32),
]


def seen(case):
    if not case.causal:
        return np.ones((case.rows, case.keys), bool)
    return np.arange(case.keys) <= case.first + np.arange(case.rows)[:, None]


def forward(case, q, k, v):
    """Result, largest scores and sums, in float64."""
    shared = case.heads // case.key_heads
    k, v = (np.repeat(a, shared, axis=1) for a in (k, v))
    scores = np.einsum("rhd,khd->hrk", q * case.scale, k)
    scores = np.where(seen(case), scores, -np.inf)
    most = scores.max(axis=-1)
    powers = np.exp(scores - most[..., None])
    sums = powers.sum(axis=-1)
    out = np.einsum("hrk,khd->rhd", powers / sums[..., None], v)
    return out, np.stack([most, sums], axis=-1).transpose(1, 0, 2)


def operands(arrays, case):
    shapes = [(case.rows, case.heads, case.size)] * 2 + [(case.keys, case.key_heads, case.size)] * 2
    q, gradient, k, v = (arrays.normal(n, *shape) for n, shape in enumerate(shapes))
    out, statistics = forward(case, *(a.astype(np.float64) for a in (q, k, v)))
    return q, k, v, out.astype(np.float32), statistics.astype(np.float32), gradient


def made_up(arrays, case):
    shape, keys = (case.rows, case.heads, case.size), (case.keys, case.key_heads, case.size)
    q, k, v, out, gradient = (
        arrays.normal(n, *s) for n, s in enumerate((shape, keys, keys, shape, shape))
    )
    statistics = np.abs(arrays.normal(5, case.rows, case.heads, 2)) + np.float32([4, 20])
    return q, k, v, out, statistics, gradient


def run(backend, arrays, case, data):
    tensors = [arrays.put(backend, a) for a in data]
    results = backend.attention_gradient(*tensors, causal=case.causal, first=case.first)
    return [arrays.get(backend, result) for result in results]


@pytest.mark.parametrize("case", CASES)
def test_bits_are_the_oracles(threaded, oracle, arrays, case):
    data = operands(arrays, case)
    expected = run(oracle, arrays, case, data)
    for backend in threaded:
        for ours, theirs in zip(run(backend, arrays, case, data), expected, strict=True):
            assert arrays.same_bits(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_slopes(oracle, arrays, case):
    """Along a random direction of all three, by differences of the float64 attention."""
    data = operands(arrays, case)
    results = run(oracle, arrays, case, data)
    gradient = data[-1].astype(np.float64)
    for number in range(3):
        direction = arrays.normal(20 + number, *data[number].shape).astype(np.float64)
        sides = []
        for sign in (1, -1):
            moved = [a.astype(np.float64) for a in data[:3]]
            moved[number] = moved[number] + sign * 1e-5 * direction
            sides.append((forward(case, *moved)[0] * gradient).sum())
        slope = (results[number].astype(np.float64) * direction).sum()
        assert abs((sides[0] - sides[1]) / 2e-5 - slope) < 1e-3 * np.sqrt(direction.size)


def test_keys_that_are_not_seen_get_nothing(backend, arrays):
    case = Case(4, 2, 9, 1, 8)
    _, keys, values = run(backend, arrays, case, operands(arrays, case))
    assert (keys[4:] == 0).all()
    assert (values[4:] == 0).all()
    assert (keys[:4] != 0).any()


def test_products_have_the_order_of_a_product(backend, arrays, orders):
    """Of one head with its powers: the values' gradient is powers^T times gradient, in C256."""
    case = Case(270, 1, 2, 1, 2, causal=False)
    data = operands(arrays, case)
    values = run(backend, arrays, case, data)[2]
    q, k, gradient = (arrays.put(backend, data[n].reshape(-1, 2)) for n in (0, 1, 5))
    scale = arrays.put(backend, np.full((270, 2), case.scale, np.float32))
    scores = backend.matmul(backend.combine(Binary.MULTIPLY, q, scale), k, right_transposed=True)
    shifted = arrays.get(backend, scores) - data[4][:, 0, :1]
    powers = arrays.get(backend, backend.apply(Unary.EXP, arrays.put(backend, shifted)))
    powers = powers * (np.float32(1) / data[4][:, 0, 1:])
    expected = orders.c256(powers.T, arrays.get(backend, gradient))
    assert arrays.same_bits(values.reshape(2, 2), expected)


def test_bits_are_the_golden_ones(backend, arrays, goldens):
    """Of numbers that no library's exp has a part in."""
    case = Case(70, 4, 100, 2, 40, first=30)
    results = run(backend, arrays, case, made_up(arrays, case))
    digests = [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    assert digests == goldens["attention_gradient"]


def test_refusals(oracle):
    q, k = oracle.empty(3, 4, 8, dtype=DType.F32), oracle.empty(3, 3, 8, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match="a multiple of the key heads"):
        oracle.attention_gradient(q, k, k, q, q, q)
    with pytest.raises(OperandMismatch, match=r"statistics is not \[3, 4, 2\]"):
        oracle.attention_gradient(q, q, q, q, q, q)
