"""Jurors that refuse, are silent or never come to an end give their seats to the next in rank."""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest
import trio
from trio.testing import MockClock

from node.amounts import UNITS_PER_CPC
from node.market.appealbook import AppealRecord
from node.roles.summons import SILENT_S
from node.verification.draws import Refusal, sign_refusal
from node.verification.juries import draw_jury
from node.verification.receipt_check import Standing, verify_receipt
from node.wire.appeals import RequestRuling, RulingAnswer
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms
from storage.tables import Table

CHAIN = "cpc-devnet-1"
LONGEST_S = 3600
Conduct = Callable[..., Awaitable[RulingAnswer]]


@pytest.fixture
async def court(tmp_path, autojump_clock, open_world):
    """A world with three juries' worth of validators, one of which judges."""
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path, validators=9, pins_market=True) as world:
            yield world


async def stalls(*_):
    await trio.sleep_forever()


async def computes_for_ever(*_) -> RulingAnswer:
    return RulingAnswer()


async def refuses(member, _sender, message, _handler) -> RulingAnswer:
    jury = message.jury
    refusal = Refusal(jury.task_id, jury.epoch, "rule", "cannot", virtual_clock_ms(), b"")
    return RulingAnswer(refusal=sign_refusal(refusal, CHAIN, member.keys.identity))


async def refuses_for_another(member, sender, message, handler) -> RulingAnswer:
    found = await refuses(member, sender, message, handler)
    forged = msgspec.structs.replace(found.refusal, signature=bytes(64))
    return RulingAnswer(refusal=forged)


def set_conduct(world, conduct: Conduct, count: int) -> list[str]:
    """The first `count` validators that are asked to rule do this; their names, as they come."""
    lame: list[str] = []

    async def answer(member, sender, message, handler):
        if member.name not in lame and len(lame) < count:
            lame.append(member.name)
        if member.name in lame:
            return await conduct(member, sender, message, handler)
        return await handler(sender, message)

    for member in world.team("validator"):
        member.answers[RequestRuling] = partial(answer, member)
    return lame


async def disputed(world) -> str:
    task = await world.buy()
    await world.until(task.task_id, "verified")
    await world.market.appeal(task.task_id, world.customer.address, "it looks wrong")
    return task.task_id


def record(world, task_id: str) -> AppealRecord:
    return Table(world.members["market"].db, "appeals", AppealRecord).get(task_id.encode())


def ranking(world, task_id: str) -> list[bytes]:
    """Everybody who could be in the jury, as anybody computes it."""
    jury = record(world, task_id).jury
    desk = world.members["market"].assembly.market._desk
    ranked = draw_jury(
        desk._snapshots.find(jury.snapshot),
        task_id=task_id,
        epoch=jury.epoch,
        kind=jury.kind,
        size=9,
        beacon=jury.beacon,
        excluded=jury.excluded,
    )
    return [one.key for one in ranked]


def names_of(world, keys) -> set[str]:
    return {one.name for one in world.team("validator") if one.keys.identity.public_key in keys}


def paid(world, task_id: str) -> set[str]:
    """The validators that the ruling pays."""
    entry = world.ledger.find(f"ruling:{task_id}")
    return {one.name for one in world.team("validator") if entry.amount(f"validator:{one.address}")}


async def check_books(world, task_id: str) -> None:
    """The customer paid for the task and, once, for the jury; nothing is held for it any more."""
    await world.until(task_id, "settled")
    audit = world.ledger.audit()
    assert audit.ok, audit.findings
    held = ("appeal:", "maturing:", "reserved:")
    assert not [name for name, _ in world.ledger.holdings() if name.startswith(held)]
    account = world.market.account(world.customer.address)
    fee = record(world, task_id).jury.fee
    assert 1000 * UNITS_PER_CPC - account.available == 10 * UNITS_PER_CPC + fee


async def check_receipt(world, task_id: str, outcome: str) -> None:
    await world.holds(lambda: world.market._board.outcome(task_id).is_anchored)
    receipt, standing = verify_receipt(world.market.receipt(task_id), world.network)
    assert standing is (Standing.OVERTURNED if outcome == "overturned" else Standing.ANCHORED)
    assert (receipt.appeal.outcome, receipt.appeal.jury) == (outcome, record(world, task_id).jury)


async def test_one_that_is_silent_holds_nobody_up(court, autojump_clock) -> None:
    """The other two have agreed long before it would lose its seat."""
    lame = set_conduct(court, stalls, 1)
    task_id = await disputed(court)
    view = await court.until(task_id, "verified", "anchored", "settled")
    assert (view.appeal.outcome, view.appeal.passed) == ("upheld", ())
    assert len(paid(court, task_id)) == 2
    assert not paid(court, task_id) & set(lame)


CONDUCTS = {
    "unreachable": stalls,
    "refused": refuses,
    "no_ruling": computes_for_ever,
    "forged": refuses_for_another,
}


@pytest.mark.parametrize(
    ("conduct", "count"),
    [("unreachable", 2), ("unreachable", 3), ("refused", 3), ("no_ruling", 2), ("forged", 3)],
)
async def test_the_next_in_rank_takes_the_seat(
    court, autojump_clock, conduct: str, count: int
) -> None:
    """Anybody sees who was passed over and why, and that the seats follow from it."""
    lame = set_conduct(court, CONDUCTS[conduct], count)
    task_id = await disputed(court)
    began, ranked = trio.current_time(), ranking(court, task_id)
    view = await court.until(task_id, "verified", "anchored", "settled")
    took_s, lease_s = trio.current_time() - began, court.network.protocol.lease_s
    waited_s = {"refused": 0, "no_ruling": lease_s}.get(conduct, SILENT_S)
    assert view.appeal.outcome == "upheld"
    # a jury that agreed waits for its slower members as long again as it took
    assert waited_s <= took_s <= 2 * (waited_s + 1)
    jury = record(court, task_id).jury
    reason = "unreachable" if conduct == "forged" else conduct
    assert [one.reason for one in view.appeal.passed] == [reason] * count
    assert names_of(court, {one.key for one in jury.passed}) == set(lame)
    assert {seat.key for seat in jury.seats} == set(ranked[: 3 + count]) - {
        one.key for one in jury.passed
    }
    assert paid(court, task_id) == names_of(court, {seat.key for seat in jury.seats})
    await check_receipt(court, task_id, "upheld")
    await check_books(court, task_id)


async def test_one_that_crashed_is_replaced(court, autojump_clock) -> None:
    """Not connected any more: two of them before they are asked."""
    asked = trio.Event()

    async def hold(sender, message, handler):
        asked.set()
        await trio.sleep_forever()

    for member in court.team("validator"):
        member.answers[RequestRuling] = hold
    task_id = await disputed(court)
    await asked.wait()
    jurors = names_of(court, {seat.key for seat in record(court, task_id).jury.seats})
    for member in court.team("validator"):
        member.answers.clear()
    for name in sorted(jurors)[:2]:
        await court.crash(court.members[name])
    view = await court.until(task_id, "verified", "anchored", "settled")
    assert view.appeal.outcome == "upheld"
    assert {court.named(one.peer_id).name for one in view.appeal.passed} <= jurors
    assert len(view.appeal.passed) >= 2
    await check_receipt(court, task_id, "upheld")
    await check_books(court, task_id)


async def test_one_that_comes_back_is_asked_no_more(court, autojump_clock) -> None:
    """What it computed meanwhile is nobody's concern."""
    asked: list[str] = []

    async def once(member, sender, message, handler):
        asked.append(member.name)
        if asked.count(member.name) == 1:
            await trio.sleep(SILENT_S + 1)
        return await handler(sender, message)

    lame = set_conduct(court, once, 3)
    task_id = await disputed(court)
    view = await court.until(task_id, "verified", "anchored", "settled")
    assert (view.appeal.outcome, len(view.appeal.passed)) == ("upheld", 3)
    await court.until(task_id, "settled")
    assert sorted(asked) == sorted(lame)
    said = {one.validator_key for one in record(court, task_id).rulings}
    assert not (names_of(court, said) | paid(court, task_id)) & set(lame)
    await check_books(court, task_id)


async def test_a_false_result_is_overturned_by_those_who_come_after(
    court, collude, autojump_clock
) -> None:
    """Everybody who hears of it checks the jury with those passed over, and bars the worker."""
    collude(court)
    lame = set_conduct(court, stalls, 3)
    task_id = await disputed(court)
    view = await court.until(task_id, "overturned", "settled")
    assert (view.phase, len(view.appeal.passed)) == ("overturned", 3)
    assert names_of(court, {one.key for one in record(court, task_id).jury.passed}) == set(lame)
    await check_receipt(court, task_id, "overturned")
    await court.holds(lambda: all(map(has_barred, court.team("validator"))))
    assert court.ledger.audit().ok


def has_barred(validator) -> bool:
    return bool(validator.assembly.info.status().counts["workers_barred"])


async def test_with_nobody_left_a_late_juror_keeps_its_seat(
    open_world, tmp_path, autojump_clock
) -> None:
    """The control: seven validators, so that one can be replaced and the other can not."""
    async with open_world(tmp_path, validators=7) as world:

        async def dawdles(member, sender, message, handler):
            if trio.current_time() < back_s:
                await trio.sleep_forever()
            return await handler(sender, message)

        back_s = float("inf")
        lame = set_conduct(world, dawdles, 3)
        task_id = await disputed(world)
        back_s = trio.current_time() + SILENT_S + 5
        view = await world.until(task_id, "verified", "anchored", "settled")
        assert (view.appeal.outcome, len(view.appeal.passed)) == ("upheld", 1)
        assert len(paid(world, task_id) & set(lame)) >= 1
        await check_books(world, task_id)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_the_market_restarts_over_a_replacement(court, autojump_clock, moment: str) -> None:
    """Whom it passed over stays so; whom it had only begun to wait for has its time anew."""
    lame = set_conduct(court, stalls, 3)
    task_id = await disputed(court)
    market = court.members["market"]
    if moment == "before":
        await trio.sleep(SILENT_S - 1)
        passed = ()
    else:
        await court.holds(lambda: len(record(court, task_id).jury.passed) == 3)
        await market.db.flushed()
        passed = record(court, task_id).jury.passed
    await court.restart(market)
    assert record(court, task_id).jury.passed == passed
    view = await court.until(task_id, "verified", "anchored", "settled")
    assert view.appeal.outcome == "upheld"
    assert {court.named(one.peer_id).name for one in view.appeal.passed} == set(lame)
    await check_receipt(court, task_id, "upheld")
    await check_books(court, task_id)


async def test_no_juror_hears_what_another_computed(court, autojump_clock) -> None:
    """It could say the same without having computed anything."""
    lame = set_conduct(court, stalls, 2)
    task_id = await disputed(court)
    await court.holds(lambda: record(court, task_id).rulings)
    appeal = record(court, task_id)
    [judge] = names_of(court, {one.validator_key for one in appeal.rulings})
    curious = court.members[lame[0]].network
    with pytest.raises(RequestRefused, match="only the jury's market"):
        await curious.request(court.members[judge].peer_id, RequestRuling(appeal.jury), timeout_s=5)


@pytest.mark.parametrize("reaches_somebody", [False, True])
async def test_a_market_that_is_cut_off_blames_no_juror(
    court, autojump_clock, reaches_somebody: bool
) -> None:
    """It is the one that is not there; the control has one worker left to talk to."""
    asked = trio.Event()

    async def hold(_member, sender, message, handler):
        asked.set()
        await trio.sleep(5)
        return RulingAnswer()

    set_conduct(court, hold, 9)
    task_id = await disputed(court)
    await asked.wait()
    market = court.members["market"]
    others = [one for one in court.members.values() if one is not market]
    for one in others[: len(others) - reaches_somebody]:
        court.hub.partition(market.peer_id, one.peer_id)
    await trio.sleep(SILENT_S + 3)
    assert bool(record(court, task_id).jury.passed) == reaches_somebody
    for member in court.team("validator"):
        member.answers.clear()
    for one in others:
        court.hub.heal(market.peer_id, one.peer_id)
    await court.holds(lambda: court.market.task(task_id).appeal.outcome)
    view = court.market.task(task_id)
    assert view.appeal.outcome == "upheld"
    assert bool(view.appeal.passed) == reaches_somebody
