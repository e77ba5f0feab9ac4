"""Escrows in confirmed blocks, opened and closed, and those that no block will ever have, booked.

(the chain: deposit -> escrow)            ESCROW_OPEN
maturing -> those who earned it -> l1     ESCROW_SETTLE
returning -> customer, or its credit      ESCROW_REFUND
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from node.l1.escrow import Claim, Opening
from node.l1.escrow.payout import payees_of
from node.l1.sender import Sender
from node.l1.transactions import Transaction
from node.settlement import accounts
from node.settlement.chaintxs import give_way, post_taken
from node.settlement.entries import Posting, move, posting
from node.settlement.escrow_credit import EscrowCredits, paid_from
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.interface import TaskMoved, TaskUnfunded
from node.settlement.ledger import Ledger
from node.settlement.maturing import HeldBook, MaturingBook
from node.settlement.rewards import credits_of
from node.split import split
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

TAKEN_OUT = "the customer takes the deposit out"
BACKER_GONE = "who backs the customer's credit takes the deposit out"


class Listener(Protocol):
    """Who is told what happened to tasks; see `RewardBook`."""

    on_paid: TaskMoved
    on_reclaimed: TaskMoved
    on_unfunded: TaskUnfunded


class ChainEscrows:
    """Books what becomes of one market's escrows."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        sender: Sender,
        *,
        book: EscrowBook,
        credit: EscrowCredits,
        disputes: EscrowDisputes,
        listener: Listener,
        escrow_id: Callable[[str], str],
    ) -> None:
        """`escrow_id` names the escrow of a task of this market's."""
        self._ledger = ledger
        self._sender = sender
        self._book = book
        self._credit = credit
        self._disputes = disputes
        self._listener = listener
        self._escrow_id = escrow_id
        self._maturing = MaturingBook(db)
        self._held_pay = HeldBook(db)

    def find_open(self, batch: Batch, escrow_id: str) -> EscrowRecord | None:
        """One that a block has opened and none has closed; None if the books know of none."""
        record = self._book.find(escrow_id, batch)
        return record if record is not None and record.state == "open" else None

    def opened(self, batch: Batch, form: Opening, tx: Transaction, at_ms: int) -> None:
        """One of an ESCROW_OPEN by this market."""
        record = self._book.find(self._escrow_id(form.task_id), batch)
        if record is None or record.state not in ("wanted", "sent"):
            record = self._found(batch, form, at_ms)
        if record is not None:
            self._give_way(batch, record.opening, tx, "the escrow is open already")
            now_open = msgspec.structs.replace(
                record,
                state="open",
                tries=0,
                members=form.validators,
                needed=form.k,
                deadline=form.deadline,
                late_height=form.deadline + form.grace,
                shares=form.shares,
                fee_reserve=form.fee_reserve,
            )
            self._book.put(batch, now_open)

    def settled(
        self, batch: Batch, escrow_id: str, claim: Claim, tx: Transaction, at_ms: int
    ) -> None:
        """One of an ESCROW_SETTLE: those are paid whom its claim names."""
        record = self.find_open(batch, escrow_id)
        if record is None:
            return
        record = self._close(batch, record, "settled", tx, at_ms)
        held = self._held(batch, record)
        if held is None:
            return
        account, units = held
        assert record.shares is not None, "only an open escrow is settled"
        parts = split(units, record.shares.shares, payees_of(claim), record.fee_reserve)
        earned = credits_of(parts)
        postings = (posting(account, -units), *earned)
        self._post(batch, f"mature:{record.task_id}", "mature", postings, at_ms)
        paid = [posting(one.account, -one.amount) for one in earned]
        out = (*paid, posting(accounts.L1, units))
        self._post(batch, f"paid:{record.task_id}", "paid", out, at_ms)
        if account == accounts.maturing(record.task_id):
            self._forget_pay(batch, record)
            self._tell(self._listener.on_paid, batch, record)

    def refunded(self, batch: Batch, escrow_id: str, tx: Transaction, at_ms: int) -> None:
        """A block gave the reward of an escrow back to the deposit that it came from."""
        record = self.find_open(batch, escrow_id)
        if record is not None:
            record = self._close(batch, record, "refunded", tx, at_ms)
            self._reclaim(batch, record, at_ms)

    def fail(self, batch: Batch, record: EscrowRecord, at_ms: int, problem: str) -> None:
        """Give an escrow up that never was on the chain and can never be: its task has to end."""
        if self._sender.give_up(batch, record.opening, problem):
            self._book.again(batch, record.opening)  # the others, since this one fails
        record = self._disputes.closed(batch, record, at_ms, problem)
        failed = msgspec.structs.replace(record, state="failed")
        self._book.put(batch, failed)
        if self._ledger.balance(accounts.reserved(record.task_id), batch):
            self._listener.on_unfunded(batch, record.task_id, problem)
        self._reclaim(batch, failed, at_ms)

    def fail_without_deposit(self, batch: Batch, record: EscrowRecord, at_ms: int) -> None:
        """The same for one whose deposit has been taken out."""
        self.fail(batch, record, at_ms, self.why_gone(batch, record))

    def why_gone(self, batch: Batch, record: EscrowRecord) -> str:
        """Who has taken out the deposit that an escrow is of."""
        is_own = self._payer(batch, record).startswith(accounts.CUSTOMER)
        return TAKEN_OUT if is_own else BACKER_GONE

    def _found(self, batch: Batch, form: Opening, at_ms: int) -> EscrowRecord | None:
        """An escrow of this market's that the books do not know, or had given up.

        One whose reward is still reserved is its task's; any other one has to come back. None if
        the books do not have its money.
        """
        task_id, escrow_id = form.task_id, self._escrow_id(form.task_id)
        log.error("the escrow of task %s was opened and is not in the books", task_id)
        found = EscrowRecord(
            escrow_id=escrow_id,
            task_id=task_id,
            customer=form.customer,
            amount=form.amount,
            members=form.validators,
            needed=form.k,
        )
        if self._ledger.balance(accounts.reserved(task_id), batch) == form.amount:
            return found
        source = self._credit.source(batch, task_id, form.customer, form.amount)
        postings = move(source, accounts.returning(task_id), form.amount)
        cause = f"opened:{escrow_id}"
        if not post_taken(self._ledger, batch, cause, "return", postings, at_ms):
            return None
        return msgspec.structs.replace(found, ending="refund")

    def _close(
        self, batch: Batch, record: EscrowRecord, state: str, tx: Transaction, at_ms: int
    ) -> EscrowRecord:
        """Note how the chain closed an escrow; a transaction of ours that came too late goes."""
        problem = f"the escrow is {state} already"
        record = self._disputes.closed(batch, record, at_ms, problem)
        record = msgspec.structs.replace(record, state=state)
        self._book.put(batch, record)
        self._give_way(batch, record.closing, tx, problem)
        return record

    def _give_way(self, batch: Batch, cause: str, tx: Transaction, problem: str) -> None:
        """Give up a transaction of ours about an escrow for which `tx` came first, if there is one;
        what else it was about is asked again."""
        if cause and give_way(self._sender, batch, cause, tx, problem):
            self._book.again(batch, cause)

    def _reclaim(self, batch: Batch, record: EscrowRecord, at_ms: int) -> None:
        """Give what a task of an escrow has in the books back to where it came from."""
        held = self._held(batch, record)
        if held is None:
            return
        account, units = held
        postings = move(account, self._payer(batch, record), units)
        cause = f"refund:{record.task_id}"
        if self._ledger.find(cause, batch) is not None:  # given up, and then opened after all
            cause = f"refund:{record.escrow_id}"
        self._post(batch, cause, "refund", postings, at_ms)
        if account == accounts.maturing(record.task_id):
            self._forget_pay(batch, record)
            self._tell(self._listener.on_reclaimed, batch, record)

    def _payer(self, batch: Batch, record: EscrowRecord) -> str:
        return paid_from(
            self._ledger,
            batch,
            task_id=record.task_id,
            escrow_id=record.escrow_id,
            owner=record.customer,
        )

    def _tell(self, listener: TaskMoved, batch: Batch, record: EscrowRecord) -> None:
        """Say what became of a completed task's pay, but for one whose end its jury has said."""
        if record.dispute is None or not record.dispute.is_overturned:
            listener(batch, record.task_id)

    def _held(self, batch: Batch, record: EscrowRecord) -> tuple[str, int] | None:
        """Which of a task's accounts has its reward, and how much."""
        task_id = record.task_id
        names = (
            accounts.maturing(task_id),
            accounts.returning(task_id),
            accounts.reserved(task_id),
        )
        units = {name: self._ledger.balance(name, batch) for name in names}
        return next(((name, amount) for name, amount in units.items() if amount), None)

    def _forget_pay(self, batch: Batch, record: EscrowRecord) -> None:
        pay = self._maturing.get(record.task_id, batch)
        if pay is not None:
            self._maturing.remove(batch, record.task_id, pay)
        self._held_pay.forget(batch, record.task_id)

    def _post(
        self, batch: Batch, cause: str, kind: str, postings: Sequence[Posting], at_ms: int
    ) -> None:
        self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)
