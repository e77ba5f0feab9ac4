"""Operations on tokens."""

from gpu.cuda.calls import Indices
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.errors import KernelFailed
from gpu.ops import calls
from gpu.tensors import DType

_TABLES = {dtype.number: dtype.label for dtype in (DType.F32, DType.BF16, DType.F16)}


def rope(stage: Stage, call: calls.Rope) -> None:
    """A thread to each pair."""
    pairs = call.tokens * call.heads * call.size // 2
    stage.start("tokens", "rope", divided_up(pairs, THREADS), THREADS, call)


def gather(stage: Stage, call: calls.Gather) -> None:
    """Indices are looked over first. Raises KernelFailed for one that is no row."""
    require_indices(stage, "gather", Indices(call.indices, None, call.count, call.rows))
    blocks = divided_up(call.count * call.width, THREADS)
    stage.start("tokens", f"gather_{_TABLES[call.kind]}", blocks, THREADS, call)


def require_indices(stage: Stage, operation: str, indices: Indices) -> None:
    """Raise KernelFailed for an index that is no row."""
    bad = stage.flag()
    indices.found = bad.address
    stage.start("tokens", "bad_indices", divided_up(indices.count, THREADS), THREADS, indices)
    if bad.is_set():
        raise KernelFailed(operation, "an index is no row of the table")
