"""Gradients of elements and rows, sums of columns, and the loss they start from."""

from gpu.cuda.calls import Indices, NormGradient
from gpu.cuda.launches.rows import threads_of_row
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.cuda.launches.tokens import require_indices
from gpu.ops import calls
from gpu.ops.elementwise import Unary

_ELEMENTS = 4 * THREADS  # of a block
_CHUNK_ROWS = 256  # csrc/cuda/columns.cu
_FLOAT_BYTES = 4


def unary_gradient(stage: Stage, call: calls.Elements) -> None:
    """A kernel to each function."""
    kernel = f"gradient_{Unary(call.function).name.lower()}"
    stage.start("gradients", kernel, divided_up(call.count, _ELEMENTS), THREADS, call)


def softmax_gradient(stage: Stage, call: calls.RowsGradient) -> None:
    """A block to each row."""
    stage.start("gradients", "softmax_gradient", call.rows, threads_of_row(call.width), call)


def norm_gradient(kernel: str, centred: bool, stage: Stage, call: calls.RowsGradient) -> None:
    """Rows first, which leave their means and deviations for the sums of columns."""
    means, factors = (stage.scratch(call.rows * _FLOAT_BYTES) for _ in range(2))
    parts = stage.scratch(chunk_bytes(call.rows, call.width))
    norm = NormGradient(call, means, factors, parts, int(centred))
    stage.start("gradients", kernel, call.rows, threads_of_row(call.width), norm)
    if call.weight_gradient or call.bias_gradient:
        _sum_columns(stage, "norm_chunks", norm)


def column_sums(stage: Stage, call: calls.RowsGradient) -> None:
    """Chunks of rows, then columns."""
    parts = stage.scratch(chunk_bytes(call.rows, call.width))
    _sum_columns(stage, "column_chunks", NormGradient(call, None, None, parts, 0))


def cross_entropy(stage: Stage, call: calls.CrossEntropy) -> None:
    """Raises KernelFailed for a target that is no column."""
    targets = Indices(call.targets, None, call.rows, call.width)
    require_indices(stage, "cross_entropy", targets)
    stage.start("gradients", "cross_entropy", call.rows, threads_of_row(call.width), call)
    stage.start("gradients", "sum_losses", 1, threads_of_row(call.rows), call)


def chunks_of(rows: int) -> int:
    """How many chunks a column of so many rows has."""
    return divided_up(rows, _CHUNK_ROWS)


def chunk_bytes(rows: int, width: int) -> int:
    """The memory of two sums of every chunk of every column."""
    return 2 * chunks_of(rows) * width * _FLOAT_BYTES


def _sum_columns(stage: Stage, kernel: str, norm: NormGradient) -> None:
    rows, width = norm.rows.rows, norm.rows.width
    stage.start("columns", kernel, divided_up(chunks_of(rows) * width, THREADS), THREADS, norm)
    stage.start("columns", "fold_columns", divided_up(width, THREADS), THREADS, norm)
