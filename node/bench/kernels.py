"""`tmnode bench kernels`: kernels beside the libraries that a user would take instead.

On the CPU these are numpy's OpenBLAS, and torch where it is installed: one thread each, on the same
data, in this thread's CPU time, so that a busy machine disturbs them little; only the rows of two
threads are wall time. On a GPU they are torch's (cuBLAS, cuDNN, a plain copy), in wall time. Both
sides run in turn in this process, and the best of the runs counts. A peer that is missing leaves
`peer_value` out; torch may lie in a folder of its own, since nothing else here wants it.
"""

import os
import sys
from pathlib import Path

# Read when numpy is loaded, which makes its library's threads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from gpu.cpu.cases import Case, measured
from gpu.cpu.figures import SIZES, cases
from gpu.cuda.figures import Figures, Sizes
from gpu.cuda.peers import peer
from node.bench.devices import CPU, opened
from node.bench.report import Report, Row, report


def bench_kernels(
    runs: int, sizes: tuple[int, ...] = SIZES, *, peers: Path | None = None, device: str = CPU
) -> Report:
    """Measure every case of a device, `cpu` or `cuda:N`, `runs` times; raises Unavailable.

    `peers`: a folder of packages that has torch; `sizes`: of the CPU's products.
    """
    if peers is not None:
        sys.path.append(str(peers))
    found = cases(sizes) if device == CPU else Figures(opened(device), peer(), Sizes()).all()
    rows = [_load("before"), *(_row(case, runs) for case in found), _load("after")]
    return report("kernels" if device == CPU else f"kernels of {device}", rows)


def _row(case: Case, runs: int) -> Row:
    ours, theirs = measured(case, runs)
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


def _load(when: str) -> Row:
    return Row(metric=f"load of the machine {when}", value=os.getloadavg()[0], unit="", runs=1)
