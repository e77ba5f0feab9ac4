import hashlib
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import OperandMismatch
from gpu.tensors import DType


class Layer(NamedTuple):
    """batch, height, width, channels, filters, kernel, and how it moves."""

    batch: int
    height: int
    width: int
    channels: int
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def image(self):
        return (self.batch, self.height, self.width, self.channels)

    @property
    def weights(self):
        return (*self.kernel, self.channels // self.groups, self.filters)

    @property
    def size(self):
        return tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip(
                (self.height, self.width),
                self.kernel,
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )

    @property
    def result(self):
        return (self.batch, *self.size, self.filters)

    @property
    def options(self):
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}


LAYERS = [
    Layer(1, 1, 1, 1, 1, (1, 1)),
    Layer(2, 5, 5, 3, 4, (3, 3), padding=(1, 1)),
    Layer(1, 9, 61, 3, 17, (7, 7), stride=(2, 2), padding=(3, 3)),  # few channels, copied
    Layer(1, 6, 40, 3, 5, (2, 3)),  # few channels, in place
    Layer(1, 12, 15, 20, 33, (3, 3), padding=(1, 1)),  # rows of pixels beside zeros
    Layer(5, 7, 7, 70, 16, (3, 3), padding=(1, 1)),  # rows of images
    Layer(2, 9, 14, 32, 40, (3, 3), stride=(2, 2), padding=(1, 1)),
    Layer(6, 8, 8, 16, 50, (1, 1), stride=(2, 2)),
    Layer(3, 10, 11, 300, 7, (1, 1)),
    Layer(1, 2, 700, 2, 3, (1, 5), padding=(0, 2)),  # rows longer than a block
    Layer(2, 9, 13, 12, 18, (3, 2), stride=(1, 3), padding=(2, 1), dilation=(2, 3)),
    Layer(1, 6, 20, 12, 18, (3, 3), padding=(1, 1), groups=3),
    Layer(4, 5, 5, 6, 6, (3, 3), padding=(1, 1), groups=6),
    Layer(1, 3, 3, 2, 2, (1, 1), stride=(2, 1), padding=(4, 4)),  # whole rows of padding
    Layer(2, 1, 1, 20, 18, (3, 3), padding=(1, 1)),  # taps that meet nothing but padding
    Layer(1, 30, 2, 9, 3, (5, 2), stride=(4, 5), padding=(2, 1)),
    Layer(4, 300, 2, 4, 20, (3, 1), padding=(1, 0)),  # tall images
    Layer(2, 4, 17, 8, 8, (2, 2), stride=(3, 3)),  # pixels that no tap meets
]


def operands(arrays, layer, seed=1, made="normal"):
    make = getattr(arrays, made)
    return make(seed, *layer.image), make(seed + 1, *layer.weights), make(seed + 2, *layer.result)


def run(backend, arrays, layer, image, weights, gradient):
    x, w, g = (arrays.put(backend, a) for a in (image, weights, gradient))
    results = (
        backend.conv2d(x, w, **layer.options),
        backend.conv2d_input(g, w, (layer.height, layer.width), **layer.options),
        backend.conv2d_weights(x, g, layer.kernel, **layer.options),
    )
    return [arrays.get(backend, result) for result in results]


def windows(layer, padded):
    """For each tap and group: its place, and the pixels it meets, in a padded image."""
    (height, width), (sy, sx), (dy, dx) = layer.size, layer.stride, layer.dilation
    for ky in range(layer.kernel[0]):
        for kx in range(layer.kernel[1]):
            rows = slice(ky * dy, ky * dy + (height - 1) * sy + 1, sy)
            columns = slice(kx * dx, kx * dx + (width - 1) * sx + 1, sx)
            yield ky, kx, padded[:, rows, columns]


def exact(layer, image, weights, gradient):
    """All three in float64, tap by tap; what a tap reads forward, it writes back."""
    image, weights, gradient = (a.astype(np.float64) for a in (image, weights, gradient))
    (py, px), groups = layer.padding, layer.groups
    padded = np.pad(image, ((0, 0), (py, py), (px, px), (0, 0)))
    result, back, slope = np.zeros(layer.result), np.zeros(padded.shape), np.zeros(weights.shape)
    inputs, outputs = layer.channels // groups, layer.filters // groups
    for (ky, kx, seen), (_, _, written) in zip(
        windows(layer, padded), windows(layer, back), strict=True
    ):
        for group in range(groups):
            i, o = (np.s_[group * n : (group + 1) * n] for n in (inputs, outputs))
            result[..., o] += seen[..., i] @ weights[ky, kx][:, o]
            written[..., i] += gradient[..., o] @ weights[ky, kx][:, o].T
            slope[ky, kx][:, o] += np.tensordot(
                seen[..., i], gradient[..., o], axes=[[0, 1, 2]] * 2
            )
    inside = np.s_[:, py : py + layer.height, px : px + layer.width]
    return result, back[inside], slope


@pytest.mark.parametrize("layer", LAYERS)
def test_bits_are_the_oracles(threaded, oracle, arrays, layer):
    data = operands(arrays, layer)
    expected = run(oracle, arrays, layer, *data)
    scales = exact(layer, *(np.abs(a) for a in data))
    for ours, true, scale in zip(expected, exact(layer, *data), scales, strict=True):
        assert (np.abs(ours - true) <= 2e-6 * scale).all()
    for backend in threaded:
        for ours, theirs in zip(run(backend, arrays, layer, *data), expected, strict=True):
            assert arrays.same_bits(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 30)),
    inner=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 20)),
    steps=st.tuples(*[st.tuples(st.integers(low, 3), st.integers(low, 3)) for low in (1, 1, 0, 1)]),
    kind=st.sampled_from(["normal", "any_floats"]),
    seed=st.integers(0, 2**32 - 10),
    threads=st.integers(0, 3),
)
def test_any_layer_and_any_bits(threaded, oracle, arrays, sizes, inner, steps, kind, seed, threads):
    groups, inputs, outputs = inner
    layer = Layer(*sizes, groups * inputs, groups * outputs, *steps, groups)
    if min(layer.size) < 1:
        return
    data = operands(arrays, layer, seed, kind)
    expected = run(oracle, arrays, layer, *data)
    for ours, theirs in zip(run(threaded[threads], arrays, layer, *data), expected, strict=True):
        assert arrays.same_bits(ours, theirs)


def test_order_is_c256(backend, arrays, orders):
    """Of the patches with their zeros, the kernel turned for the input, pixels for the weights."""
    layer = Layer(2, 2, 3, 50, 31, (3, 3), padding=(1, 1))
    image, weights, gradient = operands(arrays, layer)
    forward, back, slope = run(backend, arrays, layer, image, weights, gradient)

    def patches(pixels):
        padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = [window for _, _, window in windows(layer, padded)]
        return np.concatenate(seen, axis=-1).reshape(12, -1)

    flat = weights.reshape(450, 31)[:, :2]
    assert arrays.same_bits(
        np.ascontiguousarray(forward.reshape(12, 31)[:, :2]), orders.c256(patches(image), flat)
    )
    turned = weights[::-1, ::-1].transpose(0, 1, 3, 2).reshape(279, 50)[:, :2]
    assert arrays.same_bits(
        np.ascontiguousarray(back.reshape(12, 50)[:, :2]), orders.c256(patches(gradient), turned)
    )
    columns = gradient.reshape(12, 31)[:, :1]
    assert arrays.same_bits(
        np.ascontiguousarray(slope.reshape(450, 31)[:, :1]), orders.c256(patches(image).T, columns)
    )


def test_chunks_of_pixels_are_counted_with_those_left_out(backend, arrays, orders):
    layer = Layer(1, 20, 30, 1, 1, (3, 3), padding=(1, 1))
    image, weights, gradient = operands(arrays, layer)
    slope = run(backend, arrays, layer, image, weights, gradient)[2]
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = np.array([window.reshape(600) for _, _, window in windows(layer, padded)])
    assert arrays.same_bits(slope.reshape(9, 1), orders.c256(seen, gradient.reshape(600, 1)))
    kept = seen[0] != 0
    other = orders.c256(seen[:1, kept], gradient.reshape(600, 1)[kept])
    assert not arrays.same_bits(slope.reshape(9, 1)[:1], other)


@pytest.mark.parametrize(
    "layer",
    [
        Layer(2, 6, 20, 5, 20, (3, 3), padding=(1, 1)),
        Layer(5, 6, 6, 20, 20, (3, 3), stride=(2, 2), padding=(1, 1)),
    ],
)
@pytest.mark.parametrize("operand", [0, 1, 2])
def test_special_values_spread_no_further_than_their_taps(backend, oracle, arrays, layer, operand):
    """Padding is not multiplied: an infinity meets no zero of it."""
    for value in arrays.SPECIAL:
        data = [array.copy() for array in operands(arrays, layer)]
        data[operand].flat[::7] = value
        expected = run(oracle, arrays, layer, *data)
        for ours, theirs in zip(run(backend, arrays, layer, *data), expected, strict=True):
            assert arrays.same_bits(ours, theirs)
    weights = np.zeros(layer.weights, np.float32)
    weights[0] = np.inf
    forward = run(backend, arrays, layer, np.ones(layer.image, np.float32), weights, data[2])[0]
    assert not np.isnan(forward).any()
    assert (forward[:, 0] == 0).all()


def test_an_infinite_gradient_meets_no_zero_of_padding(backend, oracle, arrays):
    """Few channels are copied beside zeros: the taps that are left out there stay finite."""
    layer = Layer(2, 6, 20, 5, 20, (3, 3), padding=(1, 1))
    image, weights, gradient = operands(arrays, layer)
    gradient[:, :, 0] = np.inf
    slope = run(backend, arrays, layer, image, weights, gradient)[2]
    assert np.isfinite(slope[:, 0]).all()
    assert arrays.same_bits(slope, run(oracle, arrays, layer, image, weights, gradient)[2])


def test_denormals_are_kept_and_sums_start_at_plus_zero(backend, arrays):
    layer = Layer(1, 1, 20, 1, 1, (1, 1))
    tiny, one = np.full(layer.image, 1e-20, np.float32), np.float32([[[[1e-20]]]])
    assert (run(backend, arrays, layer, tiny, one, tiny)[0] == np.float32(1e-40)).all()
    minus = run(backend, arrays, layer, -0.0 * tiny, one * 0, -0.0 * tiny)
    assert not any(np.signbit(result).any() for result in minus)


def test_gradients_are_slopes(oracle, arrays):
    """The derivative of sum(result · gradient) by differences of the float64 convolution."""
    layer = Layer(2, 5, 6, 4, 6, (3, 2), stride=(2, 1), padding=(1, 1), groups=2)
    data = [array.astype(np.float64) for array in operands(arrays, layer)]
    _, back, slope = run(oracle, arrays, layer, *(array.astype(np.float32) for array in data))

    def loss(image, weights):
        return (exact(layer, image, weights, data[2])[0] * data[2]).sum()

    for number, gradient in ((0, back), (1, slope)):
        for place in range(0, gradient.size, 17):
            step = np.zeros(gradient.size)
            step[place] = 1e-4
            moved = [data[0], data[1]]
            sides = []
            for sign in (1, -1):
                moved[number] = data[number] + sign * step.reshape(gradient.shape)
                sides.append(loss(*moved))
            assert abs((sides[0] - sides[1]) / 2e-4 - gradient.flat[place]) < 1e-4


@pytest.mark.parametrize("stride", [1, 2])
def test_bits_are_the_golden_ones(backend, arrays, goldens, stride):
    layer = Layer(5, 14, 15, 40, 36, (3, 3), stride=(stride, stride), padding=(1, 1))
    results = run(backend, arrays, layer, *operands(arrays, layer, 7))
    digests = [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    assert digests == goldens["conv2d"][str(stride)]


def test_one_pixel_kernels_are_products(backend, arrays):
    layer = Layer(3, 5, 9, 70, 34, (1, 1))
    image, weights, gradient = operands(arrays, layer)
    forward, back, _ = run(backend, arrays, layer, image, weights, gradient)
    left, right = arrays.put(backend, image.reshape(135, 70)), arrays.put(backend, weights[0, 0])
    product = arrays.get(backend, backend.matmul(left, right))
    assert arrays.same_bits(forward.reshape(135, 34), product)
    over = arrays.put(backend, gradient.reshape(135, 34))
    product = arrays.get(backend, backend.matmul(over, right, right_transposed=True))
    assert arrays.same_bits(back.reshape(135, 70), product)


def test_refusals(oracle):
    x = oracle.empty(2, 5, 6, 4, dtype=DType.F32)
    weights = oracle.empty(3, 3, 4, 8, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match=r"conv2d: channels and filters .* into 2 groups"):
        oracle.conv2d(x, weights, groups=2)
    with pytest.raises(OperandMismatch, match="conv2d: the kernel does not fit"):
        oracle.conv2d(x, weights, dilation=3)
    with pytest.raises(OperandMismatch, match="conv2d: no images and weights of four sizes"):
        oracle.conv2d(x, x.reshape(48, 5))
    with pytest.raises(OperandMismatch, match="conv2d: no steps of"):
        oracle.conv2d(x, weights, stride=(1, 0))
    with pytest.raises(OperandMismatch, match="at most 64 x 64 taps"):
        oracle.conv2d_weights(x, x, (1, 65))
    gradient = oracle.empty(2, 3, 4, 8, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match=r"gradient is not \[2, 5, 6, 8\]"):
        oracle.conv2d_input(gradient, weights, (5, 6), padding=1)
    with pytest.raises(OperandMismatch, match="memory of its own"):
        oracle.conv2d(x, oracle.empty(1, 1, 4, 4, dtype=DType.F32), out=x)
