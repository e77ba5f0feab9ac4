"""What came of a check, and where the bits of two devices differ."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from gpu.ops import Operations
from gpu.tensors import Tensor


class Outcome(msgspec.Struct, frozen=True):
    """`detail` is what was covered or measured, or how the check failed."""

    name: str
    passed: bool
    detail: str
    seconds: float = 0.0


class Pair(NamedTuple):
    """The device that is checked, and the one that is right."""

    device: Operations
    reference: Operations


def difference(
    pair: Pair, results: Iterable[Tensor], expected: Iterable[Tensor], names: str = ""
) -> str:
    """Where results differ from what is expected: empty when they do not."""
    for number, (result, right) in enumerate(zip(results, expected, strict=True)):
        place = _first_difference(pair.device.download(result), pair.reference.download(right))
        if place:
            return f"result {number}{names}, {place}"
    return ""


def _first_difference(result: memoryview, right: memoryview) -> str:
    if result == right:
        return ""
    if len(result) != len(right):
        return f"{len(result)} bytes instead of {len(right)}"
    width = 4 if len(right) % 4 == 0 else 1
    kind = np.dtype(f"<u{width}")
    ours, theirs = np.frombuffer(result, kind), np.frombuffer(right, kind)
    wrong = np.flatnonzero(ours != theirs)
    first = int(wrong[0])
    return (
        f"{wrong.size} of {ours.size} words, the first is number {first}:"
        f" {int(ours[first]):#0{2 + 2 * width}x} instead of {int(theirs[first]):#0{2 + 2 * width}x}"
    )
