"""An orchestrator's validators: who promises, refuses, stalls, and by whom they are replaced."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
import trio

from node.roles.gather import GRACE_S
from node.roles.outcomes import TooFewValidators
from node.roles.panel import PROMISE_TIMEOUT_S, Panel
from node.roles.seats import Seats
from node.verification.challenge import commitment_of
from node.verification.draws import Draw, Refusal, Seat, sign_refusal
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
)
from node.wire.jobs import JobCommitted, Secret, SecretCommitment
from node.wire.leases import RequestSeats, SeatsAnswer
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"


class Validator:
    """One that promises and reveals, unless it is told to do something else."""

    def __init__(self, stage, author, network) -> None:
        self.author, self.stage = author, stage
        self.key = author.identity.public_key
        self.promising: Callable[[Draw], Awaitable[CommitmentAnswer]] | None = None
        self.silent = False
        network.serve(RequestCommitment, self._promise)
        network.serve(RequestReveal, self._reveal)

    def secret(self, draw: Draw) -> bytes:
        return bytes([draw.redraw]) + self.key[1:]

    async def _promise(self, _sender, message: RequestCommitment) -> CommitmentAnswer:
        draw, nonce = message.draw, message.nonce
        if self.promising is not None:
            return await self.promising(draw)
        promised = commitment_of(self.secret(draw), CHAIN, draw.task_id, nonce)
        return CommitmentAnswer(SecretCommitment(self.key, promised))

    async def _reveal(self, _sender, message: RequestReveal) -> RevealAnswer:
        if self.silent:
            await trio.sleep_forever()
        return RevealAnswer(Secret(self.key, self.secret(message.draw)))

    async def refuses(self, draw: Draw) -> CommitmentAnswer:
        refusal = Refusal(draw.task_id, draw.epoch, "check", "busy", virtual_clock_ms(), b"")
        return CommitmentAnswer(refusal=sign_refusal(refusal, CHAIN, self.author.identity))

    async def stalls(self, _draw: Draw) -> CommitmentAnswer:
        await trio.sleep_forever()
        raise AssertionError

    async def fails(self, _draw: Draw) -> CommitmentAnswer:
        raise RequestRefused("statement_invalid")


class Bench:
    """A market that fills seats from a row of substitutes, and the panel that asks for it."""

    def __init__(self, stage, make_author, substitutes: int = 1) -> None:
        self.stage = stage
        people = [make_author(number) for number in (2, 3, 4, 5, 6)]
        self.validators = {
            one.identity.public_key: Validator(
                stage,
                one,
                stage.network if one.address == stage.author.address else stage.person(one),
            )
            for one in people
        }
        self.substitutes = [
            Seat(one.identity.public_key, one.address) for one in people[3 : 3 + substitutes]
        ]
        self.asked: list[RequestSeats] = []
        self.draw = stage.draw(stage.author)
        self.stored: list[Draw] = []
        self.fill = self._fill
        stage.person(stage.market).serve(RequestSeats, self._answer)
        self.seats = Seats(stage.network, stage.seat_gate(), self.draw, self._store)
        self.panel = Panel(
            network=stage.network,
            seats=self.seats,
            own_key=stage.author.identity.public_key,
            chain_id=CHAIN,
            now_ms=virtual_clock_ms,
        )

    async def _store(self, draw: Draw) -> None:
        self.stored.append(draw)

    async def _answer(self, sender, message: RequestSeats) -> SeatsAnswer:
        return await self.fill(sender, message)

    async def _fill(self, _sender, message: RequestSeats) -> SeatsAnswer:
        self.asked.append(message)
        gone = {one.key for one in message.passed}
        if len(self.substitutes) < len(gone):
            raise RequestRefused("no_candidates")
        left = [seat for seat in self.seats.draw.seats if seat.key not in gone]
        taken, self.substitutes = self.substitutes[: len(gone)], self.substitutes[len(gone) :]
        return SeatsAnswer(
            self.stage.draw(
                seats=(*left, *taken),
                redraw=message.redraw + 1,
                passed=(*self.seats.draw.passed, *message.passed),
                expires_ms=self.draw.expires_ms,
            )
        )

    def seat(self, place: int) -> Validator:
        return self.validators[self.draw.seats[place].key]

    def committed(self) -> JobCommitted:
        return JobCommitted(1, *self.stage.result(self.draw))


@pytest.fixture
async def stage(open_stage, make_author, autojump_clock):
    """The orchestrator is validator 2, with a seat of its own."""
    async with open_stage(make_author(2)) as opened:
        for one in opened.people.values():
            await opened.network.connect(f"/memory/{one.peer_id}")
        yield opened


@pytest.fixture
async def bench(stage, make_author) -> Bench:
    return Bench(stage, make_author)


def reasons(bench: Bench) -> list[list[str]]:
    return [[one.reason for one in asked.passed] for asked in bench.asked]


async def test_when_everybody_answers_there_is_one_round(bench, autojump_clock) -> None:
    promises = await bench.panel.promises(6)
    revealed = await bench.panel.reveals(promises, bench.committed())
    assert len(revealed.secrets) == len(promises.commitments) == 3
    assert (bench.asked, bench.stored, trio.current_time()) == ([], [], trio.current_time())
    assert revealed.draw == bench.draw


@pytest.mark.parametrize(
    ("conduct", "reason", "longest_s"),
    [
        ("refuses", "refused", 0.0),
        ("fails", "no_commitment", 0.0),
        ("stalls", "no_commitment", GRACE_S),
    ],
)
async def test_a_validator_that_does_not_promise_is_replaced(
    bench, autojump_clock, conduct: str, reason: str, longest_s: float
) -> None:
    bench.seat(2).promising = getattr(bench.seat(2), conduct)
    began = trio.current_time()
    promises = await bench.panel.promises(6)
    assert trio.current_time() - began <= longest_s + 0.01
    assert reasons(bench) == [[reason]]
    assert promises.draw == bench.seats.draw == bench.stored[-1]
    assert promises.draw.redraw == 1
    assert bench.draw.seats[2].key not in promises.commitments
    assert len(promises.commitments) == 3


async def test_a_refusal_that_is_not_signed_is_none(bench, autojump_clock) -> None:
    """An orchestrator could not prove it to anybody."""

    async def forged(draw: Draw) -> CommitmentAnswer:
        answer = await bench.seat(2).refuses(draw)
        refusal = msgspec.structs.replace(answer.refusal, epoch=9)
        return CommitmentAnswer(refusal=refusal)

    bench.seat(2).promising = forged
    await bench.panel.promises(6)
    assert reasons(bench) == [["no_commitment"]]


async def test_a_validator_that_does_not_reveal_is_replaced_and_the_result_stays(
    bench, autojump_clock
) -> None:
    """All promise anew under the later draw, and reveal for the same result."""
    bench.seat(1).silent = True
    promises = await bench.panel.promises(6)
    revealed = await bench.panel.reveals(promises, bench.committed())
    assert reasons(bench) == [["no_reveal"]]
    assert revealed.draw.redraw == 1
    assert {one.validator_key for one in revealed.secrets} == {
        seat.key for seat in revealed.draw.seats
    }
    assert all(one.secret[0] == 1 for one in revealed.secrets)  # of the later draw


async def test_with_nobody_to_replace_it_the_others_go_on(
    stage, make_author, autojump_clock
) -> None:
    bench = Bench(stage, make_author, substitutes=0)
    bench.seat(1).silent = True
    for _ in range(3):
        promises = await bench.panel.promises(6)
        revealed = await bench.panel.reveals(promises, bench.committed())
        assert (len(revealed.secrets), revealed.draw) == (2, bench.draw)
    assert len(bench.asked) == 1  # nobody is left: not asked again in this epoch


async def test_too_few(stage, make_author, autojump_clock) -> None:
    bench = Bench(stage, make_author, substitutes=0)
    for place in (1, 2):
        bench.seat(place).promising = bench.seat(place).stalls
    began = trio.current_time()
    with pytest.raises(TooFewValidators):
        await bench.panel.promises(6)
    assert trio.current_time() - began == pytest.approx(PROMISE_TIMEOUT_S)
    for place in (1, 2):
        bench.seat(place).promising = None
        bench.seat(place).silent = True
    promises = await bench.panel.promises(6)
    with pytest.raises(TooFewValidators):
        await bench.panel.reveals(promises, bench.committed())


async def test_the_orchestrators_own_seat_is_kept(bench, autojump_clock) -> None:
    """Whoever has no seat cannot orchestrate."""
    bench.seat(0).promising = bench.seat(0).refuses
    promises = await bench.panel.promises(6)
    assert (bench.asked, len(promises.commitments)) == ([], 2)


async def test_jobs_that_find_the_same_fault_have_it_mended_once(bench, autojump_clock) -> None:
    bench.seat(1).silent = True
    draws = []

    async def one(nonce: int) -> None:
        promises = await bench.panel.promises(nonce)
        committed = JobCommitted(1, *bench.stage.result(bench.draw, nonce))
        draws.append((await bench.panel.reveals(promises, committed)).draw.redraw)

    async with trio.open_nursery() as nursery:
        for nonce in (6, 7, 8):
            nursery.start_soon(one, nonce)
    assert draws == [1, 1, 1]
    assert len(bench.asked) == 1


@pytest.mark.parametrize("wrong", ["unsigned", "other epoch", "no seat for us", "no redraw"])
async def test_a_market_whose_new_draw_does_not_hold(bench, autojump_clock, wrong: str) -> None:
    """The old seats stay, and two of three do."""
    fill = bench.fill

    async def spoil(sender, message) -> SeatsAnswer:
        draw = (await fill(sender, message)).draw
        if wrong == "unsigned":
            return SeatsAnswer(msgspec.structs.replace(draw, signature=bytes(64)))
        changes = {
            "other epoch": {"epoch": 2},
            "no seat for us": {"seats": draw.seats[1:]},
            "no redraw": {"redraw": 0},
        }[wrong]
        fields = {name: getattr(draw, name) for name in ("redraw", "seats", "passed", "expires_ms")}
        return SeatsAnswer(bench.stage.draw(**{**fields, **changes}))

    bench.seat(2).promising = bench.seat(2).refuses
    bench.fill = spoil
    promises = await bench.panel.promises(6)
    assert promises.draw == bench.draw
    assert len(promises.commitments) == 2
    assert bench.stored == []


async def test_verdicts_of_others_do_not_count(bench, autojump_clock) -> None:
    revealed = await bench.panel.reveals(await bench.panel.promises(6), bench.committed())

    async def nonsense(_sender, _message) -> CommitmentAnswer:
        return CommitmentAnswer()

    for person in bench.stage.people.values():
        person.serve(RequestVerdict, nonsense)
    assert await bench.panel.verdicts(revealed, bench.committed(), None) == ()
