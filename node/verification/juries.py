"""A jury: the validators that compute a disputed task again, and the market's signed word on it.

Its seats follow from a published snapshot, as those of a draw do, but for those who have to do with
the result: whoever sat in a draw under which an attempt at the task was judged, and keys of the
customer's, the workers' and those validators' addresses. They are named, so that anybody computes
the same seats. Ranks go by the hash of a block that did not exist when the result was made, so that
nobody knew then who might judge it. A jury is told what to compute, and not what came out.

A juror that refuses, is silent or does not come to an end gives its seat to the next in rank of the
same snapshot, and why stands in the jury, as it does in a draw. All but seats and passes is the
*case*: it stays the same, and rulings are about it, so that what the others computed still counts.
"""

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256

import msgspec

from node.amounts import Amount
from node.verification.claims import DIGEST_BYTES, Count, StatementInvalid
from node.verification.draws import Pass, Seat, check_pass, pass_parts
from node.verification.snapshots import Candidate, Snapshot, draw_from, snapshot_digest
from p2p.encoding import tagged, text, u64
from p2p.identity import PUBLIC_KEY_BYTES, Identity, peer_id_of, verify

MAX_EXCLUDED = 512
"""Of a snapshot's candidates: as many as it can have."""
MAX_REPLACED = 8
"""Jurors that are passed over in one appeal: as many checkers of a quorum of three can be in an
epoch. Whoever is in a seat after them keeps it."""


class JuryJob(msgspec.Struct, frozen=True):
    """One job of the result: with the task, all that its outcome depends on."""

    nonce: Count
    worker_address: str


class Jury(msgspec.Struct, frozen=True):
    """Who computes a disputed task again, how many must agree, and until when."""

    task_id: str
    epoch: Count
    """That led to the result."""
    kind: str
    parameters: bytes
    """The workload's canonical bytes."""
    jobs: tuple[JuryJob, ...]
    fee: Amount
    """What the customer put down."""
    beacon: bytes
    """Hash of the L1's last block when the appeal was made."""
    snapshot: bytes
    """Digest of the snapshot that the seats were drawn from."""
    excluded: tuple[bytes, ...]
    """Keys of candidates that have to do with the result, rising."""
    seats: tuple[Seat, ...]
    needed: Count
    expires_ms: Count
    market_key: bytes
    passed: tuple[Pass, ...] = ()
    """Jurors that gave their seats to the next in rank, in this order."""
    signature: bytes = b""


def case_digest(jury: Jury, chain_id: str) -> bytes:
    """What a ruling is about, 32 bytes: all of a jury but who sits in it and who did before."""
    jobs = [part for one in jury.jobs for part in (u64(one.nonce), text(one.worker_address))]
    case = tagged(
        "tmnode/case",
        1,
        chain_id,
        text(jury.task_id),
        u64(jury.epoch),
        text(jury.kind),
        jury.parameters,
        text(jury.fee.to_wire()),
        jury.beacon,
        jury.snapshot,
        u64(jury.needed),
        u64(jury.expires_ms),
        jury.market_key,
        u64(len(jury.jobs)),
        *jobs,
        u64(len(jury.excluded)),
        *jury.excluded,
    )
    return sha256(case).digest()


def jury_bytes(jury: Jury, chain_id: str) -> bytes:
    """What the market signs."""
    seats = [part for seat in jury.seats for part in (seat.key, text(seat.address))]
    passed = [part for one in jury.passed for part in pass_parts(one, chain_id)]
    counts = (u64(len(jury.seats)), *seats, u64(len(jury.passed)), *passed)
    return tagged("tmnode/jury", 2, chain_id, case_digest(jury, chain_id), *counts)


def sign_jury(jury: Jury, chain_id: str, market: Identity) -> Jury:
    """The jury with its market's signature."""
    unsigned = msgspec.structs.replace(jury, market_key=market.public_key)
    return msgspec.structs.replace(unsigned, signature=market.sign(jury_bytes(unsigned, chain_id)))


def involved(
    snapshot: Snapshot, keys: Collection[bytes], addresses: Collection[str]
) -> tuple[bytes, ...]:
    """The candidates with one of these keys or addresses: whom a jury is drawn without."""
    return tuple(
        one.key for one in snapshot.candidates if one.key in keys or one.address in addresses
    )


def draw_jury(
    snapshot: Snapshot,
    *,
    task_id: str,
    epoch: int,
    kind: str,
    size: int,
    beacon: bytes,
    excluded: Collection[bytes],
) -> tuple[Candidate, ...]:
    """The `size` best ranked of those who have nothing to do with the result."""
    name = f"appeal/{task_id}/{beacon.hex()}"
    return draw_from(
        snapshot, task_id=name, epoch=epoch, kind=kind, size=size, passed=frozenset(excluded)
    )


def seats_of(jury: Jury, snapshot: Snapshot, size: int) -> tuple[Seat, ...]:
    """The seats of the case, once these were passed over; what the jury says of them is not read.

    Raises StatementInvalid if one of those passed over had no seat.
    """
    ranked = draw_jury(
        snapshot,
        task_id=jury.task_id,
        epoch=jury.epoch,
        kind=jury.kind,
        size=size + len(jury.passed),
        beacon=jury.beacon,
        excluded=jury.excluded,
    )
    passed = [one.key for one in jury.passed]
    _check_had_seats(passed, [one.key for one in ranked], size)
    left = [one for one in ranked if one.key not in passed]
    return tuple(Seat(one.key, one.address) for one in left)


def check_jury(jury: Jury, chain_id: str, markets: Collection[str] = ()) -> None:
    """Raise StatementInvalid unless a market signed a sound jury.

    `markets` are the peer ids of those that count; without any, every market does.
    """
    if not verify(jury.market_key, jury_bytes(jury, chain_id), jury.signature):
        raise StatementInvalid("the market did not sign this jury", field="jury.signature")
    if markets and peer_id_of(jury.market_key) not in markets:
        raise StatementInvalid("this network pins other markets", field="jury.market_key")
    keys = {seat.key for seat in jury.seats if len(seat.key) == PUBLIC_KEY_BYTES}
    if len(keys) != len(jury.seats) or not 1 <= jury.needed <= len(keys):
        raise StatementInvalid("a jury needs distinct seats, enough to agree", field="jury.seats")
    if len(jury.snapshot) != DIGEST_BYTES or len(jury.beacon) != DIGEST_BYTES:
        raise StatementInvalid("a digest has 32 bytes", field="jury")
    if not _are_keys(jury.excluded) or len(jury.excluded) > MAX_EXCLUDED:
        raise StatementInvalid("are no keys, or not by rising keys", field="jury.excluded")
    _check_passed(jury, chain_id)


def check_jurors(jury: Jury, snapshot: Snapshot, size: int, chain_id: str) -> None:
    """Raise StatementInvalid unless the seats follow from the snapshot, who is excluded, and who
    was passed over.

    `size` is the network's quorum size; fewer seats only if there are no more candidates, and
    nobody passed over. The snapshot's own signature is not looked at.
    """
    if jury.snapshot != snapshot_digest(snapshot, chain_id):
        raise StatementInvalid("the jury is from another snapshot", field="jury.snapshot")
    if jury.market_key != snapshot.market_key:
        raise StatementInvalid("the snapshot is another market's", field="jury.snapshot")
    if jury.seats != seats_of(jury, snapshot, size):
        raise StatementInvalid("the seats do not follow from the snapshot", field="jury.seats")
    if jury.passed and len(jury.seats) < size:
        raise StatementInvalid("nobody was there to take that seat", field="jury.passed")


def _check_passed(jury: Jury, chain_id: str) -> None:
    keys = {one.key for one in jury.passed}
    if len(keys) != len(jury.passed) or len(keys) > MAX_REPLACED:
        raise StatementInvalid("one is passed over twice, or too many are", field="jury.passed")
    for one in jury.passed:
        if (one.duty, one.epoch) != ("rule", jury.epoch):
            raise StatementInvalid("is about another duty or epoch", field="jury.passed")
        check_pass(one, jury.task_id, chain_id)


def _check_had_seats(passed: Sequence[bytes], ranked: Sequence[bytes], size: int) -> None:
    """Each that was passed over let the next of the ranked in."""
    for count, key in enumerate(passed):
        if key not in ranked[: size + count]:
            raise StatementInvalid("whoever was passed over had no seat", field="jury.passed")


def _are_keys(keys: Iterable[bytes]) -> bool:
    found = list(keys)
    return found == sorted(set(found)) and all(len(one) == PUBLIC_KEY_BYTES for one in found)
