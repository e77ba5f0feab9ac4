"""Running a chain: iterates go to disk as they are made, two are held in memory."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from blake3 import blake3

from gpu.backend import Array, Backend
from gpu.workloads.base import JobContext, OutputFile, Progress, RunReport
from gpu.workloads.synthetic.chain import Tick, advance, first_iterate, step_inputs
from gpu.workloads.synthetic.key import chain_key, out_digest
from gpu.workloads.synthetic.parameters import SyntheticParameters

TRACE_FILE: Final = "trace.bin"
MATRIX: Final = "matrix"

_PIECE_BYTES: Final = 16 * 1024 * 1024  # hashed and written between two looks at the clock
_REPORT_EVERY_S: Final = 0.05


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
    meter = _Meter(progress, parameters.iterations)
    trace: list[bytes] = []
    current, spare = first_iterate(backend, key, size, meter.stay), backend.empty(size, size)
    with (scratch / TRACE_FILE).open("wb") as file:
        for step in range(parameters.iterations):
            meter.begin(step)
            inputs = step_inputs(backend, key, size, step)
            advance(backend, current, spare, inputs, size, meter.tick)
            current, spare = spare, current
            trace.append(_write_iterate(file, backend.download(current), meter.stay))
    output = _write_matrix(scratch / MATRIX, backend.download(current), meter.stay)
    progress(1.0)
    return RunReport(
        outputs=(output,),
        trace=tuple(trace),
        digest=out_digest(key, parameters, output.sha256),
        work_units=work_units(parameters),
        seconds=time.monotonic() - started,
    )


def work_units(parameters: SyntheticParameters) -> int:
    """Multiply-adds of the chain, counted the classical way: n^3 a step."""
    return parameters.matrix_size**3 * parameters.iterations


def _write_iterate(file: BinaryIO, iterate: memoryview, tick: Tick) -> bytes:
    digest = blake3()
    for piece in _pieces(iterate):
        digest.update(piece)
        file.write(piece)
        tick(1.0)
    return digest.digest()


def _write_matrix(path: Path, matrix: memoryview, tick: Tick) -> OutputFile:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in _pieces(matrix):
            digest.update(piece)
            file.write(piece)
            tick(1.0)
    return OutputFile(name=MATRIX, file_name=path.name, size=len(matrix), sha256=digest.digest())


def _pieces(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


class _Meter:
    """Turns parts of a step into parts of the run, and spares the listener most of them."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._step, self._part = 0, 0.0
        self._progress = progress
        self._steps = steps
        self._reported_at = time.monotonic()
        progress(0.0)

    def tick(self, part: float) -> None:
        """A part of the current step is done."""
        self._part = part
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = now
            self._progress((self._step + self._part) / self._steps)

    def stay(self, _part: float) -> None:
        """Work that counts for nothing was done, but somebody may want to cancel."""
        self.tick(self._part)

    def begin(self, step: int) -> None:
        """A step begins."""
        self._step, self._part = step, 0.0
