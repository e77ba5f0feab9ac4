"""A validator's seat: what it says to whom, and what it keeps."""

import msgspec
import pytest
import trio

from node.roles.checker import KEEP_REVEALS_MS, RevealRecord
from node.verification.challenge import commitment_of
from node.wire.checks import RequestCommitment, RequestReveal, RequestVerdict
from node.wire.jobs import Secret, SecretCommitment
from p2p.errors import RequestRefused
from storage.memory import MemoryStore
from storage.tables import Table

CHAIN = "cpc-devnet-1"


@pytest.fixture
async def stage(open_stage, make_author, autojump_clock):
    """The checker is validator 3; validator 2 orchestrates."""
    async with open_stage(make_author(3)) as opened:
        await opened.checker()
        yield opened


def reveals(stage) -> list[RevealRecord]:
    return [record for _, record in Table(stage.db, "reveals", RevealRecord).items()]


async def refused(stage, who, message) -> str:
    with pytest.raises(RequestRefused) as error:
        await stage.ask(who, message)
    return error.value.code


async def test_a_secret_is_the_promised_one(stage, make_author, autojump_clock) -> None:
    orchestrator, draw = make_author(2), stage.draw()
    promise = (await stage.ask(orchestrator, RequestCommitment(draw, 6))).commitment
    result, manifest = stage.result(draw)
    secret = (await stage.ask(orchestrator, RequestReveal(draw, result, manifest))).secret
    assert promise.validator_key == secret.validator_key == stage.author.identity.public_key
    assert commitment_of(secret.secret, CHAIN, draw.task_id, 6) == promise.commitment


async def test_only_the_orchestrator_is_answered(stage, make_author, autojump_clock) -> None:
    draw = stage.draw()
    result, manifest = stage.result(draw)
    for who in (make_author(1), make_author(4), make_author(5), make_author(6)):
        for message in (RequestCommitment(draw, 6), RequestReveal(draw, result, manifest)):
            assert await refused(stage, who, message) == "sender"
    assert reveals(stage) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_ms": 1_699_999_980_000},
        {"expires_ms": 1_900_000_000_000},
        {"parameters": b""},
        {"kind": "rendering"},
        {"needed": 1},
    ],
)
async def test_an_unsound_draw(stage, make_author, autojump_clock, changes) -> None:
    draw = stage.draw(**changes)
    result, manifest = stage.result(draw)
    verdict = RequestVerdict(draw, result, manifest, (), (), ())
    for message in (RequestCommitment(draw, 6), RequestReveal(draw, result, manifest), verdict):
        assert await refused(stage, make_author(2), message) == "statement_invalid"


async def test_a_draw_without_its_seat(stage, make_author, autojump_clock) -> None:
    draw = stage.draw()
    without = stage.draw(seats=draw.seats[:1] + draw.seats[2:])
    code = await refused(stage, make_author(2), RequestCommitment(without, 6))
    assert code == "statement_invalid"


@pytest.mark.parametrize("nonce", [0, 5, 11, 2**40])
async def test_an_attempt_of_another_epoch(stage, make_author, autojump_clock, nonce: int) -> None:
    draw = stage.draw()
    result, manifest = stage.result(draw, nonce)
    for message in (RequestCommitment(draw, nonce), RequestReveal(draw, result, manifest)):
        assert await refused(stage, make_author(2), message) == "statement_invalid"


async def test_a_second_result_learns_nothing(stage, make_author, autojump_clock) -> None:
    draw, orchestrator = stage.draw(), make_author(2)
    first = RequestReveal(draw, *stage.result(draw))
    second = RequestReveal(draw, *stage.result(draw, by=make_author(6)))
    answers = {(await stage.ask(orchestrator, first)).secret.secret for _ in range(3)}
    assert len(answers) == 1
    assert await refused(stage, orchestrator, second) == "revealed"
    unsound = msgspec.structs.replace(first.result, signature="00" * 64)
    message = RequestReveal(draw, unsound, first.manifest)
    assert await refused(stage, orchestrator, message) == "statement_invalid"


async def test_another_draw_of_the_same_attempt_has_another_secret(
    stage, make_author, autojump_clock
) -> None:
    """A market that signs twice does not get to know the secret of its other draw."""
    orchestrator = make_author(2)
    draws = [stage.draw(), stage.draw(expires_ms=stage.draw().expires_ms + 1)]
    secrets = {
        (await stage.ask(orchestrator, RequestReveal(draw, *stage.result(draw)))).secret.secret
        for draw in draws
    }
    assert len(secrets) == 2


async def test_what_was_revealed_is_forgotten_long_after_the_draw(
    stage, make_author, autojump_clock
) -> None:
    orchestrator = make_author(2)
    for number in range(5):
        draw = stage.draw(task_id=f"task-{number}")
        await stage.ask(orchestrator, RequestReveal(draw, *stage.result(draw)))
    last = stage.draw(task_id="task-4")
    await trio.sleep(40)
    late = RequestReveal(last, *stage.result(last))
    assert await refused(stage, orchestrator, late) == "statement_invalid"
    assert len(reveals(stage)) == 5
    await trio.sleep(KEEP_REVEALS_MS / 1000)
    assert await refused(stage, orchestrator, late) == "statement_invalid"
    draw = stage.draw(task_id="another")
    await stage.ask(orchestrator, RequestReveal(draw, *stage.result(draw)))
    assert len(reveals(stage)) == 1


async def test_what_was_revealed_is_known_after_a_restart(
    open_stage, make_author, autojump_clock
) -> None:
    store, orchestrator = MemoryStore(), make_author(2)
    async with open_stage(make_author(3), store=store) as stage:
        await stage.checker()
        draw = stage.draw()
        first = RequestReveal(draw, *stage.result(draw))
        before = await stage.ask(orchestrator, first)
    async with open_stage(make_author(3), store=store) as stage:
        await stage.checker()
        assert await stage.ask(orchestrator, first) == before
        second = RequestReveal(draw, *stage.result(draw, by=make_author(6)))
        assert await refused(stage, orchestrator, second) == "revealed"


async def test_no_verdict_without_its_own_secret(stage, make_author, autojump_clock) -> None:
    """Else the others could agree on a seed that the worker knows."""
    draw, orchestrator = stage.draw(), make_author(2)
    result, manifest = stage.result(draw)
    key, secret = bytes(32), bytes(32)
    others = SecretCommitment(key, commitment_of(secret, CHAIN, draw.task_id, 6))
    own = (await stage.ask(orchestrator, RequestReveal(draw, result, manifest))).secret
    promised = (await stage.ask(orchestrator, RequestCommitment(draw, 6))).commitment
    attempts = [
        ((others,), (Secret(key, secret),)),
        ((), ()),
        ((others,), (own,)),
        ((promised,), (Secret(own.validator_key, bytes(32)),)),
        ((promised, others), (own,)),
    ]
    for commitments, secrets in attempts:
        request = RequestVerdict(draw, result, manifest, commitments, secrets, ())
        assert await refused(stage, orchestrator, request) == "seed"


async def test_an_opening_that_is_not_the_committed_one_is_withheld(
    stage, make_author, autojump_clock
) -> None:
    draw, orchestrator = stage.draw(), make_author(2)
    result, manifest = stage.result(draw)
    own = (await stage.ask(orchestrator, RequestReveal(draw, result, manifest))).secret
    promised = (await stage.ask(orchestrator, RequestCommitment(draw, 6))).commitment
    request = RequestVerdict(draw, result, manifest, (promised,), (own,), (bytes(32),) * 2)
    verdict = (await stage.ask(orchestrator, request)).verdict
    assert (verdict.finding, verdict.nonce, verdict.epoch) == ("withheld", 6, 1)
