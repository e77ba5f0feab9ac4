"""What a validator knows of the markets' snapshots: those that a draw may name.

A market that could draw from any snapshot of its past could choose who checks. So the book keeps
the last ones of each market, when each was heard of, and takes no second one of the same number;
both over restarts.
"""

import logging
from collections.abc import Callable, Collection

import msgspec

from node.verification.claims import StatementInvalid
from node.verification.snapshots import Snapshot, check_snapshot, snapshot_digest
from p2p.encoding import u64
from p2p.identity import peer_id_of
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

log = logging.getLogger(__name__)

MAX_SNAPSHOTS = 64
"""Kept of one market; an older one is asked for when a draw names it."""
MAX_MARKETS = 8
"""Markets remembered, the last heard of; where none is pinned, anybody is one."""


class KnownSnapshot(msgspec.Struct, frozen=True):
    """A snapshot, and when this node first had it."""

    snapshot: Snapshot
    received_ms: int


class SnapshotBook:
    """The last snapshots of each market."""

    def __init__(
        self, db: Database, chain_id: str, markets: Collection[str], now_ms: Callable[[], int]
    ) -> None:
        """`markets` are the peer ids of those that count; without any, every market does."""
        self._db = db
        self._chain_id = chain_id
        self._markets = markets
        self._now_ms = now_ms
        self._table = Table(db, "known-snapshots", KnownSnapshot)
        self._known: dict[bytes, dict[int, KnownSnapshot]] = {}
        self._digests: dict[bytes, Snapshot] = {}
        for _, one in list(self._table.items()):
            self._remember(one)

    def find(self, digest: bytes) -> Snapshot | None:
        """A snapshot that is kept, by its digest."""
        return self._digests.get(digest)

    def add(self, snapshot: Snapshot) -> None:
        """Take a snapshot as heard of now.

        Raises StatementInvalid if it is not sound, not of a market that counts, or another one
        than that of the same number.
        """
        digest = snapshot_digest(snapshot, self._chain_id)
        if digest in self._digests:
            return
        check_snapshot(snapshot, self._chain_id)
        if self._markets and peer_id_of(snapshot.market_key) not in self._markets:
            raise StatementInvalid("this network pins other markets", field="snapshot.market_key")
        self._refuse_second(snapshot)
        one, batch = KnownSnapshot(snapshot, self._now_ms()), Batch()
        self._table.put(batch, _key(snapshot), one)
        self._remember(one)
        self._drop_surplus(batch, snapshot.market_key)
        self._db.stage(batch)

    def replaced_ms(self, snapshot: Snapshot) -> int | None:
        """When a later one of the same market was first heard of; None if none was."""
        later = [
            one.received_ms
            for number, one in self._known.get(snapshot.market_key, {}).items()
            if number > snapshot.number
        ]
        return min(later, default=None)

    def _refuse_second(self, snapshot: Snapshot) -> None:
        if snapshot.number in self._known.get(snapshot.market_key, {}):
            market = peer_id_of(snapshot.market_key)
            log.error("market %s signed two snapshots numbered %d", market, snapshot.number)
            raise StatementInvalid("the market signed another of this number", field="number")

    def _remember(self, one: KnownSnapshot) -> None:
        """The markets stay in the order in which they were last heard of."""
        snapshot = one.snapshot
        of_market = self._known.pop(snapshot.market_key, {})
        of_market[snapshot.number] = one
        self._known[snapshot.market_key] = of_market
        self._digests[snapshot_digest(snapshot, self._chain_id)] = snapshot

    def _drop_surplus(self, batch: Batch, market_key: bytes) -> None:
        of_market = self._known[market_key]
        if len(of_market) > MAX_SNAPSHOTS:
            self._drop(batch, of_market.pop(min(of_market)))
        if len(self._known) > MAX_MARKETS:
            for one in self._known.pop(next(iter(self._known))).values():
                self._drop(batch, one)

    def _drop(self, batch: Batch, one: KnownSnapshot) -> None:
        del self._digests[snapshot_digest(one.snapshot, self._chain_id)]
        self._table.delete(batch, _key(one.snapshot))


def _key(snapshot: Snapshot) -> bytes:
    return snapshot.market_key + u64(snapshot.number)
