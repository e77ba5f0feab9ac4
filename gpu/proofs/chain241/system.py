"""The proof system `chain241`: a statement on a synthetic task, proven and verified."""

from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from gpu.backend import Array, Backend
from gpu.errors import GpuError, KernelsUnavailable, PayloadError
from gpu.proofs.chain241.arithmetic import Arithmetic
from gpu.proofs.chain241.integers import IntegerArithmetic
from gpu.proofs.chain241.iterates import Iterates
from gpu.proofs.chain241.native import NativeArithmetic
from gpu.proofs.chain241.specification import (
    TAG,
    proof_bytes,
    step_bytes,
    variables,
)
from gpu.proofs.chain241.verifier import Rejected, verify
from gpu.proofs.statement import Cost, Statement
from gpu.workloads.base import Finding, JobContext
from gpu.workloads.synthetic import parameters as synthetic
from gpu.workloads.synthetic.chain import Tick, advance, first_iterate, no_tick, step_inputs
from gpu.workloads.synthetic.key import chain_key

# So chosen that a unit takes about the same time, 0.1 to 0.25 ns, for every n and T.
_MATRIX_UNITS: Final = 48
_ROW_UNITS: Final = 2048
_PROOF_BYTE_UNITS: Final = 2048
_STEP_UNITS: Final = 1 << 19


class Chain(NamedTuple):
    """What a statement on a synthetic task determines."""

    key: bytes
    size: int
    iterations: int


class StatementUnsupported(GpuError):
    """A statement that no proof of this system can be about."""


class Chain241:
    """A System of `gpu.proofs.systems`.

    Without an arithmetic it takes the native one, or NumPy's integers where that is not built.
    """

    params_id: bytes = sha256(TAG).digest()

    def __init__(self, arithmetic: Arithmetic | None = None) -> None:
        self._arithmetic = arithmetic

    @property
    def arithmetic(self) -> Arithmetic:
        """What verifies here."""
        if self._arithmetic is None:
            self._arithmetic = best_arithmetic()
        return self._arithmetic

    def cost(self, statement: Statement) -> Cost:
        """48 n^2 for X_0 and X_T; a step 2^19, 2048 a row of a table, and 2048 a byte of proof.

        Raises StatementUnsupported.
        """
        chain = chain_of(statement)
        tables = _ROW_UNITS << variables(chain.size)
        step_units = _STEP_UNITS + tables + _PROOF_BYTE_UNITS * step_bytes(chain.size)
        return Cost(
            proof_bytes=proof_bytes(chain.size, chain.iterations),
            output_bytes=chain.size**2,
            units=_MATRIX_UNITS * chain.size**2 + step_units * chain.iterations,
        )

    def verify(self, statement: Statement, proof: bytes, output: bytes | memoryview) -> Finding:
        """Whether `output` is X_T of the statement's chain, and the statement's digest its own."""
        try:
            chain = chain_of(statement)
            verify(*chain, statement.digest, output, proof, self.arithmetic)
        except (Rejected, StatementUnsupported) as claim:
            return Finding(valid=False, reason=str(claim))
        return Finding(valid=True, reason="the whole chain is proven")


def chain_of(statement: Statement) -> Chain:
    """Key and size of the statement's chain. Raises StatementUnsupported."""
    if statement.kind != "synthetic":
        raise StatementUnsupported("only synthetic tasks have a chain")
    if len(statement.beacon) not in (0, 32):
        raise StatementUnsupported("a beacon has 32 bytes, or none")
    job = JobContext(statement.chain_id, statement.task_id, statement.worker, statement.nonce)
    try:
        parameters = synthetic.from_canonical(statement.parameters)
        key = chain_key(job, parameters, statement.beacon)
    except (PayloadError, OverflowError, UnicodeEncodeError) as error:
        raise StatementUnsupported(str(error)) from error
    return Chain(key, parameters.matrix_size, parameters.iterations)


def iterates_of(
    chain: Chain, backend: Backend[Array], memory_bytes: int, tick: Tick = no_tick
) -> Iterates[Array]:
    """The chain's iterates for `prove`, in at most `memory_bytes` of the backend's memory.

    `run()` computes the chain and returns X_T. Raises MemoryTooSmall.
    """
    key, size, steps = chain

    def following(current: Array, step: int) -> Array:
        result = backend.empty(size, size)
        inputs = step_inputs(backend, key, size, step)
        advance(backend, current, result, inputs, size, lambda part: tick((step + part) / steps))
        return result

    start = partial(first_iterate, backend, key, size)
    return Iterates(steps, memory_bytes // size**2, start, following)


def best_arithmetic() -> Arithmetic:
    """The native arithmetic where it is built, else NumPy's integers."""
    try:
        return NativeArithmetic()
    except KernelsUnavailable:
        return IntegerArithmetic()
