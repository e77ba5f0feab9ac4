import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import OperandMismatch
from gpu.tensors import DType

CASES = [
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    ((2, 7, 9, 3), (3, 3), (2, 2), (1, 1)),
    ((1, 8, 8, 64), (2, 2), (2, 2), (0, 0)),
    ((3, 5, 6, 70), (3, 2), (1, 3), (2, 1)),
    ((2, 4, 5, 130), (4, 5), (1, 1), (0, 0)),
    ((1, 9, 4, 5), (2, 1), (5, 2), (1, 0)),  # pixels of no window
]


def run(backend, arrays, case, image, gradient):
    """Largest, which, its gradient; average, its gradient."""
    _, window, stride, padding = case
    steps = {"stride": stride, "padding": padding}
    x, g, size = arrays.put(backend, image), arrays.put(backend, gradient), image.shape[1:3]
    out, taps = backend.max_pool(x, window, **steps)
    results = (
        *(out, taps, backend.max_pool_input(g, taps, size, window, **steps)),
        backend.average_pool(x, window, **steps),
        backend.average_pool_input(g, size, window, **steps),
    )
    return [arrays.get(backend, result) for result in results]


def shape_of(case):
    (batch, *size, channels), *pairs = case
    axes = zip(size, *pairs, strict=True)
    return (batch, *((n + 2 * p - w) // s + 1 for n, w, s, p in axes), channels)


def operands(arrays, case, seed=1, made="normal"):
    make = getattr(arrays, made)
    return make(seed, *case[0]), make(seed + 1, *shape_of(case))


def key(value):
    """The total order: NaN above all, -0 below +0."""
    return (np.isnan(value), 0 if np.isnan(value) else value, not np.signbit(value))


def plainly(case, image, gradient):
    """Window by window in Python, sums in float32 in ascending order."""
    (_, height, width, _), (wy, wx), (sy, sx), (py, px) = case
    out, average = np.zeros(gradient.shape, np.float32), np.zeros(gradient.shape, np.float32)
    taps = np.zeros(gradient.shape, np.int32)
    back, spread = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
    share = np.float32(1) / np.float32(wy * wx)
    for place in np.ndindex(gradient.shape):
        b, oy, ox, c = place
        best = None
        for ky, kx in np.ndindex(wy, wx):
            y, x = oy * sy - py + ky, ox * sx - px + kx
            if not (0 <= y < height and 0 <= x < width):
                continue
            average[place] += image[b, y, x, c]
            spread[b, y, x, c] += gradient[place]
            if best is None or key(image[b, y, x, c]) > key(image[best]):
                best, taps[place] = (b, y, x, c), ky * wx + kx
        out[place] = image[best]
        back[best] += gradient[place]
    return out, taps, back, average * share, spread * share


@pytest.mark.parametrize("case", CASES)
def test_windows_in_plain_python(threaded, arrays, case):
    image, gradient = operands(arrays, case)
    image.flat[::3], image.flat[1::5] = 0.0, -0.0
    expected = plainly(case, image, gradient)
    for backend in threaded:
        for ours, theirs in zip(run(backend, arrays, case, image, gradient), expected, strict=True):
            assert np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))


@settings(max_examples=40, deadline=None)
@given(
    image=st.tuples(st.integers(1, 3), *[st.integers(1, 12)] * 2, st.integers(1, 80)),
    steps=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=2, max_size=2),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    seed=st.integers(0, 2**32 - 3),
    threads=st.integers(0, 3),
)
def test_any_windows_and_any_bits(threaded, oracle, arrays, image, steps, padding, seed, threads):
    (window, stride) = zip(*steps, strict=True)
    case = (image, window, stride, tuple(p % w for p, w in zip(padding, window, strict=True)))
    if min(shape_of(case)) < 1:
        return
    data = operands(arrays, case, seed, "any_floats")
    expected = run(oracle, arrays, case, *data)
    for ours, theirs in zip(run(threaded[threads], arrays, case, *data), expected, strict=True):
        assert arrays.same_bits(ours, theirs)
        bits = ours.view(np.uint32)
        assert ours.dtype == np.int32 or set(bits[np.isnan(ours)].tolist()) <= {0x7FC00000}


def test_not_a_number_is_largest_and_first_of_equal_ones_wins(backend, arrays):
    image = np.float32([[1, np.nan], [np.nan, 9]]).reshape(1, 2, 2, 1)
    out, taps = (arrays.get(backend, t) for t in backend.max_pool(arrays.put(backend, image), 2))
    assert out.view(np.uint32).tolist() == [[[[0x7FC00000]]]]
    assert taps.item() == 1


def test_bits_are_the_golden_ones(backend, arrays, goldens):
    case = ((3, 15, 17, 70), (3, 3), (2, 2), (1, 1))
    results = run(backend, arrays, case, *operands(arrays, case, 5))
    digests = [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    assert digests == goldens["pooling"]


def test_refusals(oracle):
    x = oracle.empty(2, 5, 6, 4, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match=r"max_pool: no windows of .* padding"):
        oracle.max_pool(x, 2, padding=2)
    with pytest.raises(OperandMismatch, match="average_pool: the window does not fit"):
        oracle.average_pool(x, 7)
    with pytest.raises(OperandMismatch, match="images of four sizes"):
        oracle.average_pool(x.reshape(10, 24), 1)
    with pytest.raises(OperandMismatch, match=r"gradient is not \[2, 2, 3, 4\]"):
        oracle.average_pool_input(x, (5, 6), 2)
