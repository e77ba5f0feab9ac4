"""Validators that refuse, stall or do not reveal lose their seat to others of the snapshot."""

import pytest
import trio

from node.verification.draws import Refusal, sign_refusal
from node.wire.checks import CommitmentAnswer, RequestCommitment, RequestReveal
from node.wire.leases import RequestSeats
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"


def is_lame(member, draw) -> bool:
    """One of those that only check, in the epoch's first draw."""
    keys = [seat.key for seat in draw.seats[1:]]
    return draw.redraw == 0 and member.keys.identity.public_key == max(keys)


def with_lame_one(world, request_type, lame) -> None:
    """Let `lame(member, draw)` answer such requests in the place of one validator of each draw."""

    def install(member) -> None:
        async def answer(sender, message, handler):
            if is_lame(member, message.draw):
                return await lame(member, message.draw)
            return await handler(sender, message)

        member.answers[request_type] = answer

    for member in world.team("validator"):
        install(member)


async def stalls(_member, _draw):
    await trio.sleep_forever()


async def refuses(member, draw) -> CommitmentAnswer:
    refusal = Refusal(draw.task_id, draw.epoch, "check", "busy", virtual_clock_ms(), b"")
    return CommitmentAnswer(refusal=sign_refusal(refusal, CHAIN, member.keys.identity))


CONDUCTS = {
    "refused": (RequestCommitment, refuses),
    "no_commitment": (RequestCommitment, stalls),
    "no_reveal": (RequestReveal, stalls),
}


@pytest.mark.parametrize("reason", CONDUCTS)
async def test_a_seat_is_filled_anew_while_the_result_stays(
    open_world, tmp_path, check_money, autojump_clock, reason: str
) -> None:
    async with open_world(tmp_path, validators=5) as world:
        with_lame_one(world, *CONDUCTS[reason])
        task = await world.buy()
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch) == ("settled", 1), done
        judgement = world.outcomes()[0].jobs[0].judgement
        assert judgement.draw.redraw == 1
        (passed,) = judgement.draw.passed
        assert passed.reason == reason
        assert passed.key not in {verdict.validator_key for verdict in judgement.verdicts}
        assert len(judgement.verdicts) == 3
        assert sum(len(one.compute.jobs) for one in world.team("worker")) == 1
        assert judgement.result.nonce == 6
        await check_money(world)
        await world.holds(lambda: not world.leftovers())


@pytest.mark.parametrize("reason", CONDUCTS)
async def test_with_nobody_else_the_quorum_is_enough(
    world, check_money, autojump_clock, reason: str
) -> None:
    """The control: three validators in all, so the seat stays empty."""
    with_lame_one(world, *CONDUCTS[reason])
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    judgement = world.outcomes()[0].jobs[0].judgement
    assert (judgement.draw.redraw, len(judgement.verdicts)) == (0, 2)
    await check_money(world)


async def test_two_of_three_that_do_not_reveal(
    open_world, tmp_path, check_money, autojump_clock
) -> None:
    """Without others in their seats there would be no quorum."""

    def install(member) -> None:
        async def answer(sender, message, handler):
            if message.draw.redraw == 0 and member.keys.identity.peer_id != sender:
                await trio.sleep_forever()
            return await handler(sender, message)

        member.answers[RequestReveal] = answer

    async with open_world(tmp_path, validators=6) as world:
        for member in world.team("validator"):
            install(member)
        task = await world.buy()
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch) == ("settled", 1)
        judgement = world.outcomes()[0].jobs[0].judgement
        assert (judgement.draw.redraw, len(judgement.verdicts)) == (1, 3)
        assert judgement.result.nonce == 6
        await check_money(world)


@pytest.mark.parametrize("when", [RequestSeats, RequestReveal])
async def test_the_orchestrator_dies_over_a_redraw(
    open_world, tmp_path, check_money, autojump_clock, when
) -> None:
    """Before it hears of the new draw, or under it: it goes on with what the market stored."""
    async with open_world(tmp_path, validators=5) as world:
        with_lame_one(world, RequestCommitment, stalls)
        reached, victims = trio.Event(), []

        def stop(member):
            async def send(_peer, message):
                redrawn = when is RequestSeats or message.draw.redraw == 1
                if redrawn and not reached.is_set():
                    victims.append(member)
                    if when is RequestSeats:
                        await member.network._network.request(_peer, message, timeout_s=5)
                    reached.set()
                    await trio.sleep_forever()
                return message

            return send

        for member in world.team("validator"):
            member.sends[when] = stop(member)
        task = await world.buy()
        await reached.wait()
        await world.restart(victims[0])
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch) == ("settled", 1), done
        judgement = world.outcomes()[0].jobs[0].judgement
        assert (judgement.draw.redraw, len(judgement.verdicts)) == (1, 3), judgement.draw.passed
        await world.holds(lambda: not world.leftovers())
        await check_money(world)
