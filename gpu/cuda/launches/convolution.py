"""Convolutions and their gradients: products of tiles, or entry by entry in narrow groups."""

from typing import NamedTuple

from gpu.cuda.calls import ChunkSums, Convolving
from gpu.cuda.launches.products import TILE, in_fours
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.ops import calls
from gpu.ops.convolution import result_size

_CHUNK = 256  # inner elements
_NARROW = 8  # columns of a group that are made one by one
_FEW = 128  # tiles that leave much of a device idle: their chunks are made apart
_MOST_PART_BYTES = 1 << 28
_FLOAT_BYTES = 4
_MOST_OF_FOURS = 1 << 24


class _Grouped(NamedTuple):
    """What a convolution is as a product for each group, and where its result goes."""

    rows: int
    inner: int
    columns: int
    out: int
    out_row: int


class _Layer(NamedTuple):
    """Taps; channels and filters of a group; sizes and pixels of the result."""

    taps: int
    inputs: int
    outputs: int
    height: int
    width: int
    pixels: int


def conv2d(stage: Stage, call: calls.Convolution) -> None:
    """Rows are the result's pixels."""
    layer = _layer(call)
    inner = layer.taps * layer.inputs
    product = _Grouped(layer.pixels, inner, layer.outputs, call.result, call.filters)
    _convolve(stage, "conv2d", call, layer, product)


def conv2d_input(stage: Stage, call: calls.Convolution) -> None:
    """Rows are the image's pixels."""
    layer = _layer(call)
    pixels, inner = call.batch * call.height * call.width, layer.taps * layer.outputs
    product = _Grouped(pixels, inner, layer.inputs, call.image, call.channels)
    _convolve(stage, "conv2d_input", call, layer, product)


def conv2d_weights(stage: Stage, call: calls.Convolution) -> None:
    """Rows are the channels of the taps, inner elements the result's pixels."""
    layer = _layer(call)
    rows = layer.taps * layer.inputs
    product = _Grouped(rows, layer.pixels, layer.outputs, call.weights, call.filters)
    _convolve(stage, "conv2d_weights", call, layer, product)


def _layer(call: calls.Convolution) -> _Layer:
    steps = (call.kernel, call.stride, call.padding, call.dilation)
    height, width = (
        result_size(size, *(int(step[axis]) for step in steps))
        for axis, size in enumerate((call.height, call.width))
    )
    taps, groups = call.kernel[0] * call.kernel[1], call.groups
    pixels = call.batch * height * width
    return _Layer(taps, call.channels // groups, call.filters // groups, height, width, pixels)


def _convolve(
    stage: Stage, kernel: str, call: calls.Convolution, layer: _Layer, product: _Grouped
) -> None:
    if product.columns <= _NARROW and call.groups > 1:
        blocks = divided_up(product.rows * product.columns * call.groups, THREADS)
        stage.start("convolution", f"{kernel}_entries", blocks, THREADS, call)
        return
    tiles = divided_up(product.rows, TILE), divided_up(product.columns, TILE)
    chunks = divided_up(product.inner, _CHUNK)
    size = call.groups * chunks * product.rows * product.columns * _FLOAT_BYTES
    apart = chunks > 1 and tiles[0] * tiles[1] * call.groups <= _FEW and size <= _MOST_PART_BYTES
    parts = stage.scratch(size) if apart else None
    grid = (*tiles, call.groups * chunks if apart else call.groups)
    suffix = "_fours" if _in_fours(call, layer) else ""
    sizes = (layer.height, layer.width, layer.inputs, layer.outputs)
    convolving = Convolving(call, parts, *sizes)
    stage.start("convolution", f"{kernel}{suffix}", grid, THREADS, convolving)
    if apart:
        shape = (product.rows, product.columns, product.out_row)
        _add_chunks(stage, ChunkSums(parts, product.out, call.groups, chunks, *shape))


def _in_fours(call: calls.Convolution, layer: _Layer) -> bool:
    """Whether csrc/cuda/gathered_fours.h holds: aligned fours, and sizes for 32 bits."""
    addresses = (call.image, call.weights, call.result)
    together = (layer.inputs, layer.outputs)
    sizes = (call.batch, call.height, call.width, call.channels, call.filters)
    steps = (*call.kernel, *call.stride, *call.padding, *call.dilation)
    return (
        all(in_fours(address, 4, count) for address in addresses for count in together)
        and max(*sizes, *steps) <= _MOST_OF_FOURS
    )


def _add_chunks(stage: Stage, call: ChunkSums) -> None:
    blocks = divided_up(call.groups * call.rows * call.columns, THREADS)
    stage.start("convolution", "add_chunks", blocks, THREADS, call)
