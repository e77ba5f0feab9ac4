"""What the market's transactions cost: gas of the type, of the payload's bytes, of what is in it.

A gas is about 10 ns of a verifier's time, as for the proofs of results, so that a full block of
the devnet takes half a second at most.
"""

from collections.abc import Mapping

from node.l1.canonical import canonical_payload
from node.l1.errors import BadPayload
from node.l1.escrow.forms import Awarding, Bonding, Refund
from node.l1.escrow.payloads import Payload
from node.l1.escrow.rows import Openings, Settlement

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
GAS_PER_BYTE = 16
"""Of the payload's canonical JSON, which every node reads, and keeps for ever."""
GAS_PER_SIGNATURE = 10_000
"""Of one signature that is verified, beside the transaction's own."""
GAS_PER_ADDRESS = 2_000
"""Of one address in a list: checking it."""
GAS_PER_ESCROW = 1_000
"""Of one escrow that is opened, or settled."""
GAS_PER_SHARE = 250
"""Of one payee in a claim: its part of the reward."""

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


def gas_of(tx_type: str, length: int, parts: int) -> int:
    """The gas of a type, a payload of so many bytes, and so much (`gas_of_parts`) for its parts.

    A SLASH for a false proof pays for the proof's verification besides.
    """
    return BASE_GAS[tx_type] + GAS_PER_BYTE * length + parts


def gas_of_parts(payload: Payload) -> int:
    """The gas of signatures, addresses and escrows in a payload, but for a SLASH's evidence."""
    return (
        GAS_PER_SIGNATURE * _signatures_in(payload)
        + GAS_PER_ADDRESS * _addresses_in(payload)
        + GAS_PER_ESCROW * _escrows_in(payload)
        + GAS_PER_SHARE * _shares_in(payload)
    )


def _signatures_in(payload: Payload) -> int:
    if isinstance(payload, Settlement | Refund):
        return len(payload.signatures)
    if isinstance(payload, Awarding):
        return len(payload.signatures) + len(payload.acts)
    return 2 if isinstance(payload, Bonding) else 0


def _addresses_in(payload: Payload) -> int:
    if isinstance(payload, Openings):
        return len(payload.validators) + len(payload.customers)
    if isinstance(payload, Awarding):
        return len(payload.award.jurors) + len(payload.award.culprits)
    return len(payload.payees) if isinstance(payload, Settlement) else 0


def _escrows_in(payload: Payload) -> int:
    if isinstance(payload, Openings):
        return len(payload.tasks)
    return len(payload.claims) if isinstance(payload, Settlement) else 0


def _shares_in(payload: Payload) -> int:
    if not isinstance(payload, Settlement):
        return 0
    return sum(len(one.workers) + len(one.validators) for one in payload.claims)
