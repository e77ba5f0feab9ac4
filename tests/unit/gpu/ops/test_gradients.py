import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import KernelFailed, OperandMismatch
from gpu.ops import Unary
from gpu.tensors import DType

EPSILON = 1e-5
ROWS = ("softmax", "rmsnorm", "layernorm")
SHAPES = [(1, 1), (3, 5), (5, 128), (2, 131), (300, 17), (7, 4097), (257, 64)]

erf = np.vectorize(math.erf)


def density(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def inner(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def bent(x):
    y = np.tanh(inner(x))
    return 0.5 * (1 + y) + 0.5 * x * (1 - y**2) * math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)


def logistic(x):
    return 1 / (1 + np.exp(-x))


# In float64.
DERIVATIVES = {
    Unary.TANH: lambda x: 1 / np.cosh(x) ** 2,
    Unary.SIGMOID: lambda x: logistic(x) * logistic(-x),
    Unary.SILU: lambda x: logistic(x) * (1 + x * logistic(-x)),
    Unary.GELU_ERF: lambda x: (1 + erf(x / math.sqrt(2))) / 2 + x * density(x),
    Unary.GELU_TANH: bent,
    Unary.RELU: lambda x: (x > 0) * 1.0,
}


def sloped(backend, arrays, function, x, gradient):
    x, gradient = arrays.put(backend, x), arrays.put(backend, gradient)
    return arrays.get(backend, backend.apply_gradient(function, x, gradient))


@pytest.mark.parametrize("function", DERIVATIVES)
def test_derivatives(threaded, oracle, arrays, goldens, function):
    x = np.linspace(-12, 12, 40_001, dtype=np.float32)
    gradient = arrays.normal(1, x.size)
    expected = sloped(oracle, arrays, function, x, gradient)
    exact = DERIVATIVES[function](x.astype(np.float64)) * gradient
    assert np.abs(expected - exact).max() < 3e-6
    digest = hashlib.sha256(expected.tobytes()).hexdigest()
    assert digest == goldens["gradients"][function.name.lower()]
    for backend in threaded:
        assert arrays.same_bits(sloped(backend, arrays, function, x, gradient), expected)


@pytest.mark.parametrize("function", DERIVATIVES)
def test_derivatives_of_special_values(threaded, oracle, arrays, function):
    x, gradient = (a.ravel() for a in np.meshgrid(arrays.SPECIAL, arrays.SPECIAL))
    x = np.concatenate([x, arrays.any_floats(2, 20_000)])
    gradient = np.concatenate([gradient, arrays.any_floats(3, 20_000)])
    expected = sloped(oracle, arrays, function, x, gradient)
    for backend in threaded:
        assert arrays.same_bits(sloped(backend, arrays, function, x, gradient), expected)
    ends = sloped(oracle, arrays, function, np.float32([-np.inf, np.inf, np.nan]), np.ones(3, "f4"))
    right = 0.0 if function in (Unary.TANH, Unary.SIGMOID) else 1.0
    assert ends[:2].tolist() == [0.0, right]
    assert np.isnan(ends[2])


def run(backend, arrays, operation, x, weight, gradient):
    """The gradient of the rows, of the weight, of the bias; of softmax, `x` is what goes in."""
    x, weight, gradient = (
        None if a is None else arrays.put(backend, a) for a in (x, weight, gradient)
    )
    if operation == "softmax":
        results = (backend.softmax_gradient(backend.softmax(x), gradient),)
    else:
        call = getattr(backend, f"{operation}_gradient")
        results = call(x, weight, gradient, epsilon=EPSILON)
    return [arrays.get(backend, result) for result in results]


def forward(operation, x, weight):
    if operation == "softmax":
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    centred = x - x.mean(axis=-1, keepdims=True) if operation == "layernorm" else x
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON) * weight


def exact(operation, x, weight, gradient):
    """By the Jacobian of each row, in float64."""
    x, weight, gradient = (a.astype(np.float64) for a in (x, weight, gradient))
    y, size = forward(operation, x, weight), x.shape[-1]
    if operation == "softmax":
        pairs = zip(y, gradient, strict=True)
        return (np.stack([(np.diag(p) - np.outer(p, p)) @ g for p, g in pairs]),)
    normal = forward(operation, x, np.ones(size))
    centred = x - x.mean(axis=-1, keepdims=True) if operation == "layernorm" else x
    factor = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    centre = np.eye(size) - (operation == "layernorm") / size
    rows = [
        centre @ ((np.eye(size) - np.outer(n, n) / size) @ (g * weight)) * f
        for n, g, f in zip(normal, gradient, factor, strict=True)
    ]
    slopes = ((gradient * normal).sum(axis=0), gradient.sum(axis=0))
    return (np.stack(rows), *slopes[: 2 if operation == "layernorm" else 1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("operation", ROWS)
def test_gradients_of_rows(threaded, oracle, arrays, operation, shape):
    x, gradient, weight = (arrays.normal(n, *s) for n, s in enumerate((shape, shape, shape[-1:])))
    expected = run(oracle, arrays, operation, x, weight, gradient)
    if shape[1] < 1000 and shape[1] > 1:  # a row of one is its own mean: all is rounding
        for ours, true in zip(expected, exact(operation, x, weight, gradient), strict=True):
            assert np.allclose(ours, true, rtol=1e-4, atol=3e-5)
    plain = run(oracle, arrays, operation, x, None, gradient)
    for backend in threaded:
        for kept, results in ((weight, expected), (None, plain)):
            ours = run(backend, arrays, operation, x, kept, gradient)
            for result, theirs in zip(ours, results, strict=True):
                assert arrays.same_bits(result, theirs)


@pytest.mark.parametrize("operation", ROWS)
def test_gradients_of_rows_are_slopes(oracle, arrays, operation):
    x, gradient, weight = (arrays.normal(n, *s) for n, s in enumerate(((2, 9), (2, 9), (9,))))
    back = run(oracle, arrays, operation, x, weight, gradient)[0]
    wide = x.astype(np.float64)
    for place in range(18):
        step = np.zeros(18)
        step[place] = 1e-5
        step = step.reshape(2, 9)
        up, down = (forward(operation, wide + s * step, weight) * gradient for s in (1, -1))
        assert abs((up.sum() - down.sum()) / 2e-5 - back.flat[place]) < 2e-5


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 300),
    width=st.integers(1, 300),
    operation=st.sampled_from(ROWS),
    seed=st.integers(0, 2**32 - 5),
    threads=st.integers(0, 3),
)
def test_any_rows_and_any_bits(threaded, oracle, arrays, rows, width, operation, seed, threads):
    data = [arrays.any_floats(seed + n, *s) for n, s in enumerate(((rows, width), (width,)))]
    gradient = arrays.any_floats(seed + 2, rows, width)
    expected = run(oracle, arrays, operation, *data, gradient)
    for ours, theirs in zip(
        run(threaded[threads], arrays, operation, *data, gradient), expected, strict=True
    ):
        assert arrays.same_bits(ours, theirs)
        assert set(ours.view(np.uint32)[np.isnan(ours)].tolist()) <= {0x7FC00000}


def columns_in_order(x):
    """C256 over rows, in float32."""
    total = np.zeros(x.shape[1], np.float32)
    for first in range(0, len(x), 256):
        part = np.zeros(x.shape[1], np.float32)
        for values in x[first : first + 256]:
            part = part + values
        total = total + part
    return total


@pytest.mark.parametrize("shape", [(1, 1), (255, 3), (257, 64), (1000, 130)])
def test_column_sums(threaded, arrays, shape):
    x = arrays.normal(3, *shape)
    for backend in threaded:
        result = arrays.get(backend, backend.column_sums(arrays.put(backend, x)))
        assert arrays.same_bits(result, columns_in_order(x))


def test_columns_are_a_product_with_ones(backend, arrays):
    x = arrays.put(backend, arrays.normal(4, 700, 20))
    ones = arrays.put(backend, np.ones((1, 700), np.float32))
    assert arrays.same_bits(
        arrays.get(backend, backend.column_sums(x)),
        arrays.get(backend, backend.matmul(ones, x)).reshape(20),
    )


def test_a_bias_is_added_to_every_row(threaded, arrays):
    x, bias = arrays.normal(5, 300, 67), arrays.normal(6, 67)
    for backend in threaded:
        result = backend.add_bias(arrays.put(backend, x), arrays.put(backend, bias))
        assert arrays.same_bits(arrays.get(backend, result), x + bias)


def entropy(backend, arrays, logits, targets, **options):
    results = backend.cross_entropy(
        arrays.put(backend, logits), arrays.put(backend, targets), **options
    )
    return [None if result is None else arrays.get(backend, result) for result in results]


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (130, 33), (4, 5000)])
def test_cross_entropy(threaded, oracle, arrays, mean, shape):
    logits = 3 * arrays.normal(7, *shape)
    targets = np.random.default_rng(8).integers(0, shape[1], shape[0]).astype(np.int32)
    options = {"mean": mean, "slope": True}
    expected = entropy(oracle, arrays, logits, targets, **options)
    chance = forward("softmax", logits.astype(np.float64), None)
    losses = -np.log(chance[np.arange(shape[0]), targets])
    share = 1 / shape[0] if mean else 1
    chance[np.arange(shape[0]), targets] -= 1
    exact_results = ([losses.sum() * share], losses, chance * share)
    for ours, true in zip(expected, exact_results, strict=True):
        assert np.allclose(ours, true, rtol=1e-5, atol=2e-6)
    for backend in threaded:
        for ours, theirs in zip(
            entropy(backend, arrays, logits, targets, **options), expected, strict=True
        ):
            assert arrays.same_bits(ours, theirs)
        total, each, nothing = entropy(backend, arrays, logits, targets, mean=mean)
        assert nothing is None
        assert arrays.same_bits(total, expected[0])
        assert arrays.same_bits(each, expected[1])


def test_losses_are_summed_in_the_order_of_rows(backend, arrays, orders):
    logits = arrays.normal(9, 5000, 7)
    targets = (np.arange(5000) % 7).astype(np.int32)
    total, losses, _ = entropy(backend, arrays, logits, targets, mean=False)
    assert total[0] == orders.l128(losses)


@pytest.mark.parametrize("target", [-1, 3, 2**31 - 1])
def test_a_target_that_is_no_column(backend, arrays, target):
    with pytest.raises(KernelFailed, match="cross_entropy: an index is no row of the table"):
        entropy(backend, arrays, np.zeros((2, 3), np.float32), np.int32([0, target]))


def spread(backend, arrays, gradient, indices, rows):
    operands = arrays.put(backend, gradient), arrays.put(backend, indices)
    return arrays.get(backend, backend.embedding_gradient(*operands, rows))


@pytest.mark.parametrize(("count", "rows", "width"), [(1, 1, 1), (50, 7, 33), (2000, 300, 64)])
def test_embedding_gradient_sums_in_ascending_position(threaded, arrays, count, rows, width):
    gradient = arrays.normal(10, count, width)
    indices = np.random.default_rng(11).integers(0, rows, count).astype(np.int32)
    indices[: count // 2] = 0
    expected = np.zeros((rows, width), np.float32)
    for index, values in zip(indices, gradient, strict=True):
        expected[index] += values
    for backend in threaded:
        assert arrays.same_bits(spread(backend, arrays, gradient, indices, rows), expected)


def test_embedding_gradient_refuses_what_is_no_row(backend, arrays):
    with pytest.raises(KernelFailed, match="scatter: an index is no row"):
        spread(backend, arrays, np.zeros((2, 3), np.float32), np.int32([0, 5]), 5)


@pytest.mark.parametrize("interleaved", [True, False])
def test_rope_gradient_is_the_transpose(threaded, oracle, arrays, interleaved):
    x, gradient = arrays.normal(12, 5, 2, 12), arrays.normal(13, 5, 2, 12)
    positions = np.int32([0, 1, 17, 4095, 131_071])
    frequencies = (10000.0 ** (-np.arange(0, 12, 2) / 12)).astype(np.float32)
    results = []
    for backend in (oracle, *threaded):
        p, f = arrays.put(backend, positions), arrays.put(backend, frequencies)
        y = backend.rope(arrays.put(backend, x), p, f, interleaved=interleaved)
        back = backend.rope_gradient(arrays.put(backend, gradient), p, f, interleaved=interleaved)
        y, back = arrays.get(backend, y), arrays.get(backend, back)
        assert abs((y.astype(float) * gradient).sum() - (back.astype(float) * x).sum()) < 1e-4
        results.append(back)
    assert all(arrays.same_bits(back, results[0]) for back in results)


def test_bits_are_the_golden_ones(backend, arrays, goldens):
    x, weight, gradient = (
        arrays.normal(14, 300, 500),
        arrays.normal(15, 500),
        arrays.normal(16, 300, 500),
    )
    results = [
        r for operation in ROWS for r in run(backend, arrays, operation, x, weight, gradient)
    ]
    targets = (np.arange(300) * 7 % 500).astype(np.int32)
    results += entropy(backend, arrays, x, targets, slope=True)
    digests = [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    assert digests == goldens["gradients"]["rows"]


def test_refusals(oracle):
    x = oracle.empty(3, 4, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match="exp_gradient: is no activation"):
        oracle.apply_gradient(Unary.EXP, x, x)
    with pytest.raises(OperandMismatch, match=r"gradient is not \[3, 4\]"):
        oracle.softmax_gradient(x, x.reshape(4, 3))
    with pytest.raises(OperandMismatch, match=r"weight is not \[4\]"):
        oracle.rmsnorm_gradient(x, oracle.empty(3, dtype=DType.F32), x, epsilon=EPSILON)
    with pytest.raises(OperandMismatch, match=r"targets is not \[3\]"):
        oracle.cross_entropy(x, oracle.empty(4, dtype=DType.I32))
    with pytest.raises(OperandMismatch, match=r"gradient is not \[3, 3\]"):
        oracle.embedding_gradient(x.reshape(4, 3), oracle.empty(3, dtype=DType.I32), 5)
