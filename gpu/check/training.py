"""The operations that only training needs, on random shapes."""

import numpy as np

from gpu.check.operands import Fuzz, Results, Shape, any_bits, floats, i32
from gpu.ops import Operations, Unary
from gpu.tensors import Tensor

_ACTIVATIONS = (
    *(Unary.TANH, Unary.SIGMOID, Unary.SILU),
    *(Unary.GELU_ERF, Unary.GELU_TANH, Unary.RELU),
)
_EPSILON = 1e-5


def _writable(device: Operations, seed: int, *shape: int) -> Tensor:
    """Positive numbers that an operation may change."""
    return device.apply(Unary.MAGNITUDE, floats(device, seed, *shape))


def _activations(device: Operations, shape: Shape, seed: int) -> Results:
    x, gradient = any_bits(device, seed, *shape), any_bits(device, seed + 1, *shape)
    for function in _ACTIVATIONS:
        yield device.apply_gradient(function, x, gradient)


def _rows(device: Operations, shape: Shape, seed: int) -> Results:
    x, gradient, weight = (
        floats(device, seed + 2 * i, *sizes) for i, sizes in enumerate((shape, shape, shape[1:]))
    )
    yield device.softmax_gradient(x, gradient)
    yield from device.rmsnorm_gradient(x, weight, gradient, epsilon=_EPSILON)
    yield from device.layernorm_gradient(x, weight, gradient, epsilon=_EPSILON)
    targets = i32(device, np.random.default_rng(seed).integers(0, shape[1], shape[0]))
    yield from filter(None, device.cross_entropy(x, targets, mean=bool(seed % 3), slope=True))


def _attention(device: Operations, shape: Shape, seed: int) -> Results:
    rows, keys, heads, group, size, first = shape
    queries, out, gradient = (
        floats(device, seed + 2 * i, rows, heads * group, size) for i in range(3)
    )
    key, value = (floats(device, seed + 2 * i, keys, heads, size) for i in range(2))
    statistics = _writable(device, seed, rows, heads * group, 2)
    for causal in (True, False):
        yield from device.attention_gradient(
            queries, key, value, out, statistics, gradient, causal=causal, first=first
        )


def _columns(device: Operations, shape: Shape, seed: int) -> Results:
    rows, width = shape[0] + 1, shape[1]
    x, gradient = (floats(device, seed + 2 * i, rows, width) for i in range(2))
    weight, bias = (floats(device, seed + 2 * i, width) for i in range(2))
    running = _writable(device, seed, width), _writable(device, seed + 2, width)
    yield device.column_sums(x)
    yield device.add_bias(x, bias)
    out, mean, inverse = device.batchnorm(x, weight, bias, epsilon=_EPSILON, running=running)
    yield from (out, mean, inverse, *running)
    yield device.batchnorm_inference(x, weight, None, *running)
    yield from device.batchnorm_gradient(x, gradient, weight, mean, inverse)


def _pooling(device: Operations, shape: Shape, seed: int) -> Results:
    batch, height, width, channels, window, stride = shape
    x, size = floats(device, seed, batch, height, width, channels), (height, width)
    windows = min(window, height), min(window + 1, width)
    padding = (windows[0] - 1, windows[1] // 2)
    largest, taps = device.max_pool(x, windows, stride=stride, padding=padding)
    yield from (largest, taps)
    yield device.max_pool_input(largest, taps, size, windows, stride=stride, padding=padding)
    yield device.average_pool(x, windows, stride=stride, padding=padding)
    yield device.average_pool_input(largest, size, windows, stride=stride, padding=padding)


def _embedding(device: Operations, shape: Shape, seed: int) -> Results:
    count, rows, width = shape
    indices = i32(device, np.random.default_rng(seed).integers(0, rows, count))
    yield device.embedding_gradient(floats(device, seed, count, width), indices, rows)


def _optimizers(device: Operations, shape: Shape, seed: int) -> Results:
    weights, moment, others, first, second = (
        _writable(device, seed + 2 * i, *shape) for i in range(5)
    )
    gradient = floats(device, seed + 10, *shape)
    device.sgd(weights, gradient, moment, rate=0.1, momentum=0.9, decay=0.01)
    device.adamw(others, gradient, first, second, step=1 + seed, rate=0.1)
    yield from (weights, moment, others, first, second)


CASES: dict[str, Fuzz] = {
    "activation gradients": Fuzz({"count": 200_000}, _activations),
    "row gradients": Fuzz({"rows": 700, "width": 20_000}, _rows),
    "attention gradient": Fuzz(
        {"rows": 200, "keys": 300, "heads": 3, "group": 3, "size": 150, "first": 200}, _attention
    ),
    "columns": Fuzz({"rows": 3000, "width": 700}, _columns),
    "pooling": Fuzz(
        {"batch": 3, "height": 30, "width": 30, "channels": 100, "window": 9, "stride": 9}, _pooling
    ),
    "embedding gradient": Fuzz({"count": 2000, "rows": 3000, "width": 1000}, _embedding),
    "optimizers": Fuzz({"count": 200_000}, _optimizers),
}
