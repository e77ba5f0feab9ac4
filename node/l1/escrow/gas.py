"""What the market's transactions cost: gas of the type, of the payload's bytes, of signatures.

A gas is about 10 ns of a verifier's time, as for the proofs of results, so that a full block of
the devnet takes half a second at most.
"""

from collections.abc import Mapping

from node.l1.canonical import canonical_payload
from node.l1.errors import BadPayload
from node.l1.escrow.forms import Awarding, Bonding, Payload, Refund, Settlement

BASE_GAS: Mapping[str, int] = {
    "DEPOSIT": 30_000,
    "WITHDRAW": 30_000,
    "ESCROW_OPEN": 60_000,
    "ESCROW_SETTLE": 60_000,
    "ESCROW_REFUND": 40_000,
    "ESCROW_APPEAL": 40_000,
    "ESCROW_RULE": 60_000,
    "BOND": 40_000,
    "UNBOND": 30_000,
    "SLASH": 60_000,
}
"""Gas of each type."""
GAS_PER_BYTE = 64
"""Of the payload's canonical JSON: reading it, and checking the addresses in it."""
GAS_PER_SIGNATURE = 10_000
"""Of one signature that is verified, beside the transaction's own."""

TYPES = frozenset(BASE_GAS)

MAX_PAYLOAD_BYTES = 64 * 1024
"""Of the payload's canonical JSON."""
MAX_EVIDENCE_BYTES = 256 * 1024
"""The same where it holds evidence: a proof and an output, each up to 32 KiB, in hex; or acts."""
_WITH_EVIDENCE = ("SLASH", "ESCROW_RULE")


def payload_bytes(tx_type: str, payload: Mapping[str, object]) -> int:
    """The length of its canonical JSON; raises BadPayload if it is too long."""
    length = len(canonical_payload(payload))
    bound = MAX_EVIDENCE_BYTES if tx_type in _WITH_EVIDENCE else MAX_PAYLOAD_BYTES
    if length > bound:
        raise BadPayload("payload", f"has {length} bytes, {bound} at most")
    return length


def gas_of(tx_type: str, length: int, signatures: int) -> int:
    """The gas of a type, a payload of so many bytes, and so many signatures to verify.

    A SLASH for a false proof pays for the proof's verification besides.
    """
    return BASE_GAS[tx_type] + GAS_PER_BYTE * length + GAS_PER_SIGNATURE * signatures


def signatures_in(payload: Payload) -> int:
    """How many signatures are verified, but for those of a SLASH's evidence."""
    if isinstance(payload, Settlement | Refund):
        return len(payload.signatures)
    if isinstance(payload, Awarding):
        return len(payload.signatures) + len(payload.acts)
    return 2 if isinstance(payload, Bonding) else 0
