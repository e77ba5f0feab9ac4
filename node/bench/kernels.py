"""`tmnode bench kernels`: the CPU kernels beside numpy's OpenBLAS, and torch where it is installed.

Both sides run in turn in this process, one thread each, on the same data. Times are this thread's
CPU time, the best of the runs, so that a busy machine disturbs them little; only the rows of two
threads are wall time. The load is in the report. A peer that is missing leaves `peer_value` out;
torch may lie in a folder of its own, since nothing else here wants it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Read when numpy is loaded, which makes its library's threads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from gpu.cpu.cases import Case, Run
from gpu.cpu.figures import SIZES, cases
from node.bench.report import Report, Row, report

Clock = Callable[[], float]

# torch._int_mm is plain loops on a CPU without VNNI: one run of such a peer is enough.
SLOW_S = 2.0


def bench_kernels(
    runs: int, sizes: tuple[int, ...] = SIZES, *, peers: Path | None = None
) -> Report:
    """Measure every case `runs` times. `peers`: a folder of packages that has torch."""
    if peers is not None:
        sys.path.append(str(peers))
    rows = [_load("before"), *(_row(case, runs) for case in cases(sizes)), _load("after")]
    return report("kernels", rows)


def _row(case: Case, runs: int) -> Row:
    clock = time.perf_counter if case.wall else time.thread_time
    ours, theirs = _measured(case, runs, clock)
    return Row(
        metric=case.metric,
        value=case.amount / ours,
        unit=case.unit,
        runs=runs,
        peer=case.peer,
        peer_value=None if theirs is None else case.amount / theirs,
        ratio=None if theirs is None else theirs / ours,
        target=case.target,
    )


def _measured(case: Case, runs: int, clock: Clock) -> tuple[float, float | None]:
    """The best seconds of both, after one run of each that counts for a slow peer only."""
    sides = [run for run in (case.ours, case.theirs) if run is not None]
    first = [_seconds(run, clock) for run in sides]
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for run, seconds, warming in zip(sides, times, first, strict=True):
            if warming < SLOW_S or run is case.ours:
                seconds.append(_seconds(run, clock))
    best = [min(seconds or [warming]) for seconds, warming in zip(times, first, strict=True)]
    return best[0], best[1] if len(best) > 1 else None


def _seconds(run: Run, clock: Clock) -> float:
    began = clock()
    run()
    return clock() - began


def _load(when: str) -> Row:
    return Row(metric=f"load of the machine {when}", value=os.getloadavg()[0], unit="", runs=1)
