"""The books follow the chain: what confirmed blocks did with the money that it holds.

Everything about money outside the market's reach comes from here and from nowhere else: deposits
and withdrawals, escrows opened and closed, whoever sent the transaction. A transaction in a block
has been applied (the chain has no failed ones), so the books need no receipts. They are a copy of
what the chain holds, apart from what is between two blocks:

    l1 -> customer, or its credit         DEPOSIT
    outbox, or what is the customer's -> l1   WITHDRAW
    maturing -> those who earned it -> l1     ESCROW_SETTLE
    returning -> customer, or its credit  ESCROW_REFUND

What becomes of disputes is in `chaindisputes`, of bonds in `chainbonds`.

`handle` is for `node.l1.follower.Follower`; what it books is in the batch that moves the position.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from node.amounts import format_cpc
from node.errors import InsufficientFunds
from node.l1.blocks import Block
from node.l1.errors import BadTransaction, L1Unavailable
from node.l1.escrow import (
    Appealing,
    Awarding,
    Bonding,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Opening,
    Refund,
    Settlement,
    Slashing,
    Unbonding,
    read,
)
from node.l1.escrow.payout import payees_of
from node.l1.sender import Sender
from node.l1.transactions import Transaction, tx_hash
from node.settlement import accounts
from node.settlement.chainbonds import ChainBonds
from node.settlement.chaindisputes import ChainDisputes
from node.settlement.chainterms import Terms
from node.settlement.entries import Posting, move, posting
from node.settlement.escrow_credit import EscrowCredits, paid_from
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrows import CLOSED, EscrowBook, EscrowRecord
from node.settlement.interface import TaskMoved, TaskUnfunded
from node.settlement.ledger import Ledger
from node.settlement.maturing import HeldBook, MaturingBook
from node.settlement.notices import NoticeBook
from node.settlement.rewards import credits_of
from node.settlement.withdrawn import WithdrawalBook
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


class ChainBook:
    """Books what happens on the chain to the money at one market, whose account is `address`."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        sender: Sender,
        *,
        book: EscrowBook,
        notices: NoticeBook,
        credit: EscrowCredits,
        withdrawals: WithdrawalBook,
        listener: Listener,
        disputes: EscrowDisputes,
        bonds: ChainBonds,
        terms: Terms,
        address: str,
        escrow_id: Callable[[str], str],
    ) -> None:
        """`escrow_id` names the escrow of a task of this market's."""
        self._listener = listener
        self.height: int | None = None
        """Of the last block that was booked in this life."""
        self._ledger = ledger
        self._sender = sender
        self._book = book
        self._notices = notices
        self._credit = credit
        self._withdrawals = withdrawals
        self._disputes = disputes
        self._on_chain = ChainDisputes(
            ledger, disputes, bonds, taken=self._taken, give_way=self._give_way
        )
        self._bonds = bonds
        self._terms = terms
        self._maturing = MaturingBook(db)
        self._held_pay = HeldBook(db)
        self._address = address
        self._escrow_id = escrow_id

    def handle(self, batch: Batch, block: Block) -> None:
        """Book a confirmed block, at the time of its slot.

        Raises L1Unavailable, for the follower to come again, before the chain has told its terms:
        what happens to a bond follows from them.
        """
        if self._terms.known is None:
            raise L1Unavailable("the L1 has not told its terms yet")
        at_ms, height = block.header.timestamp * 1000, block.header.height
        self._bonds.begin(batch, height, at_ms)
        for tx in block.txs:
            book = _BOOKED.get(tx.tx_type)
            if book is not None:
                book(self, batch, tx, height, at_ms)
        self.height = height

    def reclaim(self, batch: Batch, record: EscrowRecord, at_ms: int) -> None:
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

    def fail(self, batch: Batch, record: EscrowRecord, at_ms: int, problem: str) -> None:
        """Give an escrow up that never was on the chain and can never be: its task has to end."""
        self._sender.give_up(batch, record.opening, problem)
        record = self._disputes.closed(batch, record, at_ms, problem)
        failed = msgspec.structs.replace(record, state="failed")
        self._book.put(batch, failed)
        if self._ledger.balance(accounts.reserved(record.task_id), batch):
            self._listener.on_unfunded(batch, record.task_id, problem)
        self.reclaim(batch, failed, at_ms)

    def fail_without_deposit(self, batch: Batch, record: EscrowRecord, at_ms: int) -> None:
        """The same for one whose deposit has been taken out."""
        self.fail(batch, record, at_ms, self.why_gone(batch, record))

    def why_gone(self, batch: Batch, record: EscrowRecord) -> str:
        """Who has taken out the deposit that an escrow is of."""
        is_own = self._payer(batch, record).startswith(accounts.CUSTOMER)
        return TAKEN_OUT if is_own else BACKER_GONE

    def _deposited(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        if tx.to_address != self._address or not isinstance(form, Depositing):
            return
        sender = tx.from_address
        owner = form.customer or sender
        if owner == sender:  # or anybody could keep a customer from leaving
            self._notices.end(batch, owner)
        postings = self._credit.paid_in(batch, sender, owner, tx.amount)
        kind = "repay" if postings[1].account.startswith(accounts.CREDIT) else "deposit"
        if self._post(batch, f"deposit:{_name(tx)}", kind, postings, at_ms):
            log.info("%s CPC by %s, held by the chain", format_cpc(tx.amount), sender)

    def _withdrawn(self, batch: Batch, tx: Transaction, height: int, at_ms: int) -> None:
        form = _form(tx)
        if isinstance(form, MarketWithdrawal) and tx.from_address == self._address:
            self._market_paid(batch, form, tx, at_ms)
        elif isinstance(form, CustomerWithdrawal) and form.market == self._address:
            self._taken_out(batch, tx, height, at_ms)

    def _market_paid(
        self, batch: Batch, form: MarketWithdrawal, tx: Transaction, at_ms: int
    ) -> None:
        name = tx_hash(tx)
        cause = self._withdrawals.cause_of(name, batch) or _name(tx)
        self._withdrawals.remove(batch, name)
        source = accounts.outbox(cause)
        if self._ledger.balance(source, batch) != form.amount:  # none of ours, or given up
            source = accounts.customer(form.customer)
        postings = move(source, accounts.L1, form.amount)
        self._taken(batch, f"sent:{cause}", "sent", postings, at_ms)

    def _taken_out(self, batch: Batch, tx: Transaction, height: int, at_ms: int) -> None:
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
            self._post(batch, f"sent:{_name(tx)}", "sent", postings, at_ms)

    def _give_up_underway(self, batch: Batch, customer: str, at_ms: int) -> None:
        """What was to be taken from the customer's deposit and now never can be."""
        for record in self._book.active():
            if record.customer != customer:
                continue
            if record.state in ("wanted", "sent"):
                self.fail_without_deposit(batch, record, at_ms)
            elif record.dispute is not None and record.dispute.is_on_its_way:
                self._disputes.fail(batch, record, at_ms, self.why_gone(batch, record))

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

    def _payer(self, batch: Batch, record: EscrowRecord) -> str:
        return paid_from(
            self._ledger,
            batch,
            task_id=record.task_id,
            escrow_id=record.escrow_id,
            owner=record.customer,
        )

    def _opened(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        if not isinstance(form, Opening) or tx.from_address != self._address:
            return
        record = self._book.find(self._escrow_id(form.task_id), batch)
        if record is None or record.state not in ("wanted", "sent"):
            record = self._found(batch, form, at_ms)
        if record is not None:
            self._give_way(batch, record.opening, tx, "the escrow is open already")
            now_open = msgspec.structs.replace(
                record,
                state="open",
                members=form.validators,
                needed=form.k,
                deadline=form.deadline,
                late_height=form.deadline + form.grace,
                shares=form.shares,
                fee_reserve=form.fee_reserve,
            )
            self._book.put(batch, now_open)

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
        if not self._taken(batch, f"opened:{escrow_id}", "return", postings, at_ms):
            return None
        return msgspec.structs.replace(found, ending="refund")

    def _settled(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        record = self._book.find(form.escrow_id, batch) if isinstance(form, Settlement) else None
        if record is None or record.state in CLOSED or not isinstance(form, Settlement):
            return
        record = self._close(batch, record, "settled", tx, at_ms)
        held = self._held(batch, record)
        if held is None:
            return
        account, units = held
        assert record.shares is not None, "only an open escrow is settled"
        parts = split(units, record.shares.shares, payees_of(form.claim), record.fee_reserve)
        earned = credits_of(parts)
        postings = (posting(account, -units), *earned)
        self._post(batch, f"mature:{record.task_id}", "mature", postings, at_ms)
        paid = [posting(one.account, -one.amount) for one in earned]
        out = (*paid, posting(accounts.L1, units))
        self._post(batch, f"paid:{record.task_id}", "paid", out, at_ms)
        if account == accounts.maturing(record.task_id):
            self._forget_pay(batch, record)
            self._tell(self._listener.on_paid, batch, record)

    def _refunded(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        record = self._book.find(form.escrow_id, batch) if isinstance(form, Refund) else None
        if record is not None and record.state not in CLOSED:
            record = self._close(batch, record, "refunded", tx, at_ms)
            self.reclaim(batch, record, at_ms)

    def _appealed(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        record = self._book.find(form.escrow_id, batch) if isinstance(form, Appealing) else None
        if record is not None and record.state == "open" and isinstance(form, Appealing):
            self._on_chain.appealed(batch, record, form, tx, at_ms)

    def _ruled(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        record = self._book.find(form.escrow_id, batch) if isinstance(form, Awarding) else None
        if record is None or record.state != "open" or not isinstance(form, Awarding):
            return
        record = self._on_chain.ruled(batch, record, form, tx, at_ms)
        if form.award.outcome == "overturned":
            record = self._close(batch, record, "refunded", tx, at_ms)
            self.reclaim(batch, record, at_ms)

    def _bonded(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        if isinstance(form, Bonding) and tx.to_address == self._address:
            self._bonds.bonded(batch, form, tx.from_address, tx.amount, _name(tx), at_ms)

    def _unbonded(self, batch: Batch, tx: Transaction, height: int, at_ms: int) -> None:
        form = _form(tx)
        if isinstance(form, Unbonding):
            self._bonds.unbonded(batch, form, tx.from_address, height, _name(tx), at_ms)

    def _slashed(self, batch: Batch, tx: Transaction, _height: int, at_ms: int) -> None:
        form = _form(tx)
        if isinstance(form, Slashing):
            self._bonds.slashed(batch, form, _name(tx), at_ms)

    def _close(
        self, batch: Batch, record: EscrowRecord, state: str, tx: Transaction, at_ms: int
    ) -> EscrowRecord:
        """Note how the chain closed an escrow; a transaction of ours that came too late goes."""
        problem = f"the escrow is {state} already"
        record = self._disputes.closed(batch, record, at_ms, problem)
        record = msgspec.structs.replace(record, state=state)
        self._book.put(batch, record)
        if record.closing:
            self._give_way(batch, record.closing, tx, problem)
        return record

    def _tell(self, listener: TaskMoved, batch: Batch, record: EscrowRecord) -> None:
        """Say what became of a completed task's pay, but for one whose end its jury has said."""
        if record.dispute is None or not record.dispute.is_overturned:
            listener(batch, record.task_id)

    def _give_way(self, batch: Batch, cause: str, tx: Transaction, problem: str) -> None:
        """Give up a transaction of ours for which another one came first."""
        ours = self._sender.find(cause)
        if ours is not None and ours.tx_hash != tx_hash(tx):
            self._sender.give_up(batch, cause, problem)

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

    def _taken(
        self, batch: Batch, cause: str, kind: str, postings: Sequence[Posting], at_ms: int
    ) -> bool:
        """Book what the chain took from a customer; False if the books do not have it: they are
        not a copy of the chain any more, which an audit shows."""
        try:
            return self._post(batch, cause, kind, postings, at_ms)
        except InsufficientFunds:
            log.exception("the chain took what the books do not have: %s", cause)
            return False

    def _post(
        self, batch: Batch, cause: str, kind: str, postings: Sequence[Posting], at_ms: int
    ) -> bool:
        return self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)


def _form(tx: Transaction) -> object:
    """The transaction's payload, or None for one that a chain of another profile took."""
    try:
        return read(tx)
    except BadTransaction as error:
        log.warning("transaction %s is not of its form: %s", tx_hash(tx), error)
        return None


def _name(tx: Transaction) -> str:
    """The chain's hash does not fix where one number ends and the next begins, the nonce does."""
    return f"{tx_hash(tx)}:{tx.nonce}"


_Book = Callable[[ChainBook, Batch, Transaction, int, int], None]
_BOOKED: dict[str, _Book] = {
    "DEPOSIT": ChainBook._deposited,
    "WITHDRAW": ChainBook._withdrawn,
    "ESCROW_OPEN": ChainBook._opened,
    "ESCROW_SETTLE": ChainBook._settled,
    "ESCROW_REFUND": ChainBook._refunded,
    "ESCROW_APPEAL": ChainBook._appealed,
    "ESCROW_RULE": ChainBook._ruled,
    "BOND": ChainBook._bonded,
    "UNBOND": ChainBook._unbonded,
    "SLASH": ChainBook._slashed,
}
