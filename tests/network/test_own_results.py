"""A chain that verifies proofs: workers with money send their proven results themselves."""

import json

import msgspec
import pytest
import trio

from gpu.proofs.chain241.cost import verifying
from node.l1.transactions import GAS
from node.roles.handover import WITHIN_MS
from node.verification.inline import UNITS_PER_GAS
from node.verification.onchain import MarketProfile
from node.verification.own import is_own
from node.verification.receipt import ReceiptInvalid, decode_receipt, encode_receipt
from node.verification.receipt_check import Standing, verify_receipt
from node.verification.receipt_proofs import verify_proofs
from node.wire.publishing import PublishAnswer, PublishResult
from node.workloads import bounds_of
from p2p.errors import RequestRefused

CHAIN = "cpc-devnet-1"
SIZE, STEPS = 16, 9
PROVEN = {"seed": "s", "matrix_size": SIZE, "iterations": STEPS, "proof": True}


@pytest.fixture
async def world(open_world, tmp_path, autojump_clock):
    """One worker, on a chain of the market profile; it has money once its first task is paid."""
    with trio.fail_after(3600):
        async with open_world(tmp_path, profile=MarketProfile(CHAIN), workers=1) as opened:
            yield opened


async def funded(world) -> str:
    """Buy a first task, for which the worker is paid; its id."""
    task = await world.buy(payload=PROVEN)
    await world.until(task.task_id, "settled")
    address = world.members["worker-1"].address
    await world.holds(lambda: world.chain.account(address).balance)
    return task.task_id


async def bought(world, **payload: object):
    task = await world.buy(payload={**PROVEN, **payload})
    return await world.until(task.task_id, "settled", "refunded")


def receipt_of(world, task_id: str):
    """The receipt, verified offline with its proofs."""
    receipt, standing = verify_receipt(world.market.receipt(task_id), world.network)
    assert standing is Standing.ANCHORED
    folder = world.members["market"].folder / "artifacts"
    find = lambda digest, _size: (folder / digest.hex()).read_bytes()  # noqa: E731
    assert verify_proofs(receipt, find, bounds_of(world.network.protocol)) == len(receipt.jobs)
    return receipt


def own(world, task_id: str) -> list[bool]:
    """Of each job, whether its result has its own transaction."""
    receipt = receipt_of(world, task_id)
    return [is_own(receipt.anchors[job.anchor].batch) for job in receipt.jobs]


async def sent_by(world, address: str):
    """All transactions of an account."""
    blocks = [await world.l1.block(h) for h in range((await world.l1.status()).height + 1)]
    return [tx for block in blocks for tx in block.txs if tx.from_address == address]


async def test_a_worker_with_money_sends_its_own(world, check_money, autojump_clock) -> None:
    """Once, for its gas; what was paid for before it had money is in a batch."""
    worker, first = world.members["worker-1"], await funded(world)
    assert own(world, first) == [False]
    assert await sent_by(world, worker.address) == []
    done = await bought(world)
    assert own(world, done.task_id) == [True]
    [tx] = await sent_by(world, worker.address)
    gas = GAS["SUBMIT_RESULT"] + -(-verifying(SIZE, STEPS).units // UNITS_PER_GAS)
    assert (tx.gas_limit, tx.fee) == (gas, gas * world.network.economics.gas_price)
    assert tx.payload["task_id"] == done.task_id
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


async def test_each_job_of_a_task(world, check_money, autojump_clock) -> None:
    """Three results of one task, three transactions, one receipt."""
    await funded(world)
    done = await bought(world, chains=3)
    assert own(world, done.task_id) == [True] * 3
    assert len(receipt_of(world, done.task_id).anchors) == 3
    await check_money(world)


async def test_what_does_not_fit_or_is_not_proven_goes_into_batches(
    world, check_money, autojump_clock
) -> None:
    worker = world.members["worker-1"]
    await funded(world)
    for payload in ({"iterations": 76}, {"matrix_size": 200}, {"proof": False}):
        done = await bought(world, **payload)
        receipt, _ = verify_receipt(world.market.receipt(done.task_id), world.network)
        assert not is_own(receipt.anchors[0].batch)
    assert await sent_by(world, worker.address) == []
    await check_money(world)


async def never_sends(_sender, _message, _handler) -> PublishAnswer:
    return PublishAnswer(taken=True)


async def names_another_block(_sender, _message, _handler) -> PublishAnswer:
    return PublishAnswer(taken=True, height=1)


async def refuses(_sender, _message, _handler) -> PublishAnswer:
    raise RequestRefused("busy", "not now")


@pytest.mark.parametrize(
    ("answer", "longest_s"),
    [(never_sends, WITHIN_MS / 1000 + 10), (names_another_block, 10), (refuses, 10)],
)
async def test_a_worker_that_does_not_send_it_delays_it(
    world, check_money, autojump_clock, answer, longest_s: float
) -> None:
    await funded(world)
    world.members["worker-1"].answers[PublishResult] = answer
    task = await world.buy(payload=PROVEN)
    await world.until(task.task_id, "verified")
    began = trio.current_time()
    await world.until(task.task_id, "settled")
    assert trio.current_time() - began < longest_s
    assert own(world, task.task_id) == [False]
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


@pytest.mark.parametrize("role", ["validator", "worker"])
async def test_who_crashes_meanwhile_takes_it_up_again(
    world, check_money, autojump_clock, role: str
) -> None:
    """While the worker's transaction waits for its block; it is sent once."""
    await funded(world)
    worker = world.members["worker-1"]
    staged = trio.Event()

    async def listen(sender, message, handler):
        answer = await handler(sender, message)
        staged.set()
        return answer

    worker.answers[PublishResult] = listen
    task = await world.buy(payload=PROVEN)
    await staged.wait()
    await world.restart(*world.team(role))
    await world.until(task.task_id, "settled")
    assert own(world, task.task_id) == [True]
    assert len(await sent_by(world, worker.address)) == 1
    await check_money(world)


async def test_nobody_makes_a_worker_pay_for_what_no_quorum_wants(world, autojump_clock) -> None:
    """Verdicts left out, of others, or another worker's result: refused, and nothing is sent."""
    await funded(world)
    worker, caught = world.members["worker-1"], []

    async def keep(_sender, message, _handler) -> PublishAnswer:
        caught.append(message)
        return PublishAnswer(taken=False)

    worker.answers[PublishResult] = keep
    await bought(world)
    del worker.answers[PublishResult]
    [asked] = caught
    one, network = asked.judgement, world.members["validator-1"].network
    changes = [
        {"verdicts": one.verdicts[:1]},
        {"verdicts": ()},
        {"verdicts": tuple(msgspec.structs.replace(v, epoch=2) for v in one.verdicts)},
        {"result": msgspec.structs.replace(one.result, nonce=one.result.nonce + 1)},
        {"draw": msgspec.structs.replace(one.draw, needed=1)},
    ]
    for change in changes:
        false = msgspec.structs.replace(one, **change)
        with pytest.raises(RequestRefused):
            await network.request(worker.peer_id, PublishResult(false, asked.output), timeout_s=5)
    wrong = PublishResult(one, bytes(len(asked.output)))
    answer = await network.request(worker.peer_id, wrong, timeout_s=5)
    assert not answer.taken
    assert "evidence.output" in answer.reason
    assert await sent_by(world, worker.address) == []
    answer = await network.request(worker.peer_id, asked, timeout_s=5)
    assert answer.taken


async def test_every_byte_of_such_a_receipt_matters(world, autojump_clock) -> None:
    await funded(world)
    done = await bought(world)
    data = world.market.receipt(done.task_id)
    assert own(world, done.task_id) == [True]
    anchor = data.index(b'"anchors"')
    for index in {*range(0, len(data), 97), *range(anchor, len(data), 31)}:
        other = b"1" if data[index : index + 1] != b"1" else b"2"
        with pytest.raises(ReceiptInvalid):
            verify_receipt(data[:index] + other + data[index + 1 :], world.network)


async def test_a_result_of_another_task_does_not_stand_in_for_it(world, autojump_clock) -> None:
    """Both are in blocks; and a place in a batch of one is the only place there is."""
    await funded(world)
    first, second = [receipt_of(world, (await bought(world)).task_id) for _ in range(2)]
    swapped = msgspec.structs.replace(first, anchors=second.anchors)
    job = first.jobs[0]
    moved = msgspec.structs.replace(job, place=msgspec.structs.replace(job.place, count=2))
    for false in (swapped, msgspec.structs.replace(first, jobs=(moved,))):
        with pytest.raises(ReceiptInvalid, match="not the one in this block"):
            verify_receipt(encode_receipt(false), world.network)
    assert decode_receipt(encode_receipt(first)) == first
    assert json.loads(encode_receipt(first))["anchors"][0]["batch"]["task_id"] == first.task_id
