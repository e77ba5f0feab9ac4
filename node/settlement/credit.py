"""Credit: a customer may buy before paying, up to a limit, with the operator's money behind it.

    credit      the operator's customer account -> credit:<customer>     (and back)
    write-off   credit:<customer> -> customer

The limit is what `credit:<customer>` holds. A task on credit takes the customer's account below
zero by at most as much (`bounds`), so what goes out for it is money that the operator paid in:
nobody else's deposit is ever lent. A deposit pays the debt back by itself; there is no interest. If
the customer never pays, the operator loses what was owed, and never more than the limit.
"""

from collections.abc import Callable, Iterator

import msgspec

from node.amounts import Amount, format_cpc
from node.errors import Conflict, InsufficientFunds, InvalidInput
from node.l1.errors import BadAddress
from node.l1.keys import check_address
from node.settlement import accounts
from node.settlement.accounts import CREDIT, address_in
from node.settlement.entries import move
from node.settlement.ledger import Ledger
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class CreditLine(msgspec.Struct, frozen=True):
    """Who stands for a customer."""

    backer: str
    """Address whose money it is."""
    changes: int
    """How often it was changed; names the ledger's entries."""


class CreditView(msgspec.Struct, frozen=True):
    """A customer's credit as it is now."""

    address: str
    limit: Amount
    """The most that may be owed, units of 10^-18 CPC."""
    owed: Amount
    backer: str
    """Empty if there never was any."""


class Credits:
    """The credit of one market's customers. Stages into the caller's batch."""

    pays_tasks = False
    """Whether tasks on credit are paid from `credit:` itself, and not from the customer's account,
    which then owes."""

    def __init__(self, db: Database, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lines = Table(db, "settlement/credit", CreditLine)

    def view(self, customer: str, batch: Batch | None = None) -> CreditView:
        """The credit of a customer, who need not have any."""
        line = self._lines.get(customer.encode(), Batch() if batch is None else batch)
        return CreditView(
            address=customer,
            limit=Amount(self._ledger.balance(accounts.credit(customer), batch)),
            owed=Amount(max(0, -self._ledger.balance(accounts.customer(customer), batch))),
            backer="" if line is None else line.backer,
        )

    def views(self) -> Iterator[CreditView]:
        """All customers that have credit, in the order of their addresses."""
        return (self.view(address_in(account)) for account, _ in self._ledger.holdings(CREDIT))

    def set_limit(
        self, batch: Batch, customer: str, limit: int, *, backer: str, at_ms: int
    ) -> CreditView:
        """Set aside, or give back, so much that `limit` units are behind the customer.

        The same limit again changes nothing.

        Raises:
            InvalidInput: the limit is negative, or the customer no account, or the backer.
            InsufficientFunds: the backer's own free balance is too small.
            Conflict: more than that is owed, or the credit is another account's to raise.
        """
        _check(customer, limit, backer)
        before = self.view(customer, batch)
        if limit < before.owed:
            raise Conflict(
                f"{format_cpc(before.owed)} CPC are owed",
                field="limit",
                remedy="wait until they are paid back, or write them off",
            )
        giver = self._giver(before, backer, batch)
        if limit > before.limit and giver != backer:
            remedy = "lower it to what is owed first"
            raise Conflict(f"the credit is backed by {giver}", field="operator", remedy=remedy)
        if limit != before.limit:
            self._move_backing(batch, customer, giver, limit - before.limit, at_ms)
        return self.view(customer, batch)

    def write_off(self, batch: Batch, customer: str, at_ms: int) -> int:
        """Let the backer pay what is owed for good; returns how much that was.

        What open and maturing tasks hold is not: it may come back to the customer.
        """
        before = self.view(customer, batch)
        spent = before.owed - self._undecided(customer, batch)
        if spent <= 0:
            return 0
        cause = self._next_cause(batch, "write-off", customer, before.backer)
        postings = move(accounts.credit(customer), accounts.customer(customer), spent)
        self._ledger.post(batch, cause=cause, kind="write-off", postings=postings, at_ms=at_ms)
        return spent

    def _undecided(self, customer: str, batch: Batch) -> int:
        """Units of the customer's tasks that are neither paid nor refunded."""
        return bound_to_tasks(self._ledger, batch, accounts.customer(customer))

    def _giver(self, before: CreditView, backer: str, _batch: Batch) -> str:
        """Whose money a new limit is."""
        return before.backer if before.limit else backer

    def _move_backing(
        self, batch: Batch, customer: str, giver: str, amount: int, at_ms: int
    ) -> None:
        cause = self._next_cause(batch, "credit", customer, giver)
        postings = move(accounts.customer(giver), accounts.credit(customer), amount)
        try:
            self._ledger.post(batch, cause=cause, kind="credit", postings=postings, at_ms=at_ms)
        except InsufficientFunds as error:
            remedy = f"pay in from {giver} first: credit is given from its own free balance"
            raise InsufficientFunds(error.message, field="limit", remedy=remedy) from error

    def _next_cause(self, batch: Batch, kind: str, customer: str, backer: str) -> str:
        line = self._lines.get(customer.encode(), batch)
        changes = 0 if line is None else line.changes
        self._lines.put(batch, customer.encode(), CreditLine(backer, changes + 1))
        return f"{kind}:{customer}:{changes}"


class CreditDesk:
    """Where a market's operator gives credit, over the control socket and nowhere else.

    `operator` is the account that backs it, `market` the market's own; both are addresses.
    """

    def __init__(
        self,
        db: Database,
        book: Credits,
        *,
        operator: str,
        market: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._book = book
        self._operator = str(operator)  # a configuration's own type cannot be stored
        self._market = market
        self._now_ms = now_ms

    def views(self) -> tuple[CreditView, ...]:
        """All customers that have credit."""
        return tuple(self._book.views())

    async def set_limit(self, customer: str, limit: int, *, write_off: bool = False) -> CreditView:
        """Set a customer's limit; returns when it is durable. Raises as `Credits.set_limit`."""
        if self._operator in ("", self._market):
            raise InvalidInput(
                "is not an account that could back credit",
                field="market.operator",
                remedy="name one in the node file that pays in from an address of its own",
            )
        batch, now_ms = Batch(), self._now_ms()
        if write_off:
            self._book.write_off(batch, customer, now_ms)
        view = self._book.set_limit(batch, customer, limit, backer=self._operator, at_ms=now_ms)
        if batch:
            self._db.stage(batch)
        await self._db.flushed()
        return view


def bound_to_tasks(ledger: Ledger, batch: Batch, account: str) -> int:
    """Units of tasks, bought from an account, that are neither paid nor given back."""
    total = 0
    for prefix in ("reserved:", "maturing:", "returning:"):
        for name, units in ledger.holdings(prefix):
            entry = ledger.find(f"reserve:{name.removeprefix(prefix)}", batch)
            total += units if entry is not None and entry.amount(account) else 0
    return total


def _check(customer: str, limit: int, backer: str) -> None:
    try:
        check_address(customer)
    except BadAddress as error:
        raise InvalidInput(error.problem, field="address", remedy="copy all of it") from error
    if limit < 0:
        raise InvalidInput(f"is {limit} units", field="limit", remedy="0 takes the credit away")
    if customer == backer:
        raise InvalidInput("is the account that backs it", field="address")
