"""Packed weights and products with them.

The layouts are the device's own. Floats and bfloat16s: the panels of csrc/cuda/panels.h. Eight
bits: [columns][padded] bytes, inner elements together, then the scales as [groups][columns].
"""

from typing import NamedTuple

from gpu.cuda.calls import Quantization, ScaledTiles
from gpu.cuda.launches.products import STAGE_INNER, suffix_for, tiles_of
from gpu.cuda.launches.stage import THREADS, Stage, divided_up, rounded_up
from gpu.ops import calls
from gpu.tensors import DType

_PANEL = 32
_PIECES = {DType.F32.number: ("f32", 4), DType.BF16.number: ("bf16", 8)}  # inner elements of one
_PIECE_BYTES = 16
_FEW_ROWS = 16  # up to these, weights are read once for every 4 rows, not for every 128
_ROWS_OF_FEW = 4
_WARPS = THREADS // 32
_COLUMNS = {1: 8, _ROWS_OF_FEW: 4}  # of a warp: csrc/cuda/quantized_rows.cu


class _Quantized(NamedTuple):
    """Where eight-bit numbers and their scales lie."""

    numbers: int
    scales: int
    padded: int
    groups: int


def packed_size(stage: Stage, call: calls.Packing) -> int:
    """Bytes of packed weights."""
    del stage
    if call.kind == DType.I8.number:
        of_column = rounded_up(call.inner, STAGE_INNER) + 4 * divided_up(call.inner, call.group)
        return int(call.columns) * of_column
    return _pieces(call) * _PIECE_BYTES


def pack(stage: Stage, call: calls.Packing) -> None:
    """A thread to each piece, or a warp to each group of eight-bit numbers."""
    if call.kind == DType.I8.number:
        packed = _weights(call.packed, call.inner, call.columns, call.group)
        quantization = Quantization(
            *(call.weights, packed.numbers, packed.scales),
            *(call.columns, call.inner, packed.padded, call.weights_column, call.weights_row),
            *(call.group, 1, call.columns),
        )
        _quantize(stage, quantization, packed.groups)
        return
    kind, _ = _PIECES[call.kind]
    stage.start("linear", f"pack_{kind}", divided_up(_pieces(call), THREADS), THREADS, call)


def linear(stage: Stage, call: calls.Linear) -> None:
    """Few rows stream the weights, many go tile by tile: the bits are the same."""
    if call.kind == DType.I8.number:
        _linear_i8(stage, call)
        return
    kind, _ = _PIECES[call.kind]
    if call.rows > _FEW_ROWS:
        left, out = (call.left, call.left_row, call.inner), (call.out, call.out_row, call.columns)
        suffix = suffix_for(left, out)
        kernel, grid = f"linear_{kind}_many{suffix}", tiles_of(call.rows, call.columns)
    else:
        rows = _at_once(call)
        kernel = f"linear_{kind}_{rows}"
        grid = (divided_up(call.columns, _PANEL), divided_up(call.rows, rows), 1)
    stage.start("linear", kernel, grid, THREADS, call)


def _at_once(call: calls.Linear) -> int:
    """How many of a few rows a block takes."""
    return 1 if call.rows == 1 else _ROWS_OF_FEW


def _linear_i8(stage: Stage, call: calls.Linear) -> None:
    right = _weights(call.packed, call.inner, call.columns, call.group)
    numbers = stage.scratch(call.rows * right.padded)
    scales = stage.scratch(4 * call.rows * right.groups)
    quantization = Quantization(
        *(call.left, numbers, scales),
        *(call.rows, call.inner, right.padded, call.left_row, 1),
        *(call.group, right.groups, 1),
    )
    _quantize(stage, quantization, right.groups)
    tiles = ScaledTiles(
        *(numbers, right.numbers, scales, right.scales, call.out),
        *(call.rows, call.columns, call.inner, right.padded),
        *(call.group, right.groups, call.out_row),
    )
    if call.rows > _FEW_ROWS:
        grid = tiles_of(call.rows, call.columns)
        stage.start("quantized", "linear_i8_many", grid, THREADS, tiles)
        return
    rows = _at_once(call)
    grid = (divided_up(call.columns, _WARPS * _COLUMNS[rows]), divided_up(call.rows, rows), 1)
    stage.start("quantized_rows", f"linear_i8_{rows}", grid, THREADS, tiles)


def _quantize(stage: Stage, call: Quantization, groups: int) -> None:
    stage.start("quantized", "quantize", divided_up(call.outer * groups, _WARPS), THREADS, call)


def _pieces(call: calls.Packing) -> int:
    _, inner = _PIECES[call.kind]
    return rounded_up(call.columns, _PANEL) * divided_up(call.inner, inner)


def _weights(packed: int, inner: int, columns: int, group: int) -> _Quantized:
    padded = rounded_up(inner, STAGE_INNER)
    return _Quantized(packed, packed + columns * padded, padded, divided_up(inner, group))
