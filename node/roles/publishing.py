"""A market's snapshots on the network: taken when its validators change, published, told again."""

import logging
from collections.abc import Callable

import trio

from node.directory import Directory
from node.market.snapshots import SnapshotLog
from node.wire.snapshots import SNAPSHOT_TOPIC, PublishedSnapshot, RequestSnapshot
from p2p.errors import MessageTooLarge, RequestRefused
from p2p.network import Network
from storage.database import Database

log = logging.getLogger(__name__)

LEAST_PAUSE_S = 0.5
"""Between two snapshots, however much the validators come and go."""
LOOK_EVERY_S = 2.0
"""A validator that falls silent changes nothing that could be waited for."""


class SnapshotRole:
    """Keeps a market's newest snapshot up to date and tells it."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        snapshots: SnapshotLog,
        directory: Directory,
        admits: Callable[[str], bool],
    ) -> None:
        """`admits` says whether a validator with this address may be drawn."""
        self._network = network
        self._db = db
        self._snapshots = snapshots
        self._directory = directory
        self._admits = admits
        network.serve(RequestSnapshot, self._on_request)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take and publish until cancelled."""
        task_status.started()
        while True:
            changed = self._directory.changed
            there = self._directory.candidates()
            taken = self._snapshots.take(one for one in there if self._admits(one.address))
            if taken is not None:
                await self._db.flushed()
                await self._publish(PublishedSnapshot(taken))
            await trio.sleep(LEAST_PAUSE_S)
            with trio.move_on_after(LOOK_EVERY_S):
                await changed.wait()

    async def _publish(self, message: PublishedSnapshot) -> None:
        try:
            await self._network.publish(SNAPSHOT_TOPIC, message)
        except MessageTooLarge as error:  # whoever is drawn fetches it
            log.info("snapshot %d is not published: %s", message.snapshot.number, error)

    async def _on_request(self, _sender: str, message: RequestSnapshot) -> PublishedSnapshot:
        found = self._snapshots.find(message.digest)
        if found is None:
            raise RequestRefused("not_found", "no draw names that snapshot")
        await self._db.flushed()
        return PublishedSnapshot(found)
