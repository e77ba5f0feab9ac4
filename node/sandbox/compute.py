"""The program of a node's compute child: the workloads of `gpu` on the CPU backend."""

from pathlib import Path

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Progress, RunReport
from node.sandbox.program import RunJob


def load() -> RunJob:
    """Load the kernels and return the function that runs jobs with them."""
    backend = CpuBackend()

    def run(
        kind: str, job: JobContext, parameters: bytes, scratch: Path, progress: Progress
    ) -> RunReport:
        workload = WORKLOADS[kind]
        return workload.run(job, workload.from_canonical(parameters), backend, scratch, progress)

    return run
