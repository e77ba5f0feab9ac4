"""Nodes that die at any moment, as if their plug was pulled, and come back on the same disk."""

import random

import pytest
import trio

from node.errors import NodeError
from node.l1.transactions import transfer
from node.roles.worker import KEEP_MS, SWEEP_PAUSE_S
from node.wire.checks import RequestVerdict
from node.wire.jobs import Challenge, JobCommitted, LeaseJob
from node.wire.leases import BatchAnchored, ReportResult
from storage.errors import StorageError

PHASES = {
    "with the lease": LeaseJob,
    "with the commitment": Challenge,
    "before the verdicts": RequestVerdict,
    "with the verdicts": ReportResult,
    "when the market was told": BatchAnchored,
}


def stop_at(world, message_type) -> trio.Event:
    """The first validator that is about to send such a message stops there; set when it does."""
    reached = trio.Event()

    async def stop(_peer, message):
        if not reached.is_set():
            reached.set()
            await trio.sleep_forever()
        return message

    for member in world.team("validator"):
        member.sends[message_type] = stop
    return reached


@pytest.mark.parametrize("away_s", [0, 6])
@pytest.mark.parametrize("phase", PHASES)
async def test_the_orchestrator_dies(
    world, check_money, autojump_clock, phase: str, away_s: float
) -> None:
    """Back at once it goes on where it was, back late another has done the task: paid once."""
    reached = stop_at(world, PHASES[phase])
    task = await world.buy()
    await reached.wait()
    orchestrator = world.named(world.record(task.task_id).orchestrator)
    await world.crash(orchestrator)
    await trio.sleep(away_s)
    await world.start(orchestrator)
    done = await world.until(task.task_id, "settled", "refunded")
    late = away_s > 0 and phase != "when the market was told"
    assert (done.phase, done.epoch) == ("settled", 2 if late else 1)
    assert len(world.outcomes()) == 1
    await check_money(world)


async def test_the_orchestrator_dies_when_the_market_has_its_result(
    world, check_money, autojump_clock
) -> None:
    """It does not know that it was taken, reports again, and puts it on the chain."""
    market = world.members["market"]
    taken = trio.Event()

    async def take_and_fall_silent(sender, message, handler):
        answer = await handler(sender, message)
        if not taken.is_set():
            taken.set()
            await trio.sleep_forever()
        return answer

    market.answers[ReportResult] = take_and_fall_silent
    task = await world.buy()
    await taken.wait()
    assert world.market.task(task.task_id).phase == "verified"
    await world.restart(world.named(world.record(task.task_id).orchestrator))
    done = await world.until(task.task_id, "settled")
    assert done.epoch == 1
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


@pytest.mark.parametrize("message_type", [LeaseJob, JobCommitted, Challenge])
async def test_a_worker_dies_and_comes_back(
    world, check_money, autojump_clock, message_type
) -> None:
    """Before it begins, when it has committed, and when it is asked to open."""
    reached, victims = trio.Event(), []

    async def stop(_sender, message, handler):
        if not reached.is_set():
            victims.append(world.named(_sender) if message_type is JobCommitted else None)
            reached.set()
            await trio.sleep_forever()
        return await handler(_sender, message)

    role = "validator" if message_type is JobCommitted else "worker"
    for member in world.team(role):
        member.answers[message_type] = stop
    task = await world.buy()
    await reached.wait()
    victim = victims[0] or next(one for one in world.team("worker") if one.heard[message_type])
    await world.restart(victim)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    await trio.sleep(world.network.protocol.lease_s + KEEP_MS / 1000 + 2 * SWEEP_PAUSE_S)
    assert not world.leftovers()
    await check_money(world)


async def test_the_market_dies_and_the_work_goes_on(world, check_money, autojump_clock) -> None:
    """Orchestrators keep their leases and report to the market that has come back."""
    for worker in world.team("worker"):
        worker.compute.gate = trio.Event()
    task = await world.buy()
    await world.holds(lambda: any(one.heard[LeaseJob] for one in world.team("worker")))
    await world.crash(world.members["market"])
    for worker in world.team("worker"):
        worker.compute.gate.set()
    await trio.sleep(5)
    await world.start(world.members["market"])
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert sum(len(worker.compute.jobs) for worker in world.team("worker")) == 1
    await check_money(world)


@pytest.mark.parametrize("seed", range(4))
async def test_the_market_dies_again_and_again_under_load(
    world, check_money, autojump_clock, seed: int
) -> None:
    """Whoever was answered has its task; who was not asks again with the same key."""
    chance = random.Random(seed)
    world.hub.latency_s = 0.01
    market = world.members["market"]
    keys = [f"task {number}" for number in range(24)]
    async with trio.open_nursery() as nursery:
        bought: dict[str, str] = {}
        for key in keys:
            nursery.start_soon(buy_stubbornly, world, key, chance.uniform(0, 6), bought)
        for _ in range(4):
            await trio.sleep(chance.uniform(0.02, 2))
            await world.crash(market)
            await trio.sleep(chance.choice([0, 0.5, 4]))
            await world.start(market)
    assert len(set(bought.values())) == len(keys)
    assert world.market.tasks(status=None, challenge_type=None, limit=1, offset=0).total == 24
    for task_id in bought.values():
        done = await world.until(task_id, "settled", "refunded")
        assert done.phase == "settled", done
    await check_money(world)


async def buy_stubbornly(world, key: str, after_s: float, bought: dict[str, str]) -> None:
    """Post until the answer comes from a market that still runs."""
    await trio.sleep(after_s)
    market = world.members["market"]
    while key not in bought:
        life = market.scope
        if market.assembly is not None:
            try:
                task = await world.buy(key=key)
            except (NodeError, StorageError):
                task = None
            if task is not None and market.scope is life and market.assembly is not None:
                bought[key] = task.task_id
                continue
        await trio.sleep(0.1)


@pytest.mark.parametrize("seed", range(3))
async def test_everybody_dies_at_random_under_load(
    world, check_money, autojump_clock, seed: int
) -> None:
    chance = random.Random(seed)
    world.hub.latency_s = 0.01
    tasks = [await world.buy() for _ in range(12)]
    members = list(world.members.values())
    for _ in range(8):
        await trio.sleep(chance.uniform(0, 1.5))
        victim = chance.choice(members)
        await world.crash(victim)
        await trio.sleep(chance.choice([0, 0, 1, 3]))
        await world.start(victim)
    for task in tasks:
        await world.until(task.task_id, "settled", "refunded")
    await check_money(world)


async def test_a_power_cut(world, check_money, autojump_clock) -> None:
    """Everybody at once, with the task half done."""
    for worker in world.team("worker"):
        worker.compute.gate = trio.Event()
    tasks = [await world.buy() for _ in range(5)]
    await world.holds(lambda: sum(one.heard[LeaseJob] for one in world.team("worker")) == 5)
    for worker in world.team("worker"):
        worker.compute.gate = None
    await world.restart(*world.members.values())
    for task in tasks:
        done = await world.until(task.task_id, "settled", "refunded")
        assert done.phase == "settled"
    await check_money(world)


async def test_a_batch_that_the_chain_forgets_is_sent_again(
    world, check_money, autojump_clock
) -> None:
    """The chain loses what waits for a block, as when it restarts, and the validator dies too."""
    task = await world.buy()
    await world.until(task.task_id, "verified")
    validator = world.named(world.record(task.task_id).orchestrator)
    await world.holds(lambda: world.chain.mempool.size)
    world.forget()
    await world.restart(validator)
    done = await world.until(task.task_id, "settled")
    assert done.phase == "settled"
    await check_money(world)


async def test_a_batch_whose_nonce_is_taken_is_signed_again(
    world, check_money, autojump_clock
) -> None:
    """Another program used the validator's key at the wrong moment."""
    sent = trio.Event()

    async def get_in_first(_peer, report):
        if not sent.is_set():
            member = world.named(world.record(report.task_id).orchestrator)
            nonce = await world.l1.nonce(member.address, pending=True)
            rival = transfer(world.customer.address, 1).signed(member.keys.account, nonce)
            await world.l1.send(rival)
            sent.set()
        return report

    for member in world.team("validator"):
        member.sends[ReportResult] = get_in_first
    task = await world.buy()
    await sent.wait()
    done = await world.until(task.task_id, "settled")
    assert done.phase == "settled"


async def test_a_market_that_is_away_for_long(world, check_money, autojump_clock) -> None:
    """Its results get on the chain without it, and it is told when it is back."""
    task = await world.buy()
    await world.until(task.task_id, "verified")
    await world.crash(world.members["market"])
    await trio.sleep(650)
    await world.start(world.members["market"])
    began = trio.current_time()
    await world.until(task.task_id, "settled")
    assert trio.current_time() - began < 70
    await check_money(world)


async def test_a_market_that_also_validates_keeps_what_it_sold(
    open_world, tmp_path, autojump_clock
) -> None:
    """One shelf for both roles: what the orchestrator is done with is the customer's."""
    async with open_world(tmp_path, market=("market", "validator"), validators=2) as world:
        for size in (16, 640):
            task = await world.buy(size=size)
            while world.record(task.task_id).orchestrator != world.members["market"].peer_id:
                task = await world.buy(size=size)
                await world.orchestrator(task.task_id)
            done = await world.until(task.task_id, "settled")
            await world.holds(lambda: world.status().counts["leases_held"] == 0)
            assert world.market.artifact(done.result.outputs[0].sha256).is_file()
