"""What is late of disputes: each stage seen, why, and what ends it."""

from typing import Any

import msgspec
import pytest
import trio

from node import deadlines
from node.l1.transactions import transfer
from node.settlement.escrows import EscrowRecord
from node.settlement.late import Late
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import TASK, Key, until
from tests.unit.node.settlement.support.juries import MEMBERS, Court, sign_awards

LATER_MS = 10**7


@pytest.fixture
def small(world: Any) -> Any:
    """One in which no time is long, and nobody signs."""
    world.approving = False
    world.parameters = msgspec.structs.replace(
        world.parameters, escrow_block_s=5.0, escrow_grace_blocks=100
    )
    return world


def late(market: Any, after_ms: int = LATER_MS, trouble: str = "") -> list[Late]:
    found = market.settlement.late(market.now_ms() + after_ms, trouble)
    return [one for sort in found for one in sort]


async def test_before_the_chain_has_it(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        court.appeal()
        assert court.record.stage == "appeal"
        (one,) = late(market)
        assert (one.what, one.about) == ("appeal to send", TASK)
        assert one.until_ms == market.now_ms() + deadlines.GRACE_S * 1000
        assert one.reason == "the market did not send it"
        assert late(market, trouble="the L1 is away")[0].reason == "the L1 is away"
        left = small.balance(small.key.address) - 21 * 10**6
        small.submit(small.key, transfer(key(13).address, left))
        await until(lambda: court.record.stage == "appealing")
        (one,) = late(market)
        assert one.what == "sent appeal"
        assert one.until_ms == court.record.since_ms + deadlines.UNCONFIRMED_S * 1000
        assert f"at block {court.dispute.deadline} it is given up" in one.remedy
        assert late(market, 0) == []


@pytest.mark.parametrize("outcome", ["upheld", "overturned"])
async def test_while_the_chain_has_it(
    small: Any, key: Key, autojump_clock: trio.abc.Clock, outcome: str
) -> None:
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        await court.disputed()
        assert late(market) == [], "its deadline has not come"
        court.rule(outcome)
        market.settlement.rewards.why_unruled = lambda record: f"nobody of {record.task_id}"
        (one,) = late(market)
        assert one.what == "unsigned award"
        assert one.reason == f"0 of 2 signatures; nobody of {TASK}"
        height = court.dispute.deadline if outcome == "upheld" else court.record.late_height
        then = "the pay goes on" if outcome == "upheld" else "the customer has reward and fee back"
        assert f"from block {height} on {then}" in one.remedy
        assert late(market, 1_000) == []
        assert late(market, round(deadlines.UNSIGNED_S * 1000)) == []
        left = small.balance(small.key.address) - 21 * 10**6
        small.submit(small.key, transfer(key(13).address, left))
        await until(lambda: not market.sender._book.has_open)
        sign_awards(market, MEMBERS)
        assert court.record.stage == "awarded"
        (one,) = late(market)
        assert (one.what, one.reason) == ("award to send", "the market did not send it")
        await until(lambda: court.record.stage == "ruling")
        (one,) = late(market)
        assert (one.what, one.reason) == ("sent award", "no confirmed block holds its ESCROW_RULE")
        assert "the same bytes are sent again" in one.remedy


@pytest.mark.parametrize(
    ("award", "what", "reason"),
    [
        ("", "disputed escrow", "has come, and its jury came to nothing"),
        ("upheld", "unsigned award", "the market did not do what its time was up for"),
    ],
)
async def test_when_its_time_is_over(
    small: Any, key: Key, autojump_clock: trio.abc.Clock, award: str, what: str, reason: str
) -> None:
    """The market ought to have gone on, and did not."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        await court.disputed()
        if award:
            court.rule(award)
        small.forget()
        passed(market, court.record, blocks=1)
        assert late(market, 0) == []
        passed(market, court.record, blocks=2)
        (one,) = late(market, 0)
        assert one.what == what
        assert one.reason.endswith(reason)


def passed(market: Any, record: EscrowRecord, blocks: int) -> None:
    """As if so many blocks had been booked since the dispute's last."""
    deadline = market.settlement.deposits.height - blocks
    now = msgspec.structs.replace(record.dispute, deadline=deadline)
    market.settlement.book.put(Batch(), msgspec.structs.replace(record, dispute=now))
