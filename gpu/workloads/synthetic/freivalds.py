"""The exact check of a chain at 32 / n of its cost (Freivalds 1977; chain241, section 3).

For a random matrix R of 16 columns, drawn after all iterates were fixed, each step must satisfy
X_{t+1} R = X_t (D_t (X_t R)) + u_t (v_t^T R). A chain with a wrong iterate passes with probability
at most T · 241^-16, about T · 2^-126.6. Neighbouring steps share X_t R.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from blake3 import blake3

from gpu.backend import Array, Backend
from gpu.workloads.base import Finding, JobContext
from gpu.workloads.synthetic.chain import StepInputs, Stream, first_iterate, step_inputs
from gpu.workloads.synthetic.key import chain_key, out_digest
from gpu.workloads.synthetic.parameters import SyntheticParameters

COLUMNS: Final = 16


class _Rejected(Exception):
    """A claim of the report is false; the message says which."""


class _NotOpened(_Rejected):
    """The iterates are not the committed ones."""


def check(
    job: JobContext,
    parameters: SyntheticParameters,
    seed: bytes,
    report_trace: Sequence[bytes],
    digest: bytes,
    output_sha256: bytes,
    iterates: Iterator[bytes],
    backend: Backend[Array],
) -> Finding:
    """Judge a report, see Workload.check. Holds two iterates; stops at the first false claim."""
    key = chain_key(job, parameters)
    try:
        last_sha256 = _check_steps(key, parameters, seed, report_trace, iterates, backend)
        _require(last_sha256 == output_sha256, "the output is not the last iterate")
        _require(
            out_digest(key, parameters, last_sha256) == digest, "the result digest is another one"
        )
    except _Rejected as claim:
        opened = not isinstance(claim, _NotOpened)
        return Finding(valid=False, reason=str(claim), opened=opened)
    return Finding(valid=True, reason="every step holds")


def check_units(parameters: SyntheticParameters) -> int:
    """Multiply-adds of a check: two products with 16 columns a step, and X_0 R."""
    return (2 * parameters.iterations + 1) * COLUMNS * parameters.matrix_size**2


def image(backend: Backend[Array], iterate: Array, probe: Array, size: int, width: int) -> Array:
    """X R, for an R of `width` columns."""
    result = backend.empty(size, width)
    backend.product(iterate, probe, result)
    return result


def step_holds(
    backend: Backend[Array],
    current: Array,
    current_image: Array,
    next_image: Array,
    inputs: StepInputs[Array],
    probe: Array,
    size: int,
    width: int,
) -> bool:
    """Whether X_{t+1} R is what X_t gives; `current_image` = X_t R is used up."""
    row_image, expected = backend.empty(1, width), backend.empty(size, width)
    backend.product(inputs.row, probe, row_image)
    backend.scale_rows(current_image, inputs.diagonal)
    backend.product(current, current_image, expected, column=inputs.column, row=row_image)
    return backend.equal(expected, next_image)


def _check_steps(
    key: bytes,
    parameters: SyntheticParameters,
    seed: bytes,
    trace: Sequence[bytes],
    iterates: Iterator[bytes],
    backend: Backend[Array],
) -> bytes:
    """SHA-256 of the last iterate. Raises _Rejected unless every step holds."""
    size, steps = parameters.matrix_size, parameters.iterations
    _require(len(trace) == steps, f"the trace has {len(trace)} digests for {steps} iterations")
    probe = backend.empty(size, COLUMNS)
    backend.expand(probe, seed, Stream.START, 0)
    current, data = first_iterate(backend, key, size), b""
    current_image = image(backend, current, probe, size, COLUMNS)
    for step in range(steps):
        data = next(iterates, b"")
        following = _admitted(backend, data, trace[step], step + 1, size)
        next_image = image(backend, following, probe, size, COLUMNS)
        inputs = step_inputs(backend, key, size, step)
        _require(
            step_holds(backend, current, current_image, next_image, inputs, probe, size, COLUMNS),
            f"iterate {step + 1} does not follow from iterate {step}",
        )
        current, current_image = following, next_image
    if next(iterates, None) is not None:
        raise _NotOpened(f"there are more than {steps} iterates")
    return hashlib.sha256(data).digest()


def _admitted(backend: Backend[Array], data: bytes, digest: bytes, number: int, size: int) -> Array:
    """An iterate that is the committed bytes and a matrix of residues. Raises _Rejected."""
    if blake3(data).digest() != digest:
        raise _NotOpened(f"iterate {number} is not what the trace commits to")
    _require(len(data) == size**2, f"iterate {number} has {len(data)} bytes instead of {size**2}")
    iterate = backend.upload(data, size, size)
    _require(backend.is_canonical(iterate), f"iterate {number} holds a byte over 240")
    return iterate


def _require(claim: bool, otherwise: str) -> None:
    if not claim:
        raise _Rejected(otherwise)
