"""The self-test's cases of what only training needs."""

from collections.abc import Mapping

from gpu.ops import Operations, Unary
from gpu.selftest.operands import EPSILON, WIDTHS, Case, Results, bits, i32, numbers, rough
from gpu.tensors import Tensor

_ACTIVATIONS = (
    *(Unary.TANH, Unary.SIGMOID, Unary.SILU),
    *(Unary.GELU_ERF, Unary.GELU_TANH, Unary.RELU),
)
_ROWS = ((2, 4100), (600, 33))
_WINDOWS = (((3, 2), {"padding": (2, 1)}), (3, {"stride": (1, 5)}), ((7, 9), {"stride": 9}))


def _writable(device: Operations, name: str, *shape: int) -> Tensor:
    """Numbers that an operation may change."""
    return device.apply(Unary.MAGNITUDE, numbers(device, name, *shape))


def _activations(device: Operations) -> Results:
    for function in _ACTIVATIONS:
        yield device.apply_gradient(function, bits(device, "x", 20_000), bits(device, "g", 20_000))
        x, gradient = numbers(device, "x", 3, 1001), rough(device, "g", 3, 1001)
        yield device.apply_gradient(function, x, gradient)


def _softmax(device: Operations) -> Results:
    for width in WIDTHS:
        y = device.softmax(numbers(device, "x", 2, width))
        yield device.softmax_gradient(y, rough(device, "g", 2, width))


def _norms(device: Operations) -> Results:
    for rows, width in ((2, 33_000), *_ROWS):
        x, gradient = numbers(device, "x", rows, width), rough(device, "g", rows, width)
        for weight in (None, numbers(device, "w", width)):
            yield from device.rmsnorm_gradient(x, weight, gradient, epsilon=EPSILON)
            yield from device.layernorm_gradient(x, weight, gradient, epsilon=EPSILON)


def _columns(device: Operations) -> Results:
    for rows, width in _ROWS:
        x = rough(device, "x", rows, width)
        yield device.column_sums(x)
        yield device.add_bias(x, numbers(device, "b", width))


def _cross_entropy(device: Operations) -> Results:
    for rows, width in _ROWS:
        targets = i32(device, *(7 * row % width for row in range(rows)))
        for mean in (False, True):
            x = numbers(device, "x", rows, width)
            total, losses, slope = device.cross_entropy(x, targets, mean=mean, slope=mean)
            yield from (total, losses) if slope is None else (total, losses, slope)


def _attention(device: Operations) -> Results:
    """Heads that share keys; more keys than rows, and rows that do not see all."""
    rows, keys, size = 70, 150, 20
    queries, out, gradient = (numbers(device, name, rows, 4, size) for name in "qog")
    key, value = (numbers(device, name, keys, 2, size) for name in "kv")
    statistics = _writable(device, "s", rows, 4, 2)
    for options in ({"first": 20}, {"causal": False}):
        yield from device.attention_gradient(
            queries, key, value, out, statistics, gradient, **options
        )


def _batch_norm(device: Operations) -> Results:
    for rows, width in _ROWS:
        x, gradient = numbers(device, "x", rows, width), rough(device, "g", rows, width)
        weight, bias = numbers(device, "w", width), numbers(device, "b", width)
        running = _writable(device, "m", width), _writable(device, "v", width)
        yield from device.batchnorm(x, None, None, epsilon=EPSILON)
        out, mean, inverse = device.batchnorm(x, weight, bias, epsilon=EPSILON, running=running)
        yield from (out, mean, inverse, *running)
        yield device.batchnorm_inference(x, weight, bias, *running)
        yield from device.batchnorm_gradient(x, gradient, weight, mean, inverse)


def _pooling(device: Operations) -> Results:
    for window, options in _WINDOWS:
        plain = rough(device, "x", 2, 11, 13, 5)
        for x in (plain, device.apply(Unary.RELU, plain), bits(device, "x", 2, 11, 13, 5)):
            largest, taps = device.max_pool(x, window, **options)
            yield from (largest, taps)
            yield device.max_pool_input(largest, taps, (11, 13), window, **options)
            average = device.average_pool(x, window, **options)
            yield average
            yield device.average_pool_input(average, (11, 13), window, **options)


def _embedding(device: Operations) -> Results:
    indices = i32(device, *(i * i % 50 for i in range(300)))
    for width in (1, 300):
        yield device.embedding_gradient(rough(device, "g", 300, width), indices, 51)


def _optimizers(device: Operations) -> Results:
    weights, first, second = (_writable(device, name, 3, 1001) for name in "wmv")
    for step in (1, 2):
        gradient = numbers(device, f"g{step}", 3, 1001)
        device.sgd(weights, gradient, first, rate=0.1, momentum=0.9, decay=0.01)
        yield from (weights, first)
        device.adamw(weights, gradient, first, second, step=step, rate=0.1)
        yield from (weights, first, second)


CASES: Mapping[str, Case] = {
    "activation gradients": _activations,
    "softmax gradient": _softmax,
    "norm gradients": _norms,
    "columns": _columns,
    "cross entropy": _cross_entropy,
    "attention gradient": _attention,
    "batch norm": _batch_norm,
    "pooling": _pooling,
    "embedding gradient": _embedding,
    "optimizers": _optimizers,
}
