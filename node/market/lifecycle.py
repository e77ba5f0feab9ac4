"""What a market does with a task after it was bought: lease it, take its result, end it in time."""

from collections.abc import Callable

from node.config import NetworkConfig
from node.market.board import TaskBoard
from node.market.desk import Desk
from node.market.leases import Leases
from node.market.results import PAID_AT_ONCE, Results
from node.market.service import MarketService
from node.market.snapshots import SnapshotLog
from node.settlement.interface import Settlement
from p2p.identity import Identity
from storage.database import Database
from storage.store import Batch


class Lifecycle:
    """The transitions of one market's tasks: `leases`, `results`, `desk` (of appeals), and what
    happens by itself."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        service: MarketService,
        desk: Desk,
        settlement: Settlement,
        snapshots: SnapshotLog,
        network: NetworkConfig,
        identity: Identity,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._bonds = settlement.bonds
        self._now_ms = now_ms
        self.desk = desk
        self.leases = Leases(
            db=db,
            board=board,
            service=service,
            snapshots=snapshots,
            rewards=settlement.rewards,
            protocol=network.protocol,
            chain_id=network.network.chain_id,
            identity=identity,
            now_ms=now_ms,
        )
        self.results = Results(
            db=db,
            board=board,
            leases=self.leases,
            rewards=settlement.rewards,
            bonds=settlement.bonds,
            network=network,
            market=identity.peer_id,
            now_ms=now_ms,
        )

    async def pass_time(self) -> None:
        """Carry out everything that is due by now: ends, leases that ran out, appeals, pay, and
        bonds that come back."""
        self.leases.expire()
        self.desk.pass_time()
        self._release_bonds()
        while self.results.mature() == PAID_AT_ONCE:
            await self._db.flushed()

    def _release_bonds(self) -> None:
        now_ms = self._now_ms()
        for address in list(self._bonds.due(now_ms)):
            batch = Batch()
            self._bonds.release(batch, address, now_ms)
            self._db.stage(batch)
