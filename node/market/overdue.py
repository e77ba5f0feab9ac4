"""What is older at a market than it should be: tasks, appeals, deposits, and what its settlement
says of the money.

Each says why, and what to do. Pure looks at what is there; the limits are in `node.deadlines`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, islice

import trio

from node import deadlines
from node.amounts import format_cpc
from node.chainwatch import ChainWatch
from node.l1.sender import Sender
from node.market.board import TaskBoard
from node.market.desk import KnownAppeals
from node.market.tasks import TaskRecord
from node.market.views import Overdue
from node.settlement.arriving import Arrivals
from node.settlement.interface import Settlement
from node.settlement.late import RESTART
from node.waiting import L1_SILENT_S

MAX_SHOWN = 16
"""Of one sort; more are counted."""


class MarketOverdue:
    """Looks at one market."""

    def __init__(
        self,
        *,
        board: TaskBoard,
        settlement: Settlement,
        sender: Sender,
        l1: ChainWatch,
        appeals: KnownAppeals,
        arrivals: Arrivals,
        why_queued: Callable[[str], str],
        now_ms: Callable[[], int],
    ) -> None:
        """`why_queued` tells for a kind of work why its tasks are not leased."""
        self._board = board
        self._settlement = settlement
        self._sender = sender
        self._l1 = l1
        self._appeals = appeals
        self._arrivals = arrivals
        self._why_queued = why_queued
        self._now_ms = now_ms

    def found(self) -> tuple[Overdue, ...]:
        """Everything that is overdue now, sort by sort."""
        sorts = (
            self._open_tasks(),
            self._unanchored(),
            self._disputed(),
            *self._of_money(),
            self._deposits(),
        )
        return tuple(chain.from_iterable(shortened(one) for one in sorts))

    def _open_tasks(self) -> Iterator[Overdue]:
        why_queued = lru_cache(self._why_queued)  # once a look: it goes through all that waits
        for task in self._board.open_tasks():
            if task.phase == "leased":
                end_ms = min(task.deadline_ms, task.lease_until_ms)
            else:
                end_ms = task.deadline_ms
            late_s = self._late_s(end_ms, deadlines.GRACE_S)
            if late_s > 0:
                what = f"{task.phase} task"
                yield Overdue(what, task.task_id, late_s, "the market did not end it", RESTART)
            elif task.phase == "queued" and task.epoch == 0:
                yield from self._unleased(task, why_queued)

    def _unleased(self, task: TaskRecord, why_queued: Callable[[str], str]) -> Iterator[Overdue]:
        late_s = self._late_s(task.created_ms, deadlines.UNLEASED_S)
        if late_s > 0:
            remedy = "see `tmnode peers`; its reward goes back at its deadline"
            yield Overdue("queued task", task.task_id, late_s, why_queued(task.kind), remedy)

    def _unanchored(self) -> Iterator[Overdue]:
        for task in self._board.unanchored_tasks():
            late_s = self._late_s(task.completed_ms, deadlines.UNANCHORED_S)
            if late_s > 0:
                reason = self._l1_trouble() or f"validator {task.orchestrator} has not anchored it"
                remedy = "the market anchors it itself after 600 s; look at that validator's status"
                yield Overdue(f"{task.phase} task", task.task_id, late_s, reason, remedy)

    def _disputed(self) -> Iterator[Overdue]:
        for appeal in self._appeals.open():
            late_s = self._late_s(appeal.jury.expires_ms, deadlines.GRACE_S)
            if late_s > 0:
                reason = "the market did not decide it"
                yield Overdue("disputed task", appeal.task_id, late_s, reason, RESTART)

    def _deposits(self) -> Iterator[Overdue]:
        for one in self._arrivals.found():
            late_s = trio.current_time() - one.seen_s - deadlines.UNCREDITED_S
            if late_s > 0:
                about = f"{format_cpc(one.amount)} CPC of {one.sender}"
                needed = self._settlement.parameters.confirmations
                reason = self._l1_trouble() or (
                    f"it is in block {one.height} of {self._l1.height}; {needed} blocks are needed,"
                    " which all L1 nodes tell alike"
                )
                remedy = "restore the L1, or take a node out of the network file that forked"
                yield Overdue("deposit", about, late_s, reason, remedy)

    def _of_money(self) -> Iterator[Iterator[Overdue]]:
        now_ms = self._now_ms()
        for sort in self._settlement.late(now_ms, self._l1_trouble()):
            yield (
                Overdue(one.what, one.about, (now_ms - one.until_ms) / 1000, one.reason, one.remedy)
                for one in sort
            )

    def _l1_trouble(self) -> str:
        return l1_trouble(self._l1, self._sender)

    def _late_s(self, since_ms: int, limit_s: float) -> float:
        return (self._now_ms() - since_ms) / 1000 - limit_s


def l1_trouble(l1: ChainWatch, sender: Sender) -> str:
    """What is wrong with the chain, if anything is."""
    if l1.silent_s > L1_SILENT_S:
        return f"the L1 has not answered for {l1.silent_s:.0f} s"
    return sender.blocked


def shortened(found: Iterator[Overdue]) -> Iterator[Overdue]:
    """The first ones, and how many more there are."""
    yield from islice(found, MAX_SHOWN)
    more = list(found)
    if more:
        latest = max(one.overdue_s for one in more)
        yield Overdue(more[0].what, f"{len(more)} more", latest, more[0].reason, more[0].remedy)
