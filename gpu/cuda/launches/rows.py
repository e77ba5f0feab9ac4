"""Operations on rows, a block of threads to each."""

from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.ops import calls

_LANES, _RUN, _MOST_RUNS = 128, 4096, 8  # csrc/cuda/l128.h


def rows(kernel: str, stage: Stage, call: calls.Rows) -> None:
    """One of the kernels of csrc/cuda/rows.cu, by its name; more threads where rows are long."""
    stage.start("rows", kernel, call.rows, threads_of_row(call.width), call)


def threads_of_row(width: int) -> int:
    """How many threads sum a row in the order L128."""
    return _LANES * min(_MOST_RUNS, divided_up(width, _RUN))


def best(stage: Stage, call: calls.Best) -> None:
    """See csrc/cuda/best.cu."""
    stage.start("best", "best", call.rows, THREADS, call)
