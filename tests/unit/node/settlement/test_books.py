"""The check that runs after every step finds what it is for, though it reads only what is new."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.amounts import UNITS_PER_CPC, Amount
from node.l1.keys import AccountKey
from node.settlement.entries import Entry, index_key, move
from node.settlement.errors import MalformedEntry
from node.settlement.ledger import Balance
from storage.store import Batch
from tests.unit.node.settlement.support.books import Books

CPC = UNITS_PER_CPC
WRONG = (AssertionError, MalformedEntry)


class Tampering:
    """A market's database, written to behind the back of its ledger's rules."""

    def __init__(self, market: Any, customer: str) -> None:
        self.market = market
        self.ledger = market.ledger
        self.customer = f"customer:{customer}"
        self.batch = Batch()

    def _append(self, cause: str, *postings: Any, **after: int) -> Entry:
        """An entry that no rule has seen; `after` are balances other than those it makes."""
        entry = Entry(cause, "test", 0, self.ledger.next_sequence(self.batch), postings)
        balances = {
            p.account: self.ledger.balance(p.account, self.batch) + p.amount for p in postings
        }
        self.ledger._append(self.batch, entry, balances | after)
        return entry

    def _balance(self, account: str, units: int) -> None:
        self.ledger.balances.put(self.batch, account.encode(), Balance(Amount(units)))

    def the_deposit_twice(self) -> None:
        deposit = next(one for one in self.ledger.entries() if one.kind == "deposit")
        head, nonce = deposit.cause.rsplit(":", 1)
        self.ledger.post(
            self.batch,
            cause=f"{head}:{int(nonce) + 1}",
            kind="deposit",
            postings=deposit.postings,
            at_ms=0,
        )

    def a_payment_twice(self) -> None:
        """It was sent once, and is booked again from what others have in the outbox."""
        paid = next(one for one in self.ledger.entries() if one.kind == "sent")
        self._append("sent:again", *move(self.customer, "l1", paid.amount("l1")))

    def a_payment_that_no_block_has(self) -> None:
        cause = self.market.settlement.withdraw(
            self.batch, self.customer.partition(":")[2], CPC, key="new", at_ms=0
        )
        record = self.market.sender._book.find(self.batch, cause)
        self.market.settlement.outbox.on_confirmed(self.batch, record)

    def a_payment_without_a_transaction(self) -> None:
        self._append("withdraw:x", *move(self.customer, "outbox:withdraw:x", CPC))

    def an_entry_without_its_balances(self) -> None:
        before = self.ledger.balance(self.customer)
        self._append("half", *move(self.customer, "burn", CPC), **{self.customer: before})

    def balances_without_an_entry(self) -> None:
        self._balance(self.customer, self.ledger.balance(self.customer) - CPC)
        self._balance("burn", self.ledger.balance("burn") + CPC)

    def an_entry_of_one_side(self) -> None:
        self._append("half", *move(self.customer, "burn", CPC)[:1])

    def an_entry_missing_in_an_index(self) -> None:
        entry = self._append("half", *move(self.customer, "burn", CPC))
        self.ledger.by_account.delete(self.batch, index_key("burn", entry.sequence))

    def an_entry_that_its_cause_does_not_find(self) -> None:
        self._append("half", *move(self.customer, "burn", CPC))
        self.ledger.by_cause.delete(self.batch, b"half")

    def a_cause_twice(self) -> None:
        self._append("reserve:open", *move(self.customer, "reserved:open", CPC))

    def a_number_left_out(self) -> None:
        place = self.ledger.next.get(b"")
        self.ledger.next.put(self.batch, b"", type(place)(place.sequence + 1))

    def a_negative_account(self) -> None:
        self._append("minus", *move("worker:nobody", self.customer, CPC))

    def a_debt_that_nobody_backs(self) -> None:
        self._append("debt", *move("customer:cpc1x", self.customer, 1))

    def a_debt_above_the_credit(self) -> None:
        self._append("credit", *move(self.customer, "credit:cpc1x", CPC))
        self._append("debt", *move("customer:cpc1x", self.customer, CPC + 1))

    def a_refund_lost(self) -> None:
        """The reservation is gone and nobody has it: the task is open and holds nothing."""
        self._append("lost", *move("reserved:open", "unclaimed", 2 * CPC))

    def money_held_for_no_task(self) -> None:
        self._append("reserve:ghost", *move(self.customer, "reserved:ghost", CPC))

    def money_that_nobody_is_owed(self) -> None:
        self._append("earned", *move(self.customer, "worker:somebody", CPC))

    def pay_that_matures_for_nobody(self) -> None:
        self._append("settle2:open", *move("reserved:open", "maturing:other", 2 * CPC))


WAYS = [name for name in vars(Tampering) if not name.startswith("_")]


@pytest.mark.parametrize("way", ["nothing", *WAYS])
async def test_it_finds(
    make_world: Any, key: Callable[[int], AccountKey], way: str, autojump_clock: MockClock
) -> None:
    world, customer = make_world(), key(10)
    async with world.running():
        world.deposit(customer, 100 * CPC)
        async with world.market() as market:
            await trio.sleep(20)
            batch, books = Batch(), Books(world)
            market.settlement.withdraw(batch, customer.address, CPC, key="old", at_ms=0)
            market.settlement.rewards.reserve(batch, "open", customer.address, 2 * CPC, 0)
            await market.db.commit(batch)
            await trio.sleep(30)
            books.check(market, ["open"])
            tampering = Tampering(market, customer.address)
            getattr(tampering, way, lambda: None)()
            market.db.stage(tampering.batch)
            found = nullcontext() if way == "nothing" else pytest.raises(WRONG)
            with found:
                books.check(market, ["open"])


async def test_it_finds_that_the_chain_has_less(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: MockClock
) -> None:
    world = make_world()
    async with world.running():
        world.deposit(key(10), CPC)
        async with world.market() as market:
            await trio.sleep(20)
            Books(world).check(market, [])
            account = world.chain.account(world.key.address)
            world.balance = lambda _address: account.balance - 1
            with pytest.raises(AssertionError):
                Books(world).check(market, [])


async def test_whoever_has_credit_may_owe_all_of_it(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: MockClock
) -> None:
    world = make_world()
    async with world.running():
        world.deposit(key(10), 10 * CPC)
        async with world.market() as market:
            await trio.sleep(20)
            tampering = Tampering(market, key(10).address)
            tampering._append("credit", *move(tampering.customer, "credit:cpc1x", CPC))
            tampering._append("debt", *move("customer:cpc1x", tampering.customer, CPC))
            market.db.stage(tampering.batch)
            Books(world).check(market, [])
