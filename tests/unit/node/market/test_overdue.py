"""What a market says is overdue, made overdue one by one: as if its clock had been held."""

from typing import Any, cast

import msgspec
import pytest

from node.amounts import UNITS_PER_CPC
from node.chainwatch import ChainWatch
from node.info import money_waits
from node.l1.client import L1Client
from node.l1.follower import Follower
from node.l1.keys import AccountKey
from node.l1.outbound import OutboundBook
from node.l1.sender import Sender
from node.market.overdue import MAX_SHOWN, MarketOverdue
from node.market.views import Overdue
from node.settlement import accounts
from node.settlement.arriving import Arrivals
from node.settlement.entries import move
from node.settlement.interface import unheard
from node.settlement.unclaimed import UnclaimedDesk
from node.split import Payees
from storage.store import Batch

CPC = UNITS_PER_CPC
FEE = 21_000_000
NO_CHAIN = cast("L1Client", object())
WINDOW_MS, LEASE_MS, HOUR_MS, WEEK_MS = 5_000, 20_000, 3_600_000, 604_800_000
JURY_MS = 2 * LEASE_MS
"""A jury has as long as a lease of the work."""


class Chain(ChainWatch):
    """Silent for as long as a test says."""

    silence = 0.0

    def __init__(self) -> None:
        super().__init__(NO_CHAIN)

    @property
    def silent_s(self) -> float:
        return self.silence


class Looked:
    """A shop and what is overdue there."""

    asked = 0
    """How often why tasks are queued."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.chain = Chain()
        self.sender: Sender = shop.settlement._sender
        follower = Follower(NO_CHAIN, shop.db, shop.settlement.deposits.handle)
        self.overdue = MarketOverdue(
            board=shop.board,
            settlement=shop.settlement,
            sender=self.sender,
            l1=self.chain,
            appeals=shop.desk.book,
            arrivals=Arrivals(NO_CHAIN, follower, shop.market.address),
            why_queued=self.why_queued,
            now_ms=shop.clock,
        )

    def why_queued(self, kind: str) -> str:
        self.asked += 1
        return f"no validator takes {kind}"

    def found(self) -> tuple[Overdue, ...]:
        return self.overdue.found()

    def after(self, milliseconds: int) -> tuple[Overdue, ...]:
        """What is overdue when time has passed and the market has done nothing."""
        self.shop.now_ms += milliseconds
        return self.overdue.found()

    def ready(self) -> None:
        """Let payments be signed."""
        batch = Batch()
        OutboundBook(self.shop.db, AccountKey(bytes([101]) * 32).address).set_next_nonce(batch, 0)
        self.shop.db.stage(batch)
        self.sender.ready.set()

    def book(self, kind: str, source: str, target: str, amount: int) -> None:
        batch = Batch()
        self.shop.ledger.post(
            batch,
            cause=f"{kind}:{self.shop.ledger.next_sequence(batch)}",
            kind=kind,
            postings=move(source, target, amount),
            at_ms=self.shop.now_ms,
        )
        self.shop.db.stage(batch)

    def earn(self, reward: int = CPC) -> None:
        """A task's pay that has matured, of which no payout was made yet; no board has the task."""
        shop, batch = self.shop, Batch()
        shop.settlement.rewards.on_paid = unheard
        task = f"t{shop.ledger.next_sequence(batch)}"
        worker, validator = shop.worker.address, shop.validators[0].address
        shop.settlement.rewards.reserve(batch, task, shop.customer, reward, shop.now_ms)
        payees = Payees({worker: 1}, {}, validator)
        due_ms = shop.settlement.rewards.settle(batch, task, payees, shop.now_ms)
        shop.now_ms = due_ms
        shop.settlement.rewards.mature(batch, task, due_ms)
        shop.db.stage(batch)


@pytest.fixture
def looked(shop: Any) -> Looked:
    return Looked(shop)


def about(found: tuple[Overdue, ...]) -> list[tuple[str, str, float, str]]:
    assert all(one.remedy for one in found)
    return [(one.what, one.about, one.overdue_s, one.reason) for one in found]


async def test_a_task_that_nobody_leases(shop: Any, looked: Looked) -> None:
    task = await shop.buy()
    assert looked.after(60_000) == ()
    reason = "no validator takes synthetic"
    assert about(looked.after(1_000)) == [("queued task", task.task_id, 1.0, reason)]


async def test_a_queued_task_past_its_deadline(shop: Any, looked: Looked) -> None:
    task = await shop.buy()
    (one,) = looked.after(HOUR_MS + 6_000)
    assert (one.what, one.about, one.overdue_s) == ("queued task", task.task_id, 1.0)
    assert one.reason == "the market did not end it"
    await shop.pass_time(0)
    assert looked.found() == ()


async def test_a_lease_that_ran_out(shop: Any, looked: Looked) -> None:
    draw = await shop.leased()
    left_ms = shop.record(draw.task_id).lease_until_ms - shop.now_ms
    assert looked.after(left_ms + 5_000) == ()
    (one,) = looked.after(1_000)
    assert (one.what, one.about, one.overdue_s) == ("leased task", draw.task_id, 1.0)
    await shop.pass_time(0)
    assert looked.found() == ()


async def test_a_result_that_is_not_on_the_chain(shop: Any, looked: Looked) -> None:
    draw = await shop.leased()
    shop.complete(shop.report(draw))
    await shop.pass_time(WINDOW_MS)
    assert [one.what for one in looked.after(54_000)] == ["payout"] * 5
    (one, *_) = looked.after(2_000)
    assert (one.what, one.about, one.overdue_s) == ("verified task", draw.task_id, 1.0)
    assert shop.holder(draw) in one.reason
    looked.sender.blocked = "the chain lacks nonce 3"
    assert looked.found()[0].reason == "the chain lacks nonce 3"
    looked.chain.silence = 11.0
    assert looked.found()[0].reason == "the L1 has not answered for 11 s"
    shop.anchor(draw.task_id)
    assert "verified task" not in {one.what for one in looked.found()}


async def test_pay_that_is_not_paid(shop: Any, looked: Looked) -> None:
    draw = await shop.leased()
    shop.complete(shop.report(draw))
    assert looked.after(WINDOW_MS + 5_000) == ()
    assert [one[:3] for one in about(looked.after(1_000))] == [("maturing pay", draw.task_id, 1.0)]
    await shop.pass_time(0)
    assert looked.found() == ()


async def test_pay_that_is_disputed_is_late_when_the_jury_is(shop: Any, looked: Looked) -> None:
    draw = await shop.leased()
    shop.complete(shop.report(draw))
    shop.see(*shop.everybody)
    shop.desk.open(draw.task_id, shop.customer, "why")
    assert looked.after(JURY_MS + 5_000) == ()
    (one,) = looked.after(1_000)
    assert (one.what, one.about, one.overdue_s) == ("disputed task", draw.task_id, 1.0)
    shop.desk.pass_time()
    assert [(one.what, one.overdue_s) for one in looked.found()] == [("maturing pay", 36.0)]
    await shop.pass_time(0)
    assert looked.found() == ()


async def test_a_result_is_late_from_its_completion_however_long_its_pay_waits(
    shop: Any, looked: Looked
) -> None:
    """The pay of workers without a bond can wait for days, a validator that is away must not."""
    rules = shop.settlement.parameters
    bonds = shop.settlement.rewards._bonds
    bonds._parameters = msgspec.structs.replace(rules, worker_bond=CPC, unbonded_wait_s=3_000.0)
    draw = await shop.leased()
    shop.complete(shop.report(draw))
    assert shop.record(draw.task_id).pay_due_ms == shop.now_ms + WINDOW_MS + 3_000_000
    assert looked.after(60_000) == ()
    assert [one.what for one in looked.after(1_000)] == ["verified task"]


async def test_a_bond_that_does_not_come_back(shop: Any, looked: Looked) -> None:
    batch, bonds, address = Batch(), shop.settlement.bonds, shop.customer
    bonds.bond(batch, address, CPC, key="a", at_ms=shop.now_ms)
    bonds.unbond(batch, address, CPC, key="b", at_ms=shop.now_ms)
    shop.db.stage(batch)
    wait_ms = round(shop.settlement.parameters.unbonding_s * 1000)
    assert looked.after(wait_ms + 5_000) == ()
    (one,) = looked.after(1_000)
    assert (one.what, one.about, one.overdue_s) == ("unbonding", address, 1.0)
    await shop.pass_time(0)
    assert looked.found() == ()


async def test_a_payout_that_is_not_made_and_why(shop: Any, looked: Looked) -> None:
    looked.earn()
    assert looked.after(1_000 + 5_000) == ()
    late = looked.after(1_000)
    assert {one.what for one in late} == {"payout"}
    assert {one.about for one in late} == {
        "burn",
        "treasury",
        f"worker:{shop.worker.address}",
        f"validator:{shop.validators[0].address}",
    }
    assert {(one.overdue_s, one.reason) for one in late} == {(1.0, "the market did not pay it")}
    looked.chain.silence = 12.0
    assert {one.reason for one in looked.found()} == {"the L1 has not answered for 12 s"}
    looked.chain.silence = 0.0
    looked.ready()
    looked.book("x", accounts.FEES, accounts.L1, shop.ledger.balance(accounts.FEES))
    assert shop.settlement.payouts.stage_due(shop.now_ms) == 0
    assert {one.reason for one in looked.found()} == {"`fees` holds less than a TRANSFER costs"}
    looked.book("x", accounts.L1, accounts.FEES, 10 * FEE)
    assert shop.settlement.payouts.stage_due(shop.now_ms) == 4
    assert looked.found() == ()


async def test_what_waits_below_a_threshold_is_not_late_before_the_greatest_age(
    shop: Any, looked: Looked
) -> None:
    batch = Batch()
    shop.settlement.payouts.terms.set(batch, shop.worker.address, 100 * CPC, 1)
    shop.db.stage(batch)
    looked.earn()
    worker = f"worker:{shop.worker.address}"
    assert money_waits(shop.settlement, shop.now_ms) == []
    said = "1 payee (0.25 CPC) waits below the threshold: paid with more, or when it is old enough"
    assert money_waits(shop.settlement, shop.now_ms + 1_000) == [said]
    assert worker not in {one.about for one in looked.after(WEEK_MS + 5_000)}
    assert worker in {one.about for one in looked.after(1)}


async def test_too_little_for_the_fee(shop: Any, looked: Looked) -> None:
    looked.earn(reward=4 * (FEE - 1))
    late = {one.about: one for one in looked.after(WEEK_MS + 6_000)}
    one = late[f"worker:{shop.worker.address}"]
    assert (one.overdue_s, one.remedy) == (1.0, "nothing: it is paid with what is earned next")
    assert one.reason == "0.000000000020999999 CPC are less than the L1's fee, 0.000000000021 CPC"


async def test_a_payment_that_no_block_holds(shop: Any, looked: Looked) -> None:
    looked.earn()
    looked.ready()
    shop.now_ms += 1_000
    assert shop.settlement.payouts.stage_due(shop.now_ms) == 4
    assert looked.after(120_000) == ()
    late = looked.after(1_000)
    assert {one.what for one in late} == {"payment"}
    assert "payout:burn:" in late[0].about
    assert {(one.overdue_s, one.reason) for one in late} == {(1.0, "no confirmed block holds it")}
    looked.sender.blocked = "insufficient balance"
    assert {one.reason for one in looked.found()} == {"insufficient balance"}


async def test_money_that_is_nobody_s(shop: Any, looked: Looked) -> None:
    looked.book("deposit", accounts.L1, accounts.UNCLAIMED, 3 * CPC)
    (one,) = looked.after(9_000)
    assert (one.what, one.overdue_s) == ("unclaimed money", 9.0)
    assert one.about.startswith("3.0 CPC of deposit:")
    number = shop.ledger.next_sequence(Batch()) - 1
    assert f"unclaimed {number} ADDRESS" in one.remedy
    await UnclaimedDesk(shop.db, shop.ledger, shop.clock).give(number, shop.customer)
    assert looked.found() == ()


async def test_very_many_are_counted(shop: Any, looked: Looked) -> None:
    tasks = [await shop.buy(seed=number, reward=CPC // 100) for number in range(MAX_SHOWN + 3)]
    late = looked.after(61_000)
    assert len(late) == MAX_SHOWN + 1
    assert [one.about for one in late[:MAX_SHOWN]] == [one.task_id for one in tasks[:MAX_SHOWN]]
    assert (late[-1].about, late[-1].overdue_s) == ("3 more", 1.0)
    assert msgspec.json.encode(late)
    assert looked.asked == 1, "it goes through all that waits: not once for each"
