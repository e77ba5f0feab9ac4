import hashlib

import numpy as np
import pytest

from gpu.errors import OperandMismatch
from gpu.ops.optimizers import power
from gpu.tensors import DType

F32 = np.float32
SGD = {"rate": 0.1, "momentum": 0.9, "decay": 1e-2}
ADAMW = {"rate": 1e-2, "betas": (0.9, 0.999), "epsilon": 1e-8, "decay": 0.1}


def state(backend, array):
    """A tensor that can be moved."""
    tensor = backend.empty(*array.shape, dtype=DType.F32)
    zero = backend.upload(bytes(4 * array.size), array.size, dtype=DType.F32)
    whole = backend.upload(array.tobytes(), 1, array.size, dtype=DType.F32)
    backend.add_bias(whole, zero, out=tensor.reshape(1, array.size))
    return tensor


def moved(backend, arrays, name, start, gradients, options):
    """Weights and moments after a step per gradient."""
    kept = [state(backend, array) for array in start]
    for number, gradient in enumerate(gradients, 1):
        more = {"step": number} if name == "adamw" else {}
        getattr(backend, name)(kept[0], arrays.put(backend, gradient), *kept[1:], **options, **more)
    return [arrays.get(backend, tensor) for tensor in kept]


def start_of(arrays, name, count, made="normal"):
    make = getattr(arrays, made)
    moments = [make(1, count), np.abs(make(2, count))][: 1 if name == "sgd" else 2]
    return [make(3, count), *moments], [make(4 + i, count) for i in range(3)]


def test_the_order_of_sgd(backend, arrays, orders):
    (weights, moment), gradients = start_of(arrays, "sgd", 20)
    results = moved(backend, arrays, "sgd", (weights, moment), gradients, SGD)
    for gradient in gradients:
        for i in range(20):
            slope = orders.fma(F32(1e-2), weights[i], gradient[i])
            moment[i] = orders.fma(F32(0.9), moment[i], slope)
            weights[i] = orders.fma(F32(-0.1), moment[i], weights[i])
    assert arrays.same_bits(results[0], weights)
    assert arrays.same_bits(results[1], moment)


def test_the_order_of_adamw(backend, arrays, orders):
    (weights, first, second), gradients = start_of(arrays, "adamw", 20)
    results = moved(backend, arrays, "adamw", (weights, first, second), gradients, ADAMW)
    near, far = F32(1 / (1 - 0.9)), F32(1 / (1 - 0.999))
    products = [1.0, 1.0]
    for gradient in gradients:
        products = [product * beta for product, beta in zip(products, (0.9, 0.999), strict=True)]
        near, far = (F32(1 / (1 - product)) for product in products)
        for i, g in enumerate(gradient):
            first[i] = orders.fma(F32(0.9), first[i], F32(1 - 0.9) * g)
            second[i] = orders.fma(F32(0.999), second[i], F32(1 - 0.999) * (g * g))
            step = first[i] * near / (np.sqrt(second[i] * far) + F32(1e-8))
            weights[i] = orders.fma(F32(-1e-2), step, F32(1 - 1e-2 * 0.1) * weights[i])
    for ours, theirs in zip(results, (weights, first, second), strict=True):
        assert arrays.same_bits(ours, theirs)


@pytest.mark.parametrize("made", ["normal", "any_floats"])
@pytest.mark.parametrize(("name", "options"), [("sgd", SGD), ("adamw", ADAMW)])
def test_bits_are_the_oracles(threaded, oracle, arrays, goldens, name, options, made):
    start, gradients = start_of(arrays, name, 40_003, made)
    expected = moved(oracle, arrays, name, start, gradients, options)
    digests = [hashlib.sha256(result.tobytes()).hexdigest() for result in expected]
    assert digests == goldens["optimizers"][name][made]
    for backend in threaded:
        for ours, theirs in zip(
            moved(backend, arrays, name, start, gradients, options), expected, strict=True
        ):
            assert arrays.same_bits(ours, theirs)


def test_close_to_float64(backend, arrays):
    """Twenty steps towards the least of a bowl, beside the same in double precision."""
    weights = arrays.normal(5, 50)
    kept = [state(backend, array) for array in (weights, 0 * weights, np.abs(0 * weights))]
    wide, first, second = weights.astype(np.float64), np.zeros(50), np.zeros(50)
    for step in range(1, 21):
        gradient = arrays.get(backend, kept[0]).copy()
        backend.adamw(kept[0], arrays.put(backend, gradient), *kept[1:], step=step, **ADAMW)
        first, second = 0.9 * first + 0.1 * wide, 0.999 * second + 0.001 * wide**2
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        wide = wide * (1 - 1e-2 * 0.1) - 1e-2 * move
    assert np.abs(arrays.get(backend, kept[0]) - wide).max() < 1e-5


@pytest.mark.parametrize("exponent", [1, 2, 3, 10, 1000, 123_457])
def test_powers(exponent):
    assert power(0.999, exponent) == pytest.approx(0.999**exponent, rel=1e-13)


def test_refusals(oracle):
    x, y = oracle.empty(3, dtype=DType.F32), oracle.empty(4, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match="sgd: moment is not like the gradient"):
        oracle.sgd(x, oracle.empty(3, dtype=DType.F32), y, rate=0.1)
    with pytest.raises(OperandMismatch, match="memory of its own"):
        oracle.sgd(x, x, oracle.empty(3, dtype=DType.F32), rate=0.1)
    others = [oracle.empty(3, dtype=DType.F32) for _ in range(3)]
    with pytest.raises(OperandMismatch, match="steps count from 1"):
        oracle.adamw(x, *others, step=0, rate=0.1)
