"""Operations on each element."""

from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.ops import calls
from gpu.ops.elementwise import Binary, Distribution, Unary
from gpu.tensors import DType

_ELEMENTS = 4 * THREADS  # of a block
_LABELS = {dtype.number: dtype.label for dtype in DType}


def unary(stage: Stage, call: calls.Elements) -> None:
    """A kernel to each function."""
    kernel = f"unary_{Unary(call.function).name.lower()}"
    stage.start("elements", kernel, divided_up(call.count, _ELEMENTS), THREADS, call)


def binary(stage: Stage, call: calls.Elements) -> None:
    """A kernel to each function."""
    kernel = f"binary_{Binary(call.function).name.lower()}"
    stage.start("elements", kernel, divided_up(call.count, _ELEMENTS), THREADS, call)


def cast(stage: Stage, call: calls.Cast) -> None:
    """A kernel to each pair of types."""
    kernel = f"cast_{_LABELS[call.source]}_{_LABELS[call.target]}"
    stage.start("casts", kernel, divided_up(call.count, _ELEMENTS), THREADS, call)


def random(stage: Stage, call: calls.Random) -> None:
    """A thread to each block of four elements, also to those that are wanted in part."""
    kernel = f"random_{Distribution(call.distribution).name.lower()}"
    blocks = divided_up(call.first + call.count, 4) - call.first // 4
    stage.start("random", kernel, divided_up(blocks, THREADS), THREADS, call)
