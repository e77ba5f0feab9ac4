"""The proof systems that a verifier knows, and the one way into them: `verify`.

What is not listed here is no proof. Attestations (`ProofSystem.ATTESTED`, `BATCH`) are not listed:
they say who vouches for a result.
"""

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Protocol

from gpu.errors import GpuError
from gpu.proofs.chain241.system import Chain241
from gpu.proofs.envelope import MAX_INLINE_BYTES, PayloadKind, ProofEnvelope, ProofSystem
from gpu.proofs.statement import Bounds, Cost, Statement
from gpu.workloads.base import Finding


class System(Protocol):
    """A proof system."""

    params_id: bytes
    """32 bytes that name its parameters; proofs under others are refused."""

    def cost(self, statement: Statement) -> Cost:
        """What verifying takes. Raises GpuError for a statement it cannot be about."""

    def verify(self, statement: Statement, proof: bytes, output: bytes | memoryview) -> Finding:
        """Whether the proof shows that `output` is the statement's result."""


DEFAULT_BOUNDS = Bounds()

SYSTEMS: Mapping[ProofSystem, System] = MappingProxyType({ProofSystem.CHAIN241: Chain241()})


def payload_of(proof: bytes) -> tuple[PayloadKind, bytes]:
    """How an envelope carries a proof: itself while it is small, else by its SHA-256."""
    if len(proof) <= MAX_INLINE_BYTES:
        return PayloadKind.INLINE, proof
    return PayloadKind.DIGEST, sha256(proof).digest()


def verify(
    envelope: ProofEnvelope,
    statement: Statement,
    output: bytes | memoryview,
    *,
    artifact: bytes = b"",
    bounds: Bounds = DEFAULT_BOUNDS,
    systems: Mapping[ProofSystem, System] = SYSTEMS,
) -> Finding:
    """Judge the proof of an envelope. Nothing that strangers make raises; a broken machine does.

    `artifact` is the proof where the envelope carries its digest. That the envelope is about this
    statement and signed by its worker is for the caller to check.
    """
    system = systems.get(envelope.system)
    if system is None:
        return _invalid("the envelope carries no proof of a known system")
    if envelope.params_id != system.params_id:
        return _invalid("the proof is under other parameters")
    try:
        cost = system.cost(statement)
    except GpuError as error:
        return _invalid(str(error))
    proof = envelope.payload if envelope.kind is PayloadKind.INLINE else artifact
    refusal = _refusal(cost, bounds, proof, output) or _unbound(envelope, proof)
    if refusal:
        return _invalid(refusal)
    return system.verify(statement, proof, output)


def _refusal(cost: Cost, bounds: Bounds, proof: bytes, output: bytes | memoryview) -> str:
    """Why nothing is computed, from sizes alone."""
    if cost.proof_bytes > bounds.max_proof_bytes or cost.output_bytes > bounds.max_output_bytes:
        return "the statement is too large for this verifier"
    if cost.units > bounds.max_units:
        return f"verifying takes {cost.units} units, this verifier spends {bounds.max_units}"
    if len(proof) != cost.proof_bytes:
        return f"the proof has {len(proof)} bytes, not {cost.proof_bytes}"
    if len(output) != cost.output_bytes:
        return f"the result has {len(output)} bytes, not {cost.output_bytes}"
    return ""


def _unbound(envelope: ProofEnvelope, proof: bytes) -> str:
    if envelope.kind is PayloadKind.DIGEST and sha256(proof).digest() != envelope.payload:
        return "the proof is not the one that the envelope names"
    return ""


def _invalid(reason: str) -> Finding:
    return Finding(valid=False, reason=reason)
