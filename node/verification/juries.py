"""A jury: the validators that compute a disputed task again, and the market's signed word on it.

Its seats follow from a published snapshot, as those of a draw do, but for those who have to do with
the result: whoever sat in a draw under which an attempt at the task was judged, and keys of the
customer's, the workers' and those validators' addresses. They are named, so that anybody computes
the same seats. Ranks go by the hash of a block that did not exist when the result was made, so that
nobody knew then who might judge it. A jury is told what to compute, and not what came out.
"""

from collections.abc import Collection, Iterable
from hashlib import sha256

import msgspec

from node.amounts import Amount
from node.verification.claims import DIGEST_BYTES, Count, StatementInvalid
from node.verification.draws import Seat
from node.verification.snapshots import Candidate, Snapshot, draw_from, snapshot_digest
from p2p.encoding import tagged, text, u64
from p2p.identity import PUBLIC_KEY_BYTES, Identity, peer_id_of, verify

MAX_EXCLUDED = 512
"""Of a snapshot's candidates: as many as it can have."""


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
    signature: bytes = b""


def jury_bytes(jury: Jury, chain_id: str) -> bytes:
    """What the market signs."""
    jobs = [part for one in jury.jobs for part in (u64(one.nonce), text(one.worker_address))]
    seats = [part for seat in jury.seats for part in (seat.key, text(seat.address))]
    return tagged(
        "tmnode/jury",
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
        u64(len(jury.seats)),
        *seats,
    )


def jury_digest(jury: Jury, chain_id: str) -> bytes:
    """What a ruling names it by, 32 bytes."""
    return sha256(jury_bytes(jury, chain_id)).digest()


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


def check_jurors(jury: Jury, snapshot: Snapshot, size: int, chain_id: str) -> None:
    """Raise StatementInvalid unless the seats follow from the snapshot and who is excluded.

    `size` is the network's quorum size; fewer seats only if there are no more candidates. The
    snapshot's own signature is not looked at.
    """
    if jury.snapshot != snapshot_digest(snapshot, chain_id):
        raise StatementInvalid("the jury is from another snapshot", field="jury.snapshot")
    if jury.market_key != snapshot.market_key:
        raise StatementInvalid("the snapshot is another market's", field="jury.snapshot")
    drawn = draw_jury(
        snapshot,
        task_id=jury.task_id,
        epoch=jury.epoch,
        kind=jury.kind,
        size=size,
        beacon=jury.beacon,
        excluded=jury.excluded,
    )
    if [(seat.key, seat.address) for seat in jury.seats] != [(o.key, o.address) for o in drawn]:
        raise StatementInvalid("the seats do not follow from the snapshot", field="jury.seats")


def _are_keys(keys: Iterable[bytes]) -> bool:
    found = list(keys)
    return found == sorted(set(found)) and all(len(one) == PUBLIC_KEY_BYTES for one in found)
