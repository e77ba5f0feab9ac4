"""Many compute results under one transaction: a Merkle tree whose root is the result hash on L1.

A leaf is the digest of a result's signed bytes with their signature. The transaction's own
`ComputeResult` names the validator that sends it (the L1 takes no other) and lists the workers
in its proof envelope, which the validator signs.
"""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from gpu.proofs.envelope import MAX_INLINE_BYTES, ProofEnvelope, ProofSystem
from node.verification.author import Author
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.evidence import Evidence
from node.verification.statements import ComputeResult, open_result, result_bytes, seal_result
from p2p.encoding import tagged, text, u64
from storage.merkle import merkle_root

MAX_BATCH = 500
"""Results under one transaction: their workers' addresses fit the inline payload."""


def leaf_of(result: ComputeResult, chain_id: str) -> bytes:
    """The digest of one result that is a leaf of the tree, 32 bytes."""
    signature = strict_hex(result.signature, "signature")
    return sha256(result_bytes(result, chain_id) + signature).digest()


def seal_batch(results: Sequence[ComputeResult], author: Author) -> ComputeResult:
    """The compute result that stands for all of `results` (1 to `MAX_BATCH`) on the L1."""
    root = merkle_root([leaf_of(result, author.chain_id) for result in results])
    batch = ComputeResult(
        task_id=batch_id(root),
        worker_address=author.address,
        result_hash=root.hex(),
        proof="",
        nonce=len(results),
    )
    workers = sorted({result.worker_address for result in results})
    payload = "\n".join(workers).encode()
    if len(payload) > MAX_INLINE_BYTES:
        raise ValueError(f"{len(workers)} workers do not fit one batch")
    statement = batch_statement(batch, author.chain_id)
    evidence = Evidence(ProofSystem.BATCH, payload=payload)
    return seal_result(batch, statement, evidence, author)


def check_batch(batch: ComputeResult, chain_id: str) -> ProofEnvelope:
    """Check a batch's form, binding and signature; raises StatementInvalid."""
    envelope = open_result(batch, chain_id)
    if envelope.system is not ProofSystem.BATCH:
        raise StatementInvalid("the transaction carries no batch", field="proof")
    if envelope.statement != batch_statement(batch, chain_id):
        raise StatementInvalid("the proof is about another batch", field="proof")
    if batch.task_id != batch_id(strict_hex(batch.result_hash, "result_hash")):
        raise StatementInvalid("the batch has another name", field="task_id")
    return envelope


def batch_id(root: bytes) -> str:
    """A UUID-shaped name for a batch, from its root."""
    return str(UUID(bytes=sha256(b"tmnode/batch" + root).digest()[:16]))


def batch_statement(batch: ComputeResult, chain_id: str) -> bytes:
    """Digest of what a batch's envelope is about."""
    fields = (text(batch.worker_address), text(batch.result_hash), u64(batch.nonce))
    return sha256(tagged("tmnode/batch", 1, chain_id, *fields)).digest()
