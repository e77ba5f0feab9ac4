"""How a validator comes to know the markets' snapshots: by gossip, or by asking for one."""

import logging

import trio

from node.roles.snapshots import SnapshotBook
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw
from node.verification.juries import Jury
from node.verification.snapshots import Snapshot, snapshot_digest
from node.wire.snapshots import SNAPSHOT_TOPIC, PublishedSnapshot, RequestSnapshot
from p2p.errors import P2PError
from p2p.identity import peer_id_of, public_key_of
from p2p.network import Network

log = logging.getLogger(__name__)

FETCH_TIMEOUT_S = 5.0
"""For a market to send a snapshot that was missed."""


class SnapshotFeed:
    """Keeps a book of snapshots and fetches what it lacks."""

    def __init__(self, network: Network, book: SnapshotBook, chain_id: str) -> None:
        self._network = network
        self._chain_id = chain_id
        self._fetching: dict[bytes, trio.Lock] = {}
        self.book = book

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen to what markets publish, until cancelled."""
        async with self._network.subscribe(SNAPSHOT_TOPIC) as received:
            task_status.started()
            async for sender, message in received:
                if isinstance(message, PublishedSnapshot):
                    self._hear(sender, message.snapshot)

    def _hear(self, sender: str, snapshot: Snapshot) -> None:
        if snapshot.market_key != public_key_of(sender):
            return  # only a market itself spreads its snapshots
        try:
            self.book.add(snapshot)
        except StatementInvalid as error:
            log.debug("snapshot of %s is not taken: %s", sender, error)

    async def find(self, draw: Draw | Jury) -> Snapshot:
        """The snapshot that a draw or jury names; raises StatementInvalid if it cannot be had."""
        lock = self._fetching.setdefault(draw.snapshot, trio.Lock())
        try:
            async with lock:  # one fetch serves everybody who waits for it
                return self.book.find(draw.snapshot) or await self._fetch(draw)
        finally:
            self._fetching.pop(draw.snapshot, None)

    async def _fetch(self, draw: Draw | Jury) -> Snapshot:
        market, request = peer_id_of(draw.market_key), RequestSnapshot(draw.snapshot)
        try:
            answer = await self._network.request(market, request, timeout_s=FETCH_TIMEOUT_S)
        except P2PError as error:
            raise StatementInvalid(f"cannot be had: {error}", field="draw.snapshot") from error
        if (
            not isinstance(answer, PublishedSnapshot)
            or snapshot_digest(answer.snapshot, self._chain_id) != draw.snapshot
        ):
            raise StatementInvalid("the market shows another", field="draw.snapshot")
        self.book.add(answer.snapshot)
        return answer.snapshot
