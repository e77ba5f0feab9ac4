"""A proof that a transaction holds: what it is about, what verifying it costs, and its verdict.

Beside the six fields of its result stands `evidence`: `{"parameters": hex, "manifest": {…},
"output": hex}`. All of it is bound by the result's signature, so whoever shows it cannot choose.
"""

from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

from gpu.errors import GpuError
from gpu.proofs.envelope import (
    MAX_INLINE_BYTES,
    EnvelopeInvalid,
    PayloadKind,
    ProofEnvelope,
    ProofSystem,
    decode,
)
from gpu.proofs.statement import Bounds, Cost, Statement
from gpu.proofs.systems import SYSTEMS, verify
from gpu.workloads.base import Finding
from node.l1.errors import BadTransaction
from node.l1.transactions import GAS, Draft
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.jsonable import from_jsonable, to_jsonable
from node.verification.statements import ComputeResult, Manifest, check_claim

UNITS_PER_GAS: Final = 50
"""So that a full block of the devnet takes a verifier about half a second."""
MAX_OUTPUT_BYTES: Final = 32 * 1024
"""Of an output that a transaction holds: matrices up to 181 x 181."""
BOUNDS: Final = Bounds(MAX_INLINE_BYTES, MAX_OUTPUT_BYTES, max_units=1 << 30)

T = TypeVar("T", bound=msgspec.Struct)


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a proof is about besides its result."""

    parameters: bytes
    manifest: Manifest
    output: bytes


def proven_result(
    result: ComputeResult, manifest: Manifest, parameters: bytes, output: bytes, chain_id: str
) -> Draft:
    """The SUBMIT_RESULT of a worker whose proof a transaction holds; raises BadTransaction."""
    evidence = Evidence(parameters, manifest, output)
    gas = GAS["SUBMIT_RESULT"] + gas_of(cost_of(result, evidence, chain_id))
    payload = {**msgspec.structs.asdict(result), "evidence": to_jsonable(evidence)}
    return Draft(tx_type="SUBMIT_RESULT", payload=payload, gas=gas)


def gas_of(cost: Cost) -> int:
    """Of verifying a proof, beside everything else."""
    return -(-cost.units // UNITS_PER_GAS)


def cost_of(result: ComputeResult, evidence: Evidence, chain_id: str) -> Cost:
    """What verifying takes, if it is within the chain's bounds; else raises BadTransaction."""
    if len(evidence.output) > MAX_OUTPUT_BYTES:
        raise BadTransaction(f"evidence.output: more than {MAX_OUTPUT_BYTES} bytes")
    try:
        cost = SYSTEMS[ProofSystem.CHAIN241].cost(_statement(result, evidence, chain_id))
    except GpuError as error:
        raise BadTransaction(f"evidence: {error}") from error
    fits = cost.proof_bytes <= BOUNDS.max_proof_bytes and cost.units <= BOUNDS.max_units
    if not fits or cost.output_bytes > BOUNDS.max_output_bytes:
        raise BadTransaction("proof: too large for a transaction; it goes into a batch")
    return cost


def judge(
    result: ComputeResult, envelope: ProofEnvelope, evidence: Evidence, chain_id: str
) -> Finding:
    """Whether a signed result's own proof holds. `cost_of` has to have let it pass.

    Form, bindings and signatures first, which raise StatementInvalid; the proof is verified last.
    """
    manifest, output = evidence.manifest, evidence.output
    check_claim(result, manifest, manifest.kind, evidence.parameters, chain_id)
    if envelope.kind is not PayloadKind.INLINE:
        raise StatementInvalid("goes into a batch, by its digest", field="proof")
    if manifest.outputs[0].sha256 != sha256(output).digest():
        raise StatementInvalid("is not the manifest's", field="evidence.output")
    return verify(envelope, _statement(result, evidence, chain_id), output, bounds=BOUNDS)


def envelope_of(result: ComputeResult) -> ProofEnvelope:
    """The envelope in a result; raises BadTransaction."""
    try:
        return decode(strict_hex(result.proof, "proof"))
    except (EnvelopeInvalid, StatementInvalid) as error:
        raise BadTransaction(f"proof: {error}") from error


def read_strictly(value: object, kind: type[T], field: str) -> T:
    """A struct from JSON that is exactly what `to_jsonable` makes of it; raises BadTransaction."""
    try:
        found: T = from_jsonable(value, kind)
    except (msgspec.ValidationError, StatementInvalid) as error:
        raise BadTransaction(f"{field}: {error}") from error
    again: Any = to_jsonable(found)
    if again != value:
        raise BadTransaction(f"{field}: has fields that are not known here, or in another form")
    return found


def _statement(result: ComputeResult, evidence: Evidence, chain_id: str) -> Statement:
    return Statement(
        chain_id=chain_id,
        task_id=result.task_id,
        worker=result.worker_address,
        nonce=result.nonce,
        kind=evidence.manifest.kind,
        parameters=evidence.parameters,
        digest=evidence.manifest.digest,
    )
