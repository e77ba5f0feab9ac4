"""The proof system `chain241`: a statement on a synthetic task, proven and verified."""

from hashlib import sha256
from typing import NamedTuple

from gpu.errors import GpuError, PayloadError
from gpu.proofs.chain241.arithmetic import Arithmetic
from gpu.proofs.chain241.choice import best_arithmetic
from gpu.proofs.chain241.cost import verifying
from gpu.proofs.chain241.specification import TAG
from gpu.proofs.chain241.verifier import Rejected, verify
from gpu.proofs.statement import Cost, Statement
from gpu.workloads.base import Finding, JobContext
from gpu.workloads.synthetic import parameters as synthetic
from gpu.workloads.synthetic.key import chain_key


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
        """See `cost.verifying`. Raises StatementUnsupported."""
        chain = chain_of(statement)
        return verifying(chain.size, chain.iterations)

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
