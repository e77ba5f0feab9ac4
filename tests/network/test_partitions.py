"""Cut connections: whatever comes late from the other side is not paid twice."""

import pytest
import trio

from node.roles.lessor import LOST_AFTER_S
from node.wire.jobs import LeaseJob
from node.wire.leases import CancelLease, ReportResult
from node.wire.presence import Ack


def hold_back(world) -> None:
    for worker in world.team("worker"):
        worker.compute.gate = trio.Event()


def let_go(world) -> None:
    for worker in world.team("worker"):
        worker.compute.gate.set()


def cut(world, one, other) -> None:
    world.hub.partition(one.peer_id, other.peer_id)


def heal(world, one, other) -> None:
    world.hub.heal(one.peer_id, other.peer_id)


async def test_an_orchestrator_cut_off_while_it_works(world, check_money, autojump_clock) -> None:
    """Another epoch does the task; the first one hears of it when the cut is healed."""
    market = world.members["market"]
    hold_back(world)
    task = await world.buy()
    first = await world.orchestrator(task.task_id)
    await world.holds(lambda: any(one.heard[LeaseJob] for one in world.team("worker")))
    cut(world, market, first)
    await world.holds(lambda: world.record(task.task_id).orchestrator not in ("", first.peer_id))
    let_go(world)
    done = await world.until(task.task_id, "verified", "refunded")
    assert (done.phase, done.epoch) == ("verified", 2)
    assert world.judgements()[0].draw.seats[0].address != first.address
    assert first.assembly.info.status().counts["leases_held"] == 1
    heal(world, market, first)
    await world.holds(lambda: first.assembly.info.status().counts["leases_held"] == 0)
    await world.until(task.task_id, "settled")
    await world.holds(lambda: not world.leftovers())
    assert world.artifacts(market) == 1
    await check_money(world)


async def test_a_result_of_an_epoch_that_is_over_is_refused(
    world, check_money, autojump_clock
) -> None:
    """Its orchestrator was cut off and does not hear, or does not care, that it was called off."""
    market, reported = world.members["market"], []

    async def ignore(_sender, _message, _handler):
        return Ack()

    async def keep(_peer, report):
        reported.append(report.epoch)
        return report

    for member in world.team("validator"):
        member.answers[CancelLease] = ignore
        member.sends[ReportResult] = keep
    hold_back(world)
    task = await world.buy()
    first = await world.orchestrator(task.task_id)
    await world.holds(lambda: any(one.heard[LeaseJob] for one in world.team("worker")))
    cut(world, market, first)
    await world.holds(lambda: world.record(task.task_id).orchestrator not in ("", first.peer_id))
    let_go(world)
    await world.until(task.task_id, "verified")
    heard = market.heard[ReportResult]
    heal(world, market, first)
    await world.holds(lambda: market.heard[ReportResult] > heard)
    await world.until(task.task_id, "settled")
    await world.holds(lambda: not world.leftovers())
    assert set(reported) == {1, 2}
    assert [one.draw.epoch for one in world.judgements()] == [2]
    assert world.artifacts(market) == 1
    await check_money(world)


async def test_a_short_cut_costs_nothing(world, check_money, autojump_clock) -> None:
    market = world.members["market"]
    hold_back(world)
    task = await world.buy()
    first = await world.orchestrator(task.task_id)
    await world.holds(lambda: any(one.heard[LeaseJob] for one in world.team("worker")))
    cut(world, market, first)
    await trio.sleep(LOST_AFTER_S / 5)
    heal(world, market, first)
    await world.meet()
    let_go(world)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    await check_money(world)


async def test_a_report_that_cannot_be_sent_is_sent_later(
    world, check_money, autojump_clock
) -> None:
    """Cut off at the last moment, and back before the market gives the lease to another."""
    market = world.members["market"]
    reporting = trio.Event()

    async def announce(_peer, report):
        if not reporting.is_set():
            cut(world, market, world.named(world.record(report.task_id).orchestrator))
            reporting.set()
        return report

    for member in world.team("validator"):
        member.sends[ReportResult] = announce
    task = await world.buy()
    await reporting.wait()
    heal(world, market, world.named(world.record(task.task_id).orchestrator))
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    await check_money(world)


async def test_an_answer_that_is_lost_is_asked_for_again(
    world, check_money, autojump_clock
) -> None:
    """The market has settled, its answer does not arrive: the repeated report settles nothing."""
    market = world.members["market"]

    async def take_and_fall_silent(sender, message, handler):
        answer = await handler(sender, message)
        if market.heard[ReportResult] == 1:
            cut(world, market, world.named(sender))
            heal(world, market, world.named(sender))
        return answer

    market.answers[ReportResult] = take_and_fall_silent
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert market.heard[ReportResult] == 2
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


async def test_a_worker_cut_off_from_its_orchestrator(world, check_money, autojump_clock) -> None:
    hold_back(world)
    task = await world.buy()
    first = await world.orchestrator(task.task_id)
    await world.holds(lambda: any(one.heard[LeaseJob] for one in world.team("worker")))
    worker = next(one for one in world.team("worker") if one.heard[LeaseJob])
    cut(world, first, worker)
    let_go(world)
    done = await world.until(task.task_id, "verified", "refunded")
    assert (done.phase, done.epoch) == ("verified", 1)
    assert done.result.worker_address != worker.address
    heal(world, first, worker)
    await world.until(task.task_id, "settled")
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


@pytest.mark.parametrize("size", [16, 640])
async def test_a_checker_cut_off_from_the_worker(
    world, check_money, autojump_clock, size: int
) -> None:
    """Small steps reach it all the same; large ones it cannot fetch, and two of three decide."""
    hold_back(world)
    task = await world.buy(size=size)
    first = await world.orchestrator(task.task_id)
    checker = next(one for one in world.team("validator") if one is not first)
    for worker in world.team("worker"):
        cut(world, checker, worker)
    let_go(world)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert (checker.address in done.result.validators) == (size == 16)
    await check_money(world)


async def test_a_market_cut_off_from_everybody(world, check_money, autojump_clock) -> None:
    market = world.members["market"]
    hold_back(world)
    tasks = [await world.buy() for _ in range(4)]
    await world.holds(lambda: any(one.heard[LeaseJob] for one in world.team("worker")))
    others = [*world.team("validator"), *world.team("worker")]
    for one in others:
        cut(world, market, one)
    let_go(world)
    await trio.sleep(20)
    for one in others:
        heal(world, market, one)
    for task in tasks:
        done = await world.until(task.task_id, "settled", "refunded")
        assert done.phase == "settled"
    await world.holds(lambda: not world.leftovers())
    await check_money(world)
