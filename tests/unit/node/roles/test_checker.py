"""A validator's seat: what it says to whom, and what it keeps."""

import msgspec
import nacl.bindings
import pytest
import trio

from gpu.cpu import CpuBackend
from gpu.errors import GpuError
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext
from node.roles import checker as module
from node.roles.evidence import OPEN_TIMEOUT_S
from node.roles.results import manifest_of, signed_result
from node.roles.reveals import KEEP_REVEALS_MS, RevealRecord
from node.verification.challenge import commitment_of
from node.verification.draws import Pass, check_pass
from node.wire.checks import RequestCommitment, RequestReveal, RequestVerdict
from node.wire.jobs import Challenge, Opening, Secret, SecretCommitment
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms
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


async def test_a_full_validator_refuses_in_signed_words(
    stage, make_author, monkeypatch, autojump_clock
) -> None:
    monkeypatch.setattr(module, "MAX_CHECKS", 0)
    draw = stage.draw()
    answer = await stage.ask(make_author(2), RequestCommitment(draw, 6))
    assert answer.commitment is None
    key = stage.author.identity.public_key
    passed = Pass(1, key, "check", "refused", virtual_clock_ms(), answer.refusal)
    check_pass(passed, draw.task_id, CHAIN)
    assert answer.refusal.reason == "busy"


async def test_a_draw_whose_seats_do_not_follow(stage, make_author, autojump_clock) -> None:
    honest = stage.draw()
    chosen = stage.draw(make_author(2), seats=honest.seats[:2], snapshot=honest.snapshot)
    code = await refused(stage, make_author(2), RequestCommitment(chosen, 6))
    assert code == "statement_invalid"


class Evidence:
    """An honest run of the task by the stage's worker, and the secrets of everybody."""

    def __init__(self, stage, draw, folder) -> None:
        self.stage, self.draw, self.nonce = stage, draw, 6
        workload = WORKLOADS["synthetic"]
        job = JobContext(CHAIN, draw.task_id, stage.worker.address, self.nonce)
        folder.mkdir()
        report = workload.run(
            job, workload.from_canonical(draw.parameters), CpuBackend(), folder, lambda _: None
        )
        self.manifest = manifest_of(draw, folder, report)
        self.result = signed_result(draw, self.nonce, self.manifest, stage.worker)
        self.trace, self.steps = report.trace, (folder / "trace.bin").read_bytes()
        self.asked = 0

    async def request(self, trace=None, steps=None, **changes: object) -> RequestVerdict:
        orchestrator = self.stage.validators[0]
        reveal = RequestReveal(self.draw, self.result, self.manifest)
        own = (await self.stage.ask(orchestrator, reveal)).secret
        promise = RequestCommitment(self.draw, self.nonce)
        promised = (await self.stage.ask(orchestrator, promise)).commitment
        fields = {
            "draw": self.draw,
            "result": self.result,
            "manifest": self.manifest,
            "commitments": (promised,),
            "secrets": (own,),
            "trace": self.trace if trace is None else trace,
            "steps": self.steps if steps is None else steps,
        }
        return RequestVerdict(**{**fields, **changes})

    async def found(self, request: RequestVerdict) -> str:
        answer = await self.stage.ask(self.stage.validators[0], request, timeout_s=60)
        assert (answer.verdict.nonce, answer.verdict.epoch) == (6, 1)
        return answer.verdict.finding

    def worker_opens(self, trace=None, steps=None, refusal: str = "") -> None:
        """What the worker itself shows when it is asked."""

        async def answer(_sender, _message) -> Opening:
            self.asked += 1
            if refusal == "silence":
                await trio.sleep_forever()
            if refusal:
                raise RequestRefused(refusal)
            return Opening(trace or self.trace, self.steps if steps is None else steps)

        self.stage.person(self.stage.worker).serve(Challenge, answer)


@pytest.fixture
async def evidence(stage, tmp_path) -> Evidence:
    return Evidence(stage, stage.draw(), tmp_path / "run")


WRONG = (bytes(32),) * 2


async def test_what_the_orchestrator_passes_on_is_enough(evidence, autojump_clock) -> None:
    assert await evidence.found(await evidence.request()) == "valid"
    assert evidence.asked == 0


@pytest.mark.parametrize(
    ("trace", "steps"), [((), b""), (WRONG, b""), (None, b"wrong"), (None, b"\0" * 512), ((), b"x")]
)
async def test_an_orchestrator_cannot_make_a_worker_look_bad(
    evidence, autojump_clock, trace, steps
) -> None:
    """Whatever it leaves out or changes, the worker itself is asked and opens."""
    evidence.worker_opens()
    assert await evidence.found(await evidence.request(trace=trace, steps=steps)) == "valid"
    assert evidence.asked == 1


@pytest.mark.parametrize(
    ("shown", "finding"),
    [
        ({"refusal": "silence"}, "withheld"),
        ({"refusal": "missing"}, "withheld"),
        ({"trace": WRONG}, "withheld"),
        ({"steps": b"\0" * 512}, "withheld"),
        ({"steps": b"short"}, "withheld"),
    ],
)
async def test_a_worker_that_does_not_open_withholds(
    evidence, autojump_clock, shown, finding: str
) -> None:
    evidence.worker_opens(**shown)
    began = trio.current_time()
    assert await evidence.found(await evidence.request(trace=())) == finding
    assert trio.current_time() - began <= OPEN_TIMEOUT_S + 1


async def test_a_worker_that_is_away_may_come_back(evidence, autojump_clock) -> None:
    evidence.worker_opens()
    hub, worker = evidence.stage.hub, evidence.stage.worker.identity.peer_id
    request = await evidence.request(trace=())
    hub.partition(evidence.stage.network.peer_id, worker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heal_after, evidence.stage, worker, OPEN_TIMEOUT_S / 2)
        assert await evidence.found(request) == "valid"
    hub.partition(evidence.stage.network.peer_id, worker)
    assert await evidence.found(request) == "withheld"


async def heal_after(stage, worker: str, after_s: float) -> None:
    await trio.sleep(after_s)
    stage.hub.heal(stage.network.peer_id, worker)
    await stage.network.connect(f"/memory/{worker}")


async def test_committed_steps_that_are_wrong_are_invalid(evidence, autojump_clock) -> None:
    """Nobody needs to be asked: they are what the worker signed."""
    manifest = msgspec.structs.replace(evidence.manifest, digest=bytes(32))
    evidence.manifest = manifest
    evidence.result = signed_result(evidence.draw, 6, manifest, evidence.stage.worker)
    assert await evidence.found(await evidence.request()) == "invalid"
    assert evidence.asked == 0


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError(), GpuError("kernels")])
async def test_the_validators_own_trouble_is_nobodys_fault(
    stage, evidence, autojump_clock, error, monkeypatch
) -> None:
    def fail(*_args):
        raise error

    monkeypatch.setattr(WORKLOADS["synthetic"], "check", fail, raising=False)
    assert await evidence.found(await evidence.request()) == "inconclusive"


async def test_signatures_that_a_validator_verifies_for_one_attempt(
    stage, evidence, monkeypatch, autojump_clock
) -> None:
    """The draw, its snapshot, the worker's result: each once, whatever it is asked how often."""
    verified: list[bytes] = []
    check = nacl.bindings.crypto_sign_open

    def count(signed: bytes, key: bytes) -> bytes:
        verified.append(signed)
        return check(signed, key)

    monkeypatch.setattr(nacl.bindings, "crypto_sign_open", count)
    for _ in range(3):
        assert await evidence.found(await evidence.request()) == "valid"
    tags = ("tmnode/draw", "tmnode/snapshot", "tmnode/compute-result")
    counts = [sum(tag.encode() in one[:110] for one in verified) for tag in tags]
    assert counts == [1, 1, 1]
