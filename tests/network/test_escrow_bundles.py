"""Whole networks whose tasks share transactions, whoever is there to sign."""

from collections.abc import Callable
from typing import Any

import pytest

from node.l1.escrow import Settlement, read
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.wire.approvals import ApprovalAnswer, RequestBundle
from p2p.errors import RequestRefused
from p2p.messages import Message
from tests.network.conftest import World, silence
from tests.network.test_escrow import check_held

TASKS = 6


async def bought(world: World) -> list[str]:
    return [(await world.buy()).task_id for _ in range(TASKS)]


def records(world: World) -> list[EscrowRecord]:
    """Of escrows that are open, or will be."""
    db = world.members["market"].db
    assert db is not None
    return list(EscrowBook(db).active())


async def all_at(world: World, stage: str) -> None:
    """Until all tasks are there at the same time."""
    await world.holds(lambda: [one.stage for one in records(world)] == [stage] * TASKS)


async def settlements(world: World) -> list[Settlement]:
    """In blocks, when nothing is under way and all tasks are paid."""
    await check_held(world, paid=TASKS)
    blocks = [await world.l1.block(height) for height in range(world.chain.tip.height + 1)]
    txs = [tx for block in blocks if block is not None for tx in block.txs]
    forms = [read(tx) for tx in txs if tx.tx_type == "ESCROW_SETTLE"]
    found = [form for form in forms if isinstance(form, Settlement)]
    assert sum(len(one.claims) for one in found) == TASKS
    return found


async def refuse(*_: object) -> Message:
    raise RequestRefused("no", "not today")


async def forge(_sender: str, message: RequestBundle, handler: Any) -> Message:
    """Over other claims than it was asked for."""
    answer = await handler(_sender, RequestBundle(message.escrows[1:], message.claims[1:]))
    assert isinstance(answer, ApprovalAnswer)
    return answer


async def pretend(_sender: str, message: RequestBundle, handler: Any) -> Message:
    """In another one's name."""
    answer = await handler(_sender, message)
    return ApprovalAnswer(bytes(32), answer.signature)


async def another(_sender: str, message: RequestBundle, _handler: Any) -> Message:
    """An answer of another type."""
    return message


async def test_tasks_bought_at_once_share_transactions(held: World, autojump_clock: object) -> None:
    await bought(held)
    found = await settlements(held)
    assert len(found) < TASKS
    assert all(len(one.signatures) == 2 for one in found)
    assert sum(one.heard[RequestBundle] for one in held.team("validator")) >= 2


@pytest.mark.parametrize("stage", ["signed", "due"])
async def test_with_one_validator_gone(held: World, autojump_clock: object, stage: str) -> None:
    await bought(held)
    await all_at(held, stage)
    await held.crash(held.members["validator-2"])
    found = await settlements(held)
    assert [len(one.claims) for one in found] == [TASKS]


async def test_with_two_gone_each_is_paid_by_what_they_signed_before(
    held: World, autojump_clock: object
) -> None:
    await bought(held)
    await all_at(held, "signed")
    for name in ("validator-1", "validator-3"):
        await held.crash(held.members[name])
    found = await settlements(held)
    assert [len(one.claims) for one in found] == [1] * TASKS


@pytest.mark.parametrize("answer", [refuse, silence, forge, pretend, another])
@pytest.mark.parametrize("liars", [1, 2])
async def test_answers_that_are_of_no_use(
    held: World, autojump_clock: object, answer: Callable[..., Any], liars: int
) -> None:
    """One of three is passed over; because of two each task is paid by itself."""
    for member in held.team("validator")[:liars]:
        member.answers[RequestBundle] = answer
    await bought(held)
    sizes = [len(one.claims) for one in await settlements(held)]
    assert max(sizes) > 1 if liars == 1 else set(sizes) == {1}


@pytest.mark.parametrize("stage", ["signed", "due", "closing"])
async def test_the_market_dies(held: World, autojump_clock: object, stage: str) -> None:
    """Also while claims are signed together, of which it knows nothing afterwards."""
    await bought(held)
    await all_at(held, stage)
    await held.restart(held.members["market"])
    found = await settlements(held)
    assert [len(one.claims) for one in found] == [TASKS]


async def test_validators_that_die_sign_what_they_signed_before(
    held: World, autojump_clock: object
) -> None:
    """Their decisions are on their disks."""
    await bought(held)
    await all_at(held, "signed")
    await held.restart(*held.team("validator"))
    found = await settlements(held)
    assert [len(one.claims) for one in found] == [TASKS]
