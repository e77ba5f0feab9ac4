"""The gradients of attention: products of matrices, head by head, and what is between them."""

from typing import NamedTuple

from gpu.cuda.calls import HeadGradient, ScaledMatrix
from gpu.cuda.launches.products import gemm_f32
from gpu.cuda.launches.rows import threads_of_row
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.ops import calls

_FLOAT_BYTES = 4


class _Matrix(NamedTuple):
    """Numbers in the device's memory; steps from a row, or a column, to the next."""

    address: int
    rows: int
    columns: int
    row: int
    column: int = 1

    def transposed(self) -> "_Matrix":
        return _Matrix(self.address, self.columns, self.rows, self.column, self.row)


def attention_gradient(stage: Stage, call: calls.AttentionGradient) -> None:
    """As csrc/training/attention.h has it; heads come one after the other."""
    rows, keys, size = call.rows, call.key_count, call.size
    scaled, more = _scratch(stage, rows, size), _scratch(stage, keys, size)
    powers, slopes = _scratch(stage, rows, keys), _scratch(stage, rows, keys)
    for head in range(call.heads):
        key, value = _of_keys(call, call.keys, head), _of_keys(call, call.values, head)
        gradient = _of_rows(call, call.gradient, head)
        back = _of_rows(call, call.query_gradient, head)
        _scale(stage, _of_rows(call, call.queries, head), scaled, call.scale)
        _multiply(stage, scaled, key.transposed(), powers)
        _multiply(stage, gradient, value.transposed(), slopes)
        one = HeadGradient(call, powers.address, slopes.address, head)
        stage.start("attention_gradient", "score_gradient", rows, threads_of_row(size), one)
        _add_head(stage, call, head, powers, gradient, call.value_gradient, more)
        _add_head(stage, call, head, slopes, scaled, call.key_gradient, more)
        _multiply(stage, slopes, key, back)
        _scale(stage, back, back, call.scale)


def _scratch(stage: Stage, rows: int, columns: int) -> _Matrix:
    return _Matrix(stage.scratch(rows * columns * _FLOAT_BYTES), rows, columns, columns)


def _of_rows(call: calls.AttentionGradient, tensor: int, head: int) -> _Matrix:
    size, start = call.size, tensor + head * call.size * _FLOAT_BYTES
    return _Matrix(start, call.rows, size, call.heads * size)


def _of_keys(call: calls.AttentionGradient, tensor: int, head: int) -> _Matrix:
    size, shared = call.size, head // (call.heads // call.key_heads)
    start = tensor + shared * size * _FLOAT_BYTES
    return _Matrix(start, call.key_count, size, call.key_heads * size)


def _multiply(stage: Stage, left: _Matrix, right: _Matrix, out: _Matrix) -> None:
    product = calls.Gemm(
        *(left.address, right.address, out.address),
        *(left.rows, left.columns, right.columns),
        *(left.row, left.column, right.row, right.column, out.row),
    )
    gemm_f32(stage, product)


def _scale(stage: Stage, source: _Matrix, out: _Matrix, factor: float) -> None:
    _start_matrix(stage, "scale_matrix", source, out, factor)


def _add_head(
    stage: Stage,
    call: calls.AttentionGradient,
    head: int,
    left: _Matrix,
    right: _Matrix,
    out: int,
    more: _Matrix,
) -> None:
    """The product of left, transposed, and right, added where an earlier head shares the keys."""
    to = _of_keys(call, out, head)
    if head % (call.heads // call.key_heads) == 0:
        _multiply(stage, left.transposed(), right, to)
    else:
        _multiply(stage, left.transposed(), right, more)
        _start_matrix(stage, "add_matrix", more, to, 1.0)


def _start_matrix(stage: Stage, kernel: str, source: _Matrix, out: _Matrix, factor: float) -> None:
    rows, columns = source.rows, source.columns
    call = ScaledMatrix(source.address, out.address, rows, columns, source.row, out.row, factor)
    stage.start("attention_gradient", kernel, divided_up(rows * columns, THREADS), THREADS, call)
