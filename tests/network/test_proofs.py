"""Results that are proven: bought, computed, verified by the quorum, paid, and shown offline."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import trio

from gpu.cpu import CpuBackend
from gpu.proofs.envelope import PayloadKind, ProofSystem, decode
from gpu.workloads import WORKLOADS
from gpu.workloads.synthetic.key import chain_key, out_digest
from node.market.earlier import EarlierBook
from node.roles.evidence import OPEN_TIMEOUT_S
from node.verification.onchain import MarketProfile
from node.verification.receipt import ReceiptInvalid, decode_receipt
from node.verification.receipt_check import Standing, verify_receipt
from node.verification.receipt_proofs import verify_proofs
from node.wire.checks import RequestVerdict
from node.wire.jobs import OUTPUT_OF_JOB, PROOF_OF_JOB, Challenge, LeaseJob
from node.wire.leases import ReportResult
from node.workloads import bounds_of, size_of
from p2p.network import BulkSource

CHAIN = "cpc-devnet-1"
SIZE, STEPS = 16, 9
INLINE = {"max_trace_bytes": 8 * SIZE * SIZE}
"""Below the iterates of nine steps: those are proven, in 3,888 bytes."""
LONG = 76
"""Steps whose proof goes by digest, being of 32,832 bytes."""


@pytest.fixture
async def lowered(open_world, tmp_path, autojump_clock):
    """A world in which little is opened and more is proven."""
    with trio.fail_after(3600):
        async with open_world(tmp_path, **INLINE) as world:
            yield world


def proof_of(world) -> tuple[PayloadKind, int]:
    """Where the proof of the only completed task is, and its bytes."""
    [judgement] = world.judgements()
    envelope = decode(bytes.fromhex(judgement.result.proof))
    assert envelope.system is ProofSystem.CHAIN241
    return envelope.kind, size_of("synthetic", judgement.draw.parameters).proof_bytes


def artifacts_of(world) -> Callable[[bytes, int], bytes | None]:
    """What a customer fetched from the market."""
    folder = world.members["market"].folder / "artifacts"

    def find(sha256: bytes, size: int) -> bytes | None:
        path: Path = folder / sha256.hex()
        return path.read_bytes() if path.exists() and path.stat().st_size == size else None

    return find


def proven(world, task_id: str) -> int:
    """How many proofs of the task's receipt hold offline."""
    data = world.market.receipt(task_id)
    receipt, standing = verify_receipt(data, world.network)
    assert standing is Standing.ANCHORED
    assert decode_receipt(data) == receipt
    return verify_proofs(receipt, artifacts_of(world), bounds_of(world.network.protocol))


@pytest.mark.parametrize(
    ("steps", "kind"), [(STEPS, PayloadKind.INLINE), (LONG, PayloadKind.DIGEST)]
)
async def test_what_is_too_large_to_be_opened_is_proven_and_paid(
    lowered, check_money, autojump_clock, steps: int, kind: PayloadKind
) -> None:
    world = lowered
    task = await world.buy(size=SIZE, iterations=steps)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1), done
    assert len(done.result.validators) == 3
    assert proof_of(world) == (kind, 432 * steps)
    [proof] = done.result.proofs
    assert (proof.job, proof.system, proof.size) == (0, "chain241", 432 * steps)
    assert bool(proof.sha256) is (kind is PayloadKind.DIGEST)
    if proof.sha256:
        assert world.market.artifact(proof.sha256).stat().st_size == 432 * steps
    assert proven(world, task.task_id) == 1
    await world.holds(lambda: not world.leftovers())
    assert world.artifacts(world.members["market"]) == 1 + bool(proof.sha256)
    await check_money(world)


async def test_no_byte_of_a_proven_receipt_can_be_changed(lowered, autojump_clock) -> None:
    """Every 61st, and more of the proof; what does not hold is named."""
    task = await lowered.buy(size=SIZE, iterations=STEPS)
    await lowered.until(task.task_id, "settled")
    data = lowered.market.receipt(task.task_id)
    proof = data.index(b'"proof":"43505246')
    assert proven(lowered, task.task_id) == 1
    for index in {*range(0, len(data), 61), *range(proof, proof + 9000, 23)}:
        other = b"1" if data[index : index + 1] != b"1" else b"2"
        changed = data[:index] + other + data[index + 1 :]
        with pytest.raises(ReceiptInvalid) as caught:
            verify_receipt(changed, lowered.network)
        assert caught.value.field


async def test_below_the_cap_steps_are_opened(lowered, check_money, autojump_clock) -> None:
    task = await lowered.buy(size=SIZE, iterations=STEPS - 1)
    done = await lowered.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    [judgement] = lowered.judgements()
    assert decode(bytes.fromhex(judgement.result.proof)).system is ProofSystem.ATTESTED
    assert done.result.proofs == ()
    assert proven(lowered, task.task_id) == 0
    await check_money(lowered)


async def test_a_proof_that_is_asked_for(world, check_money, autojump_clock) -> None:
    """Of several jobs: one proof each, all in one receipt."""
    payload = {"seed": "s", "matrix_size": 16, "iterations": 2, "chains": 3, "proof": True}
    task = await world.buy(payload=payload)
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled", done
    assert [one.job for one in done.result.proofs] == [0, 1, 2]
    assert proven(world, task.task_id) == 3
    await check_money(world)


async def test_on_a_chain_that_checks_results(
    open_world, tmp_path, check_money, autojump_clock
) -> None:
    """The market profile takes the batches of proven and of opened results alike."""
    async with open_world(tmp_path, profile=MarketProfile(CHAIN), **INLINE) as world:
        for steps in (STEPS, 2):
            task = await world.buy(size=SIZE, iterations=steps)
            done = await world.until(task.task_id, "settled", "refunded")
            assert done.phase == "settled", done
            assert proven(world, task.task_id) == (steps == STEPS)
        await check_money(world)


async def test_what_does_not_fit_a_message_is_fetched(lowered, check_money, autojump_clock) -> None:
    """An output of 400 KiB, and a proof of 262,144 bytes and more: in bulk, by everybody."""
    payload = {"seed": "s", "matrix_size": 640, "iterations": 2, "proof": True}
    task = await lowered.buy(payload=payload)
    done = await lowered.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled", done
    assert proven(lowered, task.task_id) == 1
    task = await lowered.buy(size=SIZE, iterations=607)
    done = await lowered.until(task.task_id, "settled", "refunded")
    assert done.result.proofs[0].size > 262_144
    assert proven(lowered, task.task_id) == 1
    await lowered.holds(lambda: not lowered.leftovers())
    await check_money(lowered)


@pytest.mark.parametrize("message_type", [Challenge, RequestVerdict, ReportResult])
async def test_its_orchestrator_dies_and_comes_back(
    lowered, check_money, autojump_clock, message_type
) -> None:
    """The proof that it fetched for the market is there, or is fetched once more."""
    reached = trio.Event()

    async def stop(_peer, message):
        if not reached.is_set():
            reached.set()
            await trio.sleep_forever()
        return message

    for member in lowered.team("validator"):
        member.sends[message_type] = stop
    task = await lowered.buy(size=SIZE, iterations=LONG)
    await reached.wait()
    await lowered.restart(lowered.named(lowered.record(task.task_id).orchestrator))
    done = await lowered.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert proven(lowered, task.task_id) == 1
    await lowered.holds(lambda: not lowered.leftovers())
    await check_money(lowered)


def rerun(run, **changes: object):
    """The honest work of another statement, under this one."""
    job = msgspec.structs.replace(run.job, **changes)
    workload = WORKLOADS["synthetic"]
    return workload.run(job, run.parameters, CpuBackend(), run.folder, lambda _: None)


def proof_of_another(run):
    """The right output, and a proof of the same work for another task."""
    matrix = (run.folder / "matrix").read_bytes()
    rerun(run, task_id="550e8400-e29b-41d4-a716-446655440000")
    (run.folder / "matrix").write_bytes(matrix)
    return run.report


def changed_byte(run):
    data = bytearray((run.folder / "proof").read_bytes())
    data[len(data) // 2] = (data[len(data) // 2] + 1) % 241
    (run.folder / "proof").write_bytes(data)
    return run.report


def no_residue(run):
    data = bytearray((run.folder / "proof").read_bytes())
    data[0] = 255
    (run.folder / "proof").write_bytes(data)
    return run.report


def wrong_output(run):
    """A result that is consistent in itself, with the best proof there is for it."""
    data = bytearray((run.folder / "matrix").read_bytes())
    data[7] = (data[7] + 1) % 241
    (run.folder / "matrix").write_bytes(data)
    digest = sha256(data).digest()
    [output] = run.report.outputs
    return msgspec.structs.replace(
        run.report,
        outputs=(msgspec.structs.replace(output, sha256=digest),),
        digest=out_digest(chain_key(run.job, run.parameters), run.parameters, digest),
    )


def other_digest(run):
    return msgspec.structs.replace(run.report, digest=bytes(32))


LIES = {
    "another task": proof_of_another,
    "changed byte": changed_byte,
    "no residue": no_residue,
    "wrong output": wrong_output,
    "other digest": other_digest,
    "another worker": lambda run: rerun(run, worker="cpc1nzkar09gyp7t3r0rdrfezeld922fqlfs97cdfd"),
    "another attempt": lambda run: rerun(run, nonce=run.job.nonce + 1),
}


async def done_by_the_other(world, steps: int, size: int = SIZE) -> list[str]:
    """Have `worker-1` begin a task alone; the other has to end it and alone is paid. What the
    validators found about the first."""
    bad, good = world.members["worker-1"], world.members["worker-2"]
    await world.crash(good)
    bad.compute.gate = trio.Event()
    task = await world.buy(size=size, iterations=steps)
    await world.holds(lambda: bad.heard[LeaseJob])
    await world.start(good)
    await world.meet()
    bad.compute.gate.set()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled", done
    assert done.result.worker_address == good.address
    assert proven(world, task.task_id) == 1
    found = EarlierBook(world.members["market"].db).of(task.task_id)
    return [verdict.finding for one in found for verdict in one.verdicts]


@pytest.mark.parametrize(
    ("lie", "steps"),
    [*((lie, STEPS) for lie in LIES), ("changed byte", LONG), ("another task", LONG)],
)
async def test_a_worker_that_lies_is_found_and_unpaid(
    lowered, check_money, autojump_clock, lie: str, steps: int
) -> None:
    lowered.members["worker-1"].compute.spoil = LIES[lie]
    found = await done_by_the_other(lowered, steps)
    assert set(found) == {"invalid"}
    await check_money(lowered)


async def test_a_false_result_that_was_fetched_in_bulk(
    lowered, check_money, autojump_clock
) -> None:
    """More than fits a message: it is mapped from disk, and let go whatever it is worth."""
    lowered.members["worker-1"].compute.spoil = wrong_output
    assert set(await done_by_the_other(lowered, 1, size=520)) == {"invalid"}
    await check_money(lowered)


def without_proof(run):
    (run.folder / "proof").unlink()
    return msgspec.structs.replace(run.report, proof=None)


def with_steps(run):
    return msgspec.structs.replace(run.report, trace=(bytes(32),))


def with_two_outputs(run):
    [output] = run.report.outputs
    (run.folder / "more").write_bytes(b"more")
    more = msgspec.structs.replace(output, name="more", file_name="more")
    return msgspec.structs.replace(run.report, outputs=(output, more))


@pytest.mark.parametrize("spoil", [without_proof, with_steps, with_two_outputs])
async def test_a_result_of_another_form_is_no_result(
    lowered, check_money, autojump_clock, spoil
) -> None:
    """Nobody is challenged, and nothing verified."""
    lowered.members["worker-1"].compute.spoil = spoil
    assert await done_by_the_other(lowered, STEPS) == []
    await check_money(lowered)


async def test_a_proof_that_cannot_be_fetched_is_withheld(
    lowered, check_money, autojump_clock
) -> None:
    """As with openings: it says nothing about the work, and is unpaid."""
    bad = lowered.members["worker-1"]

    async def hide(_sender, _message, handler):
        folder = next((bad.folder / "scratch").iterdir())
        (folder / "proof").unlink(missing_ok=True)
        return await handler(_sender, _message)

    bad.answers[Challenge] = hide
    assert set(await done_by_the_other(lowered, LONG)) == {"withheld"}
    await check_money(lowered)


@pytest.mark.parametrize("what", ["outputs", "proof"])
async def test_what_is_shown_and_is_not_what_was_committed_to_is_withheld(
    lowered, check_money, autojump_clock, what: str
) -> None:
    bad = lowered.members["worker-1"]

    async def change(sender, message, handler):
        opening = await handler(sender, message)
        other = (bytes(SIZE**2),) if what == "outputs" else bytes(len(opening.proof))
        return msgspec.structs.replace(opening, **{what: other})

    bad.answers[Challenge] = change
    assert set(await done_by_the_other(lowered, LONG)) == {"withheld"}
    await check_money(lowered)


def serves_other_bytes(bad, name: str, size: int, chosen: Callable[[str], bool]) -> None:
    """In bulk, to those chosen: nothing comes with an opening, and what is fetched is whole."""

    async def source(sender: str, argument: bytes, handler) -> BulkSource:
        async def chunks():
            yield bytes(size)

        if chosen(sender):
            return BulkSource(size, sha256(bytes(size)).digest(), chunks())
        return await handler(sender, argument)

    async def show_nothing(sender, message, handler):
        opening = await handler(sender, message)
        return msgspec.structs.replace(opening, outputs=(), proof=b"")

    bad.sources[name] = source
    bad.answers[Challenge] = show_nothing


@pytest.mark.parametrize(("name", "size"), [(PROOF_OF_JOB, 432 * LONG), (OUTPUT_OF_JOB, SIZE**2)])
async def test_what_is_sent_in_bulk_and_is_not_what_was_committed_to_is_withheld(
    lowered, check_money, autojump_clock, name: str, size: int
) -> None:
    serves_other_bytes(lowered.members["worker-1"], name, size, lambda _sender: True)
    assert set(await done_by_the_other(lowered, LONG)) == {"withheld"}
    await check_money(lowered)


@pytest.mark.parametrize("name", [PROOF_OF_JOB, OUTPUT_OF_JOB])
async def test_a_worker_that_keeps_its_proof_from_the_orchestrator(
    lowered, check_money, autojump_clock, name: str
) -> None:
    """The validators had it; the customer would not: the attempt fails."""
    bad, served = lowered.members["worker-1"], []

    def chosen(sender: str) -> bool:
        served.append(sender)
        return served.count(sender) == 2  # first for its check, then for the market

    size = 432 * LONG if name == PROOF_OF_JOB else SIZE**2
    serves_other_bytes(bad, name, size, chosen)
    assert set(await done_by_the_other(lowered, LONG)) == {"valid"}
    await check_money(lowered)


async def test_a_worker_that_opens_to_nobody(lowered, silence, check_money, autojump_clock) -> None:
    lowered.members["worker-1"].answers[Challenge] = silence
    began = trio.current_time()
    assert set(await done_by_the_other(lowered, STEPS)) == {"withheld"}
    assert trio.current_time() - began < 2 * OPEN_TIMEOUT_S + 12
    await check_money(lowered)


async def test_an_orchestrator_cannot_frame_a_worker(lowered, check_money, autojump_clock) -> None:
    """It does not ask the worker, as far as the others see: they ask it themselves."""
    asked = []

    def forget_first(member):
        async def forget(_peer, message):
            own = message.draw.seats[0].key == member.keys.identity.public_key
            if own and not asked:
                asked.append(member.name)
                return None
            return message

        return forget

    for member in lowered.team("validator"):
        member.sends[Challenge] = forget_first(member)
    task = await lowered.buy(size=SIZE, iterations=LONG)
    done = await lowered.until(task.task_id, "settled", "refunded")
    assert (done.phase, len(done.result.validators), len(asked)) == ("settled", 3, 1)
    await check_money(lowered)
