"""What a result has in its proof field, by the size of its work: an attestation or a proof.

Sizes and names alone are looked at here, before anything is computed; `proofs` verifies.
"""

from typing import NamedTuple

import msgspec

from gpu.errors import PayloadError
from gpu.proofs.envelope import MAX_INLINE_BYTES, PayloadKind, ProofEnvelope, ProofSystem
from gpu.proofs.systems import SYSTEMS, payload_of
from node.verification.claims import StatementInvalid
from node.workloads import TaskSize, size_of


class ProofRef(msgspec.Struct, frozen=True):
    """A proof that its envelope has by digest: an artifact."""

    sha256: bytes
    size: int


class Evidence(NamedTuple):
    """What an envelope says of its system and carries for it."""

    system: ProofSystem = ProofSystem.ATTESTED
    params_id: bytes = bytes(32)
    kind: PayloadKind = PayloadKind.INLINE
    payload: bytes = b""


ATTESTED = Evidence()
"""Nothing by itself: validators vouch for the result."""


def work_of(kind: str, parameters: bytes) -> TaskSize:
    """The size of a draw's work; raises StatementInvalid if it is not known here."""
    try:
        return size_of(kind, parameters)
    except (KeyError, PayloadError) as error:
        raise StatementInvalid("are of no work known here", field="draw.parameters") from error


def evidence_of(work: TaskSize, proof: bytes) -> Evidence:
    """What the envelope of a result of this work has; `proof` is empty where none is needed."""
    if work.proof_system is None:
        return ATTESTED
    kind, payload = payload_of(proof)
    return Evidence(work.proof_system, SYSTEMS[work.proof_system].params_id, kind, payload)


def check_envelope(envelope: ProofEnvelope, work: TaskSize) -> None:
    """Raise StatementInvalid unless it has what this work needs, in its one form."""
    if work.proof_system is None:
        if envelope.system is not ProofSystem.ATTESTED or envelope.payload:
            raise StatementInvalid("a result that is opened has no proof", field="proof")
        return
    if envelope.system is not work.proof_system:
        raise StatementInvalid("the result of this work has to be proven", field="proof")
    if envelope.params_id != SYSTEMS[envelope.system].params_id:
        raise StatementInvalid("the proof is under other parameters", field="proof")
    fits = work.proof_bytes <= MAX_INLINE_BYTES
    if envelope.kind is not (PayloadKind.INLINE if fits else PayloadKind.DIGEST):
        raise StatementInvalid("the proof is not where its size belongs", field="proof")
    if fits and len(envelope.payload) != work.proof_bytes:
        raise StatementInvalid("the proof has another length", field="proof")


def proof_ref(envelope: ProofEnvelope, work: TaskSize) -> ProofRef | None:
    """The artifact that a checked envelope names, if it names one."""
    if envelope.kind is PayloadKind.INLINE:
        return None
    return ProofRef(envelope.payload, work.proof_bytes)
