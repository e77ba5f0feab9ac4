"""When a worker or validator wants to be paid, told to a market by its node."""

from typing import ClassVar

from node.amounts import Amount
from node.verification.claims import Count
from p2p.encoding import tagged, text, u64
from p2p.identity import Identity, verify
from p2p.messages import Message, register

TAG = "tmnode/payout-threshold"


@register
class SetThreshold(Message, frozen=True):
    """Pay the sender's account at this sum, in units of 10^-18 CPC; 0 for the network's rule."""

    TYPE_ID: ClassVar[int] = 60
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 512

    threshold: Amount
    asked_ms: Count
    """A wish that was made later counts."""
    signature: bytes
    """By the sender's Ed25519 key, over chain, market, threshold and time."""


def signed_threshold(
    identity: Identity, chain_id: str, market: str, threshold: Amount, asked_ms: int
) -> SetThreshold:
    """A wish to the market with this peer id."""
    signature = identity.sign(_signed(chain_id, market, threshold, asked_ms))
    return SetThreshold(threshold, asked_ms, signature)


def is_signed(wish: SetThreshold, public_key: bytes, chain_id: str, market: str) -> bool:
    """Whether the wish is by this key, and to this market."""
    signed = _signed(chain_id, market, wish.threshold, wish.asked_ms)
    return verify(public_key, signed, wish.signature)


def _signed(chain_id: str, market: str, threshold: Amount, asked_ms: int) -> bytes:
    return tagged(TAG, 1, chain_id, text(market), text(threshold.to_wire()), u64(asked_ms))
