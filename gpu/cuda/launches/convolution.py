"""Convolutions and their gradients: products of tiles, or entry by entry in narrow groups."""

from typing import NamedTuple

from gpu.cuda.calls import ChunkSums, Convolving
from gpu.cuda.launches.products import TILE
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.ops import calls
from gpu.ops.convolution import result_size

_CHUNK = 256  # inner elements
_NARROW = 8  # columns of a group that are made one by one
_FEW = 128  # tiles that leave much of a device idle: their chunks are made apart
_MOST_PART_BYTES = 1 << 28
_FLOAT_BYTES = 4


class _Grouped(NamedTuple):
    """What a convolution is as a product for each group, and where its result goes."""

    rows: int
    inner: int
    columns: int
    out: int
    out_row: int


def conv2d(stage: Stage, call: calls.Convolution) -> None:
    """Rows are the result's pixels."""
    taps, inputs, outputs, pixels = _sizes(call)
    product = _Grouped(pixels, taps * inputs, outputs, call.result, call.filters)
    _convolve(stage, "conv2d", call, product)


def conv2d_input(stage: Stage, call: calls.Convolution) -> None:
    """Rows are the image's pixels."""
    taps, inputs, outputs, _ = _sizes(call)
    pixels = call.batch * call.height * call.width
    product = _Grouped(pixels, taps * outputs, inputs, call.image, call.channels)
    _convolve(stage, "conv2d_input", call, product)


def conv2d_weights(stage: Stage, call: calls.Convolution) -> None:
    """Rows are the channels of the taps, inner elements the result's pixels."""
    taps, inputs, outputs, pixels = _sizes(call)
    product = _Grouped(taps * inputs, pixels, outputs, call.weights, call.filters)
    _convolve(stage, "conv2d_weights", call, product)


def _sizes(call: calls.Convolution) -> tuple[int, int, int, int]:
    """Taps, channels and filters of a group, and the pixels of the result."""
    steps = (call.kernel, call.stride, call.padding, call.dilation)
    height, width = (
        result_size(size, *(int(step[axis]) for step in steps))
        for axis, size in enumerate((call.height, call.width))
    )
    taps = call.kernel[0] * call.kernel[1]
    groups = call.groups
    return taps, call.channels // groups, call.filters // groups, call.batch * height * width


def _convolve(stage: Stage, kernel: str, call: calls.Convolution, product: _Grouped) -> None:
    if product.columns <= _NARROW and call.groups > 1:
        blocks = divided_up(product.rows * product.columns * call.groups, THREADS)
        stage.start("convolution", f"{kernel}_entries", blocks, THREADS, call)
        return
    tiles = divided_up(product.rows, TILE), divided_up(product.columns, TILE)
    chunks = divided_up(product.inner, _CHUNK)
    size = call.groups * chunks * product.rows * product.columns * _FLOAT_BYTES
    apart = chunks > 1 and tiles[0] * tiles[1] * call.groups <= _FEW and size <= _MOST_PART_BYTES
    if not apart:
        grid = (*tiles, call.groups)
        stage.start("convolution", kernel, grid, THREADS, Convolving(call, None))
        return
    parts = stage.scratch(size)
    grid = (*tiles, call.groups * chunks)
    stage.start("convolution", kernel, grid, THREADS, Convolving(call, parts))
    shape = (product.rows, product.columns, product.out_row)
    _add_chunks(stage, ChunkSums(parts, product.out, call.groups, chunks, *shape))


def _add_chunks(stage: Stage, call: ChunkSums) -> None:
    blocks = divided_up(call.groups * call.rows * call.columns, THREADS)
    stage.start("convolution", "add_chunks", blocks, THREADS, call)
