"""What runs depends on the shape and on the device's size; the bits do not."""

import pytest

from gpu.cuda.launches import convolution
from gpu.cuda.launches.products import in_fours
from gpu.ops import Unary
from gpu.tensors import DType

CONVOLUTIONS = ("conv2d", "conv2d_input", "conv2d_weights")


@pytest.mark.parametrize(("channels", "suffix"), [(60, "_fours"), (61, "")])
@pytest.mark.parametrize(("few", "pieces"), [(4, 1), (5, 3)])
def test_chunks_of_convolutions_at_once_or_apart(
    open_device, oracle, arrays, monkeypatch, few, pieces, channels, suffix
):
    """Each has five tiles and three chunks."""
    monkeypatch.setattr(convolution, "_FEW", few)
    x, weights = arrays.normal(1, 1, 24, 22, channels), arrays.normal(2, 3, 3, channels, channels)
    gradient = arrays.normal(3, 1, 24, 22, channels)

    def results(device):
        image, kernel, slope = (arrays.put(device, a) for a in (x, weights, gradient))
        yield device.conv2d(image, kernel, padding=1)
        yield device.conv2d_input(slope, kernel, (24, 22), padding=1)
        yield device.conv2d_weights(image, slope, (3, 3), padding=1)

    device = open_device()
    for ours, theirs in zip(results(device), results(oracle), strict=True):
        assert arrays.same_bits(arrays.get(device, ours), arrays.get(oracle, theirs))
    grids = {kernel: grid for kernel, grid, _ in device._driver.launched}
    assert [grids[kernel + suffix] for kernel in CONVOLUTIONS] == [(5, 1, pieces)] * 3
    assert ("add_chunks" in grids) == (pieces > 1)


@pytest.mark.parametrize(
    ("address", "step", "count", "together"),
    [(512, 8, 4, True), (516, 8, 4, False), (512, 6, 4, False), (512, 8, 6, False)],
)
def test_what_comes_in_aligned_fours(address, step, count, together):
    assert in_fours(address, step, count) == together


@pytest.mark.parametrize("first", [0, 1, 4])
def test_parts_of_matrices_take_the_kernels_that_fit(open_device, oracle, arrays, first):
    """A part that starts at column 1 lies aside of fours; what is around a result stays."""
    numbers, device = arrays.normal(1, 40, 44), open_device()

    def product(backend):
        whole = arrays.put(backend, numbers)
        part = backend.tile(whole, slice(0, 40), slice(first, first + 40))
        out = backend.apply(Unary.NEGATIVE, whole)
        backend.matmul(part, part, out=backend.tile(out, slice(0, 40), slice(first, first + 40)))
        return arrays.get(backend, out)

    assert arrays.same_bits(product(device), product(oracle))
    kernels = {kernel for kernel, _, _ in device._driver.launched}
    assert ("gemm_f32_left_fours" in kernels) == (first % 4 == 0)


@pytest.mark.parametrize(
    ("rows", "kernel"), [(1, "linear_i8_1"), (16, "linear_i8_4"), (17, "linear_i8_many")]
)
@pytest.mark.parametrize("group", [32, 96, 1024])
def test_rows_of_eight_bits(open_device, oracle, arrays, rows, kernel, group):
    """Groups within a step of a warp, across steps, and longer than what is kept of sums."""
    device = open_device()

    def product(backend):
        weights, left = arrays.normal(1, 2130, 21), arrays.normal(2, rows, 2130)
        packed = backend.pack(arrays.put(backend, weights), DType.I8, group=group)
        return arrays.get(backend, backend.linear(arrays.put(backend, left), packed))

    assert arrays.same_bits(product(device), product(oracle))
    assert kernel in {kernel for kernel, _, _ in device._driver.launched}
