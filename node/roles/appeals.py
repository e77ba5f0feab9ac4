"""A market's appeals on the network: jurors are asked until they rule, and false results told."""

import logging

import trio

from node.events import first_of
from node.market.appealbook import AppealRecord
from node.market.appeals import AppealDesk
from node.market.board import TaskBoard
from node.roles.summons import Summons
from node.verification.rulings import Decision
from node.wire.appeals import OVERTURNED_TOPIC, ResultOverturned
from p2p.errors import MessageTooLarge
from p2p.network import Network
from storage.database import Database

log = logging.getLogger(__name__)


class AppealRole:
    """Asks the jurors of all open appeals, also of those from before a restart."""

    def __init__(
        self, *, network: Network, db: Database, board: TaskBoard, desk: AppealDesk
    ) -> None:
        self._network = network
        self._summons = Summons(network=network, db=db, desk=desk)
        self._db = db
        self._board = board
        self._desk = desk
        self._asked: set[str] = set()
        self._nursery: trio.Nursery | None = None
        desk.on_overturned = self._on_overturned

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                changed = self._board.changed
                for appeal in self._desk.book.open():
                    if appeal.task_id not in self._asked:
                        self._asked.add(appeal.task_id)
                        nursery.start_soon(self._ask_all, appeal)
                await first_of(changed)

    async def _ask_all(self, appeal: AppealRecord) -> None:
        """Until every seat's juror has ruled, or the appeal is decided."""
        async with trio.open_nursery() as nursery:
            for seat in appeal.jury.seats:
                nursery.start_soon(self._summons.fill, appeal.task_id, seat)
        self._asked.discard(appeal.task_id)

    def _on_overturned(self, appeal: AppealRecord, decision: Decision) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._publish, appeal, decision)

    async def _publish(self, appeal: AppealRecord, decision: Decision) -> None:
        """The evidence against each worker whose result was false, once it is durable."""
        await self._db.flushed()
        outcome = self._board.outcome(appeal.task_id)
        assert outcome is not None, "what was overturned was completed"
        for index in decision.wrong:
            one = outcome.jobs[index].judgement
            about = (one.draw, one.result, one.manifest, appeal.jury, appeal.claimed)
            evidence = ResultOverturned(*about, appeal.rulings)
            try:
                await self._network.publish(OVERTURNED_TOPIC, evidence)
            except MessageTooLarge as error:  # with a proof in it, or very many jobs
                log.warning(
                    "task %s: that it was overturned is not told: %s", one.draw.task_id, error
                )
