"""Whatever happens, in whatever order, wherever the market is killed: the money is right."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC
from node.errors import InsufficientFunds, InvalidInput, NotFound, Unavailable
from node.l1.keys import AccountKey
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.split import split
from storage.errors import StorageFailed
from storage.store import Batch

FEE = 21_000_000
FUNDS = 10**9 * UNITS_PER_CPC
REFUSALS = (
    InsufficientFunds,
    InvalidInput,
    NotFound,
    Unavailable,
    LedgerConflict,
    SettlementConflict,
)

Step = tuple[Any, ...]


@dataclass
class Model:
    """What must have happened, kept without a ledger."""

    deposits: Counter[str] = field(default_factory=Counter)
    deposited: Counter[str] = field(default_factory=Counter)
    reserved: dict[str, tuple[str, int]] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    refunded: set[str] = field(default_factory=set)
    withdrawn: dict[tuple[str, str], int] = field(default_factory=dict)


class Driver:
    """Carries out steps, each until the market has answered it, through any number of crashes."""

    def __init__(self, world: Any, key: Callable[[int], AccountKey]) -> None:
        self.world = world
        self.key = key
        self.model = Model()
        self.crashes = 0

    async def run(self, steps: list[Step]) -> None:
        waiting = [*steps, ("finish",)]
        while waiting:
            try:
                async with self.world.market() as market:
                    while waiting:
                        await getattr(self, waiting[0][0])(market, *waiting[0][1:])
                        del waiting[0]
                        check_books(market)
            except* StorageFailed:
                self.crashes += 1

    async def deposit(self, market: Any, customer: int, amount: int) -> None:
        key = self.key(customer)
        self.world.deposit(key, amount)
        self.model.deposits[key.address] += 1
        self.model.deposited[key.address] += amount

    async def reserve(self, market: Any, task: str, customer: int, amount: int) -> None:
        address = self.key(customer).address

        def call(batch: Batch) -> bool:
            return market.settlement.reserve(batch, task, address, amount, market.now_ms())

        if await self._twice(market, call):
            assert self.model.reserved.setdefault(task, (address, amount)) == (address, amount)

    async def refund(self, market: Any, task: str) -> None:
        def call(batch: Batch) -> bool:
            return market.settlement.refund(batch, task, market.now_ms())

        if await self._twice(market, call):
            self.model.refunded.add(task)

    async def settle(
        self, market: Any, task: str, workers: dict[int, int], validators: dict[int, int]
    ) -> None:
        to_workers = {self.key(number).address: weight for number, weight in workers.items()}
        to_validators = {self.key(number).address: weight for number, weight in validators.items()}

        def call(batch: Batch) -> bool:
            now = market.now_ms()
            return market.settlement.settle(batch, task, to_workers, to_validators, now)

        if await self._twice(market, call):
            rules, (_, reward) = self.world.parameters, self.model.reserved[task]
            parts = split(reward, rules.shares, to_workers, to_validators, rules.fee_reserve)
            assert self.model.settled.setdefault(task, parts) == parts

    async def withdraw(self, market: Any, customer: int, amount: int, key: str) -> None:
        address = self.key(customer).address

        def call(batch: Batch) -> bool:
            market.settlement.withdraw(batch, address, amount, key=key, at_ms=market.now_ms())
            return bool(batch)

        if await self._twice(market, call):
            self.model.withdrawn[address, key] = amount

    async def wait(self, market: Any, seconds: float) -> None:
        await trio.sleep(seconds)

    async def crash(self, market: Any, writes: int, keep: bool) -> None:
        self.world.store.fuse, self.world.store.keep = writes, keep

    async def forget(self, market: Any) -> None:
        self.world.forget()

    async def finish(self, market: Any) -> None:
        """Refund what is open, then wait until nothing is on its way."""
        with trio.fail_after(3600):
            await trio.sleep(30)  # the last deposits
            for account, _ in list(market.ledger.holdings("reserved:")):
                await self.refund(market, account.removeprefix("reserved:"))
            await trio.sleep(30)
            while list(market.ledger.holdings("outbox:")):
                await trio.sleep(5)

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


def check_books(market: Any) -> None:
    report = market.ledger.audit()
    assert report.ok, report.findings
    holdings = dict(market.ledger.holdings())
    assert sum(holdings.values()) == 0
    assert all(units > 0 for account, units in holdings.items() if account != "l1")


def check_balances(driver: Driver, market: Any) -> None:
    """The chain and the ledger together hold for everybody exactly what the model says."""
    world, model = driver.world, driver.model
    expected: Counter[str] = Counter()
    for parts in model.settled.values():
        for kind, people in (("worker", parts.workers), ("validator", parts.validators)):
            for address, amount in people:
                expected[f"{kind}:{address}"] += amount
        expected["treasury"] += parts.treasury
        expected["burn"] += parts.burn
        expected["fees"] += parts.fees
    paid: Counter[str] = Counter()
    for account in expected.keys() - {"fees"}:
        paid[account] = expected[account] - market.ledger.balance(account)
    on_chain: defaultdict[str, int] = defaultdict(int)
    for account, amount in paid.items():
        labels = {
            "burn": world.parameters.burn_address,
            "treasury": world.parameters.treasury_address,
        }
        on_chain[labels.get(account) or account.partition(":")[2]] += amount
    for address, amount in on_chain.items():
        assert world.balance(address) == amount, address

    for number in range(10, 14):
        check_customer(driver, market, driver.key(number).address)
    assert world.balance(world.key.address) == -market.ledger.balance("l1")
    transfers = world.chain.account(world.key.address).nonce
    fees = expected["fees"] + len(model.withdrawn) * FEE
    assert fees - market.ledger.balance("fees") == transfers * FEE
    assert not list(market.ledger.holdings("reserved:"))
    assert not list(market.ledger.holdings("outbox:"))


def check_customer(driver: Driver, market: Any, address: str) -> None:
    model = driver.model
    spent = sum(
        amount
        for task, (customer, amount) in model.reserved.items()
        if customer == address and task in model.settled
    )
    fees = model.deposits[address] + sum(owner == address for owner, _ in model.withdrawn)
    held = driver.world.balance(address) + market.ledger.balance(f"customer:{address}")
    assert held == FUNDS - spent - fees * FEE


TASKS = st.sampled_from(["t1", "t2", "t3", "t4"])
CUSTOMERS = st.integers(10, 11)
AMOUNTS = st.one_of(st.integers(1, 10**11), st.integers(1, 20 * UNITS_PER_CPC))
WORKERS = st.dictionaries(st.integers(20, 22), st.integers(1, 9), min_size=1)
VALIDATORS = st.dictionaries(st.integers(22, 24), st.integers(1, 9))
STEPS = st.one_of(
    st.tuples(st.just("deposit"), CUSTOMERS, AMOUNTS),
    st.tuples(st.just("reserve"), TASKS, CUSTOMERS, AMOUNTS),
    st.tuples(st.just("settle"), TASKS, WORKERS, VALIDATORS),
    st.tuples(st.just("refund"), TASKS),
    st.tuples(st.just("withdraw"), CUSTOMERS, AMOUNTS, st.sampled_from("ab")),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 7.0, 25.0])),
    st.tuples(st.just("crash"), st.integers(0, 6), st.booleans()),
    st.tuples(st.just("forget")),
)
RICH = [("deposit", 10, 30 * UNITS_PER_CPC), ("deposit", 11, 10**12), ("wait", 15.0)]


def run_virtual(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_money_is_right_whatever_happens(
    make_world: Any, key: Callable[[int], AccountKey], steps: list[Step]
) -> None:
    async def main() -> None:
        world = make_world()
        driver = Driver(world, key)
        async with world.running():
            await driver.run([*RICH, *steps])
            async with world.market() as market:
                check_books(market)
                check_balances(driver, market)

    run_virtual(main)
