"""A market puts results on the chain itself if the validator whose duty it is does not.

Otherwise a completed task would wait for its anchor, and its customer for the receipt, as long as
that validator stays away: also the customer whose result a jury overturned, who needs it most.
"""

import logging
from collections.abc import Callable

import trio

from node.chainwatch import ChainWatch
from node.market.board import TaskBoard
from node.roles.submitter import Submitter
from node.waiting import L1_SILENT_S
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

ANCHORED_WITHIN_S = 600.0
"""After a task's completion: for its validator to put the result on the chain; then the market does
it itself."""
LOOK_EVERY_S = 5.0
"""Between looks for results that are not on the chain."""


class Rescue:
    """Anchors what nobody anchored. `market` is the node's own peer id."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        submitter: Submitter,
        market: str,
        l1: ChainWatch,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._board = board
        self._submitter = submitter
        self._market = market
        self._l1 = l1
        self._now_ms = now_ms
        self._fair_since_ms = now_ms()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look until cancelled; raises StorageFailed."""
        task_status.started()
        while True:
            if self.take_over():
                await self._db.flushed()
            await trio.sleep(LOOK_EVERY_S)

    def take_over(self) -> int:
        """Stage the results of all tasks that have waited long enough; how many tasks.

        Time in which the chain was away, or this market, is nobody's delay.
        """
        now_ms = self._now_ms()
        if self._l1.silent_s > L1_SILENT_S:
            self._fair_since_ms = now_ms
        before_ms = now_ms - round(ANCHORED_WITHIN_S * 1000)
        if self._fair_since_ms > before_ms:
            return 0
        due = [
            task.task_id
            for task in self._board.unanchored_tasks()
            if task.completed_ms <= before_ms
        ]
        mine = [task_id for task_id in due if not self._submitter.has(task_id)]
        for task_id in mine:
            log.warning("nobody anchored the result: the market does", extra={"task": task_id})
            outcome = self._board.outcome(task_id)
            assert outcome is not None, "what was completed has an outcome"
            batch = Batch()
            results = [job.result for job in outcome.jobs if not job.batch]
            self._submitter.add_results(batch, results, self._market)
            self._db.stage(batch)
        return len(mine)
