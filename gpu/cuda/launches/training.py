"""What training needs beside products and gradients: pooling, batch norm, tables, optimizers."""

import ctypes

from gpu.cuda.calls import ColumnNorm, Indices
from gpu.cuda.launches.gradients import chunk_bytes, chunks_of
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.cuda.launches.tokens import require_indices
from gpu.ops import calls
from gpu.ops.convolution import result_size

_FLOAT_BYTES = 4


def pool(kernel: str, stage: Stage, call: calls.Pooling) -> None:
    """A thread to each number of the result."""
    height, width = (
        result_size(size, *(int(step[axis]) for step in (call.window, call.stride, call.padding)))
        for axis, size in enumerate((call.height, call.width))
    )
    _start(stage, "pooling", kernel, call.batch * height * width * call.channels, call)


def pool_input(kernel: str, stage: Stage, call: calls.Pooling) -> None:
    """A thread to each number of the image."""
    _start(stage, "pooling", kernel, call.batch * call.height * call.width * call.channels, call)


def batch_norm(stage: Stage, call: calls.BatchNorm) -> None:
    """Moments of chunks of rows, then of columns; then every number."""
    norm = ColumnNorm(call, stage.scratch(chunk_bytes(call.rows, call.width)), None)
    _start(stage, "columns", "moment_chunks", chunks_of(call.rows) * call.width, norm)
    _start(stage, "columns", "merge_moments", call.width, norm)
    _start(stage, "columns", "normalize_columns", call.rows * call.width, norm)


def batch_norm_inference(stage: Stage, call: calls.BatchNorm) -> None:
    """A thread to each number."""
    norm = ColumnNorm(call, None, None)
    _start(stage, "columns", "normalize_columns", call.rows * call.width, norm)


def batch_norm_gradient(stage: Stage, call: calls.BatchNorm) -> None:
    """Sums of chunks of rows, then of columns; then every number."""
    parts = stage.scratch(chunk_bytes(call.rows, call.width))
    norm = ColumnNorm(call, parts, stage.scratch(call.width * _FLOAT_BYTES))
    _start(stage, "columns", "gradient_chunks", chunks_of(call.rows) * call.width, norm)
    _start(stage, "columns", "fold_gradients", call.width, norm)
    _start(stage, "columns", "normalize_gradients", call.rows * call.width, norm)


def add_bias(stage: Stage, call: calls.Rows) -> None:
    """A thread to each number."""
    _start(stage, "updates", "add_bias", call.rows * call.width, call)


def update(kernel: str, stage: Stage, call: calls.Update) -> None:
    """A thread to each weight."""
    _start(stage, "updates", kernel, call.count, call)


def scatter(stage: Stage, call: calls.Scatter) -> None:
    """A block to each index. Raises KernelFailed for one that is no row."""
    require_indices(stage, "scatter", Indices(call.indices, None, call.count, call.rows))
    _start(stage, "updates", "clear_table", call.rows * call.width, call)
    stage.start("updates", "scatter", call.count, THREADS, call)


def _start(stage: Stage, source: str, kernel: str, count: int, call: ctypes.Structure) -> None:
    stage.start(source, kernel, divided_up(count, THREADS), THREADS, call)
