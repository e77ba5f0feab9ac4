"""The market's draw: which validators may check a task in an epoch, and why not others.

A draw follows from a published snapshot: its seats are the best ranked candidates but for those
passed over, each with its signed refusal or what was waited for in vain. Which of the seats
orchestrates is the market's to choose, by load and earlier failures: it decides no verdict.
"""

from collections.abc import Collection
from typing import Literal

import msgspec

from node.amounts import Amount
from node.verification.claims import DIGEST_BYTES, Count, StatementInvalid
from node.verification.snapshots import Snapshot, draw_from, snapshot_digest
from p2p.encoding import tagged, text, u64
from p2p.identity import PUBLIC_KEY_BYTES, Identity, peer_id_of, verify

JOB_STRIDE = 1 << 16
"""`nonce = job index * JOB_STRIDE + attempt`."""
MAX_PASSED = 64
"""Passed over in one task, over all epochs; later ones take the place of the first."""
MAX_REFUSAL = 64
"""Characters of a refusal's reason."""

_SAME_IN_REDRAWS = (
    "task_id",
    "epoch",
    "kind",
    "parameters",
    "reward",
    "needed",
    "expires_ms",
    "market_key",
)

Duty = Literal["orchestrate", "check", "rule"]
PassReason = Literal["refused", "unreachable", "no_commitment", "no_reveal", "no_ruling"]


class Seat(msgspec.Struct, frozen=True):
    """A validator's place in a quorum."""

    key: bytes
    """Ed25519 public key, 32 bytes."""
    address: str
    """L1 account that is paid for the check."""


class Refusal(msgspec.Struct, frozen=True):
    """A validator's own word that it will not do its duty in an epoch of a task."""

    task_id: str
    epoch: Count
    duty: Duty
    reason: str
    at_ms: Count
    validator_key: bytes
    signature: bytes = b""


class Pass(msgspec.Struct, frozen=True):
    """A validator passed over: by its refusal, or by what it was waited for in vain."""

    epoch: Count
    key: bytes
    duty: Duty
    reason: PassReason
    at_ms: Count
    refusal: Refusal | None = None


class Draw(msgspec.Struct, frozen=True):
    """Which validators may check a task in this epoch, and how many must agree."""

    task_id: str
    epoch: Count
    redraw: Count
    """0 at first; raised when seats of this epoch are filled anew."""
    kind: str
    parameters: bytes
    """The workload's canonical bytes."""
    reward: Amount
    snapshot: bytes
    """Digest of the snapshot that the seats were drawn from."""
    passed: tuple[Pass, ...]
    """Over all epochs of the task so far."""
    seats: tuple[Seat, ...]
    """The first seat orchestrates."""
    needed: Count
    expires_ms: Count
    market_key: bytes
    signature: bytes = b""


def refusal_bytes(refusal: Refusal, chain_id: str) -> bytes:
    """What the validator signs."""
    about = (text(refusal.task_id), u64(refusal.epoch), text(refusal.duty), text(refusal.reason))
    fields = (*about, u64(refusal.at_ms), refusal.validator_key)
    return tagged("tmnode/refusal", 1, chain_id, *fields)


def sign_refusal(refusal: Refusal, chain_id: str, validator: Identity) -> Refusal:
    """The refusal with its validator's signature."""
    unsigned = msgspec.structs.replace(refusal, validator_key=validator.public_key)
    signature = validator.sign(refusal_bytes(unsigned, chain_id))
    return msgspec.structs.replace(unsigned, signature=signature)


def check_pass(passed: Pass, task_id: str, chain_id: str) -> None:
    """Raise StatementInvalid unless a refusal is there if one is claimed, signed and about this."""
    refusal = passed.refusal
    if (passed.reason == "refused") != (refusal is not None):
        raise StatementInvalid("a refusal is claimed and missing, or the reverse", field="passed")
    if refusal is None:
        return
    about = (refusal.task_id, refusal.epoch, refusal.duty, refusal.validator_key)
    if about != (task_id, passed.epoch, passed.duty, passed.key):
        raise StatementInvalid("the refusal is about something else", field="passed.refusal")
    if len(refusal.reason) > MAX_REFUSAL:
        raise StatementInvalid("the refusal's reason is too long", field="passed.refusal")
    if not verify(refusal.validator_key, refusal_bytes(refusal, chain_id), refusal.signature):
        raise StatementInvalid("the validator did not sign its refusal", field="passed.refusal")


def draw_bytes(draw: Draw, chain_id: str) -> bytes:
    """What the market signs."""
    seats = [part for seat in draw.seats for part in (seat.key, text(seat.address))]
    passed = [part for one in draw.passed for part in pass_parts(one, chain_id)]
    return tagged(
        "tmnode/draw",
        2,
        chain_id,
        text(draw.task_id),
        u64(draw.epoch),
        u64(draw.redraw),
        text(draw.kind),
        draw.parameters,
        text(draw.reward.to_wire()),
        draw.snapshot,
        u64(draw.needed),
        u64(draw.expires_ms),
        draw.market_key,
        u64(len(draw.seats)),
        *seats,
        u64(len(draw.passed)),
        *passed,
    )


def pass_parts(one: Pass, chain_id: str) -> tuple[bytes, ...]:
    """What the market signs of a pass."""
    refusal = one.refusal
    signed = refusal_bytes(refusal, chain_id) + refusal.signature if refusal else b""
    return (u64(one.epoch), one.key, text(one.duty), text(one.reason), u64(one.at_ms), signed)


def sign_draw(draw: Draw, chain_id: str, market: Identity) -> Draw:
    """The draw with the market's signature."""
    unsigned = msgspec.structs.replace(draw, market_key=market.public_key)
    return msgspec.structs.replace(unsigned, signature=market.sign(draw_bytes(unsigned, chain_id)))


def check_draw(draw: Draw, chain_id: str, markets: Collection[str] = ()) -> None:
    """Raise StatementInvalid unless a market signed a sound draw.

    `markets` are the peer ids of those that count; without any, every market does.
    """
    if not verify(draw.market_key, draw_bytes(draw, chain_id), draw.signature):
        raise StatementInvalid("the market did not sign this draw", field="draw.signature")
    if markets and peer_id_of(draw.market_key) not in markets:
        raise StatementInvalid("this network pins other markets", field="draw.market_key")
    keys = {seat.key for seat in draw.seats if len(seat.key) == PUBLIC_KEY_BYTES}
    if len(keys) != len(draw.seats) or not 1 <= draw.needed <= len(keys):
        raise StatementInvalid("a draw needs distinct seats, enough for its quorum", field="seats")
    if len(draw.passed) > MAX_PASSED or len(draw.snapshot) != DIGEST_BYTES:
        raise StatementInvalid("too many are passed over, or no snapshot is named", field="draw")


def check_seats(draw: Draw, snapshot: Snapshot, size: int, chain_id: str) -> None:
    """Raise StatementInvalid unless the seats follow from the snapshot and who was passed over.

    `size` is the network's quorum size; fewer seats only if there are no more candidates. The
    snapshot's own signature is not looked at.
    """
    if draw.snapshot != snapshot_digest(snapshot, chain_id):
        raise StatementInvalid("the draw is from another snapshot", field="draw.snapshot")
    if draw.market_key != snapshot.market_key:
        raise StatementInvalid("the snapshot is another market's", field="draw.snapshot")
    for one in draw.passed:
        check_pass(one, draw.task_id, chain_id)
    drawn = draw_from(
        snapshot,
        task_id=draw.task_id,
        epoch=draw.epoch,
        kind=draw.kind,
        size=size,
        passed=passed_keys(draw.passed, draw.epoch),
    )
    if {(seat.key, seat.address) for seat in draw.seats} != {(o.key, o.address) for o in drawn}:
        raise StatementInvalid("the seats do not follow from the snapshot", field="draw.seats")


def is_redraw(later: Draw, earlier: Draw) -> bool:
    """Whether the same market filled seats of the earlier draw's epoch anew, and changed no more.

    Neither signature is looked at.
    """
    return later.redraw > earlier.redraw and all(
        getattr(later, field) == getattr(earlier, field) for field in _SAME_IN_REDRAWS
    )


def passed_keys(passed: Collection[Pass], epoch: int) -> frozenset[bytes]:
    """The keys of those that an epoch's seats were drawn without."""
    return frozenset(one.key for one in passed if one.duty == "check" and one.epoch == epoch)


def seat_of(draw: Draw, key: bytes) -> Seat:
    """The seat of a validator's key; raises StatementInvalid if it has none."""
    for seat in draw.seats:
        if seat.key == key:
            return seat
    raise StatementInvalid("the validator was not drawn for this task", field="validator_key")


def nonce_of(job: int, epoch: int, attempt: int, max_attempts: int) -> int:
    """The nonce of a job's attempt 1 … `max_attempts` in an epoch: no other epoch has the same."""
    return job * JOB_STRIDE + epoch * max_attempts + attempt


def job_of(nonce: int) -> int:
    """The index of the job that a nonce belongs to."""
    return nonce // JOB_STRIDE


def check_nonce(nonce: int, draw: Draw, jobs: int, max_attempts: int) -> None:
    """Raise StatementInvalid unless this is the nonce of an attempt of the draw's epoch, at one of
    its task's `jobs`."""
    job, attempt = divmod(nonce, JOB_STRIDE)
    if not 0 <= job < jobs:
        raise StatementInvalid(f"is of job {job}, and there are {jobs}", field="nonce")
    if not 1 <= attempt - draw.epoch * max_attempts <= max_attempts:
        raise StatementInvalid(f"is superseded: not of epoch {draw.epoch}", field="nonce")
