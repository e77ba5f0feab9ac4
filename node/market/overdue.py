"""What is older at a market than it should be: tasks, appeals, pay, bonds, payments, deposits,
unclaimed money.

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
from node.settlement import accounts
from node.settlement.arriving import Arrivals
from node.settlement.owed import Owed
from node.settlement.terms import latest_ms
from node.settlement.transfer import TransferSettlement
from node.settlement.unclaimed import UnclaimedDesk
from node.waiting import L1_SILENT_S

MAX_SHOWN = 16
"""Of one sort; more are counted."""
RESTART = "read its log; if nothing helps, restart it: everything goes on from what is stored"


class MarketOverdue:
    """Looks at one market."""

    def __init__(
        self,
        *,
        board: TaskBoard,
        settlement: TransferSettlement,
        sender: Sender,
        l1: ChainWatch,
        appeals: KnownAppeals,
        arrivals: Arrivals,
        nobodys: UnclaimedDesk,
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
        self._nobodys = nobodys
        self._why_queued = why_queued
        self._now_ms = now_ms

    def found(self) -> tuple[Overdue, ...]:
        """Everything that is overdue now, sort by sort."""
        sorts = (
            self._open_tasks(),
            self._unanchored(),
            self._disputed(),
            self._maturing(),
            self._unbonding(),
            self._payouts(),
            self._payments(),
            self._deposits(),
            self._unclaimed(),
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

    def _unbonding(self) -> Iterator[Overdue]:
        bonds, before_ms = self._settlement.bonds, self._before_ms()
        for address in bonds.due(before_ms):
            due_ms = bonds.find(address).release_ms or before_ms
            late_s = self._late_s(due_ms, deadlines.GRACE_S)
            yield Overdue("unbonding", address, late_s, "the market did not release it", RESTART)

    def _maturing(self) -> Iterator[Overdue]:
        before_ms = self._before_ms()
        for task_id in self._settlement.rewards.due(before_ms):
            due_ms = self._settlement.rewards.due_ms(task_id)
            late_s = self._late_s(due_ms, deadlines.GRACE_S)
            yield Overdue("maturing pay", task_id, late_s, "the market did not pay it", RESTART)

    def _payouts(self) -> Iterator[Overdue]:
        for account, owed, is_due in self._settlement.payouts.waiting(self._now_ms()):
            end_ms = latest_ms(self._settlement.parameters, owed)
            if is_due:
                end_ms = self._due_since_ms(account, owed)
            late_s = self._late_s(end_ms, deadlines.GRACE_S)
            if late_s > 0:
                reason, remedy = self._why_unpaid(account, is_due=is_due)
                yield Overdue("payout", account, late_s, reason, remedy)

    def _due_since_ms(self, account: str, owed: Owed) -> int:
        """When it became due, by the age of its oldest entry; the latest that it can have been."""
        rules = self._settlement.parameters
        address = accounts.address_in(account)
        own = self._settlement.payouts.terms.threshold(address)
        if own is not None:
            return latest_ms(rules, owed)
        return owed.since_ms + rules.payout_interval_s * 1000

    def _why_unpaid(self, account: str, *, is_due: bool) -> tuple[str, str]:
        if not is_due:
            units = self._settlement.ledger.balance(account)
            fee = self._settlement.parameters.transfer_fee
            reason = f"{format_cpc(units)} CPC are less than the L1's fee, {format_cpc(fee)} CPC"
            return reason, "nothing: it is paid with what is earned next"
        if trouble := self._l1_trouble():
            return trouble, "restore the L1; it is paid then"
        if self._settlement.payouts.short_of_fees:
            remedy = "`tmnode wallet fees AMOUNT`; the payee can also have it paid now"
            return "`fees` holds less than a TRANSFER costs", remedy
        return "the market did not pay it", RESTART

    def _payments(self) -> Iterator[Overdue]:
        ledger = self._settlement.ledger
        for account, units in ledger.holdings("outbox:"):
            entry = ledger.find(account.removeprefix("outbox:"))
            if entry is None:
                continue
            late_s = self._late_s(entry.at_ms, deadlines.UNCONFIRMED_S)
            if late_s > 0:
                about = f"{entry.cause} ({format_cpc(units)} CPC)"
                reason = self._l1_trouble() or "no confirmed block holds it"
                remedy = "nothing: the same bytes are sent again; restore the L1 if it is away"
                yield Overdue("payment", about, late_s, reason, remedy)

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

    def _unclaimed(self) -> Iterator[Overdue]:
        for entry in self._nobodys.entries():
            yield Overdue(
                "unclaimed money",
                f"{format_cpc(entry.amount(accounts.UNCLAIMED))} CPC of {entry.cause}",
                (self._now_ms() - entry.at_ms) / 1000,
                "it came from no account of this network, or the L1 lost the payment",
                f"find out whose it is: `tmnode wallet unclaimed {entry.sequence} ADDRESS`",
            )

    def _l1_trouble(self) -> str:
        return l1_trouble(self._l1, self._sender)

    def _before_ms(self) -> int:
        """What was due by then is late."""
        return self._now_ms() - round(deadlines.GRACE_S * 1000) - 1

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
