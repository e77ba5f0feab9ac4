"""Running a chain: iterates go to disk as they are made, two are held in memory."""

import time
from pathlib import Path
from typing import BinaryIO, Final

from blake3 import blake3

from gpu.backend import Array, Backend
from gpu.workloads.base import JobContext, Progress, RunReport
from gpu.workloads.synthetic.chain import Tick, advance, first_iterate, step_inputs
from gpu.workloads.synthetic.files import pieces, write_matrix
from gpu.workloads.synthetic.key import chain_key, out_digest
from gpu.workloads.synthetic.meter import Meter
from gpu.workloads.synthetic.parameters import SyntheticParameters, work_units

TRACE_FILE: Final = "trace.bin"


def run(
    job: JobContext,
    parameters: SyntheticParameters,
    backend: Backend[Array],
    scratch: Path,
    progress: Progress,
) -> RunReport:
    """Compute the chain into `scratch`: `trace.bin` = X_1 ‖ … ‖ X_T, and `matrix` = X_T."""
    started = time.monotonic()
    key, size = chain_key(job, parameters), parameters.matrix_size
    meter = Meter(progress, parameters.iterations)
    trace: list[bytes] = []
    current, spare = first_iterate(backend, key, size, meter.stay), backend.empty(size, size)
    with (scratch / TRACE_FILE).open("wb") as file:
        for step in range(parameters.iterations):
            meter.begin(1)
            inputs = step_inputs(backend, key, size, step)
            advance(backend, current, spare, inputs, size, meter.tick)
            current, spare = spare, current
            trace.append(_write_iterate(file, backend.download(current), meter.stay))
    output = write_matrix(scratch, backend.download(current), meter.stay)
    progress(1.0)
    return RunReport(
        outputs=(output,),
        trace=tuple(trace),
        digest=out_digest(key, parameters, output.sha256),
        work_units=work_units(parameters),
        seconds=time.monotonic() - started,
    )


def _write_iterate(file: BinaryIO, iterate: memoryview, tick: Tick) -> bytes:
    digest = blake3()
    for piece in pieces(iterate):
        digest.update(piece)
        file.write(piece)
        tick(1.0)
    return digest.digest()
