"""Credit where the market holds the money: a customer's account below zero, and what backs it.

What credit promises under either back end is in `test_credit_promises`.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC
from node.config.addresses import Account
from node.errors import InsufficientFunds, InvalidInput, NodeError
from node.l1.client import HttpL1Client
from node.l1.keys import AccountKey
from node.l1.outbound import OutboundBook
from node.settlement import accounts
from node.settlement.credit import CreditDesk
from node.settlement.entries import move, posting
from node.settlement.errors import Overdrawn
from node.settlement.ledger import Balance
from node.settlement.solvency import solvency
from node.split import Payees
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CPC = UNITS_PER_CPC
FEE = 21_000_000
OPERATOR, CUSTOMER, OTHER, WORKER = 10, 11, 12, 20
Key = Callable[[int], AccountKey]


class Desk:
    """A market's books, and everybody by numbers."""

    def __init__(self, market: Any, key: Key) -> None:
        self.market = market
        self.key = key
        self.deposits = 0

    def name(self, number: int) -> str:
        return accounts.customer(self.key(number).address)

    def balance(self, number: int) -> int:
        return self.market.ledger.balance(self.name(number))

    def backing(self, number: int = CUSTOMER) -> int:
        return self.market.ledger.balance(accounts.credit(self.key(number).address))

    def do(self, call: Callable[[Batch], Any]) -> Any:
        """A call's batch is stored, if it is not refused."""
        batch = Batch()
        done = call(batch)
        self.market.db.stage(batch)
        return done

    def deposit(self, number: int, amount: int) -> None:
        cause, self.deposits = f"deposit:{self.deposits}", self.deposits + 1
        postings = move(accounts.L1, self.name(number), amount)
        self.do(
            lambda batch: self.market.ledger.post(
                batch, cause=cause, kind="deposit", postings=postings, at_ms=0
            )
        )

    def limit(self, number: int, amount: int, *, backer: int = OPERATOR) -> Any:
        backed_by = self.key(backer).address
        customer, credit = self.key(number).address, self.market.settlement.credit
        return self.do(
            lambda batch: credit.set_limit(batch, customer, amount, backer=backed_by, at_ms=0)
        )

    def write_off(self, number: int) -> int:
        customer, credit = self.key(number).address, self.market.settlement.credit
        return self.do(lambda batch: credit.write_off(batch, customer, 0))

    def reserve(self, task: str, number: int, amount: int) -> None:
        customer, rewards = self.key(number).address, self.market.settlement.rewards
        self.do(lambda batch: rewards.reserve(batch, task, customer, amount, 0))

    def refund(self, task: str) -> None:
        self.do(lambda batch: self.market.settlement.rewards.refund(batch, task, 0))

    def settle(self, task: str) -> None:
        payees = Payees({self.key(WORKER).address: 1}, {}, self.key(21).address)
        rewards = self.market.settlement.rewards
        self.do(lambda batch: rewards.settle(batch, task, payees, 0))

    def mature(self, task: str) -> None:
        self.do(lambda batch: self.market.settlement.rewards.mature(batch, task, 0))

    def withdraw(self, number: int, amount: int, key: str = "k") -> None:
        customer, settlement = self.key(number).address, self.market.settlement
        self.do(lambda batch: settlement.withdraw(batch, customer, amount, key=key, at_ms=0))


@pytest.fixture
def desk(market: Any, key: Key) -> Desk:
    made = Desk(market, key)
    made.deposit(OPERATOR, 10 * CPC)
    return made


async def test_a_customer_without_money_buys_up_to_the_limit(desk: Desk) -> None:
    with pytest.raises(InsufficientFunds):
        desk.reserve("t0", CUSTOMER, 1)
    desk.limit(CUSTOMER, 4 * CPC)
    assert (desk.balance(OPERATOR), desk.backing()) == (6 * CPC, 4 * CPC)
    desk.reserve("t1", CUSTOMER, 3 * CPC)
    with pytest.raises(InsufficientFunds, match=r"0\.000000000000000001 CPC are missing"):
        desk.reserve("t2", CUSTOMER, CPC + 1)
    desk.reserve("t2", CUSTOMER, CPC)
    with pytest.raises(InsufficientFunds):
        desk.reserve("t3", CUSTOMER, 1)
    view = desk.market.settlement.credit.view(desk.key(CUSTOMER).address)
    assert (view.limit, view.owed) == (4 * CPC, 4 * CPC)
    report = desk.market.ledger.audit()
    assert report.ok
    assert (report.held, report.owed) == (10 * CPC, 4 * CPC)


async def test_a_deposit_pays_back_first_and_only_own_money_goes_out(desk: Desk) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    desk.reserve("t1", CUSTOMER, 3 * CPC)
    for amount in (1, CPC):
        with pytest.raises(InsufficientFunds):
            desk.withdraw(CUSTOMER, amount)
    desk.deposit(CUSTOMER, 2 * CPC)
    assert desk.balance(CUSTOMER) == -CPC
    with pytest.raises(InsufficientFunds):
        desk.withdraw(CUSTOMER, 1)
    desk.deposit(CUSTOMER, 2 * CPC)
    with pytest.raises(InsufficientFunds):
        desk.withdraw(CUSTOMER, CPC)
    desk.withdraw(CUSTOMER, CPC - FEE)
    assert desk.balance(CUSTOMER) == 0


async def test_the_fees_of_the_chain_and_a_withdrawal_are_never_owed(desk: Desk) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    fund = desk.market.settlement.fund_fees
    with pytest.raises(InsufficientFunds):
        desk.do(lambda batch: fund(batch, desk.key(CUSTOMER).address, CPC, key="k", at_ms=0))
    desk.deposit(CUSTOMER, CPC)
    with pytest.raises(InsufficientFunds):
        desk.withdraw(CUSTOMER, CPC + 1)


async def test_the_same_limit_again_changes_nothing(desk: Desk) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    batch = Batch()
    credit, operator = desk.market.settlement.credit, desk.key(OPERATOR).address
    credit.set_limit(batch, desk.key(CUSTOMER).address, 5 * CPC, backer=operator, at_ms=9)
    assert not batch.changes


@pytest.mark.parametrize(("number", "limit"), [(OPERATOR, CPC), (CUSTOMER, -1)])
async def test_what_makes_no_sense_is_refused(desk: Desk, number: int, limit: int) -> None:
    with pytest.raises(InvalidInput):
        desk.limit(number, limit)


async def test_an_address_that_nobody_can_own_gets_nothing(desk: Desk) -> None:
    credit, operator = desk.market.settlement.credit, desk.key(OPERATOR).address
    with pytest.raises(InvalidInput) as refused:
        credit.set_limit(Batch(), "cpc1nobody", CPC, backer=operator, at_ms=0)
    assert refused.value.field == "address"


async def test_the_desk_needs_an_operator_with_an_account_of_its_own(desk: Desk, key: Key) -> None:
    market, address = key(1).address, key(CUSTOMER).address

    def made(operator: str) -> CreditDesk:
        credit = desk.market.settlement.credit
        return CreditDesk(
            desk.market.db, credit, operator=Account(operator), market=market, now_ms=lambda: 0
        )

    for operator in ("", market):
        with pytest.raises(InvalidInput) as refused:
            await made(operator).set_limit(address, CPC)
        assert refused.value.field == "market.operator"
    view = await made(key(OPERATOR).address).set_limit(address, CPC)
    assert made("").views() == (view,)
    desk.reserve("t", CUSTOMER, CPC)
    desk.settle("t")
    desk.mature("t")
    after = await made(key(OPERATOR).address).set_limit(address, 2 * CPC, write_off=True)
    assert (after.limit, after.owed, desk.balance(OPERATOR)) == (2 * CPC, 0, 7 * CPC)


async def test_no_entry_takes_the_backing_of_a_debt(desk: Desk) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    desk.reserve("t", CUSTOMER, 3 * CPC)
    backing, ledger = accounts.credit(desk.key(CUSTOMER).address), desk.market.ledger
    for target in (desk.name(OPERATOR), accounts.FEES):
        postings = move(backing, target, 2 * CPC + 1)
        with pytest.raises(Overdrawn):
            ledger.post(Batch(), cause="x", kind="x", postings=postings, at_ms=0)
    both = (
        posting(backing, -4 * CPC),
        posting(desk.name(CUSTOMER), CPC),
        posting(accounts.FEES, 3 * CPC),
    )
    with pytest.raises(Overdrawn):
        ledger.post(Batch(), cause="x", kind="x", postings=both, at_ms=0)


async def test_an_audit_finds_a_debt_that_nothing_backs(desk: Desk) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    desk.reserve("t", CUSTOMER, 3 * CPC)
    ledger, backing = desk.market.ledger, accounts.credit(desk.key(CUSTOMER).address)
    stored = ledger.find(f"credit:{desk.key(CUSTOMER).address}:0")
    less = msgspec.structs.replace(stored, postings=move(desk.name(OPERATOR), backing, 2 * CPC))
    batch = Batch()
    ledger.by_sequence.put(batch, stored.sequence.to_bytes(8, "big"), less)
    for account, units in ((backing, 2 * CPC), (desk.name(OPERATOR), 8 * CPC)):
        ledger.balances.put(batch, account.encode(), Balance(posting(account, units).amount))
    desk.market.db.stage(batch)
    assert ledger.audit().findings == (f"{desk.name(CUSTOMER)} is negative: {-3 * CPC} units",)


NUMBERS = st.sampled_from([CUSTOMER, CUSTOMER, OTHER])
AMOUNTS = st.integers(1, 8).map(lambda dimes: dimes * CPC // 2)
TASKS = st.sampled_from(["t1", "t2", "t3", "t4"])
STEPS = st.one_of(
    st.tuples(st.just("deposit"), st.sampled_from([OPERATOR, CUSTOMER, OTHER]), AMOUNTS),
    st.tuples(st.just("limit"), NUMBERS, AMOUNTS | st.just(0)),
    st.tuples(st.just("write_off"), NUMBERS),
    st.tuples(st.just("reserve"), TASKS, NUMBERS, AMOUNTS),
    st.tuples(st.just("reserve"), TASKS, NUMBERS, AMOUNTS),
    st.tuples(st.just("refund"), TASKS),
    st.tuples(st.just("settle"), TASKS),
    st.tuples(st.just("mature"), TASKS),
    st.tuples(st.just("withdraw"), st.sampled_from([OPERATOR, CUSTOMER, OTHER]), AMOUNTS),
)


class Model:
    """The same, told with a dictionary: who has what, and what each step may do."""

    def __init__(self) -> None:
        self.free: Counter[int] = Counter({OPERATOR: 10 * CPC})
        self.limits: Counter[int] = Counter()
        self.tasks: dict[str, tuple[int, int, str]] = {}
        self.lost = 0

    def deposit(self, who: int, amount: int) -> bool:
        self.free[who] += amount
        return True

    def limit(self, who: int, amount: int) -> bool:
        more = amount - self.limits[who]
        if amount < max(0, -self.free[who]) or more > self.free[OPERATOR]:
            return False
        self.limits[who] += more
        self.free[OPERATOR] -= more
        return True

    def write_off(self, who: int) -> bool:
        undecided = sum(
            amount for owner, amount, state in self.tasks.values() if owner == who and state
        )
        spent = max(0, -self.free[who] - undecided)
        self.limits[who] -= spent
        self.free[who] += spent
        self.lost += spent
        return True

    def reserve(self, task: str, who: int, amount: int) -> bool:
        if task in self.tasks or self.free[who] + self.limits[who] < amount:
            return self.tasks.get(task, ())[:2] == (who, amount)
        self.tasks[task] = who, amount, "open"
        self.free[who] -= amount
        return True

    def refund(self, task: str) -> bool:
        who, amount, state = self.tasks.get(task, (0, 0, "none"))
        if state == "open":
            self.tasks[task] = who, amount, ""
            self.free[who] += amount
        return state in ("open", "refunded")

    def settle(self, task: str) -> bool:
        who, amount, state = self.tasks.get(task, (0, 0, "none"))
        if state == "open":
            self.tasks[task] = who, amount, "maturing"
        return True

    def mature(self, task: str) -> bool:
        who, amount, state = self.tasks.get(task, (0, 0, "none"))
        if state == "maturing":
            self.tasks[task] = who, amount, ""
        return True

    def withdraw(self, who: int, amount: int) -> bool:
        if self.free[who] < amount + FEE:
            return False
        self.free[who] -= amount + FEE
        return True


FIRM = ("deposit", "limit", "write_off", "reserve", "withdraw")
"""Steps about which the model says whether they are refused; the others have their own tests."""


def check(desk: Desk, model: Model) -> None:
    ledger = desk.market.ledger
    report = ledger.audit()
    assert report.ok, report.findings
    for number in (OPERATOR, CUSTOMER, OTHER):
        assert desk.balance(number) == model.free[number]
        assert desk.backing(number) == model.limits[number]
        assert desk.balance(number) + desk.backing(number) >= 0
    holdings = dict(ledger.holdings())
    owed = sum(max(0, -desk.balance(number)) for number in (CUSTOMER, OTHER))
    claims = sum(units for name, units in holdings.items() if units > 0) - owed
    assert report.held == claims
    assert report.owed == owed
    assert solvency(ledger, report, report.held).findings == ()
    if report.held > solvency(ledger, report, 0).leaving:
        least = report.held - solvency(ledger, report, 0).leaving
        assert solvency(ledger, report, least).missing == 0
        assert solvency(ledger, report, least - 1).missing == 1


async def fresh_market(db: Any, make_market: Callable[..., Any]) -> Any:
    batch = Batch()
    OutboundBook(db, make_market.key.address).set_next_nonce(batch, 0)
    db.stage(batch)
    return make_market(db, HttpL1Client("http://nowhere", httpx.AsyncClient(verify=False)))


@given(st.lists(STEPS, min_size=12, max_size=40))
@settings(max_examples=40, deadline=None)
def test_whatever_happens_every_debt_is_backed_and_the_books_are_exact(
    make_market: Callable[..., Any], key: Key, steps: list[tuple[Any, ...]]
) -> None:
    async def main() -> None:
        async with open_database(MemoryStore()) as db:
            desk, model = Desk(await fresh_market(db, make_market), key), Model()
            desk.deposit(OPERATOR, 10 * CPC)
            desk.limit(CUSTOMER, 2 * CPC)
            model.limit(CUSTOMER, 2 * CPC)
            for number, (step, *arguments) in enumerate(steps):
                allowed = getattr(model, step)(*arguments)
                extra = [str(number)] if step == "withdraw" else []
                try:
                    getattr(desk, step)(*arguments, *extra)
                except NodeError:
                    assert not allowed or step not in FIRM, (step, arguments)
                else:
                    assert allowed or step not in FIRM, (step, arguments)
                check(desk, model)

    run(main)


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_on_the_chain_it_is_the_operators_deposit_that_is_paid_out(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """A customer who never paid in anything buys a task; everybody is paid, and the market has
    what it owes at every moment."""
    world = make_world()
    async with world.running(), world.market() as market:
        desk = Desk(market, key)
        world.deposit(key(OPERATOR), 10 * CPC)
        world.deposit(key(OTHER), 7 * CPC)
        await trio.sleep(30)
        desk.limit(CUSTOMER, 4 * CPC)
        batch, now = Batch(), market.now_ms()
        address, rewards = key(CUSTOMER).address, market.settlement.rewards
        rewards.reserve(batch, "t", address, 4 * CPC, now)
        rewards.settle(batch, "t", Payees({key(WORKER).address: 1}, {}, key(21).address), now)
        market.db.stage(batch)
        for _ in range(60):
            report = market.ledger.audit()
            found = solvency(market.ledger, report, world.balance(world.key.address))
            assert report.ok
            assert found.findings == ()
            await trio.sleep(1)
        assert world.balance(key(WORKER).address) == CPC
        assert report.held == world.balance(world.key.address)
        assert desk.balance(OTHER) == 7 * CPC
        desk.withdraw(OTHER, 7 * CPC - FEE)
        desk.withdraw(OPERATOR, 6 * CPC - FEE)
        await trio.sleep(30)
        fees = market.ledger.balance(accounts.FEES)
        assert world.balance(world.key.address) == fees
        assert (desk.balance(CUSTOMER), desk.backing()) == (-4 * CPC, 4 * CPC)
        world.deposit(key(CUSTOMER), 4 * CPC)
        await trio.sleep(30)
        desk.limit(CUSTOMER, 0)
        assert (desk.balance(CUSTOMER), desk.balance(OPERATOR)) == (0, 4 * CPC)
