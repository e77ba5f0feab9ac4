"""The signed claims about one attempt, and the exact bytes that are signed.

A `ComputeResult` is the worker's: what it computed, fixed before it knows what will be asked. A
`Verdict` is a validator's: what it found. The market's claims are in `snapshots` and `draws`. Every
signature is over `p2p.encoding.tagged(domain, version, chain id, fields)`.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from gpu.proofs.envelope import EnvelopeInvalid, ProofEnvelope, decode, encode
from node.keys import BindingInvalid, KeyBinding, verify_binding
from node.verification.author import Author
from node.verification.claims import DIGEST_BYTES, Count, StatementInvalid, strict_hex
from node.verification.draws import Draw, Seat, seat_of
from node.verification.evidence import Evidence, check_envelope, work_of
from node.workloads import TaskSize
from p2p.encoding import tagged, text, u64
from p2p.identity import Identity, verify
from storage.merkle import merkle_root

NO_STEPS = merkle_root(())
"""The trace root of a result that is proven: nothing is to be opened."""

Finding = Literal["valid", "invalid", "withheld", "inconclusive"]

_OUTPUT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class OutputRef(msgspec.Struct, frozen=True):
    """One named output and the digests that fix its bytes."""

    name: str
    sha256: bytes
    size: Count
    chunk_root: bytes


class Manifest(msgspec.Struct, frozen=True):
    """Everything a result consists of; its digest is the result hash."""

    kind: str
    parameters: bytes
    """SHA-256 of the draw's parameters."""
    outputs: tuple[OutputRef, ...]
    trace_root: bytes
    """Merkle root over the digests of the committed steps."""
    digest: bytes
    """The workload's own digest of the result."""


class ComputeResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The six fields that the L1 knows; hex is lower case without prefix."""

    task_id: str
    worker_address: str
    result_hash: str
    proof: str
    nonce: Count
    signature: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What one validator found about one attempt."""

    task_id: str
    epoch: Count
    redraw: Count
    """Of the draw under which it was asked for."""
    nonce: Count
    worker_address: str
    result_hash: bytes
    finding: Finding
    seed: bytes
    validator_key: bytes
    signature: bytes = b""


class Judgement(msgspec.Struct, frozen=True):
    """An attempt that came to a result, and what the validators of its draw found."""

    draw: Draw
    result: ComputeResult
    manifest: Manifest
    verdicts: tuple[Verdict, ...]


def manifest_digest(manifest: Manifest, chain_id: str) -> bytes:
    """The result hash, 32 bytes."""
    outputs = [
        part
        for output in manifest.outputs
        for part in (text(output.name), output.sha256, u64(output.size), output.chunk_root)
    ]
    fields = (text(manifest.kind), manifest.parameters, manifest.trace_root, manifest.digest)
    return sha256(
        tagged("tmnode/manifest", 1, chain_id, *fields, u64(len(manifest.outputs)), *outputs)
    ).digest()


def result_statement(result: ComputeResult, manifest: Manifest, chain_id: str) -> bytes:
    """Digest of what the proof envelope is about: all but the proof itself."""
    return sha256(
        tagged(
            "tmnode/statement",
            1,
            chain_id,
            text(result.task_id),
            text(result.worker_address),
            text(manifest.kind),
            manifest.parameters,
            text(result.result_hash),
            u64(result.nonce),
        )
    ).digest()


def result_bytes(result: ComputeResult, chain_id: str) -> bytes:
    """What the worker signs, and what is hashed into a batch: all but the signature."""
    return tagged(
        "tmnode/compute-result",
        1,
        chain_id,
        text(result.task_id),
        text(result.worker_address),
        text(result.result_hash),
        text(result.proof),
        u64(result.nonce),
    )


def seal_result(
    result: ComputeResult, statement: bytes, evidence: Evidence, author: Author
) -> ComputeResult:
    """Add the proof envelope and the Ed25519 signature of its author."""
    binding = author.binding
    envelope = ProofEnvelope(
        system=evidence.system,
        statement=statement,
        worker_key=binding.ed25519_public,
        key_signature=binding.ed25519_signature,
        account_signature=binding.account_signature,
        account_key=binding.account_public,
        params_id=evidence.params_id,
        kind=evidence.kind,
        payload=evidence.payload,
    )
    proven = msgspec.structs.replace(result, proof=encode(envelope).hex())
    signature = author.identity.sign(result_bytes(proven, author.chain_id))
    return msgspec.structs.replace(proven, signature=signature.hex())


def open_result(result: ComputeResult, chain_id: str) -> ProofEnvelope:
    """Check form, binding and signature of a compute result; raises StatementInvalid."""
    try:
        envelope = decode(strict_hex(result.proof, "proof"))
        address = verify_binding(_binding_of(envelope), chain_id)
    except (EnvelopeInvalid, BindingInvalid) as error:
        raise StatementInvalid(str(error), field="proof") from error
    if address != result.worker_address:
        raise StatementInvalid("the proof names another worker", field="worker_address")
    signature = strict_hex(result.signature, "signature")
    if not verify(envelope.worker_key, result_bytes(result, chain_id), signature):
        raise StatementInvalid("the worker did not sign this result", field="signature")
    return envelope


def worker_key_of(result: ComputeResult) -> bytes:
    """The key that a compute result says it is signed with; EnvelopeInvalid or StatementInvalid if
    it has none, which is never so of one that was checked."""
    return decode(strict_hex(result.proof, "proof")).worker_key


def check_result(result: ComputeResult, manifest: Manifest, draw: Draw, chain_id: str) -> bytes:
    """Check a worker's result against its manifest and draw; returns the worker's key.

    Of a proof only the form is checked. Raises StatementInvalid naming the field.
    """
    if result.task_id != draw.task_id:
        raise StatementInvalid("the result is for another task", field="task_id")
    return check_claim(result, manifest, draw.kind, draw.parameters, chain_id)


def check_claim(
    result: ComputeResult, manifest: Manifest, kind: str, parameters: bytes, chain_id: str
) -> bytes:
    """The same where no draw is at hand: this worker signed that result of this work."""
    envelope = open_result(result, chain_id)
    _check_manifest(manifest)
    if (manifest.kind, manifest.parameters) != (kind, sha256(parameters).digest()):
        raise StatementInvalid("the manifest is for other parameters", field="manifest.parameters")
    if result.result_hash != manifest_digest(manifest, chain_id).hex():
        raise StatementInvalid("the manifest has another digest", field="result_hash")
    if envelope.statement != result_statement(result, manifest, chain_id):
        raise StatementInvalid("the proof is about another statement", field="proof")
    work = work_of(kind, parameters)
    check_envelope(envelope, work)
    if work.proof_system is not None:
        _check_proven(manifest, work)
    return envelope.worker_key


def _check_proven(manifest: Manifest, work: TaskSize) -> None:
    """A proof is about one output of a known size, and stands in for all steps."""
    if [output.size for output in manifest.outputs] != [work.output_bytes]:
        raise StatementInvalid("are not the one that is proven", field="manifest.outputs")
    if manifest.trace_root != NO_STEPS:
        raise StatementInvalid("a proven result commits to no steps", field="manifest.trace_root")


def _check_manifest(manifest: Manifest) -> None:
    """Names that are safe in paths and headers, each once, and digests that are digests."""
    names = [output.name for output in manifest.outputs]
    if len(set(names)) != len(names) or not all(map(_OUTPUT_NAME.fullmatch, names)):
        raise StatementInvalid("outputs need distinct plain names", field="manifest.outputs")
    digests = [manifest.trace_root, manifest.digest]
    for output in manifest.outputs:
        digests += [output.sha256, output.chunk_root]
    if any(len(digest) != DIGEST_BYTES for digest in digests):
        raise StatementInvalid("a digest has 32 bytes", field="manifest")


def verdict_bytes(verdict: Verdict, chain_id: str) -> bytes:
    """What a validator signs."""
    return tagged(
        "tmnode/verdict",
        2,
        chain_id,
        text(verdict.task_id),
        u64(verdict.epoch),
        u64(verdict.redraw),
        u64(verdict.nonce),
        text(verdict.worker_address),
        verdict.result_hash,
        text(verdict.finding),
        verdict.seed,
        verdict.validator_key,
    )


def sign_verdict(verdict: Verdict, chain_id: str, validator: Identity) -> Verdict:
    """The verdict with its validator's signature."""
    unsigned = msgspec.structs.replace(verdict, validator_key=validator.public_key)
    return msgspec.structs.replace(
        unsigned, signature=validator.sign(verdict_bytes(unsigned, chain_id))
    )


def check_verdict(verdict: Verdict, draw: Draw, result: ComputeResult, chain_id: str) -> None:
    """Raise StatementInvalid unless a drawn validator signed this about this attempt."""
    if verdict.validator_key not in {seat.key for seat in draw.seats}:
        raise StatementInvalid("the validator was not drawn for this task", field="validator_key")
    about = (verdict.task_id, verdict.nonce, verdict.worker_address)
    if about != (draw.task_id, result.nonce, result.worker_address):
        raise StatementInvalid("the verdict is about another attempt", field="verdict")
    if (verdict.epoch, verdict.redraw) != (draw.epoch, draw.redraw):
        raise StatementInvalid("the verdict was asked for under another draw", field="verdict")
    if verdict.result_hash.hex() != result.result_hash:
        raise StatementInvalid("the verdict is about another result", field="result_hash")
    if not verify(verdict.validator_key, verdict_bytes(verdict, chain_id), verdict.signature):
        raise StatementInvalid("the validator did not sign this verdict", field="signature")


def addresses_of(draw: Draw, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Addresses of the validators behind the verdicts, in their order."""
    return tuple(seat_of(draw, verdict.validator_key).address for verdict in verdicts)


def found_valid(draw: Draw, verdicts: Iterable[Verdict]) -> tuple[Seat, ...]:
    """Whoever of a draw signed that the result is valid."""
    return tuple(seat_of(draw, one.validator_key) for one in verdicts if one.finding == "valid")


def signers_of(judgement: Judgement) -> tuple[Seat, ...]:
    """Whoever found the result valid."""
    return found_valid(judgement.draw, judgement.verdicts)


def _binding_of(envelope: ProofEnvelope) -> KeyBinding:
    return KeyBinding(
        ed25519_public=envelope.worker_key,
        account_public=envelope.account_key,
        ed25519_signature=envelope.key_signature,
        account_signature=envelope.account_signature,
    )
