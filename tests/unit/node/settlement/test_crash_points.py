"""A market dies at every point at which it touches the world, and the books end as if it had not.

The points are not listed anywhere: they are what the wrapped store and the wrapped client see.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.l1.devchain.faults import Faults
from node.l1.keys import AccountKey
from storage.database import Database
from tests.unit.node.settlement.support.driver import Driver, Step, run_virtual, until_paid
from tests.unit.node.settlement.support.ends import FEE, FUNDS, check_balances
from tests.unit.node.settlement.support.fuse import Fuse, FusedClient, FusedStore
from tests.unit.node.settlement.support.tasks import task_id_of

CPC = UNITS_PER_CPC
PAID, GIVEN_BACK, LATER, SPENT, RETURNED = map(
    task_id_of, ("paid", "given-back", "later", "spent", "returned")
)
SEVERAL = tuple(task_id_of(f"one of {number}") for number in range(5))
LIFE: list[Step] = [
    ("deposit", 10, 20 * CPC),
    ("deposit", 11, 3 * CPC),
    ("wait_for_deposit", 10),
    ("reserve", PAID, 10, 5 * CPC),
    ("reserve", GIVEN_BACK, 10, CPC),
    ("settle", PAID, {20: 2, 21: 1}, {22: 1, 23: 1}),
    ("withdraw", 10, CPC + 7, "first"),
    ("refund", GIVEN_BACK),
    ("wait", 14.0),
    ("buy", LATER, 2 * CPC + 1, {20: 1}, {23: 1}),
    ("wait_for_deposit", 11),
    ("withdraw", 11, CPC, "second"),
    ("wait", 14.0),
]
ON_CREDIT: list[Step] = [
    ("deposit", 12, 10 * CPC),
    ("wait_for_deposit", 12),
    ("limit", 11, 4 * CPC),
    ("on_credit", SPENT, 11, 3 * CPC, {20: 1}, {21: 1}),
    ("reserve", RETURNED, 11, CPC),
    ("wait_for_balance", 11, -4 * CPC),
    ("refund", RETURNED),
    ("deposit", 11, CPC),
    ("wait_for_balance", 11, -2 * CPC),
    ("limit", 11, 2 * CPC),
    ("wait_for_pay",),
    ("pay_now", 20),
    ("give_fees", CPC, "a"),
    ("write_off", 11),
    ("limit", 11, 0),
    ("withdraw", 12, 7 * CPC - FEE, "all"),
]
"""Bought, given back, paid back in part, and the rest never: the operator loses 2 CPC."""
LENT: list[Step] = [
    ("deposit", 12, 10 * CPC),
    ("wait_for_deposit", 12),
    ("limit", 11, 4 * CPC),
    ("on_credit", SPENT, 11, 3 * CPC, {20: 1}, {21: 1}),
    ("reserve", RETURNED, 11, CPC),
    ("lease", RETURNED),
    ("wait", 14.0),
    ("refund", RETURNED),
    ("wait_for_pay",),
    ("repay", 11, CPC),
    ("wait", 30.0),
    ("write_off", 11),
    ("limit", 11, 0),
    ("withdraw", 12, 8 * CPC, "all"),
    ("wait", 20.0),
]
"""The same on a chain that holds the money."""
TOGETHER: list[Step] = [
    ("deposit", 10, 20 * CPC),
    ("wait_for_deposit", 10),
    *(("reserve", task, 10, CPC + number) for number, task in enumerate(SEVERAL)),
    *(("lease", task) for task in SEVERAL),
    ("wait", 14.0),
    ("refund", SEVERAL[0]),
    *(("settle", task, {20: 2, 21: 1}, {22: 1, 23: 1}) for task in SEVERAL[1:]),
    ("wait_for_pay",),
]
"""Several tasks at once on a chain that holds the money: opened, and paid, by one transaction."""
DISPUTED: list[Step] = [
    ("deposit", 10, 20 * CPC),
    ("wait_for_deposit", 10),
    ("stake", "bond", 11, CPC, "a"),
    ("wait_for_bond", 11, CPC),
    ("stake", "unbond", 11, CPC // 3, "a"),
    *(
        ("dispute", task_id_of(outcome), CPC, {20: 1}, {21: 1, 22: 2}, CPC // 10 + 1, outcome)
        for outcome in ("upheld", "overturned", "inconclusive")
    ),
    ("wait_for_pay",),
]
"""Every outcome, a bond that is slashed, and a part of it that leaves."""
TASKS = (
    *("reserve", "settle", "refund", "return", "mature"),
    *("deposit", "repay", "withdraw", "credit", "write-off"),
)
"""Kinds of entries that do not depend on when payouts are made."""


class Ended:
    """What a life came to: everything but times, and how payouts were put together."""

    def __init__(self, world: Any, market: Any, key: Callable[[int], AccountKey]) -> None:
        ledger = market.ledger
        transfers = world.chain.account(world.key.address).nonce
        self.entries = sorted(
            (entry.cause, entry.postings) for entry in ledger.entries() if entry.kind in TASKS
        )
        self.ledger = {
            name: units for name, units in ledger.holdings() if name not in ("fees", "l1")
        }
        self.fees = 0 if world.holds else ledger.balance("fees") + transfers * FEE
        people = [key(number).address for number in range(10, 25)]
        labels = world.parameters.burn_address, world.parameters.treasury_address
        self.chain = {address: world.balance(address) for address in (*people, *labels)}


def live(
    make_world: Any,
    key: Callable[[int], AccountKey],
    deaths: tuple[int, ...] = (),
    faults: Faults | None = None,
    *,
    life: list[Step] = LIFE,
    back_end: str = "transfer",
    torn: bool = False,
) -> tuple[Ended, Counter[str], int]:
    """One life with these deaths; returns how it ended, the points passed, and deaths died.

    Its clock is its own: blocks come at the same points of every life, up to its first death.
    """
    fuse, passed = Fuse(deaths), Counter[str]()
    world = make_world(faults=faults or Faults(), back_end=back_end)
    world.store = FusedStore(fuse, torn=torn)
    market = world.market

    @asynccontextmanager
    async def started() -> AsyncIterator[Any]:
        fuse.start()
        try:
            async with market() as running:
                yield running
        finally:
            passed.update(fuse.passed)

    world.market = started
    driver = Driver(world, key)

    async def main() -> Ended:
        async with world.running():
            world.client = FusedClient(world.client, fuse)
            await driver.run(life)
            fuse.at.clear()
            async with market() as last:
                await trio.sleep(5)
                await until_paid(last)
                check_balances(driver, last)
                return Ended(world, last, key)

    return run_virtual(main), passed, driver.crashes


def die_everywhere(
    make_world: Any,
    key: Callable[[int], AccountKey],
    faults: Faults,
    *,
    life: list[Step] = LIFE,
    every: int = 1,
    then: tuple[int, ...] = (),
    torn: bool = False,
    back_end: str = "transfer",
) -> Counter[str]:
    """A life for each point (or one in so many) of an undisturbed one, at which it dies; and again
    at these points of its next lives.

    Of tasks that wake at the same moment any may be first, which puts more or less into one write:
    a life may be over before it comes to the last points of another one.
    """
    undisturbed, points, crashes = live(
        make_world, key, faults=faults, life=life, back_end=back_end
    )
    assert not crashes
    for place in range(0, points.total(), every):
        deaths = (place, *then)
        ended, passed, crashes = live(
            make_world, key, deaths, faults, life=life, torn=torn, back_end=back_end
        )
        assert crashes or passed.total() <= place, f"no death at {place}"
        assert vars(ended) == vars(undisturbed), f"dead at {place}"
    return points


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.full)])
def test_it_dies_at_every_write_and_every_transaction(
    make_world: Any, key: Callable[[int], AccountKey], every: int
) -> None:
    """Points come in pairs, so that one in three is before and after by turns."""

    points = die_everywhere(make_world, key, Faults(), every=every)
    writes, transactions = points["before a write"], points["before a transaction"]
    assert writes == points["after a write"] > 15
    assert transactions == points["after a transaction"] > 10


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.full)])
def test_it_dies_wherever_somebody_buys_on_credit(
    make_world: Any, key: Callable[[int], AccountKey], every: int
) -> None:
    """Whoever owes is covered at every step, and the operator loses what was written off."""

    ended, _, _ = live(make_world, key, life=ON_CREDIT)
    operator, customer = (key(number).address for number in (12, 11))
    assert not {one for one in ended.ledger if one.startswith(("customer:", "credit:"))}
    assert ended.chain[operator] == FUNDS - 3 * CPC - 2 * FEE
    assert ended.chain[customer] == FUNDS - CPC - FEE
    die_everywhere(make_world, key, Faults(), life=ON_CREDIT, every=every)


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.full)])
def test_it_dies_wherever_the_operator_s_deposit_is_lent(
    make_world: Any, key: Callable[[int], AccountKey], every: int
) -> None:
    """Bought, given back by the chain, paid back in part, and the rest written off."""

    ended, _, _ = live(make_world, key, life=LENT, back_end="escrow")
    operator, customer = (key(number).address for number in (12, 11))
    assert ended.ledger == {}
    assert ended.chain[operator] > FUNDS - 2 * CPC - 10**10
    assert FUNDS - CPC - 10**10 < ended.chain[customer] < FUNDS - CPC
    die_everywhere(make_world, key, Faults(), life=LENT, every=every, back_end="escrow")


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.full)])
def test_it_dies_wherever_many_share_a_transaction(
    make_world: Any, key: Callable[[int], AccountKey], every: int
) -> None:
    """Also between due and closed: what was signed together is in memory only, and signed again."""
    points = die_everywhere(
        make_world, key, Faults(), life=TOGETHER, every=every, back_end="escrow"
    )
    assert points["before a transaction"] == 3, "opened together, one refunded, the rest settled"


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.parametrize("torn", [False, True])
def test_it_dies_wherever_the_chain_decides_disputes(
    make_world: Any, key: Callable[[int], AccountKey], every: int, *, torn: bool
) -> None:
    """Fees, pay and bonds end as they would have; on a disk that tears its writes they do not."""

    with pytest.raises(ExceptionGroup) if torn else nullcontext():
        points = die_everywhere(
            make_world, key, Faults(), life=DISPUTED, every=every, torn=torn, back_end="escrow"
        )
        assert points["before a transaction"] >= 1 + 3 + 3 + 1, "opened, disputed, ruled, claimed"


@pytest.mark.full
@pytest.mark.parametrize(
    "faults",
    [Faults(rolls_back=1), Faults(forgets=2), Faults(rolls_back=1, forgets=3, stuck_receipts=1)],
    ids=["rolls_back", "forgets", "all"],
)
@pytest.mark.parametrize(
    ("life", "back_end"), [(LIFE, "transfer"), (TOGETHER, "escrow")], ids=["paid", "held"]
)
def test_it_dies_on_a_chain_that_misbehaves(
    make_world: Any,
    key: Callable[[int], AccountKey],
    faults: Faults,
    life: list[Step],
    back_end: str,
) -> None:
    die_everywhere(make_world, key, faults, life=life, back_end=back_end)


@pytest.mark.full
@pytest.mark.parametrize("again", [0, 1, 3])
def test_it_dies_again_while_it_recovers(
    make_world: Any, key: Callable[[int], AccountKey], again: int
) -> None:
    die_everywhere(make_world, key, Faults(), then=(again, again))


def test_half_a_write_is_found(make_world: Any, key: Callable[[int], AccountKey]) -> None:
    """The check has power: on a disk that tears its writes it fails."""

    with pytest.raises(ExceptionGroup):
        die_everywhere(make_world, key, Faults(), torn=True)


def test_who_answers_before_it_is_stored_is_found(
    make_world: Any, key: Callable[[int], AccountKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check has power: a market that waits for no disk ends with other books."""

    async def at_once(_db: Any) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(Database, "flushed", at_once)
    with pytest.raises(ExceptionGroup) as found:
        die_everywhere(make_world, key, Faults())
    assert found.group_contains(AssertionError)
