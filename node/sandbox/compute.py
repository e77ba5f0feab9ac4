"""The program of a node's compute child: the workloads of `gpu` on one device."""

from pathlib import Path
from typing import TYPE_CHECKING

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Progress, RunReport
from node.sandbox.program import RunJob

if TYPE_CHECKING:
    from gpu.cuda.backend import CudaBackend


def load(gpu: str = "", images: str = "") -> RunJob:
    """Load the kernels and return the function that runs jobs with them.

    Without the number of a GPU the CPU computes. Raises DeviceUnavailable for a GPU that is not
    there or fails the golden self-test.
    """
    backend: CpuBackend | CudaBackend
    backend = _opened(int(gpu), Path(images)) if gpu else CpuBackend()

    def run(
        kind: str, job: JobContext, parameters: bytes, scratch: Path, progress: Progress
    ) -> RunReport:
        workload = WORKLOADS[kind]
        return workload.run(job, workload.from_canonical(parameters), backend, scratch, progress)

    return run


def _opened(number: int, images: Path) -> "CudaBackend":
    from gpu.cuda.devices import open_device
    from gpu.doctor import require_healthy

    device = open_device(number, images)
    require_healthy(device)
    return device
