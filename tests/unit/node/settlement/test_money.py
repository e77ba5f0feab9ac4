"""Whatever happens, in whatever order, wherever the market is killed: the money is right."""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, InsufficientFunds, InvalidInput, NotFound, Unavailable
from node.l1.devchain.faults import Faults
from node.l1.keys import AccountKey
from node.settlement.entries import digest
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.split import Payees, split
from storage.errors import StorageFailed
from storage.merkle import merkle_root
from storage.store import Batch
from tests.unit.node.settlement.support.books import Books
from tests.unit.node.settlement.support.tasks import task_id_of

FEE = 21_000_000
CPC = UNITS_PER_CPC
FUNDS = 10**9 * CPC
RESERVE = 10**9
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
both = pytest.mark.parametrize("back_end", ["transfer", "escrow"])
"""Whatever holds the money, the same is promised."""


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
        return lambda: self.world.releasers(market.now_ms() + 600_000)

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
        if self.world.holds:  # there are no appeals
            return
        appeals, address = market.settlement.appeals, self.key(10).address
        culprits, jurors = ([self.key(number).address for number in pair] for pair in PARTIES)
        ways = {
            "upheld": lambda *a: appeals.uphold(*a[:2], jurors, a[2]),
            "inconclusive": appeals.give_up,
            "overturned": lambda *a: appeals.overturn(*a[:2], culprits, jurors, a[2]),
        }

        def appeal(batch: Batch) -> bool:
            return appeals.open(batch, task, address, fee, market.now_ms())

        def rule(batch: Batch) -> bool:
            return ways[outcome](batch, task, market.now_ms())

        if await self._twice(market, appeal):
            assert self.model.disputed.setdefault(task, fee) == fee
        if await self._twice(market, rule):
            assert self.model.ruled.setdefault(task, outcome) == outcome

    async def stake(self, market: Any, way: str, customer: int, amount: int, key: str) -> None:
        if self.world.holds:  # nor bonds
            return
        change, address = getattr(market.settlement.bonds, way), self.key(customer).address
        await self._twice(
            market, lambda batch: change(batch, address, amount, key=key, at_ms=market.now_ms())
        )

    async def wait(self, _market: Any, seconds: float) -> None:
        await trio.sleep(seconds)

    async def wait_for_deposit(self, market: Any, customer: int) -> None:
        account = f"customer:{self.key(customer).address}"
        with trio.fail_after(3600):
            while not market.ledger.balance(account):  # noqa: ASYNC110 - under a virtual clock
                await trio.sleep(1)

    async def audit(self, market: Any) -> None:
        check_books(market)

    async def crash(self, _market: Any, writes: int, keep: bool) -> None:
        self.world.store.fuse, self.world.store.keep = writes, keep

    async def forget(self, _market: Any) -> None:
        self.world.forget()

    async def finish(self, market: Any) -> None:
        """Refund what is open, then wait until nothing is on its way."""
        with trio.fail_after(3600):
            await trio.sleep(30)  # the last deposits
            for account, _ in list(market.ledger.holdings("reserved:")):
                await self.refund(market, account.removeprefix("reserved:"))
            await trio.sleep(30)
            await until_paid(market)

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


async def until_paid(market: Any) -> None:
    """Wait until no pay matures and no payment is on its way."""
    ways = ("maturing:", "returning:", "outbox:")
    while any(list(market.ledger.holdings(name)) for name in ways):  # noqa: ASYNC110 - under a virtual clock
        await trio.sleep(5)


def check_books(market: Any) -> None:
    report = market.ledger.audit()
    assert report.ok, report.findings
    holdings = dict(market.ledger.holdings())
    assert sum(holdings.values()) == 0
    assert all(units > 0 for account, units in holdings.items() if account != "l1")


def check_balances(driver: Driver, market: Any) -> None:
    """The chain and the ledger together hold for everybody exactly what the model says."""
    world, ledger = driver.world, market.ledger
    owed = credits_of(driver.model)
    for entry in slashes_of(ledger):
        owed.update({p.account: p.amount for p in entry.postings if p.amount > 0})
    labels = {"burn": world.parameters.burn_address, "treasury": world.parameters.treasury_address}
    paid: Counter[str] = Counter()
    for account, amount in owed.items():
        if account != "fees":
            address = labels.get(account) or account.partition(":")[2]
            paid[address] += amount - ledger.balance(account)
    for address, amount in paid.items():
        assert world.balance(address) == amount, address
    for number in range(10, 14):
        check_customer(driver, market, driver.key(number).address)
    if world.holds:
        earned = owed["fees"] - world.fees_of(world.key.address)
        assert world.balance(world.key.address) == FUNDS + earned
    else:
        assert world.balance(world.key.address) == -ledger.balance("l1")
        transfers = world.chain.account(world.key.address).nonce
        fees = owed["fees"] + len(driver.model.withdrawn) * FEE
        assert fees - ledger.balance("fees") == transfers * FEE
    for name in ("reserved:", "outbox:", "maturing:", "returning:", "appeal:"):
        assert not list(ledger.holdings(name))


def credits_of(model: Model) -> Counter[str]:
    """What all settled tasks gave to each account."""
    owed: Counter[str] = Counter()
    for parts in model.paid().values():
        owed.update({f"worker:{address}": amount for address, amount in parts.workers})
        owed.update({f"validator:{address}": amount for address, amount in parts.validators})
        owed.update({"treasury": parts.treasury, "burn": parts.burn, "fees": parts.fees})
    for fee in model.lost().values():
        kept = min(fee, RESERVE)
        share = (fee - kept) // 2
        owed.update({f"validator:{address}": share for address in JURORS})
        owed.update({"fees": kept, "burn": fee - kept - 2 * share})
    return owed


def slashes_of(ledger: Any) -> list[Any]:
    """How much a slash takes is for `test_appeals` to check; here, where it goes."""
    return [entry for entry in ledger.entries() if entry.kind == "slash"]


def check_customer(driver: Driver, market: Any, address: str) -> None:
    model = driver.model
    spent = sum(
        amount
        for task, (customer, amount) in model.reserved.items()
        if customer == address and task in model.paid()
    )
    spent += sum(model.lost().values()) if address == driver.key(10).address else 0
    names = [f"{kind}:{address}" for kind in ("customer", "bond", "unbonding")]
    for entry in slashes_of(market.ledger):
        spent -= sum(entry.amount(name) for name in names)
    world, held = driver.world, sum(map(market.ledger.balance, names))
    fees = world.fees_of(address)
    if world.holds:
        assert world.held(address) == held
    else:
        fees += FEE * sum(owner == address for owner, _ in model.withdrawn)
    assert world.balance(address) + held == FUNDS - spent - fees


NAMES = [task_id_of(f"t{number}") for number in range(1, 7)]
TASKS = st.sampled_from(NAMES[:2])
BOUGHT = st.sampled_from(NAMES)
CUSTOMERS = st.integers(10, 11)
DIMES = st.integers(1, 30).map(lambda dimes: dimes * UNITS_PER_CPC // 10 + 7)
AMOUNTS = st.one_of(DIMES, DIMES, st.integers(1, 10**11))
WORKERS = st.dictionaries(st.integers(20, 22), st.integers(1, 9), min_size=1)
VALIDATORS = st.dictionaries(st.integers(22, 24), st.integers(1, 9))
OUTCOMES = st.sampled_from(["upheld", "overturned", "inconclusive"])
WAYS = st.sampled_from(["bond", "bond", "unbond"])
STEPS = st.one_of(
    st.tuples(st.just("deposit"), CUSTOMERS, AMOUNTS),
    st.tuples(st.just("reserve"), TASKS, CUSTOMERS, AMOUNTS),
    st.tuples(st.just("settle"), TASKS, WORKERS, VALIDATORS),
    st.tuples(st.just("refund"), TASKS),
    st.tuples(st.just("lease"), TASKS),
    st.tuples(st.just("buy"), BOUGHT, AMOUNTS, WORKERS, VALIDATORS),
    st.tuples(st.just("withdraw"), CUSTOMERS, AMOUNTS, st.sampled_from("ab")),
    st.tuples(st.just("buy"), BOUGHT, DIMES, WORKERS, VALIDATORS),
    st.tuples(st.just("wait"), st.sampled_from([25.0, 7.0, 1.0, 0.1])),
    st.tuples(st.just("wait"), st.just(25.0)),
    st.tuples(st.just("crash"), st.integers(0, 6), st.booleans()),
    st.tuples(st.just("forget")),
    st.tuples(st.just("dispute"), BOUGHT, DIMES, WORKERS, VALIDATORS, AMOUNTS, OUTCOMES),
    st.tuples(st.just("dispute"), BOUGHT, DIMES, WORKERS, VALIDATORS, DIMES, OUTCOMES),
    st.tuples(st.just("stake"), WAYS, CUSTOMERS, DIMES, st.sampled_from("ab")),
)
RICH = [("deposit", 10, 30 * UNITS_PER_CPC), ("deposit", 11, 10**12), ("wait", 15.0)]


def run_virtual(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


CHAINS = st.sampled_from(
    [Faults(), Faults(rolls_back=1), Faults(forgets=3), Faults(rolls_back=1, forgets=4)]
)


@both
@given(st.lists(STEPS, min_size=16, max_size=32), CHAINS)
@settings(max_examples=15, deadline=None)
def test_the_money_is_right_whatever_happens(
    make_world: Any,
    key: Callable[[int], AccountKey],
    back_end: str,
    steps: list[Step],
    faults: Faults,
) -> None:
    async def main() -> None:
        world = make_world(faults=faults, back_end=back_end)
        driver = Driver(world, key)
        async with world.running():
            await driver.run([*RICH, *steps])
            async with world.market() as market:
                check_balances(driver, market)

    run_virtual(main)


TEN, TASK = 10 * UNITS_PER_CPC, task_id_of("t")
ONE_TASK = [
    ("deposit", 10, TEN),
    ("wait", 15.0),
    ("reserve", TASK, 10, TEN),
    ("settle", TASK, {20: 1}, {21: 1, 22: 1}),
]


async def pay_for_one_task(world: Any, key: Callable[[int], AccountKey], steps: list[Step]) -> int:
    """Buy and settle one task, look at the chain; returns the writes of the market's store."""
    driver = Driver(world, key)
    await driver.run(steps)
    async with world.market() as market:
        check_balances(driver, market)
        assert world.balance(key(20).address) == TEN * 25 // 100
        validators = TEN // 10 - world.parameters.fee_reserve
        orchestrated, checked = validators // 4, (validators - validators // 4) // 2
        assert world.balance(key(21).address) == orchestrated + checked
        assert world.balance(key(22).address) == checked
        assert world.balance(world.parameters.treasury_address) == TEN * 5 // 100
        assert world.balance(world.parameters.burn_address) == TEN * 60 // 100
        if not world.holds:
            assert market.ledger.balance("fees") == world.parameters.fee_reserve - 5 * FEE
            check_payloads(driver, market)
    assert driver.crashes == sum(step[0] == "crash" for step in steps)
    return world.store.writes


def check_payloads(driver: Driver, market: Any) -> None:
    """Five payouts on the chain, each with the root over the entry that it pays."""
    payouts = market.settlement.payouts
    entry = market.ledger.find(f"mature:{TASK}")
    root = merkle_root([digest("cpc-devnet-1", entry)]).hex()
    accounts = {p.account for p in entry.postings if p.amount > 0} - {"fees"}
    kinds = Counter()
    for account in accounts:
        payout = payouts.find(f"payout:{account}:{entry.sequence}")
        assert list(payouts.entries(payout)) == [entry]
        record = market.sender.find(payout.cause)
        assert record.state == "confirmed"
        payload = dict(record.transaction.payload)
        kinds[payload.pop("tmnode")] += 1
        assert payload == {"entries": 1, "root": root}
        assert payout.root == root
        assert payout.amount == record.transaction.amount == entry.amount(account)
    assert kinds == {"payout": 3, "burn": 1, "treasury": 1}


@both
@pytest.mark.parametrize("http", [True, False])
def test_a_settled_task_is_paid_by_the_published_shares(
    make_world: Any, key: Callable[[int], AccountKey], back_end: str, http: bool
) -> None:
    async def main() -> None:
        world = make_world(back_end=back_end)
        async with world.running(http=http):
            await pay_for_one_task(world, key, ONE_TASK)

    run_virtual(main)


@both
@pytest.mark.parametrize("keep", [True, False], ids=["written", "lost"])
def test_it_is_paid_once_wherever_the_market_is_killed(
    make_world: Any, key: Callable[[int], AccountKey], back_end: str, keep: bool
) -> None:
    async def main() -> None:
        world = make_world(back_end=back_end)
        async with world.running():
            writes = await pay_for_one_task(world, key, ONE_TASK)
        for place in range(writes):
            world = make_world(back_end=back_end)
            async with world.running(http=place % 8 == 0):
                await pay_for_one_task(world, key, [("crash", place, keep), *ONE_TASK])

    run_virtual(main)


ONE_REFUND = [
    ("deposit", 10, TEN),
    ("wait", 15.0),
    ("reserve", TASK, 10, TEN),
    ("lease", TASK),
    ("wait", 12.0),
    ("refund", TASK),
]


async def give_one_task_back(
    world: Any, key: Callable[[int], AccountKey], steps: list[Step]
) -> int:
    """Buy a task that ends without a result, and look; returns the writes of the market's store."""
    driver = Driver(world, key)
    await driver.run(steps)
    async with world.market() as market:
        check_balances(driver, market)
        assert market.ledger.balance(f"customer:{key(10).address}") == TEN
    assert driver.crashes == sum(step[0] == "crash" for step in steps)
    return world.store.writes


@both
@pytest.mark.parametrize("keep", [True, False], ids=["written", "lost"])
def test_it_is_given_back_once_wherever_the_market_is_killed(
    make_world: Any, key: Callable[[int], AccountKey], back_end: str, keep: bool
) -> None:
    async def main() -> None:
        world = make_world(back_end=back_end)
        async with world.running():
            writes = await give_one_task_back(world, key, ONE_REFUND)
        for place in range(writes):
            world = make_world(back_end=back_end)
            async with world.running():
                await give_one_task_back(world, key, [("crash", place, keep), *ONE_REFUND])

    run_virtual(main)


MISBEHAVES = {
    "nothing": Faults(),
    "stuck_receipts": Faults(stuck_receipts=1),
    "forgets": Faults(forgets=2),
    "rolls_back": Faults(rolls_back=1),
    "lost_answers": Faults(lost_answers=3),
    "cut_answers": Faults(cut_answers=3),
    "late_answers": Faults(late_answers=4),
    "all": Faults(
        stuck_receipts=1, forgets=4, rolls_back=1, lost_answers=5, cut_answers=6, late_answers=7
    ),
}


def _cases() -> Iterator[Any]:
    """The same faults for both back ends; an escrow takes a transaction for each step."""
    for back_end, fault in product(["transfer", "escrow"], MISBEHAVES):
        is_escrow = back_end == "escrow"
        slow = is_escrow and "answers" in fault
        short = (10 if fault == "all" else 30) if is_escrow else 100
        for tasks, is_full in ((short, slow), (200 if is_escrow else 2_000, True)):
            marks = [pytest.mark.full] if is_full else []
            yield pytest.param(
                back_end, fault, tasks, marks=marks, id=f"{back_end}-{fault}-{tasks}"
            )


@pytest.mark.parametrize(("back_end", "fault", "tasks"), list(_cases()))
def test_the_money_is_right_on_a_chain_that_misbehaves(
    make_world: Any, key: Callable[[int], AccountKey], back_end: str, fault: str, tasks: int
) -> None:
    async def main() -> None:
        world = make_world(faults=MISBEHAVES[fault], back_end=back_end)
        driver = Driver(world, key)
        async with world.running(http="answers" in fault or fault == "all"):
            await driver.run(on_many_blocks(tasks))
            async with world.market() as market:
                check_balances(driver, market)
                assert len(driver.model.settled) == tasks
                assert market.ledger.balance("unclaimed") == 0

    run_virtual(main)


def on_many_blocks(tasks: int) -> list[Step]:
    """Tasks, withdrawals and pauses, so that payments are under way at every moment."""
    steps: list[Step] = [("deposit", 10, tasks * UNITS_PER_CPC), ("wait_for_deposit", 10)]
    together = max(tasks // 100, 6)
    for number in range(tasks):
        workers, checks = {20 + number % 3: 1 + number % 2}, {23 + number % 2: 1}
        steps.append(
            ("buy", task_id_of(f"task-{number}"), UNITS_PER_CPC // 2 + number, workers, checks)
        )
        if number % together == 0:
            steps += [("withdraw", 10, 10**12 + number, f"key-{number}"), ("wait", 7.0)]
        if number % (tasks // 4) == 0:
            steps.append(("audit",))
    return steps


def test_a_transfer_that_the_chain_rewrote_is_not_taken_for_ours(
    make_world: Any, key: Callable[[int], AccountKey]
) -> None:
    """Same hash, another amount to another address: what was to be paid is kept, for a person."""

    async def main() -> None:
        world = make_world(faults=Faults(rewrites=4))
        driver = Driver(world, key)
        async with world.running():
            await driver.run(on_many_blocks(60))
            async with world.market() as market:
                check_books(market)
                records = [market.sender.find(cause) for cause in causes_of(market)]
                lost = [record for record in records if record.state == "lost"]
                assert len(lost) > 3
                kept = sum(one.transaction.amount + one.transaction.fee for one in lost)
                assert market.ledger.balance("unclaimed") == kept
                for account, owed in credits_of(driver.model).items():
                    if account.startswith(("worker:", "burn")):
                        address = account.partition(":")[2] or world.parameters.burn_address
                        assert world.balance(address) <= owed

    run_virtual(main)


def causes_of(market: Any) -> list[str]:
    """Of every payment that the market ever signed."""
    sent = {"payout", "burn", "treasury", "withdraw"}
    return [one.cause for one in market.ledger.entries() if one.kind in sent]


DISPUTES = [
    ("stake", "bond", 10, CPC, "a"),
    ("stake", "unbond", 10, CPC // 3, "a"),
    *(
        ("dispute", outcome, CPC, {20: 1}, {21: 1, 22: 2}, CPC // 10 + 1, outcome)
        for outcome in ("upheld", "overturned", "inconclusive")
    ),
    ("wait", 30.0),
]


def test_disputes_are_paid_on_the_chain_wherever_the_market_is_killed(
    make_world: Any, key: Callable[[int], AccountKey]
) -> None:
    """Jurors and burn from the fee of one, reward and fee back from another, bonds slashed."""

    async def play(*more: Step) -> Any:
        world = make_world()
        async with world.running():
            driver = Driver(world, key)
            await driver.run([*RICH, *more, *DISPUTES])
            async with world.market() as market:
                check_balances(driver, market)
                assert set(driver.model.ruled.values()) == {one[-1] for one in DISPUTES[2:5]}
                assert len(slashes_of(market.ledger)) == 1
                each = (CPC // 10 + 1 - RESERVE) // 2
                assert [world.balance(address) for address in JURORS] == [2 * each] * 2
                bonds = market.settlement.bonds.find(key(10).address)
                assert (
                    bonds.bonded
                    + bonds.unbonding
                    + market.ledger.balance(f"customer:{key(10).address}")
                    == RICH[0][2] - 2 * CPC - (CPC // 10 + 1) - CPC // 2
                )
        return world.store.writes

    async def main() -> None:
        writes = await play()
        for place in range(0, writes, 3):
            await play(("crash", place, place % 2 == 0))

    run_virtual(main)
