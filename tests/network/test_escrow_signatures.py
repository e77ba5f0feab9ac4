"""A validator signs only what follows from what it is shown, for the market whose escrow it is."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio

from node.amounts import Amount
from node.l1.devchain.heldviews import escrow_view
from node.l1.devchain.holdings import escrow_key
from node.l1.escrow import claim_digest, deposit, escrow_id_of, open_escrow
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, transfer
from node.roles.decisions import Decision
from node.roles.unclosed import KEEP_MS
from node.settlement.escrows import EscrowBook
from node.verification.draws import sign_draw
from node.verification.ends import sign_end
from node.verification.statements import sign_verdict
from node.wire.approvals import Attempt, RequestRefund, RequestSettlement
from p2p.errors import RequestRefused
from p2p.identity import Identity
from p2p.memory import virtual_clock_ms
from storage.store import Batch
from storage.tables import Table

CHAIN = "cpc-devnet-1"
TIMEOUT_S = 5.0


def name_of(world, task_id: str) -> str:
    return escrow_id_of(CHAIN, world.members["market"].address, task_id)


async def recorded(world) -> RequestSettlement:
    """What the market shows for a task, which no validator has seen yet."""
    seen: list[RequestSettlement] = []

    async def keep(_peer: str, message: RequestSettlement) -> None:
        seen.append(message)

    market = world.members["market"]
    market.sends[RequestSettlement] = keep
    await world.buy()
    await world.holds(lambda: seen)
    del market.sends[RequestSettlement]
    return seen[0]


async def ask(world, message: Any, who: str = "market", whom: str = "validator-1") -> str:
    """Why the validator refuses; empty if it signs."""
    peer_id = world.members[whom].peer_id
    try:
        await world.members[who].network.request(peer_id, message, timeout_s=TIMEOUT_S)
    except RequestRefused as error:
        return error.text
    return ""


def changed(message: RequestSettlement, **fields: object) -> RequestSettlement:
    return msgspec.structs.replace(message, **fields)


def first(message: RequestSettlement, **fields: object) -> tuple[Attempt, ...]:
    """The jobs with the first one changed."""
    return (msgspec.structs.replace(message.jobs[0], **fields), *message.jobs[1:])


async def test_it_signs_what_follows_and_says_why_not_otherwise(held, autojump_clock) -> None:
    message = await recorded(held)
    market, [job] = held.members["market"], message.jobs
    forged = sign_verdict(job.verdicts[0], CHAIN, market.keys.identity)
    forged = msgspec.structs.replace(forged, validator_key=job.verdicts[0].validator_key)
    other = held.members["worker-1"].keys.identity
    own = sign_verdict(job.verdicts[0], CHAIN, market.keys.identity)
    cases = {
        "from what is shown follows another": changed(message, claim=bytes(32)),
        "did not sign this verdict": changed(
            message, jobs=first(message, verdicts=(forged, *job.verdicts[1:]))
        ),
        "stands twice": changed(message, jobs=first(message, verdicts=job.verdicts[:1] * 2)),
        "make no quorum": changed(message, jobs=first(message, verdicts=job.verdicts[:1])),
        "was not drawn": changed(message, jobs=first(message, verdicts=(own, *job.verdicts[1:]))),
        "a draw that is not there": changed(message, jobs=first(message, draw=7)),
        "are none": changed(message, jobs=()),
        "different work": changed(
            message, draws=(msgspec.structs.replace(message.draws[0], task_id="another"),)
        ),
        "did not sign this draw": changed(
            message, draws=(msgspec.structs.replace(message.draws[0], epoch=2),)
        ),
        "an attempt stands twice": changed(message, earlier=message.jobs),
        "not the 1 of this task": changed(message, jobs=message.jobs * 2),
    }
    for why, altered in cases.items():
        assert why in await ask(held, altered), why
    stolen = tuple(sign_draw(one, CHAIN, other) for one in message.draws)
    assert await ask(held, changed(message, draws=stolen))
    for stranger in ("worker-1", "validator-2"):
        assert "no open escrow" in await ask(held, message, stranger)
    assert await ask(held, message) == ""
    assert await ask(held, message) == ""  # the same again


async def test_seats_that_do_not_follow_from_the_snapshot(held, autojump_clock) -> None:
    """A market that draws its friends is not paid for their verdicts."""
    message = await recorded(held)
    market = held.members["market"].keys.identity
    [draw] = message.draws
    few = sign_draw(msgspec.structs.replace(draw, seats=draw.seats[:2]), CHAIN, market)
    assert "do not follow" in await ask(held, changed(message, draws=(few,)))


async def test_one_end_of_a_task_and_never_another(held, autojump_clock) -> None:
    message = await recorded(held)
    task_id, identity = message.task_id, held.members["market"].keys.identity
    end = RequestRefund(sign_end(task_id, "cancelled", virtual_clock_ms(), CHAIN, identity))
    assert await ask(held, end, whom="validator-1") == ""
    await held.restart(held.members["validator-1"])
    await held.meet()
    assert "another end" in await ask(held, message, whom="validator-1")
    assert await ask(held, end, whom="validator-1") == ""
    assert await ask(held, message, whom="validator-2") == ""
    assert "another end" in await ask(held, end, whom="validator-2")
    assert await ask(held, message, whom="validator-3") == ""
    done = await held.until(task_id, "settled")
    assert done.phase == "settled"


async def test_ends_that_do_not_count(held, autojump_clock) -> None:
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    task = await held.buy()
    identity = held.members["market"].keys.identity
    end = sign_end(task.task_id, "cancelled", virtual_clock_ms(), CHAIN, identity)
    assert "no open escrow" in await ask(held, RequestRefund(end))
    key = escrow_key(name_of(held, task.task_id))
    await held.holds(lambda: key in held.chain.holdings.records)
    altered = msgspec.structs.replace(end, code="deadline_exceeded")
    assert "did not sign this end" in await ask(held, RequestRefund(altered))
    worker = held.members["worker-1"].keys.identity
    own = sign_end(task.task_id, "cancelled", virtual_clock_ms(), CHAIN, worker)
    assert "no open escrow" in await ask(held, RequestRefund(own), "worker-1")
    assert "another market's" in await ask(held, RequestRefund(own))
    assert "another market's" in await ask(held, RequestRefund(end), "worker-1")
    assert decisions(held) == []
    assert await ask(held, RequestRefund(end)) == ""
    assert [one.ending for one in decisions(held)] == ["refund"]


async def test_another_market_decides_nothing_here(held, autojump_clock) -> None:
    """It has an escrow for the same task, with the same set: that one is signed for and closed,
    and the market's own is as free as before."""
    message = await recorded(held)
    task_id, other = message.task_id, held.members["worker-1"]
    opening = escrow_view(held.chain, name_of(held, task_id)).opening
    copied = msgspec.structs.replace(opening, customer=other.address, amount=Amount(10**18))
    await send(held, held.customer, transfer(other.address, 10**19))
    await send(held, other.keys.account, deposit(other.address, 10**18))
    await send(held, other.keys.account, open_escrow(copied))
    end = sign_end(task_id, "cancelled", virtual_clock_ms(), CHAIN, other.keys.identity)
    assert await ask(held, RequestRefund(end), "worker-1") == ""
    assert await ask(held, message) == ""
    assert [one.ending for one in decisions(held)].count("refund") == 1
    assert len(decisions(held)) == 2
    assert (await held.until(task_id, "settled")).phase == "settled"


async def test_somebody_whose_account_nobody_knows(held, autojump_clock) -> None:
    message, validator = await recorded(held), held.members["validator-1"].peer_id
    async with held.hub.open_network(
        Identity.from_seed(bytes([201]) * 32), CHAIN, bootstrap=[f"/memory/{validator}"]
    ) as network:
        await held.holds(network.peers)
        with pytest.raises(RequestRefused) as caught:
            await network.request(validator, message, timeout_s=TIMEOUT_S)
    assert "the account of the market is not known" in caught.value.text


async def send(world, sender: AccountKey, draft: Draft) -> None:
    nonce = await world.l1.nonce(sender.address, pending=True)
    outcome = await world.l1.send(draft.signed(sender, nonce))
    assert outcome.status == "accepted", outcome
    await world.holds(lambda: world.chain.account(sender.address).nonce > nonce)


async def test_decisions_are_forgotten_when_no_escrow_can_be_open(held, autojump_clock) -> None:
    validator, batch = held.members["validator-1"], Batch()
    table = Table(validator.db, "escrow-decisions", Decision)
    for name, age_ms in (("old", KEEP_MS + 1), ("late", KEEP_MS - 60_000)):
        table.put(batch, name.encode(), Decision("refund", virtual_clock_ms() - age_ms))
    await validator.db.commit(batch)
    await held.restart(validator)
    kept = Table(validator.db, "escrow-decisions", Decision).items()
    assert [key for key, _ in kept] == [b"late"]


async def test_a_validator_outside_of_the_set(held, autojump_clock) -> None:
    """It came after the escrow was opened: its word is of no use, and it gives none."""
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    task = await held.buy()
    key = escrow_key(name_of(held, task.task_id))
    await held.holds(lambda: key in held.chain.holdings.records)
    late = held.add("validator-4", "validator")
    await held.start(late)
    await held.meet()
    end = sign_end(
        task.task_id, "cancelled", virtual_clock_ms(), CHAIN, held.members["market"].keys.identity
    )
    assert "not in the escrow's set" in await ask(held, RequestRefund(end), whom="validator-4")


async def test_earlier_attempts_are_part_of_the_claim(held, autojump_clock) -> None:
    """A worker's invalid result was checked: those who checked it are paid by the claim too."""

    def spoil(run):
        path = run.folder / "trace.bin"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
        return run.report

    held.members["worker-1"].compute.spoil = spoil
    spoiled: Sequence[Any] = ()
    for _ in range(40):  # each is the other worker's by a chance of one half
        task = await held.buy()
        await held.until(task.task_id, "settled")
        spoiled = held.earlier(task.task_id)
        if spoiled:
            break
    assert spoiled
    record = EscrowBook(held.members["market"].db).find(name_of(held, task.task_id))
    closed = held.chain.holdings.records[escrow_key(record.escrow_id)]
    assert closed.claim == claim_digest(record.claim)
    [counts] = [payees.validators for one, payees in held.earned() if one.task_id == task.task_id]
    assert sum(counts.values()) > 3
    weights = {one.address: one.weight for one in record.claim.validators}
    assert len({weights[address] // count for address, count in counts.items()}) == 1


def decisions(world) -> list[Decision]:
    return [
        one
        for _, one in Table(world.members["validator-1"].db, "escrow-decisions", Decision).items()
    ]
