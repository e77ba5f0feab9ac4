"""Running a chain and proving it: nothing is written but X_T and the proof.

The prover needs the iterates last to first; those that its memory does not hold are computed again.
"""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from gpu.backend import Array, Backend
from gpu.proofs.chain241.choice import best_arithmetic
from gpu.proofs.chain241.cost import proving_units, states_kept
from gpu.proofs.chain241.iterates import Iterates
from gpu.proofs.chain241.prover import prove
from gpu.workloads.base import JobContext, OutputFile, Progress, RunReport
from gpu.workloads.synthetic.chain import Tick, advance, first_iterate, no_tick, step_inputs
from gpu.workloads.synthetic.files import write_matrix
from gpu.workloads.synthetic.key import chain_key, out_digest
from gpu.workloads.synthetic.meter import Meter
from gpu.workloads.synthetic.parameters import SyntheticParameters, work_units

PROOF: Final = "proof"


def run(
    job: JobContext,
    parameters: SyntheticParameters,
    backend: Backend[Array],
    scratch: Path,
    progress: Progress,
) -> RunReport:
    """Compute the chain and its proof into `scratch`: `matrix` = X_T, and `proof`."""
    started = time.monotonic()
    key = chain_key(job, parameters)
    size, steps = parameters.matrix_size, parameters.iterations
    proving = proving_units(size, steps)
    meter = Meter(progress, work_units(parameters) + proving)
    iterates = iterates_of(
        key,
        size,
        steps,
        backend,
        states_kept(size, steps) * size**2,
        meter.tick,
        begin=lambda: meter.begin(size**3),
    )
    output = write_matrix(scratch, backend.download(iterates.run()), meter.stay)
    digest = out_digest(key, parameters, output.sha256)

    def iterate(step: int) -> Array:
        state = iterates(step)
        meter.begin(proving / steps)
        return state

    arithmetic = best_arithmetic()
    proof = prove(key, size, steps, digest, iterate, backend, arithmetic, meter.stay)
    (scratch / PROOF).write_bytes(proof)
    progress(1.0)
    return RunReport(
        outputs=(output,),
        trace=(),
        digest=digest,
        work_units=work_units(parameters),
        seconds=time.monotonic() - started,
        proof=OutputFile(PROOF, PROOF, len(proof), hashlib.sha256(proof).digest()),
    )


def iterates_of(
    key: bytes,
    size: int,
    steps: int,
    backend: Backend[Array],
    memory_bytes: int,
    tick: Tick = no_tick,
    begin: Callable[[], None] = lambda: None,
) -> Iterates[Array]:
    """A chain's iterates for `prove`, in at most `memory_bytes` of the backend's memory.

    `run()` computes the chain and returns X_T. `begin` is told before each step, also one that is
    taken again, and `tick` what part of it is done. Raises MemoryTooSmall.
    """

    def following(current: Array, step: int) -> Array:
        begin()
        result = backend.empty(size, size)
        inputs = step_inputs(backend, key, size, step)
        advance(backend, current, result, inputs, size, tick)
        return result

    start = partial(first_iterate, backend, key, size, tick)
    return Iterates(steps, memory_bytes // size**2, start, following)
