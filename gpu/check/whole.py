"""What tasks are made of: the self-test, repeated and from several threads, and whole chains."""

import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from gpu import selftest
from gpu.cpu import CpuBackend
from gpu.cuda.backend import CudaBackend
from gpu.cuda.compiler import Compiler
from gpu.cuda.pycuda import PyCudaDriver
from gpu.cuda.sources import NAMES
from gpu.ops import Operations
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext
from gpu.workloads.synthetic import SyntheticParameters
from gpu.workloads.synthetic.run import TRACE_FILE

_REPEATED = ("matmul", "linear i8", "product", "norms", "softmax", "top_k")
_JOB = JobContext("check-1", "task", "worker", 1 << 16)


def self_test(device: Operations) -> str:
    """The operations whose bits are not the golden ones."""
    found = selftest.findings(device)
    return "; ".join(f"{one.operation}: {one.problem}" for one in found if one.problem)


def repeated(device: Operations, times: int) -> str:
    """An operation whose bits change when it is done again and again."""
    first = {name: selftest.digest(device, name) for name in _REPEATED}
    for number in range(times):
        for name, digest in first.items():
            if selftest.digest(device, name) != digest:
                return f"{name}: other bits at repetition {number + 1}"
    return ""


def from_threads(device: Operations, count: int) -> str:
    """What goes wrong when several threads use one device."""
    problems: list[str] = []

    def work() -> None:
        problems.append(self_test(device))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "; ".join(filter(None, problems)) or ("" if len(problems) == count else "a thread died")


def compiled_by_the_driver(number: int) -> str:
    """The self-test with PTX that the driver compiles, in place of cubins."""
    driver, compiler = PyCudaDriver(number), Compiler()
    texts = {name: compiler.compile(name, driver.architecture).ptx.encode() for name in NAMES}
    return self_test(CudaBackend(driver, {name: text + b"\0" for name, text in texts.items()}))


def chain(device: CpuBackend | CudaBackend, size: int, iterations: int) -> str:
    """A chain run by the device and checked on the CPU, as a validator does."""
    workload = WORKLOADS["synthetic"]
    parameters = SyntheticParameters(seed="check", matrix_size=size, iterations=iterations)
    with tempfile.TemporaryDirectory() as folder:
        report = workload.run(_JOB, parameters, device, Path(folder), lambda _done: None)
        trace = (Path(folder) / TRACE_FILE).read_bytes()
    iterates = (trace[start : start + size**2] for start in range(0, len(trace), size**2))
    output = report.outputs[0].sha256
    finding = workload.check(
        _JOB, parameters, bytes(32), report.trace, report.digest, output, iterates, CpuBackend()
    )
    return "" if finding.valid else finding.reason


def sanitized(number: int, tool: str) -> str | None:
    """The self-test under compute-sanitizer; None where that is not installed."""
    sanitizer = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if sanitizer is None:
        return None
    command = [sys.executable, "-m", "gpu.check", "one", "self-test", "--device", f"cuda:{number}"]
    done = subprocess.run(
        [sanitizer, "--tool", tool, "--error-exitcode", "9", *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("=========")]
    return "" if done.returncode == 0 else " ".join(lines[:6]) or done.stderr[-300:]
