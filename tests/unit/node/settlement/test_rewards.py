"""Rewards: set aside, given back, or waiting and then divided."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import Conflict, InsufficientFunds, InvalidInput, NodeError, NotFound
from node.l1.errors import BadAddress
from node.l1.keys import AccountKey
from node.settlement import accounts
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
ALICE, BOB, CAROL, DAVE = (
    AccountKey(number.to_bytes(32, "big")).address for number in (10, 20, 21, 22)
)
PAYEES = Payees({BOB: 1}, {CAROL: 2, BOB: 6}, DAVE)
RULES = SettlementParameters()


def rewards_of(db: Any, ledger: Ledger, parameters: SettlementParameters = RULES) -> Rewards:
    return Rewards(db, ledger, OwedBook(db), parameters, Bonds(db, ledger, parameters))


@pytest.fixture
def rewards(db: Any, ledger: Ledger) -> Rewards:
    """With a customer, Alice, who has 10 CPC."""
    batch = Batch()
    credit(ledger, batch)
    db.stage(batch)
    return rewards_of(db, ledger)


def credit(ledger: Ledger, batch: Batch) -> None:
    postings = move(accounts.L1, accounts.customer(ALICE), 10 * CPC)
    ledger.post(batch, cause="deposit:1", kind="deposit", postings=postings, at_ms=0)


async def test_a_reward_is_set_aside_and_given_back(
    db: Any, ledger: Ledger, rewards: Rewards
) -> None:
    batch = Batch()
    assert rewards.reserve(batch, TASK, ALICE, 4 * CPC, 1)
    db.stage(batch)
    assert ledger.balance(f"customer:{ALICE}") == 6 * CPC
    assert dict(ledger.holdings("reserved:")) == {f"reserved:{TASK}": 4 * CPC}
    batch = Batch()
    assert rewards.refund(batch, TASK, 2)
    assert not rewards.refund(batch, TASK, 3)
    db.stage(batch)
    assert ledger.balance(f"customer:{ALICE}") == 10 * CPC
    assert not list(ledger.holdings("reserved:"))
    assert not rewards.reserve(Batch(), TASK, ALICE, 4 * CPC, 4)


async def test_a_settled_reward_waits_and_is_then_divided(
    db: Any, ledger: Ledger, rewards: Rewards
) -> None:
    batch = Batch()
    rewards.reserve(batch, TASK, ALICE, CPC, 1)
    assert rewards.settle(batch, TASK, PAYEES, 1_000) == 1_000 + WINDOW_MS
    db.stage(batch)
    held = {"l1": -10 * CPC, f"customer:{ALICE}": 9 * CPC}
    assert dict(ledger.holdings()) == {**held, f"maturing:{TASK}": CPC}
    assert list(rewards.due(1_000 + WINDOW_MS - 1)) == []
    assert list(rewards.due(1_000 + WINDOW_MS)) == [TASK]
    batch = Batch()
    with pytest.raises(Conflict, match="not due"):
        rewards.mature(batch, TASK, 1_000 + WINDOW_MS - 1)
    assert not batch.changes
    assert rewards.mature(batch, TASK, 1_000 + WINDOW_MS)
    assert not rewards.mature(batch, TASK, 1_000 + WINDOW_MS)
    db.stage(batch)
    validators = CPC // 10 - 10**9
    checked = validators - validators // 4
    assert dict(ledger.holdings()) == {
        **held,
        f"worker:{BOB}": CPC // 4,
        f"validator:{BOB}": checked * 6 // 8,
        f"validator:{CAROL}": checked * 2 // 8,
        f"validator:{DAVE}": validators // 4,
        "treasury": CPC // 20,
        "burn": CPC * 6 // 10,
        "fees": 10**9,
    }
    assert list(rewards.due(10**15)) == []


async def test_settling_again_changes_nothing(db: Any, rewards: Rewards) -> None:
    """Neither before nor after the pay matured, and not for anybody else."""
    batch = Batch()
    rewards.reserve(batch, TASK, ALICE, CPC, 1)
    due_ms = rewards.settle(batch, TASK, PAYEES, 2)
    turned = Payees({BOB: 1}, {BOB: 6, CAROL: 2}, DAVE)
    others = Payees({CAROL: 1}, {CAROL: 2, BOB: 6}, DAVE)
    for paid in (False, True):
        if paid:
            rewards.mature(batch, TASK, due_ms)
        before = dict(batch.changes)
        assert rewards.settle(batch, TASK, turned, 3) == due_ms
        with pytest.raises(LedgerConflict):
            rewards.settle(batch, TASK, others, 3)
        assert batch.changes == before


async def test_pay_is_due_in_the_order_in_which_it_was_earned(db: Any, rewards: Rewards) -> None:
    batch = Batch()
    for number, at_ms in enumerate((300, 100, 200)):
        rewards.reserve(batch, f"t{number}", ALICE, CPC, 1)
        rewards.settle(batch, f"t{number}", PAYEES, at_ms)
    db.stage(batch)
    assert list(rewards.due(200 + WINDOW_MS)) == ["t1", "t2"]
    assert list(rewards.due(300 + WINDOW_MS)) == ["t1", "t2", "t0"]


async def test_what_was_fixed_holds_under_other_parameters(db: Any, rewards: Rewards) -> None:
    """A market that restarts with another network file pays what the task's customer saw."""
    batch = Batch()
    rewards.reserve(batch, TASK, ALICE, CPC, 1)
    due_ms = rewards.settle(batch, TASK, PAYEES, 1)
    db.stage(batch)
    parameters = msgspec.structs.replace(SettlementParameters(), dispute_window_s=3600.0)
    ledger = Ledger(db)
    later = rewards_of(db, ledger, parameters)
    batch = Batch()
    assert later.mature(batch, TASK, due_ms)
    assert ledger.balance(f"worker:{BOB}", batch) == CPC // 4


async def test_a_task_s_money_goes_one_way_only(rewards: Rewards) -> None:
    batch = Batch()
    for call in (rewards.refund, rewards.mature):
        with pytest.raises(NotFound):
            call(batch, "none", 1)
    with pytest.raises(NotFound):
        rewards.settle(batch, "none", PAYEES, 1)
    for task in ("one", "two"):
        rewards.reserve(batch, task, ALICE, CPC, 1)
    rewards.settle(batch, "one", PAYEES, 1)
    rewards.refund(batch, "two", 1)
    before = dict(batch.changes)
    with pytest.raises(SettlementConflict):
        rewards.refund(batch, "one", 2)
    with pytest.raises(SettlementConflict):
        rewards.settle(batch, "two", PAYEES, 2)
    with pytest.raises(NotFound):
        rewards.mature(batch, "two", 10**9)
    with pytest.raises(LedgerConflict):
        rewards.reserve(batch, "one", ALICE, CPC + 1, 2)
    assert batch.changes == before
    rewards.mature(batch, "one", 10**9)
    with pytest.raises(SettlementConflict):
        rewards.refund(batch, "one", 10**9)


async def test_what_cannot_be_reserved_or_settled(rewards: Rewards) -> None:
    batch = Batch()
    with pytest.raises(InsufficientFunds):
        rewards.reserve(batch, TASK, ALICE, 10 * CPC + 1, 1)
    with pytest.raises(InvalidInput):
        rewards.reserve(batch, TASK, ALICE, 0, 1)
    assert not batch.changes
    rewards.reserve(batch, TASK, ALICE, CPC, 1)
    before = dict(batch.changes)
    broken = BOB[:-1] + "b"
    for payees in (Payees({broken: 1}, {}, BOB), Payees({BOB: 1}, {}, broken)):
        with pytest.raises(BadAddress):
            rewards.settle(batch, TASK, payees, 1)
    with pytest.raises(InvalidInput):
        rewards.settle(batch, TASK, Payees({}, {BOB: 1}, BOB), 1)
    assert batch.changes == before


TASKS = st.sampled_from(["t1", "t2", "t3"])
STEPS = st.one_of(
    st.tuples(st.just("reserve"), TASKS, st.integers(1, 4 * CPC)),
    st.tuples(st.just("settle"), TASKS),
    st.tuples(st.just("refund"), TASKS),
    st.tuples(st.just("mature"), TASKS),
    st.tuples(st.just("wait"), st.sampled_from([1_000, WINDOW_MS])),
    st.tuples(st.just("crash"), st.integers(0, 3), st.booleans()),
)
OUTCOMES = {"settle": "maturing", "refund": "refunded"}


@settings(max_examples=80, deadline=None)
@given(st.lists(STEPS, max_size=30))
async def test_no_unit_is_lost_wherever_it_crashes(
    crashing_store: Callable[[], Any], steps: list[tuple[Any, ...]]
) -> None:
    """Each step is repeated until it is durable, over crashes before and after its write; then
    every unit is where a plain model says, and everything that was settled is paid once.
    """
    store, model, waiting, now_ms = crashing_store(), Model(), list(steps), 0
    while True:
        try:
            async with open_database(store) as db:
                ledger = Ledger(db)
                rewards = rewards_of(db, ledger)
                batch = Batch()
                credit(ledger, batch)
                await db.commit(batch)
                while waiting:
                    name, *arguments = waiting[0]
                    if name == "crash":
                        store.fuse, store.keep = arguments
                    elif name == "wait":
                        now_ms += arguments[0]
                    else:
                        await carry_out(db, rewards, name, arguments, now_ms)
                        model.step(name, *arguments, now_ms=now_ms)
                    del waiting[0]
                    model.check(ledger)
                store.fuse = None
                for task_id in list(rewards.due(now_ms + WINDOW_MS)):
                    batch = Batch()
                    rewards.mature(batch, task_id, now_ms + WINDOW_MS)
                    db.stage(batch)
                    model.step("mature", task_id, now_ms=now_ms + WINDOW_MS)
                model.check(ledger)
                assert not list(ledger.holdings("maturing:"))
                assert ledger.audit().ok
                return
        except StorageFailed:
            continue


async def carry_out(
    db: Any, rewards: Rewards, name: str, arguments: list[Any], now_ms: int
) -> None:
    batch, (task_id, *more) = Batch(), arguments
    calls: dict[str, Callable[[], object]] = {
        "reserve": lambda: rewards.reserve(batch, task_id, ALICE, more[0], now_ms),
        "settle": lambda: rewards.settle(batch, task_id, PAYEES, now_ms),
        "refund": lambda: rewards.refund(batch, task_id, now_ms),
        "mature": lambda: rewards.mature(batch, task_id, now_ms),
    }
    try:
        calls[name]()
    except NodeError:
        assert not batch.changes
    await db.commit(batch)


class Model:
    """Where each reward is, told without a ledger."""

    def __init__(self) -> None:
        self.rewards: dict[str, int] = {}
        self.places: dict[str, str] = {}
        self.due_ms: dict[str, int] = {}

    def step(self, name: str, task: str, amount: int = 0, *, now_ms: int) -> None:
        place = self.places.get(task)
        if name == "reserve" and place is None:
            if amount <= 10 * CPC - sum(
                self.rewards[one] for one, where in self.places.items() if where != "refunded"
            ):
                self.rewards[task], self.places[task] = amount, "reserved"
        elif name in OUTCOMES and place == "reserved":
            self.places[task] = OUTCOMES[name]
            self.due_ms[task] = now_ms + WINDOW_MS
        elif name == "mature" and place == "maturing" and now_ms >= self.due_ms[task]:
            self.places[task] = "paid"

    def check(self, ledger: Ledger) -> None:
        for where in ("reserved", "maturing"):
            expected = {
                f"{where}:{task}": self.rewards[task]
                for task, place in self.places.items()
                if place == where
            }
            assert dict(ledger.holdings(f"{where}:")) == expected
        gone = sum(self.rewards[one] for one, at in self.places.items() if at != "refunded")
        paid = sum(self.rewards[one] for one, at in self.places.items() if at == "paid")
        holdings = dict(ledger.holdings())
        assert ledger.balance(f"customer:{ALICE}") == 10 * CPC - gone
        earned = ("worker:", "validator:", "treasury", "burn", "fees")
        assert sum(units for name, units in holdings.items() if name.startswith(earned)) == paid
        assert sum(holdings.values()) == 0
        assert all(units > 0 for name, units in holdings.items() if name != "l1")
