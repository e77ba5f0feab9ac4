"""What is done to a market, step by step, and what must have come of it.

A step is carried out until the market has answered it, through any number of crashes; `Model` keeps
without a ledger what must have happened.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio
import trio.testing

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, InsufficientFunds, InvalidInput, NotFound, Unavailable
from node.l1.escrow import deposit, unbond
from node.l1.keys import AccountKey
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.split import Payees, split
from storage.errors import StorageFailed
from storage.store import Batch
from tests.unit.node.settlement.support.books import Books, check_books
from tests.unit.node.settlement.support.juries import FALSE, bonding, check_chain, vouched

T = TypeVar("T")
CPC = UNITS_PER_CPC
DEADLINE_MS = 10 * 3_600_000
"""Of every task: beyond what the slowest chain here takes."""
LONGEST_S = 4 * 3600
JURY_MS = 20_000
"""Time of a jury."""
OPERATOR = 12
"""Who gives credit and fees."""
PARTIES = (10, 11), (25, 26)
"""Whose bonds are slashed, and who sits in juries."""
JURORS = tuple(AccountKey(number.to_bytes(32, "big")).address for number in PARTIES[1])
REFUSALS = (
    Conflict,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    Unavailable,
    LedgerConflict,
    SettlementConflict,
)
Step = tuple[Any, ...]


def run_virtual(main: Callable[[], Awaitable[T]]) -> T:
    """Run it under a clock that jumps."""
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@dataclass
class Model:
    """What must have happened, kept without a ledger."""

    reserved: dict[str, tuple[str, int]] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    refunded: set[str] = field(default_factory=set)
    withdrawn: dict[tuple[str, str], int] = field(default_factory=dict)
    disputed: dict[str, int] = field(default_factory=dict)
    """Fees of appeals."""
    ruled: dict[str, str] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    """Of customers that the operator gave credit, as they were last set."""
    repaid: Counter[str] = field(default_factory=Counter)
    """What each customer sent the operator, on a chain that holds deposits."""
    given: dict[str, int] = field(default_factory=dict)
    """What the operator gave for the chain's fees, by its keys."""
    staked: set[str] = field(default_factory=set)
    """Who ever bonded something."""

    def paid(self) -> dict[str, Any]:
        """The parts of every task whose result stands."""
        gone = {task for task, outcome in self.ruled.items() if outcome == "overturned"}
        return {task: parts for task, parts in self.settled.items() if task not in gone}

    def lost(self) -> dict[str, int]:
        """The fees of lost appeals."""
        ruled = self.ruled.items()
        return {task: self.disputed[task] for task, outcome in ruled if outcome == "upheld"}

    @property
    def open_tasks(self) -> set[str]:
        return self.reserved.keys() - self.settled.keys() - self.refunded


class Driver:
    """Carries out steps, each until the market has answered it, through any number of crashes."""

    def __init__(self, world: Any, key: Callable[[int], AccountKey]) -> None:
        self.world = world
        self.key = key
        self.model = Model()
        self.crashes = 0

    async def run(self, steps: list[Step]) -> None:
        waiting = deque([*steps, ("audit",), ("finish",), ("audit",)])
        while waiting:
            try:
                async with self.world.market() as market:
                    books = Books(self.world)
                    while waiting:
                        await getattr(self, waiting[0][0])(market, *waiting[0][1:])
                        waiting.popleft()
                        books.check(market, self.model.open_tasks)
            except* StorageFailed:
                self.crashes += 1

    async def deposit(self, _market: Any, customer: int, amount: int) -> None:
        self.world.deposit(self.key(customer), amount)

    async def reserve(self, market: Any, task: str, customer: int, amount: int) -> None:
        address = self.key(customer).address

        def call(batch: Batch) -> bool:
            return market.settlement.rewards.reserve(batch, task, address, amount, market.now_ms())

        if await self._twice(market, call):
            assert self.model.reserved.setdefault(task, (address, amount)) == (address, amount)

    async def refund(self, market: Any, task: str) -> None:
        def call(batch: Batch) -> bool:
            return market.settlement.rewards.refund(batch, task, market.now_ms())

        if await self._twice(market, call):
            self.model.refunded.add(task)

    async def lease(self, market: Any, task: str) -> None:
        """What a first lease does: the chain is to hold the reward, where it can."""

        def call(batch: Batch) -> bool:
            return market.settlement.rewards.open(batch, task, self._releasers(market))

        await self._twice(market, call)

    def _releasers(self, market: Any) -> Callable[[], Any]:
        return lambda: self.world.releasers(market.now_ms() + DEADLINE_MS)

    async def settle(
        self, market: Any, task: str, workers: dict[int, int], validators: dict[int, int]
    ) -> None:
        await self.lease(market, task)
        payees = Payees(
            {self.key(number).address: weight for number, weight in workers.items()},
            {self.key(number).address: weight for number, weight in validators.items()},
            self.key(min(validators, default=24)).address,
        )

        def call(batch: Batch) -> bool:
            market.settlement.rewards.settle(batch, task, payees, market.now_ms())
            return bool(batch)

        if await self._twice(market, call):
            rules, (_, reward) = self.world.parameters, self.model.reserved[task]
            parts = split(reward, rules.shares, payees, rules.fee_reserve)
            assert self.model.settled.setdefault(task, parts) == parts

    async def buy(
        self, market: Any, task: str, reward: int, workers: dict[int, int], more: dict[int, int]
    ) -> None:
        await self.reserve(market, task, 10, reward)
        await self.settle(market, task, workers, more)

    async def withdraw(self, market: Any, customer: int, amount: int, key: str) -> None:
        address = self.key(customer).address

        def call(batch: Batch) -> bool:
            market.settlement.withdraw(batch, address, amount, key=key, at_ms=market.now_ms())
            return bool(batch)

        if await self._twice(market, call):
            self.model.withdrawn[address, key] = amount

    async def dispute(
        self,
        market: Any,
        task: str,
        reward: int,
        workers: dict[int, int],
        more: dict[int, int],
        fee: int,
        outcome: str,
    ) -> None:
        await self.buy(market, task, reward, workers, more)
        appeals, address = market.settlement.disputes, self.key(10).address
        jurors = [self.key(number).address for number in PARTIES[1]]
        acts = [vouched(task, number, self.key(number)) for number in PARTIES[0]]
        ways = {
            "upheld": lambda *a: appeals.uphold(*a[:2], jurors, a[2]),
            "inconclusive": appeals.give_up,
            "overturned": lambda *a: appeals.overturn(*a[:2], FALSE, acts, jurors, a[2]),
        }

        def appeal(batch: Batch) -> bool:
            return appeals.open(
                batch, task, address, fee, market.now_ms(), until_ms=market.now_ms() + JURY_MS
            )

        def rule(batch: Batch) -> bool:
            return ways[outcome](batch, task, market.now_ms())

        if await self._twice(market, appeal):
            assert self.model.disputed.setdefault(task, fee) == fee
        if await self._twice(market, rule):
            assert self.model.ruled.setdefault(task, outcome) == outcome

    async def stake(self, market: Any, way: str, customer: int, amount: int, key: str) -> None:
        address = self.key(customer).address
        if self.world.holds:
            self._stake_on_chain(way, customer, amount)
            return
        change = getattr(market.settlement.bonds, way)

        def call(batch: Batch) -> bool:
            return change(batch, address, amount, key=key, at_ms=market.now_ms())

        if await self._twice(market, call):
            self.model.staked.add(address)

    def _stake_on_chain(self, way: str, customer: int, amount: int) -> None:
        """By the account's own transaction; an UNBOND of more than there is never is in a block."""
        key, market = self.key(customer), self.world.key.address
        if way == "bond":
            self.world.submit(key, bonding(market, customer, key, amount))
            self.model.staked.add(key.address)
        elif amount <= self.world.bonded(key.address):
            self.world.submit(key, unbond(market, amount))

    async def limit(self, market: Any, customer: int, amount: int) -> None:
        """The operator stands for so much of what a customer may owe."""
        backer, address = self.key(OPERATOR).address, self.key(customer).address

        def call(batch: Batch) -> bool:
            set_limit = market.settlement.credit.set_limit
            set_limit(batch, address, amount, backer=backer, at_ms=market.now_ms())
            return bool(batch)

        if await self._twice(market, call):
            self.model.limits[address] = amount

    async def write_off(self, market: Any, customer: int) -> None:
        """Of a debt what is spent for good; again, that is nothing more."""
        address, credit, batch = self.key(customer).address, market.settlement.credit, Batch()
        owed = credit.view(address).owed
        spent = credit.write_off(batch, address, market.now_ms())
        assert 0 <= spent <= owed
        assert not credit.write_off(batch, address, market.now_ms())
        await market.db.commit(batch)

    async def repay(self, _market: Any, customer: int, amount: int) -> None:
        """A customer pays back, what is owed or more than that."""
        key, operator = self.key(customer), self.key(OPERATOR).address
        if self.world.holds:
            self.world.submit(key, deposit(self.world.key.address, amount, customer=operator))
            self.model.repaid[key.address] += amount
        else:
            self.world.deposit(key, amount)

    async def on_credit(
        self,
        market: Any,
        task: str,
        customer: int,
        reward: int,
        workers: dict[int, int],
        more: dict[int, int],
    ) -> None:
        """Somebody with less money than this buys it."""
        await self.reserve(market, task, customer, reward)
        await self.settle(market, task, workers, more)

    async def give_fees(self, market: Any, amount: int, key: str) -> None:
        if self.world.holds:
            return
        fund, operator = market.settlement.fund_fees, self.key(OPERATOR).address

        def call(batch: Batch) -> bool:
            return fund(batch, operator, amount, key=key, at_ms=market.now_ms())

        if await self._twice(market, call):
            assert self.model.given.setdefault(key, amount) == amount

    async def pay_now(self, market: Any, payee: int) -> None:
        """A payee does not want to wait and pays the chain itself; again, there is nothing left."""
        if self.world.holds:
            return
        payouts, address = market.settlement.payouts, self.key(payee).address
        for name in (f"worker:{address}", f"validator:{address}"):
            try:
                payouts.pay_now(name, market.now_ms())
            except Unavailable:  # the chain was not heard yet
                return
            assert not payouts.pay_now(name, market.now_ms())
        await market.db.flushed()

    async def wait_for_pay(self, market: Any) -> None:
        """Until what is completed is paid, in the books."""
        with trio.fail_after(3600):
            while any(market.ledger.holdings("maturing:")):  # noqa: ASYNC110 - under a virtual clock
                await trio.sleep(1)

    async def wait(self, _market: Any, seconds: float) -> None:
        await trio.sleep(seconds)

    async def wait_for_deposit(self, market: Any, customer: int) -> None:
        account = f"customer:{self.key(customer).address}"
        with trio.fail_after(3600):
            while not market.ledger.balance(account):  # noqa: ASYNC110 - under a virtual clock
                await trio.sleep(1)

    async def wait_for_bond(self, market: Any, who: int, units: int) -> None:
        """Until the books know a bond of so much, or what is left of it."""
        find, address = market.settlement.bonds.find, self.key(who).address
        with trio.fail_after(3600):
            while find(address).bonded + find(address).unbonding < units // 2:  # noqa: ASYNC110 - under a virtual clock
                await trio.sleep(1)

    async def wait_for_balance(self, market: Any, customer: int, units: int) -> None:
        """Until a customer has, or owes, exactly so much."""
        account = f"customer:{self.key(customer).address}"
        with trio.fail_after(3600):
            while market.ledger.balance(account) != units:  # noqa: ASYNC110 - under a virtual clock
                await trio.sleep(1)

    async def audit(self, market: Any) -> None:
        check_books(market)

    async def crash(self, _market: Any, writes: int, keep: bool) -> None:
        self.world.store.fuse, self.world.store.keep = writes, keep

    async def forget(self, _market: Any) -> None:
        self.world.forget()

    async def finish(self, market: Any) -> None:
        """Refund what is open, then wait until nothing is on its way."""
        with trio.fail_after(LONGEST_S):
            await trio.sleep(30)  # the last deposits
            for task in sorted(self.model.open_tasks):  # by the model: a refund that was stored
                await self.refund(market, task)  # when the market died is to be said again
            await trio.sleep(30)
            await until_paid(market)
            await trio.sleep(market.settlement.parameters.unbonding_s)
            if self.world.holds:
                await check_chain(self.world, market)
                self.model.ruled = came_of(market, self.model.ruled)

    async def _twice(self, market: Any, call: Callable[[Batch], bool]) -> bool:
        """Whether a call is carried out, now or before; the second time it must do nothing."""
        batch = Batch()
        try:
            call(batch)
        except REFUSALS:
            assert not batch.changes
            return False
        await market.db.commit(batch)
        again = Batch()
        assert not call(again)
        assert not again.changes
        return True


def came_of(market: Any, said: dict[str, str]) -> dict[str, str]:
    """What became of disputes where the chain decides: as their juries said, or, if no award was
    in a block in time, the fee came back; so did the reward if the result is false."""
    found = {}
    for task in said:
        record = market.settlement.rewards.escrow(task)
        ruled = record.dispute.ruled or "inconclusive"
        found[task] = "overturned" if record.state == "refunded" else ruled
    return found


async def until_paid(market: Any) -> None:
    """Wait until no pay matures and no payment is on its way: what was too small may be paid when a
    life goes on."""
    ways = ("maturing:", "returning:", "outbox:", "appeal:", "unbonding:")
    while any(list(market.ledger.holdings(name)) for name in ways):  # noqa: ASYNC110 - under a virtual clock
        await trio.sleep(5)
