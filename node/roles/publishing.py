"""A market's snapshots on the network: taken when its validators change, published, told again."""

import logging

import trio

from node.directory import Directory
from node.events import first_of
from node.market.snapshots import SnapshotLog
from node.roles.acceptance import Electorate
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
        electorate: Electorate,
    ) -> None:
        self._network = network
        self._db = db
        self._snapshots = snapshots
        self._directory = directory
        self._electorate = electorate
        network.serve(RequestSnapshot, self._on_request)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take and publish until cancelled."""
        task_status.started()
        while True:
            changes = (self._directory.changed, self._electorate.changed)
            taken = self._snapshots.take(self._electorate.candidates())
            if taken is not None:
                await self._db.flushed()
                await self._publish(PublishedSnapshot(taken))
            await trio.sleep(LEAST_PAUSE_S)
            with trio.move_on_after(LOOK_EVERY_S):
                await first_of(*changes)

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
