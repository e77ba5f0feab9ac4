"""The money of disputes: every unit, whatever is decided, wherever it crashes."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.amounts import Amount
from node.errors import Conflict, InsufficientFunds, InvalidInput, NodeError, NotFound
from node.l1.escrow import Act
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.appeals import Appeals
from node.settlement.bonds import Bonds
from node.settlement.entries import move
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.ledger import Ledger
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.rewards import Rewards
from node.split import Payees
from storage.database import open_database
from storage.errors import StorageFailed
from storage.store import Batch

TASK = "0b7a9c3e-6a54-4c1e-8f4e-1d2f3a4b5c6d"
CPC = 10**18
WINDOW_MS = 5_000
UNBONDING_MS = 20_000
UNTIL_MS = 60_000
ALICE, BOB, CAROL, DAVE, ERIN, FAYE = (
    AccountKey(number.to_bytes(32, "big")).address for number in (10, 20, 21, 22, 23, 24)
)
PAYEES = Payees({BOB: 1}, {CAROL: 2, DAVE: 6}, DAVE)
CULPRITS = (BOB, CAROL)
FALSE = ("ab" * 32,)
ACTS = tuple(Act(address=one, evidence={}) for one in CULPRITS)
JURORS = (ERIN, FAYE)
RESERVE = 10
RULES = SettlementParameters(
    unbonding_s=UNBONDING_MS / 1000, slash_bp=5_000, fee_reserve=Amount(RESERVE)
)


class Desk:
    """The parts of a market's money over one database."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.ledger = Ledger(db)
        owed = OwedBook(db)
        self.bonds = Bonds(db, self.ledger, RULES)
        self.rewards = Rewards(db, self.ledger, owed, RULES, self.bonds)
        self.appeals = Appeals(db, self.ledger, owed, self.bonds, RULES.fee_reserve)
        self.owed = owed

    def deposit(self, batch: Batch) -> None:
        for address in (ALICE, BOB, CAROL):
            postings = move(accounts.L1, accounts.customer(address), 10 * CPC)
            cause = f"deposit:{address}"
            self.ledger.post(batch, cause=cause, kind="deposit", postings=postings, at_ms=0)

    def disputed(self, fee: int = CPC) -> Batch:
        """A batch with a completed task of 4 CPC, disputed after 1 s."""
        batch = Batch()
        self.deposit(batch)
        self.rewards.reserve(batch, TASK, ALICE, 4 * CPC, 0)
        self.rewards.settle(batch, TASK, PAYEES, 0)
        assert self.appeals.open(batch, TASK, ALICE, fee, 1_000, until_ms=UNTIL_MS)
        return batch

    def held(self, batch: Batch, *names: str) -> list[int]:
        return [self.ledger.balance(name, batch) for name in names]


@pytest.fixture
def desk(db: Any) -> Desk:
    return Desk(db)


MONEY = (accounts.customer(ALICE), accounts.maturing(TASK), accounts.appeal(TASK))


async def test_a_disputed_result_is_not_paid(desk: Desk) -> None:
    batch = desk.disputed()
    assert desk.held(batch, *MONEY) == [5 * CPC, 4 * CPC, CPC]
    assert not desk.appeals.open(batch, TASK, ALICE, CPC, 2_000, until_ms=UNTIL_MS)
    with pytest.raises(NotFound):
        desk.rewards.mature(batch, TASK, 10**9)
    with pytest.raises(SettlementConflict):
        desk.rewards.settle(batch, TASK, PAYEES, 0)
    with pytest.raises(SettlementConflict):
        desk.rewards.refund(batch, TASK, 0)
    desk.db.stage(batch)
    assert list(desk.rewards.due(10**9)) == []


async def test_a_lost_appeal_pays_the_jurors_and_then_those_who_did_the_work(desk: Desk) -> None:
    """At once, if the window is over by then; what does not divide is burned."""
    batch = desk.disputed(CPC + 1)
    assert desk.appeals.uphold(batch, TASK, JURORS, 9_000)
    assert not desk.appeals.uphold(batch, TASK, JURORS, 9_500)
    assert desk.held(batch, *MONEY) == [5 * CPC - 1, 4 * CPC, 0]
    jurors = [accounts.validator(one) for one in JURORS]
    assert desk.held(batch, *jurors, accounts.BURN) == [CPC // 2 - 5, CPC // 2 - 5, 1]
    assert desk.held(batch, accounts.FEES) == [RESERVE]
    desk.db.stage(batch)
    assert all(desk.owed.get(name) for name in (*jurors, accounts.BURN))
    assert list(desk.rewards.due(9_000)) == [TASK]
    batch = Batch()
    assert desk.rewards.mature(batch, TASK, 9_000)
    assert desk.held(batch, accounts.worker(BOB)) == [CPC]


async def test_where_nobody_can_say_all_goes_on_as_if_nothing_was(desk: Desk) -> None:
    batch = desk.disputed()
    assert desk.appeals.give_up(batch, TASK, 1_500)
    assert not desk.appeals.give_up(batch, TASK, 1_500)
    assert desk.held(batch, *MONEY) == [6 * CPC, 4 * CPC, 0]
    with pytest.raises(Conflict, match="not due"):
        desk.rewards.mature(batch, TASK, WINDOW_MS - 1)
    assert desk.rewards.mature(batch, TASK, WINDOW_MS)


@pytest.mark.parametrize(
    ("bond", "fee", "each", "burned"),
    [
        (0, CPC, 0, 0),
        (1, CPC, CPC // 4 - 5, 0),
        (2, CPC, CPC // 2 - 5, 0),
        (8, CPC, CPC // 2 - 5, 3 * CPC),
        (8, CPC + 1, CPC // 2 - 5, 3 * CPC),
    ],
)
async def test_a_won_appeal_pays_reward_and_fee_back_and_the_jurors_from_a_bond(
    desk: Desk, bond: int, fee: int, each: int, burned: int
) -> None:
    """As far as it reaches, up to what they would have had otherwise; the rest is burned."""
    batch = desk.disputed(fee)
    if bond:
        desk.bonds.bond(batch, BOB, bond * CPC, key="b", at_ms=0)
        desk.bonds.unbond(batch, BOB, CPC, key="u", at_ms=0)
    assert desk.appeals.overturn(batch, TASK, FALSE, ACTS, JURORS, 2_000)
    assert not desk.appeals.overturn(batch, TASK, FALSE, ACTS, JURORS, 2_000)
    assert desk.held(batch, *MONEY) == [10 * CPC, 0, 0]
    jurors = [accounts.validator(one) for one in JURORS]
    assert desk.held(batch, *jurors, accounts.BURN) == [each, each, burned]
    left = desk.held(batch, accounts.bond(BOB), accounts.unbonding(BOB))
    assert sum(left) == bond * CPC // 2
    assert desk.held(batch, accounts.worker(BOB), accounts.validator(DAVE)) == [0, 0]
    for call in (
        lambda: desk.rewards.settle(batch, TASK, PAYEES, 0),
        lambda: desk.appeals.open(batch, TASK, ALICE, fee, 0, until_ms=UNTIL_MS),
    ):
        with pytest.raises(SettlementConflict):
            call()
    with pytest.raises(NotFound):
        desk.rewards.mature(batch, TASK, 10**9)


async def test_there_is_one_ruling(desk: Desk) -> None:
    batch = desk.disputed()
    desk.appeals.uphold(batch, TASK, JURORS, 2_000)
    before = dict(batch.changes)
    for call in (
        lambda: desk.appeals.give_up(batch, TASK, 2_000),
        lambda: desk.appeals.overturn(batch, TASK, FALSE, ACTS, JURORS, 2_000),
        lambda: desk.appeals.open(batch, TASK, ALICE, CPC, 2_000, until_ms=UNTIL_MS),
    ):
        with pytest.raises(SettlementConflict):
            call()
    assert batch.changes == before


async def test_what_cannot_be_disputed(desk: Desk) -> None:
    batch = Batch()
    desk.deposit(batch)
    desk.rewards.reserve(batch, TASK, ALICE, 4 * CPC, 0)
    before = dict(batch.changes)
    with pytest.raises(NotFound):
        desk.appeals.open(batch, TASK, ALICE, CPC, 0, until_ms=UNTIL_MS)
    for decide in (desk.appeals.give_up, lambda *a: desk.appeals.uphold(*a[:2], JURORS, a[2])):
        with pytest.raises(NotFound):
            decide(batch, TASK, 0)
    assert batch.changes == before
    desk.rewards.settle(batch, TASK, PAYEES, 0)
    before = dict(batch.changes)
    for fee, at_ms, error in (
        (0, 0, InvalidInput),
        (7 * CPC, 0, InsufficientFunds),
        (CPC, WINDOW_MS, Conflict),
    ):
        with pytest.raises(error):
            desk.appeals.open(batch, TASK, ALICE, fee, at_ms, until_ms=UNTIL_MS)
    assert batch.changes == before
    desk.appeals.open(batch, TASK, ALICE, CPC, 0, until_ms=UNTIL_MS)
    with pytest.raises(LedgerConflict):
        desk.appeals.open(batch, TASK, BOB, CPC, 0, until_ms=UNTIL_MS)


TASKS = st.sampled_from(["t1", "t2", "t3"])
STAKERS = st.sampled_from(CULPRITS)
AMOUNTS = st.sampled_from([1, 7, CPC // 3, CPC, 3 * CPC])
PAUSES = st.sampled_from([1_000, WINDOW_MS, UNBONDING_MS])
DECISIONS = st.sampled_from(["uphold", "overturn", "overturn", "give_up"])
STEPS = st.one_of(
    st.tuples(st.just("complete"), TASKS, AMOUNTS),
    st.tuples(st.just("appeal"), TASKS, AMOUNTS),
    st.tuples(DECISIONS, TASKS),
    st.tuples(st.just("mature"), TASKS),
    st.tuples(st.sampled_from(["bond", "unbond"]), STAKERS, AMOUNTS, st.sampled_from("ab")),
    st.tuples(st.just("bond"), STAKERS, AMOUNTS, st.sampled_from("ab")),
    st.tuples(st.just("release"), STAKERS),
    st.tuples(st.just("wait"), PAUSES),
    st.tuples(st.just("crash"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("disputed"), TASKS, AMOUNTS, DECISIONS),
    st.tuples(st.just("staked"), STAKERS, AMOUNTS, TASKS),
    st.tuples(st.just("taken back"), STAKERS, AMOUNTS),
)


EVERY_WAY: list[tuple[Any, ...]] = [
    ("taken back", CULPRITS[0], CPC),
    ("disputed", "t1", CPC, "uphold"),
    ("disputed", "t2", CPC, "give_up"),
    ("staked", CULPRITS[0], CPC, "t3"),
]
"""A history with every outcome, since so few that chance finds may lack one."""


def spread(steps: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """With whole ways, which chance hardly finds."""
    found: list[tuple[Any, ...]] = []
    for step in steps:
        match step:
            case ("disputed", task, amount, decision):
                found += [("complete", task, amount), ("appeal", task, amount), (decision, task)]
            case ("staked", who, amount, task):
                found += [("bond", who, amount, "a"), ("complete", task, amount)]
                found += [("appeal", task, amount), ("overturn", task)]
            case ("taken back", who, amount):
                found += [("bond", who, amount, "b"), ("unbond", who, amount, "b")]
                found += [("wait", UNBONDING_MS), ("release", who)]
            case _:
                found.append(step)
    return found


class Model:
    """Who has what, told with additions only."""

    def __init__(self) -> None:
        self.money: Counter[str] = Counter(
            {accounts.customer(one): 10 * CPC for one in (ALICE, BOB, CAROL)}
        )
        self.places: dict[str, str] = {}
        self.due_ms: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self.rewards: dict[str, int] = {}
        self.keys: dict[str, int] = {}
        self.back_ms: dict[str, int] = {}
        self.paid = 0
        self.fees_held = 0
        self.seen: Counter[str] = Counter()

    def move(self, source: str, target: str, amount: int) -> bool:
        if self.money[source] < amount:
            return False
        self.money[source] -= amount
        self.money[target] += amount
        return True

    def step(self, now_ms: int, name: str, who: str, *more: Any) -> None:
        getattr(self, f"do_{name}")(now_ms, who, *more)

    def do_complete(self, now_ms: int, task: str, amount: int) -> None:
        free = accounts.customer(ALICE)
        if task not in self.places and self.move(free, accounts.maturing(task), amount):
            self.places[task], self.rewards[task] = "maturing", amount
            self.due_ms[task] = now_ms + WINDOW_MS

    def do_appeal(self, now_ms: int, task: str, fee: int) -> None:
        open_to_it = self.places.get(task) == "maturing" and now_ms < self.due_ms[task]
        free, held = accounts.customer(ALICE), accounts.appeal(task)
        if open_to_it and task not in self.fees and self.move(free, held, fee):
            self.places[task], self.fees[task] = "disputed", fee

    def do_give_up(self, _: int, task: str) -> None:
        if self.places.get(task) == "disputed":
            self.move(accounts.appeal(task), accounts.customer(ALICE), self.fees[task])
            self.places[task] = "maturing"
            self.seen["give_up"] += 1

    def do_uphold(self, _: int, task: str) -> None:
        if self.places.get(task) == "disputed":
            self.pay(accounts.appeal(task), self.fees[task], self.fees[task])
            self.places[task] = "maturing"
            self.seen["uphold"] += 1

    def do_overturn(self, _: int, task: str) -> None:
        if self.places.get(task) != "disputed":
            return
        self.move(accounts.appeal(task), accounts.customer(ALICE), self.fees[task])
        self.move(accounts.maturing(task), accounts.customer(ALICE), self.rewards[task])
        self.places[task] = "overturned"
        for one in CULPRITS:
            bond, unbonding = accounts.bond(one), accounts.unbonding(one)
            lost = (self.money[bond] + self.money[unbonding]) // 2
            from_bond = min(lost, self.money[bond])
            self.move(bond, "pot", from_bond)
            self.move(unbonding, "pot", lost - from_bond)
        self.seen["overturn"] += 1
        self.seen["slash"] += self.money["pot"] > 0
        self.pay("pot", self.money["pot"], min(self.fees[task], self.money["pot"]))

    def pay(self, source: str, total: int, part: int) -> None:
        self.fees_held += min(RESERVE, part)
        self.money[source] -= min(RESERVE, part)
        share = (part - min(RESERVE, part)) // 2
        for one in JURORS:
            self.move(source, accounts.validator(one), share)
        self.move(source, accounts.BURN, total - min(RESERVE, part) - 2 * share)

    def do_mature(self, now_ms: int, task: str) -> None:
        if self.places.get(task) == "maturing" and now_ms >= self.due_ms[task]:
            self.places[task] = "paid"
            self.money[accounts.maturing(task)] = 0
            self.paid += self.rewards[task]

    def do_bond(self, _: int, who: str, amount: int, key: str) -> None:
        ways, key = (accounts.customer(who), accounts.bond(who)), "bond" + who + key
        if key not in self.keys and self.move(*ways, amount):
            self.keys[key] = amount

    def do_unbond(self, now_ms: int, who: str, amount: int, key: str) -> None:
        ways, key = (accounts.bond(who), accounts.unbonding(who)), "unbond" + who + key
        if key not in self.keys and self.move(*ways, amount):
            self.keys[key] = amount
            self.back_ms[who] = now_ms + UNBONDING_MS

    def do_release(self, now_ms: int, who: str) -> None:
        if now_ms >= self.back_ms.get(who, 10**12):
            unbonding = accounts.unbonding(who)
            self.move(unbonding, accounts.customer(who), self.money[unbonding])
            del self.back_ms[who]
            self.seen["release"] += 1

    def check(self, ledger: Ledger) -> None:
        """What is paid for work is one sum here, whoever has it: `split` has tests of its own."""
        held = dict(ledger.holdings())
        shared = ("worker:", "treasury", "fees", accounts.validator(CAROL))
        shared = (*shared, accounts.validator(DAVE))
        work = sum(held.pop(name) for name in list(held) if name.startswith(shared))
        work += held.pop(accounts.BURN, 0) - self.money[accounts.BURN]
        assert work == self.paid + self.fees_held
        assert held.pop(accounts.L1) == -30 * CPC
        assert held == {name: n for name, n in self.money.items() if n and name != accounts.BURN}


def call(desk: Desk, batch: Batch, now_ms: int, name: str, who: str, *more: Any) -> object:
    appeals, bonds = desk.appeals, desk.bonds
    match name:
        case "complete":
            desk.rewards.reserve(batch, who, ALICE, more[0], now_ms)
            return desk.rewards.settle(batch, who, PAYEES, now_ms)
        case "appeal":
            return appeals.open(batch, who, ALICE, more[0], now_ms, until_ms=UNTIL_MS)
        case "uphold":
            return appeals.uphold(batch, who, JURORS, now_ms)
        case "give_up":
            return appeals.give_up(batch, who, now_ms)
        case "overturn":
            return appeals.overturn(batch, who, FALSE, ACTS, JURORS, now_ms)
        case "mature":
            return desk.rewards.mature(batch, who, now_ms)
        case "release":
            return bonds.release(batch, who, now_ms)
    move = bonds.bond if name == "bond" else bonds.unbond
    return move(batch, who, more[0], key=more[1], at_ms=now_ms)


async def carry_out(desk: Desk, now_ms: int, step: tuple[Any, ...]) -> None:
    """Twice, the second time for nothing; whatever raises has changed nothing."""
    for _ in range(2):
        batch = Batch()
        try:
            call(desk, batch, now_ms, *step)
        except NodeError:
            batch = Batch() if step[0] == "complete" else batch
            assert not batch.changes
        await desk.db.commit(batch)


async def end(desk: Desk, model: Model, now_ms: int) -> None:
    """Every state has a way out: nothing stays that waits for a ruling, or for time."""
    for task in ("t1", "t2", "t3"):
        for name in ("give_up", "mature"):
            await carry_out(desk, now_ms, (name, task))
            model.step(now_ms, name, task)
    for address in list(desk.bonds.due(now_ms)):
        await carry_out(desk, now_ms, ("release", address))
        model.step(now_ms, "release", address)
    model.check(desk.ledger)
    for prefix in ("reserved:", "maturing:", "appeal:", "unbonding:"):
        assert not list(desk.ledger.holdings(prefix))
    assert desk.ledger.audit().ok


async def play(store: Any, steps: list[tuple[Any, ...]]) -> Counter[str]:
    """Each step until it is durable, over crashes before and after its write."""
    model, waiting, now_ms = Model(), spread(steps), 0
    while True:
        try:
            async with open_database(store) as db:
                desk, batch = Desk(db), Batch()
                desk.deposit(batch)
                await db.commit(batch)
                while waiting:
                    name, *arguments = waiting[0]
                    if name == "crash":
                        store.fuse, store.keep = arguments
                    elif name == "wait":
                        now_ms += arguments[0]
                    else:
                        await carry_out(desk, now_ms, waiting[0])
                        model.step(now_ms, name, *arguments)
                    del waiting[0]
                    model.check(desk.ledger)
                store.fuse = None
                await end(desk, model, now_ms + 10 * UNBONDING_MS)
                return model.seen
        except StorageFailed:
            continue


@pytest.mark.parametrize(
    "examples", [60, pytest.param(2_000, marks=pytest.mark.full, id="many more")]
)
def test_no_unit_is_lost_wherever_it_crashes(
    crashing_store: Callable[[], Any], examples: int
) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(STEPS, max_size=24))
    @example(EVERY_WAY)
    def run(steps: list[tuple[Any, ...]]) -> None:
        seen.update(trio.run(play, crashing_store(), steps))

    run()
    assert all(seen[one] for one in ("uphold", "overturn", "give_up", "slash", "release")), seen


@pytest.mark.parametrize("decision", ["uphold", "overturn", "give_up"])
@pytest.mark.parametrize("keep", [True, False], ids=["written", "lost"])
async def test_it_is_decided_once_wherever_it_is_killed(
    crashing_store: Callable[[], Any], decision: str, keep: bool
) -> None:
    way = [
        ("bond", BOB, CPC, "a"),
        ("complete", "t1", 3 * CPC),
        ("appeal", "t1", CPC),
        ("unbond", BOB, CPC // 3, "a"),
        (decision, "t1"),
        ("wait", WINDOW_MS),
        ("mature", "t1"),
    ]
    store = crashing_store()
    await play(store, way)
    for place in range(store.writes):
        seen = await play(crashing_store(), [("crash", place, keep), *way])
        assert seen[decision] == 1


def test_a_share_of_more_than_all_cannot_be_slashed() -> None:
    with pytest.raises(NodeError, match="slash_bp"):
        msgspec.structs.replace(RULES, slash_bp=10_001)
