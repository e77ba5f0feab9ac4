"""What runs depends on the shape and on the device's size; the bits do not."""

import pytest

from gpu.cuda.launches import convolution

CONVOLUTIONS = ("conv2d", "conv2d_input", "conv2d_weights")


@pytest.mark.parametrize(("few", "pieces"), [(4, 1), (5, 3)])
def test_chunks_of_convolutions_at_once_or_apart(
    open_device, oracle, arrays, monkeypatch, few, pieces
):
    """Each has five tiles and three chunks."""
    monkeypatch.setattr(convolution, "_FEW", few)
    x, weights = arrays.normal(1, 1, 24, 22, 60), arrays.normal(2, 3, 3, 60, 60)
    gradient = arrays.normal(3, 1, 24, 22, 60)

    def results(device):
        image, kernel, slope = (arrays.put(device, a) for a in (x, weights, gradient))
        yield device.conv2d(image, kernel, padding=1)
        yield device.conv2d_input(slope, kernel, (24, 22), padding=1)
        yield device.conv2d_weights(image, slope, (3, 3), padding=1)

    device = open_device()
    for ours, theirs in zip(results(device), results(oracle), strict=True):
        assert arrays.same_bits(arrays.get(device, ours), arrays.get(oracle, theirs))
    grids = {kernel: grid for kernel, grid, _ in device._driver.launched}
    assert [grids[kernel] for kernel in CONVOLUTIONS] == [(5, 1, pieces)] * 3
    assert ("add_chunks" in grids) == (pieces > 1)
