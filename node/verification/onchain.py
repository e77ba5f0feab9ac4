"""The `market` profile of the development chain: what its SUBMIT_RESULT has to be.

The existing chain looks at no signature and no proof in a result. Here both are checked before a
transaction is taken: a batch and an attestation by their signatures, a proof by verifying it, as
far as a transaction can hold it and its output. So whatever the chain has as proven, it verified.

A result that is proven brings `evidence` beside its six fields: `{"parameters": hex, "manifest":
{…}, "output": hex}`. Its gas is that of a SUBMIT_RESULT and one for each `UNITS_PER_GAS` units of
the proof's verification, known before anything is computed.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

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
from node.l1.errors import BadTransaction
from node.l1.transactions import GAS, Draft, Transaction, check_result
from node.verification.batches import check_batch
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.jsonable import from_jsonable, to_jsonable
from node.verification.statements import (
    ComputeResult,
    Manifest,
    check_claim,
    open_result,
)

UNITS_PER_GAS: Final = 50
"""So that a full block of the devnet takes a verifier about half a second."""
MAX_OUTPUT_BYTES: Final = 32 * 1024
"""Of an output that a transaction holds: matrices up to 181 x 181."""
BOUNDS: Final = Bounds(MAX_INLINE_BYTES, MAX_OUTPUT_BYTES, max_units=1 << 30)

_FIELDS: Final = tuple(ComputeResult.__struct_fields__)


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a proof is about besides its result."""

    parameters: bytes
    manifest: Manifest
    output: bytes


class MarketProfile:
    """A `Profile` of the development chain: strict about results."""

    name = "market"

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id

    def gas(self, tx: Transaction) -> int:
        """From the sizes alone; raises BadTransaction for what cannot be a result."""
        gas = GAS[tx.tx_type]
        if tx.tx_type != "SUBMIT_RESULT":
            return gas
        result = _result_of(tx.payload)
        envelope = _envelope_of(result)
        if envelope.system is not ProofSystem.CHAIN241:
            return gas
        cost = _cost_of(_statement(result, _evidence_of(tx.payload), self._chain_id))
        return gas + gas_of(cost)

    def check(self, tx: Transaction) -> None:
        """Raise BadTransaction unless signatures and proof of a result hold."""
        if tx.tx_type != "SUBMIT_RESULT":
            return
        check_result(tx)
        result = _result_of(tx.payload)
        try:
            self._check(result, _envelope_of(result), tx.payload)
        except StatementInvalid as error:
            raise BadTransaction(f"{error.field}: {error.message}") from error

    def _check(
        self, result: ComputeResult, envelope: ProofEnvelope, payload: Mapping[str, object]
    ) -> None:
        if envelope.system is ProofSystem.BATCH:
            check_batch(result, self._chain_id)
        elif envelope.system is ProofSystem.ATTESTED:
            open_result(result, self._chain_id)
        else:
            self._check_proof(result, envelope, _evidence_of(payload))

    def _check_proof(
        self, result: ComputeResult, envelope: ProofEnvelope, evidence: Evidence
    ) -> None:
        """Form and signatures first; the proof is verified last."""
        manifest, output = evidence.manifest, evidence.output
        kind = manifest.kind
        check_claim(result, manifest, kind, evidence.parameters, self._chain_id)
        if envelope.kind is not PayloadKind.INLINE:
            raise StatementInvalid("goes into a batch, by its digest", field="proof")
        if manifest.outputs[0].sha256 != sha256(output).digest():
            raise StatementInvalid("is not the manifest's", field="evidence.output")
        statement = _statement(result, evidence, self._chain_id)
        finding = verify(envelope, statement, output, bounds=BOUNDS)
        if not finding.valid:
            raise StatementInvalid(finding.reason, field="proof")


def gas_of(cost: Cost) -> int:
    """Of verifying, beside the transaction's own gas."""
    return -(-cost.units // UNITS_PER_GAS)


def proven_result(
    result: ComputeResult, manifest: Manifest, parameters: bytes, output: bytes, chain_id: str
) -> Draft:
    """The SUBMIT_RESULT of a worker whose proof a transaction holds; raises BadTransaction."""
    evidence = Evidence(parameters, manifest, output)
    cost = _cost_of(_statement(result, evidence, chain_id))
    payload = {**msgspec.structs.asdict(result), "evidence": to_jsonable(evidence)}
    gas = GAS["SUBMIT_RESULT"] + gas_of(cost)
    return Draft(tx_type="SUBMIT_RESULT", payload=payload, gas=gas)


def _result_of(payload: Mapping[str, object]) -> ComputeResult:
    """The six fields, with their proper types and nothing read into them."""
    try:
        fields = {name: payload[name] for name in _FIELDS}
        return msgspec.convert(fields, ComputeResult)
    except (KeyError, msgspec.ValidationError) as error:
        raise BadTransaction(f"no ComputeResult: {error}") from error


def _envelope_of(result: ComputeResult) -> ProofEnvelope:
    try:
        return decode(strict_hex(result.proof, "proof"))
    except (EnvelopeInvalid, StatementInvalid) as error:
        raise BadTransaction(f"proof: {error}") from error


def _evidence_of(payload: Mapping[str, object]) -> Evidence:
    try:
        evidence = from_jsonable(payload.get("evidence"), Evidence)
    except (msgspec.ValidationError, StatementInvalid) as error:
        raise BadTransaction(f"evidence: {error}") from error
    if len(evidence.output) > MAX_OUTPUT_BYTES:
        raise BadTransaction(f"evidence.output: more than {MAX_OUTPUT_BYTES} bytes")
    return evidence


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


def _cost_of(statement: Statement) -> Cost:
    """What verifying takes, if it is within the chain's bounds; else raises BadTransaction."""
    try:
        cost = SYSTEMS[ProofSystem.CHAIN241].cost(statement)
    except GpuError as error:
        raise BadTransaction(f"evidence: {error}") from error
    fits = cost.proof_bytes <= BOUNDS.max_proof_bytes and cost.units <= BOUNDS.max_units
    if not fits or cost.output_bytes > BOUNDS.max_output_bytes:
        raise BadTransaction("proof: too large for a transaction; it goes into a batch")
    return cost
