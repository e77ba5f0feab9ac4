"""The market's snapshots: one after the other, signed, and kept as long as a draw names them.

A snapshot that no draw names goes when the next one takes its place. Which of them a draw names is
noted in the batch that stores the draw.
"""

from collections.abc import Callable, Iterable

import msgspec
import trio

from node.verification.claims import DIGEST_BYTES
from node.verification.snapshots import (
    MAX_CANDIDATES,
    Candidate,
    Snapshot,
    sign_snapshot,
    snapshot_digest,
)
from p2p.identity import Identity
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

_NEWEST = b""


class SnapshotRecord(msgspec.Struct, frozen=True):
    """A snapshot, and whether a draw names it."""

    snapshot: Snapshot
    is_named: bool = False


class Newest(msgspec.Struct, frozen=True):
    """Which snapshot is drawn from now."""

    digest: bytes


def candidates_of(active: Iterable[Candidate], before: Iterable[Candidate]) -> list[Candidate]:
    """Those of the active validators that a snapshot has room for, by rising keys.

    Whoever was in the snapshot `before` keeps the place: newcomers cannot drive them out.
    """
    known = {one.key for one in before}
    ranked = sorted(active, key=lambda one: (one.key not in known, one.key))
    return sorted(ranked[:MAX_CANDIDATES], key=lambda one: one.key)


class SnapshotLog:
    """The snapshots of one market, over its database."""

    def __init__(
        self, db: Database, identity: Identity, chain_id: str, now_ms: Callable[[], int]
    ) -> None:
        self._db = db
        self._identity = identity
        self._chain_id = chain_id
        self._now_ms = now_ms
        self._table = Table(db, "snapshots", SnapshotRecord)
        self._pointer = Table(db, "snapshots/newest", Newest)
        self.changed = trio.Event()
        """Set, and replaced, whenever there is a new snapshot."""
        pointer = self._pointer.get(_NEWEST)
        self._digest = bytes(DIGEST_BYTES) if pointer is None else pointer.digest
        self._newest = None if pointer is None else self.find(pointer.digest)

    @property
    def newest(self) -> Snapshot | None:
        """What is drawn from now; None before the first validator was seen."""
        return self._newest

    def find(self, digest: bytes) -> Snapshot | None:
        """The snapshot with this digest, if it is the newest or a draw names it."""
        record = self._table.get(digest)
        return None if record is None else record.snapshot

    def take(self, active: Iterable[Candidate]) -> Snapshot | None:
        """Stage a new snapshot if the candidates are others now; it may be used once durable."""
        before = () if self._newest is None else self._newest.candidates
        candidates = tuple(candidates_of(active, before))
        if candidates == before:
            return None
        taken = self._signed(candidates)
        digest = snapshot_digest(taken, self._chain_id)
        batch = Batch()
        replaced = self._table.get(self._digest)
        if replaced is not None and not replaced.is_named:
            self._table.delete(batch, self._digest)
        self._table.put(batch, digest, SnapshotRecord(taken))
        self._pointer.put(batch, _NEWEST, Newest(digest))
        self._db.stage(batch)
        self._newest, self._digest = taken, digest
        self._announce()
        return taken

    def digest_of(self, snapshot: Snapshot) -> bytes:
        """What a draw names the snapshot by."""
        is_newest = snapshot is self._newest
        return self._digest if is_newest else snapshot_digest(snapshot, self._chain_id)

    def name(self, batch: Batch, snapshot: Snapshot) -> None:
        """Note in the batch of a draw that it names this snapshot."""
        digest = self.digest_of(snapshot)
        record = self._table.get(digest)
        if record is not None and not record.is_named:
            self._table.put(batch, digest, msgspec.structs.replace(record, is_named=True))

    def _signed(self, candidates: tuple[Candidate, ...]) -> Snapshot:
        now_ms = self._now_ms()
        # By the clock, so that a market that was restored from a backup does not sign a second
        # snapshot of a number that others have seen.
        unsigned = Snapshot(
            number=now_ms if self._newest is None else max(self._newest.number + 1, now_ms),
            previous=self._digest,
            taken_ms=now_ms,
            candidates=candidates,
            market_key=self._identity.public_key,
        )
        return sign_snapshot(unsigned, self._chain_id, self._identity)

    def _announce(self) -> None:
        self.changed.set()
        self.changed = trio.Event()
