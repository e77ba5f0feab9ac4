"""Figures of a GPU, each beside a peer where torch is installed."""

from gpu.check.outcome import Outcome
from gpu.cpu.cases import Case, measured
from gpu.cuda.figures import PARTS, Figures, Sizes
from gpu.cuda.peers import peer
from gpu.ops import Operations

_RUNS = 5


def speed(part: str, device: Operations, sizes: Sizes) -> Outcome:
    """Measure one of the parts; it passes whatever comes of it."""
    cases = PARTS[part](Figures(device, peer(), sizes))
    return Outcome(f"speed {part}", passed=True, detail="\n".join(map(_line, cases)))


def _line(case: Case) -> str:
    ours, theirs = measured(case, _RUNS)
    beside = "" if theirs is None else f", {theirs / ours:.2f} of {case.peer}"
    target = "" if case.target is None else f" (target {case.target:g})"
    return f"{case.metric}: {case.amount / ours:,.2f} {case.unit}{beside}{target}"
