"""Deposits in confirmed blocks: what customers paid in and took out, booked.

    l1 -> customer, or its credit             DEPOSIT
    outbox, or what is the customer's -> l1   WITHDRAW by the market
    all that is the customer's -> l1          WITHDRAW by the customer, after its notice

A notice ends the tasks that the deposit was to pay; what has its escrow goes on.
"""

import logging

from node.amounts import format_cpc
from node.l1.escrow import Depositing, MarketWithdrawal
from node.l1.sender import Sender
from node.l1.transactions import Transaction, tx_hash
from node.settlement import accounts
from node.settlement.chainescrows import BACKER_GONE, TAKEN_OUT, ChainEscrows, Listener
from node.settlement.chaintxs import name_of_tx, post_taken
from node.settlement.entries import move, posting
from node.settlement.escrow_credit import EscrowCredits
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrows import EscrowBook
from node.settlement.ledger import Ledger
from node.settlement.notices import NoticeBook
from node.settlement.withdrawn import WithdrawalBook
from storage.store import Batch

log = logging.getLogger(__name__)


class ChainDeposits:
    """Books the deposits at one market."""

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        *,
        book: EscrowBook,
        notices: NoticeBook,
        credit: EscrowCredits,
        withdrawals: WithdrawalBook,
        disputes: EscrowDisputes,
        escrows: ChainEscrows,
        listener: Listener,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._book = book
        self._notices = notices
        self._credit = credit
        self._withdrawals = withdrawals
        self._disputes = disputes
        self._escrows = escrows
        self._listener = listener

    def paid_in(self, batch: Batch, form: Depositing, tx: Transaction, at_ms: int) -> None:
        """A DEPOSIT at this market."""
        sender = tx.from_address
        owner = form.customer or sender
        if owner == sender:  # or anybody could keep a customer from leaving
            self._notices.end(batch, owner)
        postings = self._credit.paid_in(batch, sender, owner, tx.amount)
        kind = "repay" if postings[1].account.startswith(accounts.CREDIT) else "deposit"
        cause = f"deposit:{name_of_tx(tx)}"
        if self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms):
            log.info("%s CPC by %s, held by the chain", format_cpc(tx.amount), sender)

    def market_paid(
        self, batch: Batch, form: MarketWithdrawal, tx: Transaction, at_ms: int
    ) -> None:
        """A WITHDRAW by the market, for a customer."""
        name = tx_hash(tx)
        cause = self._withdrawals.cause_of(name, batch) or name_of_tx(tx)
        self._withdrawals.remove(batch, name)
        source = accounts.outbox(cause)
        if self._ledger.balance(source, batch) != form.amount:  # none of ours, or given up
            source = accounts.customer(form.customer)
        postings = move(source, accounts.L1, form.amount)
        post_taken(self._ledger, batch, f"sent:{cause}", "sent", postings, at_ms)

    def taken_out(self, batch: Batch, tx: Transaction, height: int, at_ms: int) -> None:
        """A customer's own WITHDRAW: the notice, or a way out after it, as long as that runs.

        The chain takes none between notice and way out, and the next DEPOSIT ends the notice.
        """
        customer = tx.from_address
        if self._notices.height(customer, batch) is None:
            self._notices.give(batch, customer, height)
            self._end_unopened(batch, customer)
            return
        self._give_up_underway(batch, customer, at_ms)
        units = self._ledger.balance(accounts.customer(customer), batch)
        lent, underway = self._credit.take_out(batch, customer), self._underway(batch, customer)
        held = {accounts.customer(customer): units, **lent, **underway}
        total = sum(held.values())
        if total:
            out = [posting(account, -amount) for account, amount in held.items() if amount]
            postings = (*out, posting(accounts.L1, total))
            cause = f"sent:{name_of_tx(tx)}"
            self._ledger.post(batch, cause=cause, kind="sent", postings=postings, at_ms=at_ms)

    def _give_up_underway(self, batch: Batch, customer: str, at_ms: int) -> None:
        """What was to be taken from the customer's deposit and now never can be."""
        for record in self._book.active():
            if record.customer != customer:
                continue
            if record.state in ("wanted", "sent"):
                self._escrows.fail_without_deposit(batch, record, at_ms)
            elif record.dispute is not None and record.dispute.is_on_its_way:
                why = self._escrows.why_gone(batch, record)
                self._disputes.fail(batch, record, at_ms, why)

    def _underway(self, batch: Batch, customer: str) -> dict[str, int]:
        """Withdrawals by the market that the chain had not made when the customer took it all."""
        found: dict[str, int] = {}
        for cause in self._withdrawals.open_of(customer):
            units = self._ledger.balance(accounts.outbox(cause), batch)
            if units:
                found[accounts.outbox(cause)] = units
                self._sender.give_up(batch, cause, TAKEN_OUT)
        return found

    def _end_unopened(self, batch: Batch, customer: str) -> None:
        """The tasks that the customer's deposit was to pay and that have no escrow yet."""
        for task_id in self._unopened(batch, accounts.customer(customer)):
            self._listener.on_unfunded(batch, task_id, TAKEN_OUT)
        for account in self._credit.backed_by(customer):
            for task_id in self._unopened(batch, account):
                self._listener.on_unfunded(batch, task_id, BACKER_GONE)

    def _unopened(self, batch: Batch, payer: str) -> list[str]:
        """Tasks whose reward is reserved, from this account, and was never meant for an escrow."""
        opened = {one.task_id for one in self._book.active()}
        names = [account.partition(":")[2] for account, _ in self._ledger.holdings("reserved:")]
        reserved = {one: self._ledger.find(f"reserve:{one}", batch) for one in names}
        return [
            one
            for one, entry in reserved.items()
            if one not in opened and entry is not None and entry.postings[0].account == payer
        ]
