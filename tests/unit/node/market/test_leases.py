"""Draws, seats filled anew, and the ends of leases."""

import msgspec
import pytest

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict
from node.market.seating import MAX_REDRAWS, NoCandidates
from node.market.snapshots import SnapshotRecord
from node.verification.claims import StatementInvalid
from node.verification.draws import JOB_STRIDE, check_draw, check_seats, passed_keys
from node.verification.snapshots import check_snapshot, draw_from
from storage.tables import Table

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"


def check(shop, draw) -> None:
    """What a validator checks before it acts."""
    snapshot = shop.snapshots.find(draw.snapshot)
    check_snapshot(snapshot, CHAIN)
    check_draw(draw, CHAIN, (shop.market.identity.peer_id,))
    check_seats(draw, snapshot, shop.network.protocol.quorum_size, CHAIN)


async def test_a_lease_is_a_signed_draw(shop) -> None:
    task = await shop.buy(reward=2 * CPC)
    draw = shop.lease(task.task_id)
    check(shop, draw)
    record = shop.record(task.task_id)
    assert (record.phase, record.epoch, record.draw) == ("leased", 1, draw)
    assert {seat.address for seat in draw.seats} == {one.address for one in shop.validators}
    assert (draw.needed, draw.reward, draw.parameters) == (2, 2 * CPC, record.parameters)
    assert (draw.redraw, draw.passed) == (0, ())
    assert record.orchestrator == shop.holder(draw)
    assert draw.expires_ms == record.lease_until_ms
    with pytest.raises(Conflict):
        shop.leases.lease(record)


async def test_too_few_validators_leave_the_task_queued(open_shop) -> None:
    async with open_shop() as shop:
        task = await shop.buy()
        record = shop.record(task.task_id)
        for few in ((), shop.validators[:1]):
            shop.see(*few)
            assert shop.leases.lease(record) is None
        assert shop.record(task.task_id) == record
        shop.see(*shop.validators[:2])
        draw = shop.leases.lease(record)
        assert len(draw.seats) == 2
        check(shop, draw)


async def test_only_who_checks_the_kind_is_drawn(shop) -> None:
    others = [
        msgspec.structs.replace(one, kinds=("rendering",))
        for one in shop.snapshots.newest.candidates
    ]
    shop.snapshots.take(others)
    assert shop.leases.lease(shop.record((await shop.buy()).task_id)) is None


async def test_who_is_full_checks_and_does_not_orchestrate(shop) -> None:
    peers = [one.identity.peer_id for one in shop.validators]
    for _ in range(6):
        task = await shop.buy()
        draw = shop.leases.lease(shop.record(task.task_id), peers[:2])
        assert shop.holder(draw) == peers[2]
        assert len(draw.seats) == 3
        check(shop, draw)
    task = await shop.buy()
    assert shop.leases.lease(shop.record(task.task_id), peers) is None


async def test_a_lease_lasts_as_long_as_the_work_may_take(shop) -> None:
    small = await shop.leased()
    assert small.expires_ms - shop.now_ms == pytest.approx(20_000, abs=10)
    payload = {"seed": "s", "matrix_size": 4096, "iterations": 8}
    large = await shop.leased(payload=payload)
    work_s, trace_mib = 240 * 8 * 4096**3 / 1e12, 128
    assert large.expires_ms - shop.now_ms == pytest.approx(
        (20 + work_s + trace_mib / 2) * 1000, abs=10
    )
    many = await shop.leased(payload={**payload, "chains": 3}, reward=10 * CPC)
    assert many.expires_ms - shop.now_ms == pytest.approx(
        (20 + 3 * work_s + 3 * trace_mib / 2) * 1000, abs=10
    )
    near = await shop.leased(payload=payload, deadline_s=shop.now_ms // 1000 + 9)
    assert near.expires_ms == (shop.now_ms // 1000 + 9) * 1000


async def test_epochs_until_the_last_then_the_money_back(shop) -> None:
    task = await shop.buy()
    orchestrators = []
    for epoch in range(1, 6):
        draw = shop.lease(task.task_id)
        assert draw.epoch == epoch
        orchestrators.append(shop.record(task.task_id).orchestrator)
        shop.leases.release(task.task_id, epoch - 1, "of the epoch before")
        assert shop.record(task.task_id).phase == "leased"
        shop.leases.release(task.task_id, epoch, "went wrong")
    record = shop.record(task.task_id)
    assert (record.phase, record.error_code) == ("refunded", "no_valid_result")
    assert record.error_text == "went wrong"
    assert set(orchestrators[:3]) == {one.identity.peer_id for one in shop.validators}
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_a_refused_lease_is_no_failure_and_is_logged(shop) -> None:
    task = await shop.buy()
    for epoch in range(1, 21):
        draw = shop.lease(task.task_id)
        assert draw.epoch == epoch
        passed = shop.passed(draw, 0, "unreachable", duty="orchestrate")
        shop.leases.release(task.task_id, epoch, "busy", begun=False, passed=passed)
    record = shop.record(task.task_id)
    assert (record.phase, record.failed_orchestrators) == ("queued", ())
    assert [one.epoch for one in record.passed] == list(range(1, 21))
    for _ in range(4):
        shop.leases.release(task.task_id, shop.lease(task.task_id).epoch, "failed")
    shop.leases.release(task.task_id, shop.lease(task.task_id).epoch, "busy", begun=False)
    assert len(shop.record(task.task_id).failed_orchestrators) == 4
    draw = shop.lease(task.task_id)
    assert draw.passed == record.passed
    check(shop, draw)
    assert shop.complete(shop.report(draw)).phase == "verified"


async def test_a_task_without_attempt_numbers_left_ends(shop) -> None:
    """However often its leases are given back: no two attempts ever have the same number."""
    task = await shop.buy()
    last = JOB_STRIDE // shop.network.protocol.max_attempts - 1
    for epoch, is_leased in ((last - 1, True), (last, False)):
        record = msgspec.structs.replace(shop.record(task.task_id), epoch=epoch, phase="queued")
        draw = shop.leases.lease(record)
        assert (draw is not None) == is_leased
    assert shop.record(task.task_id).error_code == "no_valid_result"
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_what_is_overdue_ends(shop) -> None:
    deadline_s = shop.now_ms // 1000 + 100
    queued = await shop.buy(deadline_s=deadline_s)
    leased = await shop.leased(deadline_s=deadline_s)
    done = await shop.leased(deadline_s=deadline_s)
    shop.complete(shop.report(done))
    shop.leases.expire()
    assert shop.record(leased.task_id).phase == "leased"
    shop.now_ms += 20_001
    shop.leases.expire()
    record = shop.record(leased.task_id)
    assert (record.phase, len(record.failed_orchestrators)) == ("queued", 1)
    shop.now_ms = deadline_s * 1000 - 1000
    assert shop.leases.is_in_time(record)
    shop.now_ms += 1
    assert not shop.leases.is_in_time(record)
    shop.now_ms = deadline_s * 1000
    shop.leases.expire()
    for task_id in (queued.task_id, leased.task_id):
        assert shop.record(task_id).error_code == "deadline_exceeded"
    assert shop.record(done.task_id).phase == "verified"
    assert shop.balances(shop.customer) == (99 * CPC, 0)


@pytest.mark.parametrize("reason", ["refused", "no_commitment", "no_reveal"])
async def test_a_seat_is_filled_anew(shop, reason: str) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    again = shop.redraw(draw, shop.passed(draw, 1, reason))
    check(shop, again)
    assert (again.epoch, again.redraw, again.expires_ms) == (1, 1, draw.expires_ms)
    assert again.seats[0] == draw.seats[0]
    before, after = ({seat.key for seat in one.seats} for one in (draw, again))
    assert before - after == {draw.seats[1].key}
    assert len(after) == 3
    record = shop.record(draw.task_id)
    assert (record.phase, record.draw, record.passed) == ("leased", again, again.passed)
    assert shop.complete(shop.report(again)).phase == "verified"


async def test_seats_filled_anew_survive_a_restart_and_are_told_again(shop) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    passed = shop.passed(draw, 2)
    again = shop.redraw(draw, passed)
    shop.reload()
    assert shop.redraw(draw, passed) == again
    assert shop.redraw(draw, shop.passed(draw, 1)) == again
    assert shop.record(draw.task_id).draw == again


async def test_redraws_end_when_nobody_is_left(shop) -> None:
    """Five validators, three seats: after two are passed over nobody is left."""
    shop.see(*shop.everybody[:5])
    draw = await shop.leased()
    for _ in range(2):
        draw = shop.redraw(draw, shop.passed(draw, 1))
    before = shop.record(draw.task_id)
    with pytest.raises(NoCandidates):
        shop.redraw(draw, shop.passed(draw, 1))
    assert shop.record(draw.task_id) == before
    assert shop.complete(shop.report(draw)).phase == "verified"


async def test_an_epoch_has_so_many_redraws(shop) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    for _ in range(MAX_REDRAWS):
        draw = shop.redraw(draw, shop.passed(draw, 2))
        check(shop, draw)
    with pytest.raises(NoCandidates, match="times"):
        shop.redraw(draw, shop.passed(draw, 2))
    shop.leases.release(draw.task_id, 1, "next")
    draw = shop.lease(draw.task_id)
    assert (draw.epoch, draw.redraw, len(draw.passed)) == (2, 0, MAX_REDRAWS)
    assert passed_keys(draw.passed, 2) == frozenset()
    check(shop, draw)
    check(shop, shop.redraw(draw, shop.passed(draw, 2)))


async def test_whoever_was_passed_over_can_be_drawn_in_the_next_epoch(shop) -> None:
    shop.see(*shop.everybody[:4])
    draw = await shop.leased()
    shop.redraw(draw, shop.passed(draw, 1))
    shop.leases.release(draw.task_id, 1, "next")
    snapshot = shop.snapshots.newest
    expected = draw_from(snapshot, task_id=draw.task_id, epoch=2, kind=draw.kind, size=3, passed=())
    later = shop.lease(draw.task_id)
    assert {seat.key for seat in later.seats} == {one.key for one in expected}


async def test_seats_are_filled_from_the_newest_snapshot(shop) -> None:
    """Those who left meanwhile are not drawn in vain."""
    shop.see(*shop.everybody)
    draw = await shop.leased()
    seated = shop.seated(draw)
    newcomer = next(one for one in shop.everybody if one not in seated)
    shop.see(*seated, newcomer)
    again = shop.redraw(draw, shop.passed(draw, 1))
    assert again.snapshot != draw.snapshot
    assert newcomer in shop.seated(again)
    check(shop, again)


async def test_an_orchestrator_that_the_newest_snapshot_lacks_keeps_its_seat(shop) -> None:
    """It asks, so it is there; the draw's own snapshot has it."""
    shop.see(*shop.everybody)
    draw = await shop.leased()
    shop.see(*(one for one in shop.everybody if one is not shop.seated(draw)[0]))
    again = shop.redraw(draw, shop.passed(draw, 1))
    assert (again.snapshot, again.seats[0]) == (draw.snapshot, draw.seats[0])
    check(shop, again)


def itself(shop, draw):
    return [shop.passed(draw, 0)]


def nobody(shop, draw):
    return []


def one_twice(shop, draw):
    return [shop.passed(draw, 1), shop.passed(draw, 1, "no_reveal")]


def a_stranger(shop, draw):
    return [shop.passed(draw, 1, key=shop.stranger.identity.public_key)]


def of_another_epoch(shop, draw):
    return [shop.passed(draw, 1, epoch=2)]


def of_another_duty(shop, draw):
    return [shop.passed(draw, 1, duty="orchestrate")]


def without_its_refusal(shop, draw):
    return [shop.passed(draw, 1, "refused", refusal=None)]


def with_anothers_refusal(shop, draw):
    return [shop.passed(draw, 1, "refused", refusal=shop.passed(draw, 2, "refused").refusal)]


def with_a_forged_refusal(shop, draw):
    refusal = shop.passed(draw, 1, "refused").refusal
    forged = msgspec.structs.replace(refusal, signature=bytes(64))
    return [shop.passed(draw, 1, "refused", refusal=forged)]


@pytest.mark.parametrize(
    "passed",
    [
        itself,
        nobody,
        one_twice,
        a_stranger,
        of_another_epoch,
        of_another_duty,
        without_its_refusal,
        with_anothers_refusal,
        with_a_forged_refusal,
    ],
)
async def test_who_may_not_be_passed_over(shop, passed) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    before = shop.record(draw.task_id)
    with pytest.raises(StatementInvalid):
        shop.redraw(draw, *passed(shop, draw))
    assert shop.record(draw.task_id) == before


async def test_only_the_holder_of_the_running_lease_may_ask(shop) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    passed = [shop.passed(draw, 1)]
    other, holder = shop.seated(draw)[1].identity.peer_id, shop.holder(draw)
    for epoch, who, redraw in ((1, other, 0), (2, holder, 0), (0, holder, 0), (1, holder, 1)):
        with pytest.raises(Conflict):
            shop.leases.redraw(draw.task_id, epoch, who, redraw, passed)
    shop.complete(shop.report(draw))
    with pytest.raises(Conflict):
        shop.redraw(draw, *passed)


async def test_a_draw_s_snapshot_is_kept(shop) -> None:
    """Those that no draw names go when the next one is taken."""
    draw = await shop.leased()
    named = shop.snapshots.find(draw.snapshot)
    for validators in (shop.everybody[:4], shop.everybody[:5], shop.validators):
        shop.see(*validators)
    shop.reload()
    assert shop.snapshots.find(draw.snapshot) == named
    assert [one.number - named.number for one in stored(shop)] == [0, 3]
    assert shop.snapshots.newest.number == named.number + 3
    check(shop, draw)


def stored(shop) -> list:
    records = [record for _, record in Table(shop.db, "snapshots", SnapshotRecord).items()]
    return sorted((one.snapshot for one in records), key=lambda one: one.number)
