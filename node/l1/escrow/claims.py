"""What an escrow's validators sign, in its one canonical form, and their signatures.

A signature is Ed25519 over `p2p.encoding.tagged(tag, 1, chain id, escrow id, …)`, so that it is
good for one chain's escrows only that it names.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from node.l1.errors import BadPayload
from node.l1.escrow.forms import Approval, Award, Claim, Payee
from p2p.encoding import tagged, text, u64
from p2p.identity import Identity, verify


def escrow_id_of(chain_id: str, market: str, task_id: str) -> str:
    """The name of a task's escrow: hex of SHA-256 over chain, market and task.

    `market` is the L1 address that opens it, so that nobody else can use the name up.
    """
    fields = (text(market), text(task_id))
    return sha256(tagged("tmnode/escrow", 1, chain_id, *fields)).hexdigest()


def claim_bytes(claim: Claim) -> bytes:
    """The claim's canonical bytes: results, orchestrator, the numbers of workers and validators,
    then each one's address and weight, every field with its length in front."""
    payees = [part for one in (*claim.workers, *claim.validators) for part in _parts(one)]
    counts = (u64(len(claim.workers)), u64(len(claim.validators)))
    head = (bytes.fromhex(claim.results), text(claim.orchestrator))
    return tagged("tmnode/escrow-claim-body", 1, "", *head, *counts, *payees)


def claim_digest(claim: Claim) -> str:
    """Hex of SHA-256 of the canonical bytes: what the chain shows of a settled escrow's claim."""
    return sha256(claim_bytes(claim)).hexdigest()


def claims_message(chain_id: str, claims: Mapping[str, Claim]) -> bytes:
    """What is signed to settle some escrows, or one; the ids are hex."""
    pairs = sorted((name, claim_digest(claim)) for name, claim in claims.items())
    return settling_message(chain_id, pairs)


def settling_message(chain_id: str, pairs: Iterable[tuple[str, str]]) -> bytes:
    """The same from the claims' digests (hex), by strictly rising escrows."""
    fields = (bytes.fromhex(text) for pair in pairs for text in pair)
    return tagged("tmnode/escrow-claims", 1, chain_id, *fields)


def refund_message(chain_id: str, escrow_id: str) -> bytes:
    """What is signed to refund an escrow before its time."""
    return tagged("tmnode/escrow-refund", 1, chain_id, bytes.fromhex(escrow_id))


def award_bytes(award: Award) -> bytes:
    """The award's canonical bytes: outcome, the numbers of jurors, false results and culprits, then
    each of them, a culprit with its key, every field with its length in front."""
    counts = (u64(len(award.jurors)), u64(len(award.false)), u64(len(award.culprits)))
    pairs = zip(award.culprits, award.keys, strict=True)
    culprits = [part for one, key in pairs for part in (text(one), bytes.fromhex(key))]
    parts = (*map(text, award.jurors), *map(bytes.fromhex, award.false), *culprits)
    return tagged("tmnode/escrow-award-body", 1, "", text(award.outcome), *counts, *parts)


def award_digest(award: Award) -> str:
    """Hex of SHA-256 of the canonical bytes."""
    return sha256(award_bytes(award)).hexdigest()


def award_message(chain_id: str, escrow_id: str, award: Award) -> bytes:
    """What is signed to decide a dispute about an escrow; `escrow_id` is hex."""
    return tagged("tmnode/escrow-award", 1, chain_id, bytes.fromhex(escrow_id), award_bytes(award))


def sign_claim(identity: Identity, chain_id: str, escrow_id: str, claim: Claim) -> Approval:
    """A validator's signature to settle an escrow."""
    return sign_claims(identity, chain_id, {escrow_id: claim})


def sign_claims(identity: Identity, chain_id: str, claims: Mapping[str, Claim]) -> Approval:
    """A validator's signature to settle some escrows, all of them or none."""
    return _approved(identity, claims_message(chain_id, claims))


def sign_settling(identity: Identity, chain_id: str, pairs: Iterable[tuple[str, str]]) -> Approval:
    """The same, see `settling_message`."""
    return _approved(identity, settling_message(chain_id, pairs))


def sign_refund(identity: Identity, chain_id: str, escrow_id: str) -> Approval:
    """A validator's signature to refund."""
    return _approved(identity, refund_message(chain_id, escrow_id))


def sign_award(identity: Identity, chain_id: str, escrow_id: str, award: Award) -> Approval:
    """A validator's signature under what a jury came to."""
    return _approved(identity, award_message(chain_id, escrow_id, award))


def in_order(approvals: Iterable[Approval]) -> tuple[Approval, ...]:
    """One signature of each key, in the order in which a payload has them."""
    by_key = {one.public_key: one for one in approvals}
    return tuple(by_key[key] for key in sorted(by_key))


def check_approvals(message: bytes, approvals: Sequence[Approval]) -> None:
    """Raise BadPayload unless every signature is its key's over the message.

    Whose the keys are is for the caller to look at.
    """
    for index, one in enumerate(approvals):
        key, signature = bytes.fromhex(one.public_key), bytes.fromhex(one.signature)
        if not verify(key, message, signature):
            raise BadPayload(f"signatures[{index}].signature", "is not its key's over this")


def _approved(identity: Identity, message: bytes) -> Approval:
    signature = identity.sign(message).hex()
    return Approval(public_key=identity.public_key.hex(), signature=signature)


def _parts(payee: Payee) -> tuple[bytes, bytes]:
    return text(payee.address), u64(payee.weight)
