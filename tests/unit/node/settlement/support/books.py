"""A market's books, checked after every step at the cost of what is new.

An audit reads all entries, so that one after each of many steps takes the square of their number.
`Books` keeps its own sums and reads each entry once: that it is sound and found by its cause and
its accounts, that it is the only one of its cause, that a payout pays what is owed and nothing
twice, and that what comes from the chain or goes there is in a block, each transaction once.
Against its sums it compares all balances, which are few: those of past tasks and payments are gone.
Where the chain holds the money, its own records are compared at the end, see `test_money`.

An entry is read when it may not be durable yet. After a crash begin with new `Books`.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from node.l1.blocks import Block
from node.l1.transactions import Transaction, tx_hash
from node.settlement.accounts import MAY_OWE, address_in
from node.settlement.entries import Entry, check_entry, index_key
from node.settlement.public_audit import PAYOUTS
from storage.store import Batch

PAYEES = ("worker:", "validator:", "burn", "treasury")


class Books:
    """Of one life of a market, on the chain of a world."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._next = 0
        self._sums: dict[str, int] = {}
        self._causes: set[str] = set()
        self._booked: set[tuple[str, int]] = set()
        self._paid_before: dict[str, int] = {}
        self._deposits = self._payments = self._fees = 0

    def check(self, market: Any, open_tasks: Iterable[str]) -> None:
        """Read what is new, then compare. Raises AssertionError and MalformedEntry."""
        for entry in market.ledger.entries(start=self._next):
            self._read(market, entry)
        ledger = market.ledger
        assert ledger.next_sequence(Batch()) == self._next
        holdings = dict(ledger.holdings())
        assert holdings == self._sums
        assert sum(holdings.values()) == 0
        assert not [
            name
            for name, units in holdings.items()
            if units < 0 and name not in MAY_OWE and not is_backed(name, holdings)
        ]
        if not self._world.holds:
            self._check_sums(holdings)
        self._check_causes(market, open_tasks)

    def _check_sums(self, holdings: dict[str, int]) -> None:
        """All accounts together are what came in, less what went out and what the chain took for
        that; and the chain has it, but for what is on its way."""
        held = sum(units for name, units in holdings.items() if name != "l1")
        assert held == self._deposits - self._payments - self._fees
        leaving = sum(units for name, units in holdings.items() if name.startswith("outbox:"))
        if not self._world.faults.rewrites:
            assert self._world.balance(self._world.key.address) >= held - leaving

    def _check_causes(self, market: Any, open_tasks: Iterable[str]) -> None:
        """Money is held for these tasks and no others, and for payments that are really open."""
        reserved = {name.partition(":")[2] for name, _ in market.ledger.holdings("reserved:")}
        assert reserved == set(open_tasks)
        for account, _ in market.ledger.holdings("maturing:"):
            task = account.removeprefix("maturing:")
            assert market.ledger.find(f"settle:{task}")
            assert not market.ledger.find(f"mature:{task}")
        names = dict(market.ledger.holdings())
        payees = {name for name in names if name.startswith(PAYEES)}
        if self._world.holds:
            assert not payees, "the chain pays them when it settles"
        else:
            assert payees == dict(market.settlement.payouts._owed.items()).keys()
            self._check_outbox(market)

    def _check_outbox(self, market: Any) -> None:
        for account, units in market.ledger.holdings("outbox:"):
            record = market.sender.find(account.removeprefix("outbox:"))
            assert record is not None
            assert record.state == "open"
            assert units == record.transaction.amount + record.transaction.fee

    def _read(self, market: Any, entry: Entry) -> None:
        ledger = market.ledger
        assert entry.sequence == self._next
        check_entry(entry.cause, entry.kind, entry.postings)
        assert entry.cause not in self._causes, f"{entry.cause} twice"
        assert ledger.find(entry.cause) == entry
        for posting in entry.postings:
            place = ledger.by_account.get(index_key(posting.account, entry.sequence))
            assert place is not None
            assert place.sequence == entry.sequence
            self._add(posting.account, posting.amount)
        self._causes.add(entry.cause)
        self._next += 1
        if entry.amount("l1") and not self._world.holds:
            self._check_border(market, entry)
        if entry.kind in PAYOUTS:
            self._check_payout(market, entry)

    def _add(self, account: str, units: int) -> None:
        total = self._sums.pop(account, 0) + units
        if total:
            self._sums[account] = total

    def _check_payout(self, market: Any, entry: Entry) -> None:
        """It pays the account's oldest unpaid entries, all that they bring, and none twice."""
        payouts = market.settlement.payouts
        payout = payouts.find(entry.cause)
        account, start = payout.account, self._paid_before.get(payout.account, 0)
        paid = list(payouts.entries(payout))
        earned = (
            one for one in market.ledger.entries(account, start=start) if one.amount(account) > 0
        )
        assert list(islice(earned, len(paid))) == paid
        assert len(paid) == payout.entries
        gone = payout.amount + payout.fee
        assert sum(one.amount(account) for one in paid) == gone == -entry.amount(account)
        self._paid_before[account] = payout.last + 1

    def _check_border(self, market: Any, entry: Entry) -> None:
        """What the outside gives or gets is one transaction of a block, booked once."""
        if entry.kind == "deposit":
            _, digest, nonce = entry.cause.split(":")
            tx, moved = self._included(digest, int(nonce)), -entry.amount("l1")
            assert (tx.amount, tx.to_address) == (moved, self._world.key.address)
            self._deposits += tx.amount
        else:
            record = market.sender.find(entry.cause.removeprefix("sent:"))
            assert record is not None
            assert record.state == "confirmed"
            tx = self._included(record.tx_hash, record.nonce)
            assert tx == record.transaction
            assert tx.amount + tx.fee == entry.amount("l1")
            self._payments += tx.amount
            self._fees += tx.fee
        assert (tx.from_address, tx.nonce) not in self._booked
        self._booked.add((tx.from_address, tx.nonce))

    def _included(self, digest: str, nonce: int) -> Transaction:
        height = self._world.chain._records.place(bytes.fromhex(digest))
        assert height is not None, f"{digest} is in no block"
        block = msgspec.json.decode(self._world.chain.block(height), type=Block)
        found = [tx for tx in block.txs if (tx_hash(tx), tx.nonce) == (digest, nonce)]
        assert len(found) == 1
        return found[0]


def is_backed(account: str, holdings: dict[str, int]) -> bool:
    """Whether a customer who owes has credit for all of it."""
    limit = holdings.get(f"credit:{address_in(account)}", 0)
    return account.startswith("customer:") and holdings[account] + limit >= 0


def check_books(market: Any) -> None:
    """An audit of a market's books, and that nobody has less than nothing."""
    report = market.ledger.audit()
    assert report.ok, report.findings
    holdings = dict(market.ledger.holdings())
    assert sum(holdings.values()) == 0
    less = [name for name, units in holdings.items() if units < 0 and name != "l1"]
    assert all(is_backed(name, holdings) for name in less)
