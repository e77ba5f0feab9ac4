"""A worker: whose jobs it takes, what it shows to whom, and what it leaves behind."""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest
import trio

from gpu.errors import GpuError
from node.offload import Inline
from node.roles.worker import FOLDER_NAME_LENGTH, KEEP_MS, SWEEP_PAUSE_S, JobRecord
from node.verification.challenge import commitment_of
from node.wire.jobs import (
    OUTPUT_OF_JOB,
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
        network = stage.person(self.orchestrator)
        network.serve(JobCommitted, self._hear)
        network.serve(JobFailed, self._hear)

    async def _hear(self, _sender: str, message: JobCommitted | JobFailed) -> Ack:
        self.heard.append(message)
        self.arrived.set()
        if self.refusal is not None:
            raise self.refusal
        return Ack()

    def lease(self, nonce: int = 6, lease_s: float = 10.0, **changes: object) -> LeaseJob:
        draw = changes.pop("draw", None) or self.stage.draw(**changes)
        return LeaseJob(draw, nonce, self.commitments(nonce), lease_s)

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
        return [record for _, record in Table(self.stage.db, "jobs", JobRecord).items()]

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
    challenge = Challenge(task_id, 6, crew.secrets())
    opening = await crew.stage.ask(crew.orchestrator, challenge)
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
    challenge = Challenge(crew.stage.draw().task_id, 6, crew.secrets())
    with pytest.raises(RequestRefused) as refused:
        await crew.stage.ask(crew.orchestrator, challenge)
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
            await crew.stage.ask(who, Challenge(task_id, 6, shown))
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
    for name in (TRACE, OUTPUT_OF_JOB):
        with pytest.raises(RequestRefused) as refused:
            await fetch(crew, make_author(3), name, argument)
        assert refused.value.code in ("argument", "missing")


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
        lease = crew.lease(draw=crew.stage.draw(task_id=f"task-{number}"))
        answers.append(await crew.take(lease))
    refused = [answer.reason for answer in answers if not answer.taken]
    assert refused == ["busy"] * 3
    assert len(crew.records()) == 9


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
        done = await crew.commit(crew.lease(6))
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
        challenge = Challenge(done.result.task_id, 6, crew.secrets())
        opening = await stage.ask(orchestrator, challenge)
        assert len(opening.trace) == 2
