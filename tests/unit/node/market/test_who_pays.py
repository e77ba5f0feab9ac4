"""Who pays what when: every row of the table in docs/economics.md happens here.

A row says what an event has made of a reward, part by part. Its test lets it happen at a market and
says who exactly got how much; then the whole ledger is held against the row. A row without a test
fails, and so does a test without a row.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, InsufficientFunds
from node.settlement import accounts
from storage.store import Batch
from tests.unit.node.settlement.support import who_pays

CPC = UNITS_PER_CPC
FEE_RESERVE = 10**9
WINDOW_MS, JURY_MS, HOUR_MS = 5_000, 40_000, 3_600_000
EPOCHS = 5
APPEAL_FEE = 3 * (CPC // 1000 + 8_192 * 10_000)
"""A jury of three computes the shop's work."""
STAKE, SLASHED = 2 * CPC, 3 * CPC
"""Of a worker and two validators each, and half of it from all of them."""
DEPOSITS = 200 * CPC
"""Of both customers of the shop."""
CHECKED = CPC // 10 - FEE_RESERVE
"""The validators' part of one CPC after fees: a quarter for the orchestrator."""
COLUMNS = ("customer", "held", "workers", "validators", "L1 fees", "treasury", "burned", "bonds")

Event = Callable[[Any], Awaitable[Counter[str]]]
EVENTS: dict[str, tuple[int, Event]] = {}
"""By the row's first cell: the reward, and what lets it happen and tells whom it paid how much."""


def event(row: str, reward: int = CPC) -> Callable[[Event], Event]:
    def noted(happens: Event) -> Event:
        assert row not in EVENTS
        EVENTS[row] = reward, happens
        return happens

    return noted


def rows() -> dict[str, dict[str, str]]:
    """The table: the cells of each event by their columns."""
    return who_pays.rows("who-pays", COLUMNS)


def units(cell: str, reward: int) -> int:
    """What a cell means for a reward, rounded down."""
    return who_pays.units(cell, reward, {"f": FEE_RESERVE, "a": APPEAL_FEE, "b": SLASHED})


def expected(row: dict[str, str], reward: int) -> dict[str, int]:
    """The columns as units; what `the rest` is follows from the others."""
    amounts = {name: units(cell, reward) for name, cell in row.items() if cell != "the rest"}
    (rest,) = [name for name in row if name not in amounts] or ["burned"]
    amounts[rest] = amounts.get(rest, 0) or -sum(amounts.values())
    return amounts


def booked(shop: Any) -> dict[str, int]:
    """The whole ledger by the table's columns; nothing is in any other account."""
    sums: Counter[str] = Counter()
    columns = {"worker": "workers", "validator": "validators", "fees": "L1 fees", "burn": "burned"}
    for account, amount in shop.ledger.holdings():
        kind = account.partition(":")[0]
        if kind in ("reserved", "maturing", "appeal"):
            sums["held"] += amount
        elif kind in ("customer", "credit", "l1"):
            sums["customer"] += amount
        else:
            sums[columns.get(kind, kind)] += amount
    sums["bonds"] = sums.pop("bond", 0) - staked(shop)
    sums["customer"] += staked(shop)  # what was paid in for it
    return {name: amount for name, amount in sums.items() if amount}


def staked(shop: Any) -> int:
    """What was ever bonded."""
    return sum(-one.postings[0].amount for one in shop.ledger.entries() if one.kind == "bond")


def test_every_row_has_its_test_and_every_test_its_row() -> None:
    assert list(rows()) == list(EVENTS)


@pytest.mark.parametrize("row", EVENTS)
async def test_a_row_of_the_table_is_true(shop, row: str) -> None:
    reward, happens = EVENTS[row]
    people = await happens(shop)
    await shop.db.flushed()
    wanted = expected(rows()[row], reward)
    assert booked(shop) == {name: amount for name, amount in wanted.items() if amount}
    assert +people == Counter(shop.earned())
    assert sum(wanted.values()) == 0
    burned = wanted["burned"] + wanted["bonds"] + (APPEAL_FEE if wanted["bonds"] else 0)
    assert burned in (0, *range(reward * 6 // 10, reward * 6 // 10 + 10))
    report = shop.ledger.audit()
    assert (report.findings, report.held) == ((), DEPOSITS + staked(shop))


def test_a_cell_that_says_something_else_would_be_noticed() -> None:
    row = {**rows()["completed, after `dispute_window_s`"], "treasury": "4 %"}
    assert sum(expected(row, CPC).values()) != 0


def paid(shop: Any, draw: Any, worker: int, checks: dict[str, int]) -> Counter[str]:
    """One CPC among one worker, the draw's orchestrator and the validators by their checks."""
    people = Counter({f"worker:{shop.worker.address}": worker})
    people[f"validator:{draw.seats[0].address}"] += CHECKED // 4
    total = sum(checks.values())
    for address, count in checks.items():
        people[f"validator:{address}"] += CHECKED * 3 // 4 * count // total
    return people


def seats(draw: Any, *places: int) -> dict[str, int]:
    return dict(Counter(draw.seats[place].address for place in places))


async def completed(shop: Any, **changes: Any) -> Any:
    draw = await shop.leased(**changes)
    shop.complete(shop.report(draw))
    return draw


async def on_credit(shop: Any) -> Any:
    """A customer without any money of its own; the other one is the operator."""
    operator, customer = shop.customer, shop.stranger.address
    batch, credit = Batch(), shop.settlement.credit
    credit.set_limit(batch, customer, 5 * CPC, backer=operator, at_ms=shop.now_ms)
    shop.db.stage(batch)
    return await shop.leased(account=customer)


def owed(shop: Any) -> int:
    return -shop.ledger.balance(accounts.customer(shop.stranger.address))


@event("bought")
async def _bought(shop: Any) -> Counter[str]:
    await shop.buy()
    assert shop.balances(shop.customer) == (99 * CPC, CPC)
    return Counter()


@event("bought on credit")
async def _bought_on_credit(shop: Any) -> Counter[str]:
    await on_credit(shop)
    view = shop.service.account(shop.stranger.address)
    assert (view.available, view.reserved, view.owed, view.credit_limit) == (0, CPC, CPC, 5 * CPC)
    page = shop.service.statement(shop.stranger.address, start=0, limit=9)
    assert (page.owed, page.credit_limit) == (CPC, 5 * CPC)
    return Counter()


@event("cancelled before the work began")
async def _cancelled_queued(shop: Any) -> Counter[str]:
    task = await shop.buy()
    await shop.service.cancel(task.task_id, shop.customer)
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    return Counter()


@event("cancelled while it was worked on")
async def _cancelled_leased(shop: Any) -> Counter[str]:
    draw = await shop.leased()
    await shop.service.cancel(draw.task_id, shop.customer)
    with pytest.raises(Conflict):
        shop.complete(shop.report(draw), shop.holder(draw))
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    return Counter()


@event("cancelled after completion: refused, `conflict`")
async def _cancelled_late(shop: Any) -> Counter[str]:
    draw = await completed(shop)
    with pytest.raises(Conflict):
        await shop.service.cancel(draw.task_id, shop.customer)
    return Counter()


@event("completed, within `dispute_window_s`")
async def _maturing(shop: Any) -> Counter[str]:
    draw = await completed(shop)
    await shop.pass_time(WINDOW_MS - 1)
    assert shop.record(draw.task_id).status == "completed"
    assert shop.ledger.balance(accounts.maturing(draw.task_id)) == CPC
    return Counter()


@event("completed, after `dispute_window_s`")
async def _matured(shop: Any) -> Counter[str]:
    draw = await completed(shop)
    await shop.pass_time(WINDOW_MS)
    assert shop.ledger.balance(accounts.BURN) == CPC * 6 // 10
    return paid(shop, draw, CPC // 4, seats(draw, 0, 1))


@event("the same, and the parts cannot be divided evenly", reward=CPC + 37)
async def _uneven(shop: Any) -> Counter[str]:
    draw = await shop.leased(reward=CPC + 37)
    shop.complete(shop.report(draw, ("valid", "valid", "valid")))
    await shop.pass_time(WINDOW_MS)
    part = (CPC + 37) // 10 - FEE_RESERVE
    people = Counter({f"worker:{shop.worker.address}": (CPC + 37) // 4})
    for seat in draw.seats:
        people[f"validator:{seat.address}"] += (part - part // 4) // 3
    people[f"validator:{draw.seats[0].address}"] += part // 4
    assert shop.ledger.balance(accounts.BURN) == (CPC + 37) * 6 // 10 + 2
    return people


@event("the same, bought on credit: the customer owes it")
async def _credit_spent(shop: Any) -> Counter[str]:
    draw = await on_credit(shop)
    shop.complete(shop.report(draw))
    await shop.pass_time(WINDOW_MS)
    assert owed(shop) == CPC
    assert shop.ledger.balance(accounts.credit(shop.stranger.address)) == 5 * CPC
    return paid(shop, draw, CPC // 4, seats(draw, 0, 1))


async def after_an_attempt(shop: Any, *findings: str) -> Counter[str]:
    """Two seats found this about a first attempt by another worker, which is unpaid."""
    draw = await shop.leased()
    bad = shop.judgement(draw, findings, attempt=1, worker=shop.second_worker)
    shop.complete(shop.report(draw, attempt=2, earlier=[bad]))
    await shop.pass_time(WINDOW_MS)
    return paid(shop, draw, CPC // 4, seats(draw, 0, 1, *range(len(findings))))


@event("completed after an attempt that was `invalid`")
async def _after_invalid(shop: Any) -> Counter[str]:
    return await after_an_attempt(shop, "invalid", "invalid", "valid")


@event("completed after an attempt that was `withheld`")
async def _after_withheld(shop: Any) -> Counter[str]:
    return await after_an_attempt(shop, "withheld", "withheld")


@event("completed after an attempt that was `inconclusive`")
async def _after_inconclusive(shop: Any) -> Counter[str]:
    return await after_an_attempt(shop, "inconclusive")


@event("completed after an attempt that failed or came too late")
async def _after_late(shop: Any) -> Counter[str]:
    draw = await shop.leased()
    shop.complete(shop.report(draw, attempt=2))
    await shop.pass_time(WINDOW_MS)
    return paid(shop, draw, CPC // 4, seats(draw, 0, 1))


@event("completed after a validator refused, or did not promise or reveal")
async def _passed_over(shop: Any) -> Counter[str]:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    again = draw
    for reason in ("refused", "no_commitment", "no_reveal"):
        again = shop.redraw(again, shop.passed(again, 1, reason))
    gone = {seat.address for seat in draw.seats} - {seat.address for seat in again.seats}
    shop.complete(shop.report(again))
    await shop.pass_time(WINDOW_MS)
    assert gone
    assert not [address for address in gone if shop.ledger.balance(f"validator:{address}")]
    return paid(shop, again, CPC // 4, seats(again, 0, 1))


@event("completed in another epoch, after the first orchestrator was lost")
async def _another_epoch(shop: Any) -> Counter[str]:
    draw = await shop.leased()
    bad = shop.judgement(draw, ("invalid",), worker=shop.second_worker)
    shop.fail(draw, bad)
    later = shop.lease(draw.task_id)
    assert later.seats[0] != draw.seats[0]
    shop.complete(shop.report(later))
    await shop.pass_time(WINDOW_MS)
    checks = Counter(seats(later, 0, 1)) + Counter(seats(draw, 0))
    return paid(shop, later, CPC // 4, dict(checks))


@event("many jobs, all valid")
async def _many_jobs(shop: Any) -> Counter[str]:
    draw = await completed(shop, chains=5)
    await shop.pass_time(WINDOW_MS)
    people = paid(shop, draw, CPC // 4 * 3 // 5, seats(draw, 0, 1))
    people[f"worker:{shop.second_worker.address}"] += CPC // 4 * 2 // 5
    return people


@event("many jobs, some valid when the last epoch fails")
async def _partial(shop: Any) -> Counter[str]:
    task = await shop.buy(chains=2)
    for _ in range(EPOCHS):
        draw = shop.lease(task.task_id)
        good = shop.judgement(draw, job=0)
        bad = shop.judgement(draw, ("invalid", "invalid"), job=1, worker=shop.second_worker)
        shop.fail(draw, good, bad)
    record = shop.record(task.task_id)
    assert (record.phase, record.error_code) == ("refunded", "no_valid_result")
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    return Counter()


@event("the deadline passed before the work began")
async def _deadline_queued(shop: Any) -> Counter[str]:
    task = await shop.buy()
    await shop.pass_time(HOUR_MS)
    assert shop.record(task.task_id).error_code == "deadline_exceeded"
    return Counter()


@event("the deadline passed while it was worked on")
async def _deadline_leased(shop: Any) -> Counter[str]:
    draw = await shop.leased(deadline_s=shop.now_ms // 1000 + 2)
    await shop.pass_time(2_000)
    assert shop.record(draw.task_id).error_code == "deadline_exceeded"
    return Counter()


@event("every epoch failed")
async def _all_failed(shop: Any) -> Counter[str]:
    task = await shop.buy()
    for _ in range(EPOCHS):
        draw = shop.lease(task.task_id)
        await shop.pass_time(shop.record(task.task_id).lease_until_ms - shop.now_ms)
        assert shop.record(task.task_id).epoch == draw.epoch
    assert shop.record(task.task_id).error_code == "no_valid_result"
    return Counter()


@event("a result after the refund: refused as superseded")
async def _refund_wins(shop: Any) -> Counter[str]:
    """Between judging a report and completing it the outputs are fetched: the refund slips in."""
    draw = await shop.leased()
    judged = shop.results.judge(shop.report(draw), shop.holder(draw))
    await shop.service.cancel(draw.task_id, shop.customer)
    with pytest.raises(Conflict):
        shop.results.complete(judged)
    await shop.pass_time(HOUR_MS)
    return Counter()


@event("a deadline or a cancellation after the result: the result stands")
async def _result_wins(shop: Any) -> Counter[str]:
    draw = await shop.leased(deadline_s=shop.now_ms // 1000 + 2)
    shop.complete(shop.report(draw))
    with pytest.raises(Conflict):
        await shop.service.cancel(draw.task_id, shop.customer)
    await shop.pass_time(WINDOW_MS - 1)
    assert shop.record(draw.task_id).status == "completed"
    return Counter()


@event("bought on credit and refunded: nothing is owed")
async def _credit_refunded(shop: Any) -> Counter[str]:
    draw = await on_credit(shop)
    await shop.service.cancel(draw.task_id, shop.stranger.address)
    assert owed(shop) == 0
    return Counter()


async def disputed(shop: Any) -> tuple[Any, list[Any]]:
    """A draw whose result the customer disputes, and the jurors."""
    draw = await completed(shop)
    shop.see(*shop.everybody)
    shop.desk.open(draw.task_id, shop.customer, "why")
    assert shop.balances(shop.customer) == (99 * CPC - APPEAL_FEE, APPEAL_FEE)
    return draw, shop.jurors(draw.task_id)


async def ruled(shop: Any, task_id: str, jurors: list[Any], *hashes: bytes) -> str:
    """Let jurors say what came out, and the market wait for the others."""
    for juror in jurors:
        shop.desk.take(task_id, shop.ruling(task_id, juror, *hashes))
    await shop.pass_time(JURY_MS)
    return str(shop.desk.book.find(task_id).outcome)


@event("disputed, until the jury has decided or its time is over")
async def _disputed(shop: Any) -> Counter[str]:
    draw, jurors = await disputed(shop)
    shop.desk.take(draw.task_id, shop.ruling(draw.task_id, jurors[0]))
    await shop.pass_time(JURY_MS - 1)
    assert shop.record(draw.task_id).phase == "disputed"
    return Counter()


@event("disputed and `upheld`")
async def _upheld(shop: Any) -> Counter[str]:
    draw, jurors = await disputed(shop)
    assert await ruled(shop, draw.task_id, jurors[:2]) == "upheld"
    people = paid(shop, draw, CPC // 4, seats(draw, 0, 1))
    for juror in jurors[:2]:
        people[f"validator:{juror.address}"] += (APPEAL_FEE - FEE_RESERVE) // 2
    return people


@event("the same, after jurors lost their seats to others")
async def _replaced(shop: Any) -> Counter[str]:
    draw, jurors = await disputed(shop)
    shop.desk.take(draw.task_id, shop.ruling(draw.task_id, jurors[0]))
    for juror in jurors[1:]:
        key = juror.identity.public_key
        assert shop.desk.pass_over(draw.task_id, key, "unreachable") is not None
    now = shop.jurors(draw.task_id)
    assert [one.address for one in now if one in jurors] == [jurors[0].address]
    assert await ruled(shop, draw.task_id, [*jurors[1:], now[1]]) == "upheld"
    people = paid(shop, draw, CPC // 4, seats(draw, 0, 1))
    for juror in now[:2]:
        people[f"validator:{juror.address}"] += (APPEAL_FEE - FEE_RESERVE) // 2
    return people


@event("disputed and `inconclusive`")
async def _inconclusive(shop: Any) -> Counter[str]:
    draw, jurors = await disputed(shop)
    assert await ruled(shop, draw.task_id, jurors[:1]) == "inconclusive"
    return paid(shop, draw, CPC // 4, seats(draw, 0, 1))


@event("disputed and `overturned`")
async def _overturned(shop: Any) -> Counter[str]:
    draw, jurors = await disputed(shop)
    culprits = (shop.worker.address, *seats(draw, 0, 1))
    for address in culprits:
        shop.deposit(address, STAKE)
    batch = Batch()
    for address in culprits:
        shop.settlement.bonds.bond(batch, address, STAKE, key="k", at_ms=shop.now_ms)
    shop.db.stage(batch)
    assert await ruled(shop, draw.task_id, jurors[1:], b"f" * 32) == "overturned"
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    part = (APPEAL_FEE - FEE_RESERVE) // 2
    return Counter({f"validator:{juror.address}": part for juror in jurors[1:]})


@event("disputed and `overturned`, where nobody has a bond")
async def _overturned_for_nothing(shop: Any) -> Counter[str]:
    draw, jurors = await disputed(shop)
    assert await ruled(shop, draw.task_id, jurors, b"f" * 32) == "overturned"
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    return Counter()


@event("disputed by a customer without the fee, also one that has credit left: refused")
async def _no_fee(shop: Any) -> Counter[str]:
    draw = await on_credit(shop)
    shop.complete(shop.report(draw))
    shop.see(*shop.everybody)
    with pytest.raises(InsufficientFunds):
        shop.desk.open(draw.task_id, shop.stranger.address, "why")
    assert shop.record(draw.task_id).phase == "verified"
    return Counter()
