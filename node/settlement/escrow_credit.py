"""Credit where the chain holds the money: a customer buys out of the operator's deposit.

    credit      the backer's customer account -> credit:<customer>     (and back)
    reserve     credit:<customer> -> reserved; the escrow is opened from the backer's deposit
    refund      what the task has -> credit:<customer>
    appeal      credit:<customer> -> appeal, for a task on credit        (and back)
    repay       l1 -> credit:<customer>; more than is owed -> the backer's customer account

`credit:<customer>` is what the customer may still buy with, and the chain holds it as a part of the
backer's deposit. The limit is kept beside it: what is owed is the limit less that, always. A task
is bought wholly on credit or wholly from the customer's own deposit, which nobody but its owner can
use to pay a debt. What a customer pays back for an open task that is then refunded is paid ahead:
to buy with, above the limit, but the backer's on the chain.
"""

from collections.abc import Iterable, Iterator

import msgspec

from node.amounts import Amount, format_cpc
from node.errors import Conflict, InsufficientFunds
from node.settlement import accounts
from node.settlement.accounts import CREDIT, address_in
from node.settlement.credit import Credits, CreditView, bound_to_tasks
from node.settlement.entries import Entry, Posting, posting
from node.settlement.ledger import Ledger
from node.settlement.notices import NoticeBook
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

LIMITING = frozenset({"credit", "sent"})
"""Kinds of the entries that change the limit with what is left of it, so that nothing is owed."""


class Granted(msgspec.Struct, frozen=True):
    """What the ledger does not say of a customer's credit."""

    limit: Amount = Amount(0)
    """The most that may be owed, units of 10^-18 CPC."""
    written_off: Amount = Amount(0)
    """Of the debt, so far; less what was paid ahead and the backer took out."""


class EscrowCredits(Credits):
    """The credit of the customers of a market whose money the chain holds."""

    pays_tasks = True

    def __init__(self, db: Database, ledger: Ledger, notices: NoticeBook) -> None:
        super().__init__(db, ledger)
        self._notices = notices
        self._granted = Table(db, "settlement/credit-limits", Granted)

    def view(self, customer: str, batch: Batch | None = None) -> CreditView:
        """As `Credits.view`."""
        batch = Batch() if batch is None else batch
        line = self._lines.get(customer.encode(), batch)
        granted = self.granted(customer, batch)
        return CreditView(
            address=customer,
            limit=granted.limit,
            owed=Amount(max(0, granted.limit - self._left(customer, batch))),
            backer="" if line is None else line.backer,
        )

    def views(self) -> Iterator[CreditView]:
        """All customers that have credit, or money paid ahead, in the order of their addresses."""
        for customer, _ in self.lines():
            view = self.view(customer)
            if view.limit or self._left(customer, Batch()):
                yield view

    def lines(self) -> Iterator[tuple[str, str]]:
        """All customers that ever had credit, and who backs it."""
        return ((key.decode(), line.backer) for key, line in self._lines.items())

    def granted(self, customer: str, batch: Batch | None = None) -> Granted:
        """A customer's limit, and what was written off."""
        return self._granted.get(customer.encode(), batch) or Granted()

    def write_off(self, batch: Batch, customer: str, at_ms: int) -> int:  # noqa: ARG002
        """As `Credits.write_off`: the money has left the backer's deposit with the tasks, so that
        only the limit and what is owed become less."""
        spent = self.view(customer, batch).owed - self._undecided(customer, batch)
        if spent <= 0:
            return 0
        self._change(batch, customer, -spent, written_off=spent)
        return spent

    def payer(self, batch: Batch, customer: str, amount: int) -> str:
        """The account that a task of a customer's is bought from: its own, or its credit.

        Raises:
            InsufficientFunds: neither of them suffices.
            Conflict: the credit would, and its backer is taking the deposit out.
        """
        own, left = accounts.customer(customer), self._left(customer, batch)
        balance = self._ledger.balance(own, batch)
        if balance >= amount:
            return own
        if left < amount:
            also = ", or less than your credit's rest: no task is paid from both" if left else ""
            raise InsufficientFunds(
                f"{format_cpc(amount - max(balance, left))} CPC are missing",
                remedy=f"deposit CPC with the market first{also}",
            )
        backer = self.view(customer, batch).backer
        if self._notices.height(backer, batch) is not None:
            raise Conflict(
                f"{backer}, who backs the credit, is taking its deposit out, by its own notice on"
                " the chain",
                field="reward",
                remedy="deposit money of your own",
            )
        return accounts.credit(customer)

    def fee_payer(self, batch: Batch, task_id: str, customer: str, fee: int) -> str:
        """The account that a customer's appeal is paid from: the one that its task was bought from,
        since the chain takes the fee from the same deposit.

        Raises:
            InsufficientFunds: that is its credit, of which less is left.
            Conflict: it is not the customer's at all.
        """
        known = self._ledger.find(f"appeal:{task_id}", batch)
        if known is not None:
            return payer_again(known, customer)
        bought = self._ledger.find(f"reserve:{task_id}", batch)
        account = "" if bought is None else bought.postings[0].account
        if address_in(account) != customer:
            problem = "the deposit that pays an appeal is the one that bought the task"
            raise Conflict(problem, field="task_id")
        left = self._left(customer, batch)
        if account.startswith(CREDIT) and left < fee:
            raise InsufficientFunds(
                f"{format_cpc(fee - left)} CPC are missing: a task on credit is disputed on credit",
                remedy="pay back what is owed first",
            )
        return account

    def owner(self, batch: Batch, account: str) -> str:
        """Whose deposit on the chain has what an account of a customer's, or its credit, holds."""
        name = address_in(account)
        return self.view(name, batch).backer if account.startswith(CREDIT) else name

    def paid_in(self, batch: Batch, sender: str, owner: str, amount: int) -> tuple[Posting, ...]:
        """The postings of a DEPOSIT by `sender` for `owner`, who may be the backer of its credit:
        then it pays the debt back first."""
        mine = self.view(sender, batch)
        paid = min(amount, int(mine.owed)) if sender != owner == mine.backer else 0
        parts = {accounts.credit(sender): paid, accounts.customer(owner): amount - paid}
        gained = [posting(account, units) for account, units in parts.items() if units]
        return posting(accounts.L1, -amount), *gained

    def source(self, batch: Batch, task_id: str, owner: str, amount: int) -> str:
        """The account from which the chain took `amount` of the deposit of `owner` for a task that
        the books had given up: where they gave it back to, if it is still there."""
        entry = self._ledger.find(f"reserve:{task_id}", batch)
        account = "" if entry is None else entry.postings[0].account
        customer = address_in(account)
        is_lent = account.startswith(CREDIT) and self.owner(batch, account) == owner
        if is_lent and self._left(customer, batch) >= amount:
            return account
        return accounts.customer(owner)

    def backed_by(self, backer: str) -> list[str]:
        """The accounts of all credit that is a part of an address's deposit."""
        return [accounts.credit(customer) for customer, name in self.lines() if name == backer]

    def take_out(self, batch: Batch, backer: str) -> dict[str, int]:
        """What a backer takes out of its customers' credit with its whole deposit; each limit is
        what is still owed. The caller books it."""
        found = {}
        for account in self.backed_by(backer):
            customer, units = address_in(account), self._ledger.balance(account, batch)
            if units:
                found[account] = units
                ahead = max(0, units - self.granted(customer, batch).limit)
                self._change(batch, customer, ahead - units, written_off=-ahead)
        return found

    def findings(self) -> Iterator[str]:
        """What of the credit does not follow from the ledger's entries, in sentences."""
        known = set()
        for customer, _ in self.lines():
            known.add(accounts.credit(customer))
            owed = self.granted(customer).limit - self._left(customer, Batch())
            told = self._owed_by_entries(customer)
            if owed != told:
                yield f"{customer} owes {owed} units on credit, the entries say {told}"
        for account, _ in self._ledger.holdings(CREDIT):
            if account not in known:
                yield f"{account} is nobody's credit"
        for account, units in self._ledger.holdings(accounts.CUSTOMER):
            if units < 0:
                yield f"{account} is negative, and the chain holds no less than nothing"

    def _owed_by_entries(self, customer: str) -> int:
        account = accounts.credit(customer)
        entries = self._ledger.entries(account)
        moved = sum(one.amount(account) for one in entries if one.kind not in LIMITING)
        return -moved - self.granted(customer).written_off

    def _left(self, customer: str, batch: Batch) -> int:
        return self._ledger.balance(accounts.credit(customer), batch)

    def _undecided(self, customer: str, batch: Batch) -> int:
        """With the fees of appeals that are not decided."""
        account, fees = accounts.credit(customer), 0
        for name, units in self._ledger.holdings("appeal:"):
            entry = self._ledger.find(name, batch)
            fees += units if entry is not None and entry.amount(account) else 0
        return bound_to_tasks(self._ledger, batch, account) + fees

    def _giver(self, before: CreditView, backer: str, batch: Batch) -> str:
        """The same as long as anything of the last one's can come back, or is paid ahead."""
        customer = before.address
        if self._left(customer, batch) or self._undecided(customer, batch):
            return before.backer
        return super()._giver(before, backer, batch)

    def _move_backing(
        self, batch: Batch, customer: str, giver: str, amount: int, at_ms: int
    ) -> None:
        if amount > 0 and self._notices.height(giver, batch) is not None:
            raise Conflict(
                f"the deposit of {giver} is on its way out, by its own notice on the chain",
                field="limit",
                remedy="deposit from it again to end the notice",
            )
        super()._move_backing(batch, customer, giver, amount, at_ms)
        self._change(batch, customer, amount)

    def _change(self, batch: Batch, customer: str, more: int, *, written_off: int = 0) -> None:
        now = self.granted(customer, batch)
        changed = Granted(Amount(now.limit + more), Amount(now.written_off + written_off))
        self._granted.put(batch, customer.encode(), changed)


def payer_again(known: Entry, customer: str) -> str:
    """The account of a customer's that an entry took money from; its own if it was somebody else's,
    so that the same cause is not the same entry."""
    account = known.postings[0].account
    return account if address_in(account) == customer else accounts.customer(customer)


def paid_from(ledger: Ledger, batch: Batch, *, task_id: str, escrow_id: str, owner: str) -> str:
    """The account that the money in an escrow came from, and comes back to; that of `owner`, whose
    deposit it is, if the books do not know."""
    causes = f"opened:{escrow_id}", f"reserve:{task_id}"
    return _first_payer(ledger, batch, causes) or accounts.customer(owner)


def fee_from(ledger: Ledger, batch: Batch, task_id: str, escrow_id: str) -> str:
    """The account that the fee of an appeal came from, and comes back to."""
    payer = _first_payer(ledger, batch, (f"appealed:{escrow_id}", f"appeal:{task_id}"))
    assert payer is not None, "whatever an appeal holds was put down"
    return payer


def _first_payer(ledger: Ledger, batch: Batch, causes: Iterable[str]) -> str | None:
    for cause in causes:
        entry = ledger.find(cause, batch)
        if entry is not None:
            return entry.postings[0].account
    return None
