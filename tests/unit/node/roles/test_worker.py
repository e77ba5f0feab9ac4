"""A worker: whose jobs it takes, what it shows to whom, and what it leaves behind."""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256

import msgspec
import pytest
import trio

from gpu.errors import GpuError
from gpu.proofs.envelope import ProofSystem, decode
from node.offload import Inline
from node.roles.jobstore import FOLDER_NAME_LENGTH, JobRecord
from node.roles.orphans import ORPHANED_S
from node.roles.worker import KEEP_MS, SWEEP_PAUSE_S
from node.verification.challenge import commitment_of
from node.verification.draws import Pass, Seat
from node.wire.jobs import (
    OUTPUT_OF_JOB,
    PROOF_OF_JOB,
    SUPERSEDED,
    TRACE,
    Challenge,
    JobCommitted,
    JobFailed,
    LeaseJob,
    ReleaseJob,
    Secret,
    SecretCommitment,
)
from node.wire.presence import Ack
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms
from storage.memory import MemoryStore
from storage.tables import Table

CHAIN = "cpc-devnet-1"


class Crew:
    """A worker, its place to compute, and the orchestrator it works for."""

    def __init__(self, stage, place, make_author) -> None:
        self.stage, self.place = stage, place
        self.orchestrator = make_author(2)
        self.heard: list[JobCommitted | JobFailed] = []
        self.arrived = trio.Event()
        self.refusal: RequestRefused | None = None
        self.stalls = False
        self.draw = stage.draw()
        network = stage.person(self.orchestrator)
        network.serve(JobCommitted, self._hear)
        network.serve(JobFailed, self._hear)

    async def _hear(self, _sender: str, message: JobCommitted | JobFailed) -> Ack:
        self.heard.append(message)
        self.arrived.set()
        if self.stalls:
            await trio.sleep_forever()
        if self.refusal is not None:
            raise self.refusal
        return Ack()

    def lease(self, nonce: int = 6, lease_s: float = 10.0, **changes: object) -> LeaseJob:
        self.draw = changes.pop("draw", None) or self.stage.draw(**changes)
        return LeaseJob(self.draw, nonce, self.commitments(nonce), lease_s)

    def challenge(self, nonce: int = 6, draw=None, secrets=None) -> Challenge:
        """All secrets as promised, unless others are shown."""
        shown = self.secrets() if secrets is None else secrets
        return Challenge(draw or self.draw, nonce, self.commitments(nonce), shown)

    def secrets(self) -> tuple[Secret, ...]:
        keys = [one.identity.public_key for one in self.stage.validators]
        return tuple(Secret(key, key[::-1]) for key in keys)

    def commitments(self, nonce: int) -> tuple[SecretCommitment, ...]:
        task_id = self.stage.draw().task_id
        return tuple(
            SecretCommitment(one.validator_key, commitment_of(one.secret, CHAIN, task_id, nonce))
            for one in self.secrets()
        )

    async def take(self, message: LeaseJob, who=None):
        return (await self.stage.ask(who or self.orchestrator, message)).answer

    async def commit(self, message: LeaseJob) -> JobCommitted:
        assert (await self.take(message)).taken
        self.place.gate.set()
        await self.arrived.wait()
        return self.heard[-1]

    def records(self) -> list[JobRecord]:
        return [record for _, record in Table(self.stage.db, "jobs", JobRecord, version=2).items()]

    def folders(self) -> list[str]:
        return [one.name for one in self.stage.scratch.iterdir()]

    async def gone(self) -> None:
        while self.records() or self.folders():  # noqa: ASYNC110
            await trio.sleep(0.1)


@pytest.fixture
async def crew(open_stage, make_author, gated, autojump_clock):
    async with open_stage(make_author(5)) as stage:
        place = gated()
        crew = Crew(stage, place, make_author)
        await stage.run_worker(place)
        yield crew


async def test_from_lease_to_opening(crew, autojump_clock) -> None:
    committed = await crew.commit(crew.lease())
    task_id = committed.result.task_id
    opening = await crew.stage.ask(crew.orchestrator, crew.challenge())
    assert len(opening.trace) == 2
    assert opening.steps[-256:] == opening.outputs[0]
    await crew.stage.ask(crew.orchestrator, ReleaseJob(task_id, 6, accepted=True))
    assert crew.records() == []
    assert crew.folders() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lease_s": 0.0}, "length"),
        ({"lease_s": -1.0}, "length"),
        ({"lease_s": 1e9}, "length"),
        ({"lease_s": float("nan")}, "length"),
        ({"nonce": 5}, "superseded"),
        ({"nonce": 11}, "superseded"),
        ({"parameters": b"x"}, "canonical"),
        ({"kind": "training"}, "training"),
        ({"expires_ms": 1}, "over"),
    ],
)
async def test_a_lease_that_is_refused(crew, autojump_clock, changes, reason: str) -> None:
    answer = await crew.take(crew.lease(**changes))
    assert not answer.taken
    assert reason in answer.reason
    assert crew.records() == []


async def test_only_the_first_seat_leases(crew, make_author, autojump_clock) -> None:
    for who in (make_author(1), make_author(3), make_author(6)):
        assert not (await crew.take(crew.lease(), who)).taken
    assert not crew.place.started.is_set()


async def test_a_repeated_lease_is_one_job(crew, autojump_clock) -> None:
    lease = crew.lease()
    for _ in range(3):
        assert (await crew.take(lease)).taken
    crew.place.gate.set()
    await crew.arrived.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert len(crew.heard) == 1


async def test_an_attempt_cannot_be_taken_over(crew, make_author, autojump_clock) -> None:
    """Another market, another orchestrator, and other promises for the same attempt."""
    assert (await crew.take(crew.lease())).taken
    rival = make_author(6)
    others = crew.lease(draw=crew.stage.draw(rival, by=rival))
    assert not (await crew.take(others, rival)).taken
    changed = msgspec.structs.replace(crew.lease(), commitments=())
    assert not (await crew.take(changed)).taken
    assert [record.orchestrator for record in crew.records()] == [
        crew.orchestrator.identity.peer_id
    ]


async def test_nothing_is_opened_before_the_result_is_fixed(crew, autojump_clock) -> None:
    await crew.take(crew.lease())
    with pytest.raises(RequestRefused) as refused:
        await crew.stage.ask(crew.orchestrator, crew.challenge())
    assert refused.value.code == "missing"


async def test_nothing_is_opened_to_strangers_or_for_other_secrets(
    crew, make_author, autojump_clock
) -> None:
    task_id = (await crew.commit(crew.lease())).result.task_id
    secrets = crew.secrets()
    wrong = (Secret(secrets[0].validator_key, bytes(32)), *secrets[1:])
    unknown = (*secrets, Secret(bytes(32), bytes(32)))
    for who, shown in (
        (make_author(6), secrets),
        (make_author(1), secrets),
        (crew.orchestrator, wrong),
        (crew.orchestrator, unknown),
        (crew.orchestrator, secrets[:1]),
        (crew.orchestrator, ()),
    ):
        with pytest.raises(RequestRefused):
            await crew.stage.ask(who, crew.challenge(secrets=shown))
    for name, argument in ((TRACE, (task_id, 6)), (OUTPUT_OF_JOB, (task_id, 6, 0))):
        data = await fetch(crew, make_author(3), name, argument)
        assert len(data) in (256, 512)
        with pytest.raises(RequestRefused):
            await fetch(crew, make_author(6), name, argument)


@pytest.mark.parametrize(
    "argument", [(), ("task",), ("task", "x"), ("task", -1), ("task", 6, 9), b"", 7, None]
)
async def test_hostile_bulk_arguments(crew, make_author, autojump_clock, argument) -> None:
    await crew.commit(crew.lease())
    for name in (TRACE, OUTPUT_OF_JOB, PROOF_OF_JOB):
        with pytest.raises(RequestRefused) as refused:
            await fetch(crew, make_author(3), name, argument)
        assert refused.value.code in ("argument", "missing")


@pytest.mark.parametrize(("steps", "inline"), [(227, True), (228, False)])
async def test_a_proven_result_is_shown_without_steps(
    crew, make_author, parameters, autojump_clock, steps: int, inline: bool
) -> None:
    """The output to all seats, and the proof unless the result has it itself."""
    message = await crew.commit(crew.lease(parameters=parameters(2, steps, proof=True)))
    envelope = decode(bytes.fromhex(message.result.proof))
    assert envelope.system is ProofSystem.CHAIN241
    opening = await crew.stage.ask(crew.orchestrator, crew.challenge())
    assert (opening.trace, opening.steps, len(opening.outputs[0])) == ((), b"", 4)
    argument = (message.result.task_id, 6)
    if inline:
        assert (len(envelope.payload), opening.proof) == (144 * steps, b"")
        with pytest.raises(RequestRefused):
            await fetch(crew, make_author(3), PROOF_OF_JOB, argument)
        return
    assert sha256(opening.proof).digest() == envelope.payload
    assert await fetch(crew, make_author(3), PROOF_OF_JOB, argument) == opening.proof
    with pytest.raises(RequestRefused):
        await fetch(crew, make_author(6), PROOF_OF_JOB, argument)
    with pytest.raises(RequestRefused) as refused:
        await fetch(crew, make_author(3), TRACE, argument)
    assert refused.value.code == "missing"


async def fetch(crew, who, name: str, argument: object) -> bytes:
    data = bytearray()

    async def sink(chunk: bytes) -> None:
        data.extend(chunk)

    peer_id = crew.stage.network.peer_id
    await crew.stage.person(who).fetch(
        peer_id, name, msgspec.msgpack.encode(argument), sink, max_bytes=10**6, timeout_s=5
    )
    return bytes(data)


async def test_releasing_stops_what_runs(crew, make_author, autojump_clock) -> None:
    draw = crew.stage.draw()
    await crew.take(crew.lease(draw=draw))
    await crew.place.started.wait()
    release = ReleaseJob(draw.task_id, 6, accepted=False)
    await crew.stage.ask(make_author(3), release)
    assert not crew.place.stopped.is_set()
    await crew.stage.ask(crew.orchestrator, release)
    await crew.place.stopped.wait()
    await crew.gone()
    assert crew.heard == []


class Interrupted(Inline):
    """Blocking work during which something else happens."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, function):
        result = await super().__call__(function)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            with trio.CancelScope(shield=True):  # as a thread, which nothing stops
                await happens()
        return result


async def test_releasing_at_the_last_moment_brings_nothing_back(
    open_stage, make_author, gated, autojump_clock
) -> None:
    """The release comes when the run has just ended: its record must not be written again."""
    async with open_stage(make_author(5)) as stage:
        crew, offload = Crew(stage, gated(), make_author), Interrupted()
        await stage.run_worker(crew.place, offload=offload)
        await crew.take(crew.lease())
        await crew.place.started.wait()
        release = ReleaseJob(stage.draw().task_id, 6, accepted=False)
        offload.meanwhile = partial(stage.ask, crew.orchestrator, release)
        crew.place.gate.set()
        await crew.gone()
        assert offload.meanwhile is None
        assert crew.heard == []


async def test_a_job_released_in_the_queue_never_runs(crew, autojump_clock) -> None:
    await crew.take(crew.lease(6))
    await crew.take(crew.lease(7))
    await crew.place.started.wait()
    task_id = crew.stage.draw().task_id
    await crew.stage.ask(crew.orchestrator, ReleaseJob(task_id, 7, accepted=False))
    committed = await crew.commit(crew.lease(6))
    assert committed.result.nonce == 6
    await crew.stage.ask(crew.orchestrator, ReleaseJob(task_id, 6, accepted=True))
    await trio.testing.wait_all_tasks_blocked()
    assert len(crew.heard) == 1
    await crew.gone()


async def test_a_full_queue_is_busy(crew, autojump_clock) -> None:
    answers = []
    for number in range(12):
        lease = crew.lease(task_id=f"task-{number}")
        answers.append(await crew.take(lease))
    refused = [answer.reason for answer in answers if not answer.taken]
    assert refused == ["busy"] * 3
    assert len(crew.records()) == 9


async def test_a_job_that_could_not_begin_in_time_is_busy(crew, parameters, autojump_clock) -> None:
    """Of three large jobs, each as long as its lease, the others go to somebody else."""
    large = parameters(2048, 16)  # 14 s on a slow core
    answers = []
    for number in range(3):
        lease = crew.lease(lease_s=20.0, task_id=f"task-{number}", parameters=large)
        answers.append(await crew.take(lease))
    assert [answer.taken for answer in answers] == [True, False, False]
    assert {answer.reason for answer in answers[1:]} == {"busy"}
    assert (await crew.take(crew.lease(lease_s=60.0, task_id="patient"))).taken
    crew.place.failure = GpuError("stopped")
    crew.place.gate.set()
    await crew.gone()
    assert (await crew.take(crew.lease(lease_s=20.0, task_id="task-1", parameters=large))).taken


async def test_waiting_in_the_queue_is_part_of_the_lease(crew, autojump_clock) -> None:
    await crew.take(crew.lease(lease_s=10.0, task_id="first"))
    await crew.take(crew.lease(lease_s=4.0, task_id="second"))
    await crew.place.started.wait()
    crew.place.started = trio.Event()
    await trio.sleep(5)
    crew.place.gate.set()
    await crew.arrived.wait()
    crew.arrived = trio.Event()
    await crew.arrived.wait()
    outcomes = {type(one) for one in crew.heard}
    assert outcomes == {JobCommitted, JobFailed}
    failed = next(one for one in crew.heard if isinstance(one, JobFailed))
    assert (failed.task_id, failed.reason) == ("second", "the lease ran out")


async def test_a_lease_is_over_with_its_draw(crew, autojump_clock) -> None:
    draw = crew.stage.draw(expires_ms=virtual_clock_ms() + 3_000)
    await crew.take(crew.lease(draw=draw))
    began = trio.current_time()
    await crew.place.stopped.wait()
    assert trio.current_time() - began < 3.5
    await crew.gone()


@pytest.mark.parametrize(
    ("away_s", "dropped"), [(ORPHANED_S - 0.5, False), (ORPHANED_S + 0.5, True)]
)
async def test_a_job_whose_orchestrator_is_gone_is_dropped(
    crew, autojump_clock, away_s: float, dropped: bool
) -> None:
    """Nobody would take its result: an orchestrator that comes back begins another attempt."""
    await crew.take(crew.lease(6))
    await crew.take(crew.lease(7))
    await crew.place.started.wait()
    worker, gone = crew.stage.network.peer_id, crew.orchestrator.identity.peer_id
    crew.stage.hub.partition(worker, gone)
    await trio.sleep(away_s)
    crew.stage.hub.heal(worker, gone)
    await trio.testing.wait_all_tasks_blocked()
    assert crew.place.stopped.is_set() == dropped
    assert crew.records() == [] if dropped else len(crew.records()) == 2
    if dropped:
        await crew.gone()


async def test_what_is_committed_stays_when_the_orchestrator_is_gone(crew, autojump_clock) -> None:
    """The other validators may just be checking it."""
    await crew.commit(crew.lease())
    worker, gone = crew.stage.network.peer_id, crew.orchestrator.identity.peer_id
    crew.stage.hub.partition(worker, gone)
    await trio.sleep(2 * ORPHANED_S)
    assert len(crew.records()) == 1


async def test_a_slow_orchestrator_keeps_no_slot_waiting(crew, autojump_clock) -> None:
    """The next job begins while the first one's orchestrator has not answered yet."""
    crew.stalls = True
    await crew.take(crew.lease(6))
    await crew.take(crew.lease(7))
    crew.place.gate.set()
    began = trio.current_time()
    while len(crew.heard) < 2:  # noqa: ASYNC110
        await trio.sleep(0.1)
    assert trio.current_time() - began < 1


def redrawn(crew, make_author, **changes: object):
    """The same task's next draw, with a stranger in the place of validator 4."""
    new = Seat(make_author(6).identity.public_key, make_author(6).address)
    passed = Pass(1, crew.draw.seats[2].key, "check", "no_reveal", virtual_clock_ms())
    fields = {
        "redraw": 1,
        "seats": (*crew.draw.seats[:2], new),
        "passed": (passed,),
        "expires_ms": crew.draw.expires_ms,
    }
    return crew.stage.draw(**{**fields, **changes})


def newcomers(crew, make_author) -> tuple[Secret, ...]:
    """Secrets of those in the new draw."""
    key = make_author(6).identity.public_key
    return (*crew.secrets()[:2], Secret(key, key[::-1]))


def promised(secrets, draw) -> tuple[SecretCommitment, ...]:
    return tuple(
        SecretCommitment(one.validator_key, commitment_of(one.secret, CHAIN, draw.task_id, 6))
        for one in secrets
    )


async def test_whoever_is_seated_by_a_later_draw_is_opened_to(
    crew, make_author, autojump_clock
) -> None:
    """A validator that did not reveal was replaced while the result stayed as it was."""
    await crew.commit(crew.lease())
    later, secrets = redrawn(crew, make_author), newcomers(crew, make_author)
    newcomer, stranger = make_author(6), make_author(1)
    challenge = Challenge(later, 6, promised(secrets, later), secrets)
    with pytest.raises(RequestRefused):
        await fetch(crew, newcomer, TRACE, (later.task_id, 6))
    for who in (newcomer, crew.orchestrator, make_author(3)):
        assert len((await crew.stage.ask(who, challenge)).trace) == 2
    with pytest.raises(RequestRefused):
        await crew.stage.ask(stranger, challenge)
    assert len(await fetch(crew, newcomer, TRACE, (later.task_id, 6))) == 512
    assert crew.records()[0].draw == later
    with pytest.raises(RequestRefused) as refused:  # the first draw's time is over
        await crew.stage.ask(crew.orchestrator, crew.challenge())
    assert refused.value.code == SUPERSEDED


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 2},
        {"expires_ms": 1_900_000_000_000},
        {"parameters": b"x"},
        {"needed": 1},
        {"redraw": 0},
        {"by": 6},
    ],
)
async def test_a_draw_that_is_no_later_one_opens_nothing(
    crew, make_author, autojump_clock, changes
) -> None:
    await crew.commit(crew.lease())
    if "by" in changes:
        changes = {"by": make_author(changes["by"])}
    other, secrets = redrawn(crew, make_author, **changes), newcomers(crew, make_author)
    challenge = Challenge(other, 6, promised(secrets, other), secrets)
    with pytest.raises(RequestRefused):
        await crew.stage.ask(make_author(6), challenge)
    assert crew.records()[0].draw == crew.draw
    unsigned = msgspec.structs.replace(redrawn(crew, make_author), signature=bytes(64))
    forged = Challenge(unsigned, 6, promised(secrets, unsigned), secrets)
    with pytest.raises(RequestRefused):
        await crew.stage.ask(make_author(6), forged)


async def test_an_orchestrator_cannot_lock_the_others_out(
    crew, make_author, autojump_clock
) -> None:
    """It leases with promises that nobody made, so that the true ones look wrong."""
    lease = crew.lease()
    false = tuple(SecretCommitment(one.validator_key, bytes(32)) for one in lease.commitments)
    await crew.commit(msgspec.structs.replace(lease, commitments=false))
    assert len((await crew.stage.ask(make_author(3), crew.challenge())).trace) == 2


async def test_a_run_that_fails_or_takes_too_long_is_told_and_forgotten(
    crew, autojump_clock
) -> None:
    crew.place.failure = GpuError("x" * 5000)
    failed = await crew.commit(crew.lease())
    assert isinstance(failed, JobFailed)
    assert len(failed.reason) == 500
    await crew.gone()
    crew.arrived = trio.Event()
    crew.place.gate = trio.Event()
    await crew.take(crew.lease(7, lease_s=3.0))
    await crew.arrived.wait()
    assert crew.place.stopped.is_set()
    assert "ran out" in crew.heard[-1].reason
    await crew.gone()


async def test_a_result_that_nobody_waits_for_is_forgotten(crew, autojump_clock) -> None:
    crew.refusal = RequestRefused(SUPERSEDED, "nobody waits")
    await crew.commit(crew.lease())
    await crew.gone()


@pytest.mark.parametrize("code", ["busy", "internal", "unknown", "answered"])
async def test_any_other_refusal_of_a_result_changes_nothing(
    crew, autojump_clock, code: str
) -> None:
    crew.refusal = RequestRefused(code)
    await crew.commit(crew.lease())
    await trio.testing.wait_all_tasks_blocked()
    assert crew.records()[0].committed is not None


async def test_what_was_never_released_goes_some_time_after_its_draw(crew, autojump_clock) -> None:
    await crew.commit(crew.lease())
    await trio.sleep(20 + KEEP_MS / 1000 - 1)
    assert len(crew.records()) == 1
    await trio.sleep(SWEEP_PAUSE_S + 2)
    assert crew.records() == []
    assert crew.folders() == []


async def test_after_a_crash(open_stage, make_author, gated, autojump_clock) -> None:
    """What was half done is given up, what was committed can be opened, the rest is swept."""
    store, orchestrator = MemoryStore(), make_author(2)
    async with open_stage(make_author(5), store=store) as stage:
        crew = Crew(stage, gated(), make_author)
        await stage.run_worker(crew.place)
        await crew.commit(crew.lease(6))
        draw = crew.draw
        crew.place.gate = trio.Event()
        await crew.take(crew.lease(7))
        orphan = stage.scratch / ("f" * FOLDER_NAME_LENGTH)
        orphan.mkdir()
        (stage.scratch / "kept").mkdir()
    async with open_stage(make_author(5), store=store) as stage:
        crew = Crew(stage, gated(), make_author)
        await stage.run_worker(crew.place)
        await crew.arrived.wait()
        assert crew.heard[0].reason == "the worker restarted"
        assert [record.nonce for record in crew.records()] == [6]
        assert sorted(map(len, crew.folders())) == [len("kept"), FOLDER_NAME_LENGTH]
        challenge = crew.challenge(draw=draw)
        opening = await stage.ask(orchestrator, challenge)
        assert len(opening.trace) == 2
