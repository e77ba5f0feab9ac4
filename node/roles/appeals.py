"""A market's appeals on the network: jurors are asked until they rule, and false results told."""

import logging

import trio

from node.events import first_of
from node.market.appealbook import AppealRecord
from node.market.appeals import AppealDesk
from node.market.board import TaskBoard
from node.verification.claims import StatementInvalid
from node.verification.draws import Seat
from node.verification.rulings import Decision
from node.wire.appeals import OVERTURNED_TOPIC, RequestRuling, ResultOverturned, RulingAnswer
from p2p.errors import MessageTooLarge, P2PError
from p2p.identity import peer_id_of
from p2p.network import Network
from storage.database import Database

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 10.0
"""For a juror to say that it computes, or what came out."""
ASK_PAUSES_S = (1.0, 15.0)
"""Before a juror is asked again that computes, or could not be reached: at first, and at most,
doubled between."""


class AppealRole:
    """Asks the jurors of all open appeals, also of those from before a restart."""

    def __init__(
        self, *, network: Network, db: Database, board: TaskBoard, desk: AppealDesk
    ) -> None:
        self._network = network
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
        """Until every juror has ruled or refused, or the appeal is decided."""
        await self._db.flushed()
        async with trio.open_nursery() as nursery:
            for seat in appeal.jury.seats:
                nursery.start_soon(self._ask, appeal, seat)
        self._asked.discard(appeal.task_id)

    async def _ask(self, appeal: AppealRecord, seat: Seat) -> None:
        message, task_id = RequestRuling(appeal.jury), appeal.task_id
        pause_s, longest_s = ASK_PAUSES_S
        while self._is_wanted(task_id, seat.key):
            try:
                answer = await self._network.request(
                    peer_id_of(seat.key), message, timeout_s=ASK_TIMEOUT_S
                )
                if isinstance(answer, RulingAnswer) and answer.ruling is not None:
                    self._desk.take(task_id, answer.ruling)
                    return
            except P2PError as error:
                log.info("task %s: a juror does not rule yet: %s", task_id, error)
            except StatementInvalid as error:
                log.warning("task %s: a juror's ruling does not count: %s", task_id, error)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def _is_wanted(self, task_id: str, key: bytes) -> bool:
        appeal = self._desk.book.find_open(task_id)
        return appeal is not None and key not in {one.validator_key for one in appeal.rulings}

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
