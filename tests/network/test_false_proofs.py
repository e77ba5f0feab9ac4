"""Quorums that take a false proof: the market verifies by itself, and pays nothing for it."""

import msgspec
import pytest
import trio

from gpu.proofs.statement import Bounds
from node.market.bars import Bar
from node.market.earlier import EarlierBook
from node.roles import acceptance
from node.roles.acceptance import Acceptance
from node.verification.statements import sign_verdict
from node.wire.checks import RequestVerdict, VerdictAnswer
from node.wire.jobs import LeaseJob
from node.wire.leases import ReportResult
from p2p.errors import RequestRefused
from p2p.identity import PUBLIC_KEY_BYTES, peer_id_of
from storage.tables import Table
from tests.network.test_proofs import changed_byte, wrong_output

CHAIN = "cpc-devnet-1"
SIZE, STEPS, LONG = 16, 9, 76
"""Nine steps are proven in the result itself, 76 by digest."""


@pytest.fixture
async def lowered(open_world, tmp_path, autojump_clock):
    """Six validators, of which a task sees three, and little that is opened."""
    with trio.fail_after(3600):
        async with open_world(tmp_path, validators=6, max_trace_bytes=8 * SIZE**2) as world:
            yield world


def collude(world, count: int) -> set[bytes]:
    """The first `count` validators asked about the first draw sign `valid` whatever is true."""
    liars: set[bytes] = set()

    def takes_all(member):
        key = member.keys.identity.public_key

        async def answer(sender, message, handler):
            if message.draw.epoch == 1 and len(liars) < count:
                liars.add(key)
            verdict = (await handler(sender, message)).verdict
            if key in liars:
                verdict = msgspec.structs.replace(verdict, finding="valid")
            return VerdictAnswer(sign_verdict(verdict, CHAIN, member.keys.identity))

        return answer

    for member in world.team("validator"):
        member.answers[RequestVerdict] = takes_all(member)
    return liars


async def sold_to_the_liar(world, lie, steps: int):
    """Have `worker-1` begin a task alone and lie; the task when it ended."""
    bad, good = world.members["worker-1"], world.members["worker-2"]
    bad.compute.spoil, bad.compute.gate = lie, trio.Event()
    await world.crash(good)
    task = await world.buy(size=SIZE, iterations=steps)
    await world.holds(lambda: bad.heard[LeaseJob])
    await world.start(good)
    await world.meet()
    bad.compute.gate.set()
    return await world.until(task.task_id, "settled", "refunded")


def barred(world) -> set[str]:
    """Peer ids that the market does not draw."""
    market = world.members["market"]
    items = Table(market.db, "barred-validators", Bar).items()
    return {peer_id_of(key[:PUBLIC_KEY_BYTES]) for key, _ in items}


@pytest.mark.parametrize(
    ("lie", "steps", "liars"),
    [(changed_byte, STEPS, 3), (changed_byte, LONG, 3), (wrong_output, STEPS, 2)],
)
async def test_a_false_proof_is_not_paid_whoever_signs(
    lowered, check_money, autojump_clock, lie, steps: int, liars: int
) -> None:
    """Only those who signed are barred, the task goes to others, and nothing false is kept."""
    market, said, freed = lowered.members["market"], [], []

    async def listen(sender, message, handler):
        try:
            return await handler(sender, message)
        except RequestRefused as refusal:
            said.append(refusal.code)
            task = lowered.record(message.task_id)
            freed.append(task.phase == "queued" or task.epoch == 2)
            raise

    market.answers[ReportResult] = listen
    signed = collude(lowered, liars)
    done = await sold_to_the_liar(lowered, lie, steps)
    assert (done.phase, done.epoch) == ("settled", 2), done
    assert done.result.worker_address == lowered.members["worker-2"].address
    assert (said, freed) == (["proof_false"], [True])
    names = {
        one.peer_id for one in lowered.team("validator") if one.keys.identity.public_key in signed
    }
    assert barred(lowered) == names
    assert lowered.status().counts["validators_barred"] == liars
    [judgement] = lowered.judgements()
    assert not signed & {seat.key for seat in judgement.draw.seats}
    honest = [one for one in EarlierBook(market.db).of(done.task_id) if one.draw.epoch == 2]
    assert {verdict.finding for one in honest for verdict in one.verdicts} <= {"invalid"}
    await lowered.holds(lambda: not lowered.leftovers())
    assert lowered.artifacts(market) == 1 + (steps == LONG)
    await check_money(lowered)


async def test_those_who_took_it_are_drawn_again_later(
    open_world, tmp_path, check_money, autojump_clock
) -> None:
    """With nobody else to draw the task waits for them, also over a restart of the market."""
    protocol = {"max_trace_bytes": 8 * SIZE**2, "bar_s": 60}
    async with open_world(tmp_path, **protocol) as world:
        signed = collude(world, 3)
        began = trio.current_time()
        bad = world.members["worker-1"]
        bad.compute.spoil = changed_byte
        world.members["worker-2"].compute.spoil = changed_byte
        task = await world.buy(size=SIZE, iterations=STEPS)
        await world.holds(lambda: len(barred(world)) == 3)
        for member in world.team("worker"):
            member.compute.spoil = None
        for member in world.team("validator"):
            del member.answers[RequestVerdict]
        await world.restart(world.members["market"])
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch, len(signed)) == ("settled", 2, 3), done
        assert trio.current_time() - began > 60
        await check_money(world)


async def test_a_market_that_verifies_less_than_it_sold_blames_nobody(
    lowered, monkeypatch, check_money, autojump_clock
) -> None:
    """Its bounds were lowered meanwhile: the cost is known before anything is computed."""
    verified = []
    bounds = Bounds(max_units=1)
    monkeypatch.setattr(acceptance, "bounds_of", lambda _protocol: bounds)
    monkeypatch.setattr(acceptance, "verify_proof", lambda *_, **__: verified.append(1))
    await lowered.restart(lowered.members["market"])
    await lowered.meet()
    task = await lowered.buy(size=SIZE, iterations=STEPS)
    done = await lowered.until(task.task_id, "settled", "refunded")
    assert (done.phase, verified, barred(lowered)) == ("refunded", [], set())
    await check_money(lowered)


async def test_without_its_own_verification_the_market_pays(
    lowered, monkeypatch, autojump_clock
) -> None:
    """The negative control: nothing else stands between a colluding quorum and its pay."""

    async def takes_its_word(_self, _jobs) -> None:
        return None

    monkeypatch.setattr(Acceptance, "refuted", takes_its_word)
    collude(lowered, 3)
    done = await sold_to_the_liar(lowered, changed_byte, STEPS)
    assert (done.phase, done.epoch) == ("settled", 1)
    assert done.result.worker_address == lowered.members["worker-1"].address
    assert not barred(lowered)
