"""Validators that are down, stall, lie or orchestrate badly."""

import msgspec
import pytest
import trio

from node.keys import bind
from node.roles.results import signed_result
from node.verification.author import Author
from node.verification.statements import sign_verdict
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
    VerdictAnswer,
)
from node.wire.jobs import Challenge, Secret, SecretCommitment
from node.wire.leases import LeaseAnswer, LeaseAnswers, OfferLeases, ReportResult
from p2p.errors import RequestRefused

CHAIN = "cpc-devnet-1"
REQUESTS = [RequestCommitment, RequestReveal, RequestVerdict]


async def buy_with_checker(world, meddle) -> tuple:
    """Buy a task; `meddle` gets a validator that only checks. The ended task, and that one."""
    gates = [worker.compute for worker in world.team("worker")]
    for gate in gates:
        gate.gate = trio.Event()
    task = await world.buy()
    orchestrator = await world.orchestrator(task.task_id)
    checker = next(one for one in world.team("validator") if one is not orchestrator)
    await meddle(checker)
    for gate in gates:
        gate.gate.set()
    return await world.until(task.task_id, "settled", "refunded"), checker


def lying(member, finding: str):
    """Signs `finding` whatever is true."""

    async def answer(sender, message, handler):
        verdict = (await handler(sender, message)).verdict
        lie = msgspec.structs.replace(verdict, finding=finding)
        return VerdictAnswer(sign_verdict(lie, CHAIN, member.keys.identity))

    return answer


async def test_a_checker_that_is_down(world, check_money, autojump_clock) -> None:
    done, checker = await buy_with_checker(world, world.crash)
    assert (done.phase, done.epoch) == ("settled", 1)
    assert checker.address not in done.result.validators
    assert len(done.result.validators) == 2
    await check_money(world)


@pytest.mark.parametrize("request_type", REQUESTS)
async def test_a_checker_that_never_answers(
    world, silence, check_money, autojump_clock, request_type
) -> None:
    """It costs half a second, no attempt, and no worker's standing."""
    silent = world.members["validator-3"]
    silent.answers[request_type] = silence
    for _ in range(4):
        began = trio.current_time()
        task = await world.buy()
        done = await world.until(task.task_id, "verified", "refunded")
        assert (done.phase, done.epoch) == ("verified", 1)
        assert trio.current_time() - began < 3
        await world.until(task.task_id, "settled")
    assert all(len(one.verdicts) == 2 for one in world.judgements())
    assert {one.result.nonce for one in world.judgements()} == {6}
    await check_money(world)


async def test_a_checker_that_lies_is_outvoted(world, check_money, autojump_clock) -> None:
    liar = world.members["validator-3"]
    liar.answers[RequestVerdict] = lying(liar, "invalid")
    for _ in range(4):
        task = await world.buy()
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch) == ("settled", 1)
        assert liar.address not in done.result.validators
    await check_money(world)


async def breaks_promise(sender, message, handler):
    secret = (await handler(sender, message)).secret
    return RevealAnswer(Secret(secret.validator_key, bytes(32)))


async def promises_for_another(sender, message, handler):
    commitment = (await handler(sender, message)).commitment
    return CommitmentAnswer(SecretCommitment(bytes(32), commitment.commitment))


async def checks_for_another(sender, message, handler):
    """A verdict with somebody else's key on it, to have the quorum believed complete."""
    verdict = (await handler(sender, message)).verdict
    others = [seat.key for seat in message.draw.seats if seat.key != verdict.validator_key]
    return VerdictAnswer(msgspec.structs.replace(verdict, validator_key=others[-1]))


async def test_a_checker_that_repeats_anothers_verdict(world, check_money, autojump_clock) -> None:
    """Signed by the other, who lent its key: it must not stand twice in the report."""
    friend = world.members["validator-2"].keys.identity

    async def lend(sender, message, handler):
        verdict = (await handler(sender, message)).verdict
        return VerdictAnswer(sign_verdict(verdict, CHAIN, friend))

    world.members["validator-3"].answers[RequestVerdict] = lend
    for _ in range(4):
        task = await world.buy()
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch) == ("settled", 1)
    await check_money(world)


@pytest.mark.parametrize(
    ("request_type", "answer"),
    [
        (RequestReveal, breaks_promise),
        (RequestCommitment, promises_for_another),
        (RequestVerdict, checks_for_another),
    ],
)
async def test_a_checker_that_answers_falsely_is_left_out(
    world, check_money, autojump_clock, request_type, answer
) -> None:
    """Neither can it stop the task, nor is the worker blamed."""
    world.members["validator-3"].answers[request_type] = answer
    for _ in range(4):
        task = await world.buy()
        done = await world.until(task.task_id, "settled", "refunded")
        assert (done.phase, done.epoch) == ("settled", 1)
    assert {one.result.nonce for one in world.judgements()} == {6}
    await check_money(world)


async def test_who_made_no_promise_cannot_spoil_the_seed(
    world, silence, check_money, autojump_clock
) -> None:
    """It stays silent when promises are asked for and would reveal all the same."""
    await test_a_checker_that_never_answers(
        world, silence, check_money, autojump_clock, RequestCommitment
    )
    assert not world.members["validator-3"].heard[RequestReveal]


async def test_two_liars_of_three_stop_an_honest_result_and_earn_nothing(
    world, check_money, autojump_clock
) -> None:
    """They get the honest workers barred, too; the customer has the money back."""
    for name in ("validator-1", "validator-2"):
        world.members[name].answers[RequestVerdict] = lying(world.members[name], "invalid")
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.error.code) == ("refunded", "no_valid_result")
    assert done.epoch == world.network.protocol.max_attempts
    assert world.outcomes() == []
    await check_money(world)


async def test_two_liars_of_three_can_attest_a_false_result(
    world, check_money, autojump_clock
) -> None:
    """What the whole rests upon: that two of three drawn validators do not lie together."""
    for worker in world.team("worker"):
        worker.compute.spoil = lambda run: msgspec.structs.replace(run.report, digest=bytes(32))
    for name in ("validator-1", "validator-2"):
        world.members[name].answers[RequestVerdict] = lying(world.members[name], "valid")
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    honest = world.members["validator-3"].address
    assert honest not in done.result.validators
    await check_money(world)


async def test_one_liar_cannot_attest_a_false_result(world, check_money, autojump_clock) -> None:
    for worker in world.team("worker"):
        worker.compute.spoil = lambda run: msgspec.structs.replace(run.report, digest=bytes(32))
    liar = world.members["validator-1"]
    liar.answers[RequestVerdict] = lying(liar, "valid")
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.error.code) == ("refunded", "no_valid_result")
    assert world.outcomes() == []
    await check_money(world)


async def test_an_orchestrator_that_never_answers(
    world, silence, check_money, autojump_clock
) -> None:
    for name in ("validator-1", "validator-2"):
        world.members[name].answers[OfferLeases] = silence
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    assert done.epoch <= 3
    assert world.judgements()[0].draw.seats[0].address == world.members["validator-3"].address
    await check_money(world)


async def test_orchestrators_that_refuse_for_a_moment(world, check_money, autojump_clock) -> None:
    """As when all of them were just started: the task is not thrown away within milliseconds."""
    opened_at = trio.current_time() + 2.5

    async def refuse_first(sender, message, handler):
        if trio.current_time() < opened_at:
            raise RequestRefused("unknown", "OfferLeases is not served here")
        return await handler(sender, message)

    for member in world.team("validator"):
        member.answers[OfferLeases] = refuse_first
    await world.crash(world.members["validator-3"])
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    await check_money(world)


async def test_an_orchestrator_that_takes_leases_and_does_nothing(
    world, check_money, autojump_clock
) -> None:
    async def take(sender, message, handler):
        return LeaseAnswers(tuple(LeaseAnswer(taken=True) for _ in message.draws))

    for name in ("validator-1", "validator-2"):
        world.members[name].answers[OfferLeases] = take
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    assert done.epoch <= 3
    await check_money(world)


def with_job(report, **changes):
    return msgspec.structs.replace(
        report, jobs=(msgspec.structs.replace(report.jobs[0], **changes),)
    )


def doubled(report):
    first, *rest = report.jobs[0].verdicts
    return with_job(report, verdicts=(first, first, *rest))


def thinned(report):
    return with_job(report, verdicts=report.jobs[0].verdicts[:1])


def for_an_accomplice(report):
    address = "cpc1nzkar09gyp7t3r0rdrfezeld922fqlfs97cdfd"
    changed = msgspec.structs.replace(report.jobs[0].result, worker_address=address)
    return with_job(report, result=changed)


def renamed(report):
    manifest = report.jobs[0].manifest
    output = msgspec.structs.replace(manifest.outputs[0], name="other")
    return with_job(report, manifest=msgspec.structs.replace(manifest, outputs=(output,)))


def with_an_invented_attempt(report):
    return msgspec.structs.replace(report, earlier=report.jobs)


def other_bytes(report):
    return msgspec.structs.replace(report, inline=((bytes(len(report.inline[0][0])),),))


def bytes_of_a_job_too_many(report):
    return msgspec.structs.replace(report, inline=report.inline * 2)


FALSE_REPORTS = [
    doubled,
    thinned,
    for_an_accomplice,
    renamed,
    with_an_invented_attempt,
    other_bytes,
    bytes_of_a_job_too_many,
]


@pytest.mark.parametrize("change", FALSE_REPORTS)
async def test_a_false_report_is_refused(world, check_money, autojump_clock, change) -> None:
    async def report_falsely(_peer, report):
        return change(report)

    for name in ("validator-1", "validator-2"):
        world.members[name].sends[ReportResult] = report_falsely
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    assert world.judgements()[0].draw.seats[0].address == world.members["validator-3"].address
    assert world.artifacts(world.members["market"]) == 1
    await check_money(world)


async def test_an_orchestrator_that_leaves_one_out(world, check_money, autojump_clock) -> None:
    """It can: two of three decide. The one left out is not paid."""
    left_out = world.members["validator-3"]

    async def pass_over(peer, message):
        return None if peer == left_out.peer_id else message

    for name in ("validator-1", "validator-2", "validator-3"):
        world.members[name].sends[RequestVerdict] = pass_over
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    await check_money(world)


async def test_a_worker_opens_only_for_the_promised_secrets(world, autojump_clock) -> None:
    """An orchestrator that knows what it will be asked could tell the worker before."""
    refused: list[str] = []

    async def with_own_secrets(peer, message):
        secrets = tuple(Secret(one.validator_key, bytes(32)) for one in message.secrets)
        for attempt in (secrets, message.secrets[:1]):
            changed = msgspec.structs.replace(message, secrets=attempt)
            sends = member.sends.pop(Challenge)
            with pytest.raises(RequestRefused) as error:
                await member.network.request(peer, changed, timeout_s=5)
            member.sends[Challenge] = sends
            refused.append(error.value.code)
        return message

    member = world.members["validator-1"]
    member.sends[Challenge] = with_own_secrets
    while not refused:
        task = await world.buy()
        await world.until(task.task_id, "settled")
    assert refused == ["statement_invalid", "secrets"]


async def test_a_validator_reveals_its_secret_for_one_result_only(world, autojump_clock) -> None:
    """Also after a restart it says the same, and nothing for any other result of the attempt."""
    asked: list[tuple] = []

    async def keep(peer, message):
        asked.append((peer, message))
        return message

    for member in world.team("validator"):
        member.sends[RequestReveal] = keep
    task = await world.buy()
    await world.until(task.task_id, "settled")
    orchestrator = world.named(world.record(task.task_id).orchestrator)
    orchestrator.sends.clear()
    peer, request = next(one for one in asked if one[0] != orchestrator.peer_id)
    checker = world.named(peer)
    before = await orchestrator.network.request(peer, request, timeout_s=5)
    await world.crash(checker)
    await world.start(checker)
    await world.meet()
    again = await orchestrator.network.request(peer, request, timeout_s=5)
    assert again == before
    thief = next(
        one for one in world.team("worker") if one.address != request.result.worker_address
    )
    with pytest.raises(RequestRefused, match="another result"):
        await orchestrator.network.request(peer, by(thief, request), timeout_s=5)
    with pytest.raises(RequestRefused, match="orchestrator"):
        await thief.network.request(peer, request, timeout_s=5)


def by(worker, request: RequestReveal) -> RequestReveal:
    """The same attempt's result as another worker would sign it."""
    identity, account = worker.keys.identity, worker.keys.account
    author = Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)
    result = signed_result(request.draw, request.result.nonce, request.manifest, author)
    return msgspec.structs.replace(request, result=result)
