"""Products of matrices: floats in place; bytes laid out first, inner elements together."""

from itertools import starmap
from typing import NamedTuple

from gpu.cuda.calls import Layout, Tiles
from gpu.cuda.launches.stage import THREADS, Stage, divided_up, rounded_up
from gpu.errors import KernelFailed
from gpu.ops import calls

TILE = 128  # rows and columns of a block of threads
STAGE_INNER = 64  # csrc/cuda/integer_tile.h
_SQUARE = 64  # csrc/cuda/integers.cu
_FOUR_BYTES = 16
_MOST = 65_536  # inner elements of bytes, and sizes of residues: sums stay below 2^31


class _Side(NamedTuple):
    """An operand of bytes: where it lies, how long it is, and how far its neighbours are."""

    address: int
    outer: int
    outer_step: int
    inner_step: int
    scale: int | None = None


def gemm_f32(stage: Stage, call: calls.Gemm) -> None:
    """A kernel to each way in which inner elements lie together, or not."""
    left_together, right_together = call.left_column == 1, call.right_row == 1
    kernel = {
        (True, False): "left",
        (True, True): "both",
        (False, False): "neither",
        (False, True): "right",
    }[left_together, right_together]
    left = (call.left_row, call.inner) if left_together else (call.left_column, call.rows)
    right = (call.right_column, call.inner) if right_together else (call.right_row, call.columns)
    out = (call.out, call.out_row, call.columns)
    suffix = suffix_for((call.left, *left), (call.right, *right), out)
    grid = tiles_of(call.rows, call.columns)
    stage.start("floats", f"gemm_f32_{kernel}{suffix}", grid, THREADS, call)


def in_fours(address: int | None, step: int, count: int) -> bool:
    """Whether rows of `count` floats, `step` apart, can be read as aligned fours."""
    return (address or 0) % _FOUR_BYTES == 0 and step % 4 == 0 and count % 4 == 0


def suffix_for(*operands: tuple[int | None, int, int]) -> str:
    """What the kernel's name ends with: see `in_fours`, which each operand is judged by."""
    return "_fours" if all(starmap(in_fours, operands)) else ""


def gemm_i8(stage: Stage, call: calls.Gemm) -> None:
    """Both sides are laid out, then multiplied."""
    if call.inner > _MOST:
        raise KernelFailed("gemm_i8", f"bad argument: more than {_MOST} inner elements")
    left = _Side(call.left, call.rows, call.left_row, call.left_column)
    right = _Side(call.right, call.columns, call.right_column, call.right_row)
    tiles = _laid_out(stage, "lay_out_bytes", left, right, call.inner)
    tiles.out, tiles.out_row = call.out, call.out_row
    _multiply(stage, "gemm_i8_tiles", tiles)


def chain241_product(stage: Stage, call: calls.Product) -> None:
    """The same with residues, centred; the left ones are multiplied by `scale` on the way."""
    if max(call.rows, call.inner, call.columns) > _MOST:
        raise KernelFailed("chain241_product", f"bad argument: sizes over {_MOST}")
    left = _Side(call.left, call.rows, call.left_stride, 1, call.scale)
    right = _Side(call.right, call.columns, 1, call.right_stride)
    tiles = _laid_out(stage, "lay_out_residues", left, right, call.inner)
    tiles.out, tiles.out_row = call.out, call.out_stride
    tiles.column, tiles.row = call.column, call.row
    _multiply(stage, "chain241_tiles", tiles)


def tiles_of(rows: int, columns: int) -> tuple[int, int, int]:
    """The grid of a result that is made in tiles."""
    return divided_up(columns, TILE), divided_up(rows, TILE), 1


def _laid_out(stage: Stage, kernel: str, left: _Side, right: _Side, inner: int) -> Tiles:
    padded = rounded_up(inner, STAGE_INNER)
    return Tiles(
        left=_lay_out(stage, kernel, left, inner, padded),
        right=_lay_out(stage, kernel, right, inner, padded),
        rows=left.outer,
        columns=right.outer,
        padded=padded,
    )


def _lay_out(stage: Stage, kernel: str, side: _Side, inner: int, padded: int) -> int:
    out = stage.scratch(side.outer * padded)
    call = Layout(
        *(side.address, side.scale, out),
        *(side.outer, inner, padded, side.outer_step, side.inner_step),
    )
    grid = (divided_up(side.outer, _SQUARE), divided_up(padded, _SQUARE), 1)
    stage.start("integers", kernel, grid, THREADS, call)
    return out


def _multiply(stage: Stage, kernel: str, tiles: Tiles) -> None:
    stage.start("integers", kernel, tiles_of(tiles.rows, tiles.columns), THREADS, tiles)
