"""The validators that a market draws from: signed, published, and ranked so that nobody chooses.

A market publishes a snapshot of its candidates whenever they change and names its digest in every
draw, so that anybody computes the same draw. Seats go by weighted rendezvous hashing: each
candidate's cost is the logarithm of a hash of task, epoch and its key, divided by its weight, and
the lowest costs win; a candidate that comes or goes moves only its own seats. (Thaler and
Ravishankar, 1998; the weights after Schindelhauer and Schomaker, 2005.)
"""

from collections.abc import Collection
from hashlib import sha256
from typing import Annotated

import msgspec

from node.verification.claims import DIGEST_BYTES, Count, StatementInvalid
from p2p.encoding import tagged, text, u64
from p2p.identity import PUBLIC_KEY_BYTES, Identity, verify

MAX_CANDIDATES = 512
MAX_KINDS = 16
LOG_BITS = 40
"""Binary places of the logarithm: the chances are right to one part in 10^12."""
_HASH_BITS = 256
_MANTISSA_BITS = 64


class Candidate(msgspec.Struct, frozen=True):
    """A validator that could take a seat."""

    key: bytes
    """Ed25519 public key, 32 bytes."""
    address: str
    """L1 account that is paid for its checks."""
    weight: Annotated[int, msgspec.Meta(ge=1, le=2**32)]
    kinds: tuple[str, ...]
    """Kinds of work that it checks."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everybody that a market could draw at one time, by rising keys."""

    number: Count
    """Rises with each snapshot of this market."""
    previous: bytes
    """Digest of the one before, or 32 zero bytes."""
    taken_ms: Count
    candidates: tuple[Candidate, ...]
    market_key: bytes
    signature: bytes = b""


def snapshot_bytes(snapshot: Snapshot, chain_id: str) -> bytes:
    """What the market signs."""
    parts: list[bytes] = []
    for one in snapshot.candidates:
        parts += (one.key, text(one.address), u64(one.weight), u64(len(one.kinds)))
        parts += map(text, one.kinds)
    head = (u64(snapshot.number), snapshot.previous, u64(snapshot.taken_ms), snapshot.market_key)
    return tagged("tmnode/snapshot", 1, chain_id, *head, u64(len(snapshot.candidates)), *parts)


def snapshot_digest(snapshot: Snapshot, chain_id: str) -> bytes:
    """What a draw names it by, 32 bytes."""
    return sha256(snapshot_bytes(snapshot, chain_id)).digest()


def sign_snapshot(snapshot: Snapshot, chain_id: str, market: Identity) -> Snapshot:
    """The snapshot with the market's signature."""
    unsigned = msgspec.structs.replace(snapshot, market_key=market.public_key)
    signature = market.sign(snapshot_bytes(unsigned, chain_id))
    return msgspec.structs.replace(unsigned, signature=signature)


def check_snapshot(snapshot: Snapshot, chain_id: str) -> None:
    """Raise StatementInvalid unless its market signed a sound snapshot."""
    keys = [one.key for one in snapshot.candidates]
    if len(keys) > MAX_CANDIDATES or keys != sorted(set(keys)):
        raise StatementInvalid("candidates are too many, or not by rising keys", field="candidates")
    if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
        raise StatementInvalid("a candidate's key has 32 bytes", field="candidates")
    if any(len(one.kinds) > MAX_KINDS for one in snapshot.candidates):
        raise StatementInvalid("a candidate checks too many kinds", field="candidates")
    if len(snapshot.previous) != DIGEST_BYTES:
        raise StatementInvalid("a digest has 32 bytes", field="previous")
    signed = snapshot_bytes(snapshot, chain_id)
    if not verify(snapshot.market_key, signed, snapshot.signature):
        raise StatementInvalid("the market did not sign this snapshot", field="snapshot.signature")


def draw_from(
    snapshot: Snapshot,
    *,
    task_id: str,
    epoch: int,
    kind: str,
    size: int,
    passed: Collection[bytes] = (),
) -> tuple[Candidate, ...]:
    """The `size` best ranked candidates for a kind of work, without those passed over (keys)."""
    able = [one for one in snapshot.candidates if kind in one.kinds and one.key not in passed]
    return tuple(sorted(able, key=lambda one: _rank(one, task_id, epoch))[:size])


def _rank(one: Candidate, task_id: str, epoch: int) -> tuple[int, int]:
    """Lower is better; equal weights rank by the hash alone, the highest first."""
    fields = (text(task_id), u64(epoch), one.key)
    digest = int.from_bytes(sha256(tagged("tmnode/draw-score", 1, "", *fields)).digest(), "big")
    return (_cost(digest) << LOG_BITS) // one.weight, -digest


def _cost(digest: int) -> int:
    """-log2(digest / 2^256) in units of 2^-`LOG_BITS`, by repeated squaring of integers.

    Exact arithmetic, so that every machine ranks alike.
    """
    digest = max(digest, 1)
    exponent = digest.bit_length() - 1
    mantissa = (digest << _MANTISSA_BITS) >> exponent
    fraction = 0
    for _ in range(LOG_BITS):
        mantissa = mantissa * mantissa >> _MANTISSA_BITS
        bit = mantissa >> (_MANTISSA_BITS + 1)
        fraction = fraction << 1 | bit
        mantissa >>= bit
    return (_HASH_BITS << LOG_BITS) - (exponent << LOG_BITS | fraction)
