"""Where the chain holds the money: each state made late, seen in the status, and how it ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from node import deadlines
from node.amounts import UNITS_PER_CPC
from node.l1.client import SendOutcome
from node.l1.devchain.direct import DirectClient
from node.l1.errors import L1Unavailable
from node.l1.escrow import MarketParameters, deposit, withdraw_all
from node.l1.transactions import Draft, Transaction
from node.market.leases import Leases
from node.market.results import Results
from node.market.views import Overdue
from node.roles import unclosed
from node.settlement.escrow_steps import EscrowSteps
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.verification.onchain import MarketProfile
from node.wire.approvals import RequestRefund, RequestSettlement
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"
GRACE_S, UNSIGNED_S, UNCONFIRMED_S, UNCLOSED_S = 5.0, 15.0, 20.0, 30.0
NOTICE_S = float(MarketParameters().deposit_notice_blocks)
BLOCK_S = 2.0
"""More than a block, and the looks around it."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the minutes that an operator waits nothing depends here."""
    monkeypatch.setattr(deadlines, "UNSIGNED_S", UNSIGNED_S)
    monkeypatch.setattr(deadlines, "UNCONFIRMED_S", UNCONFIRMED_S)
    monkeypatch.setattr(deadlines, "UNCREDITED_S", UNCONFIRMED_S)
    monkeypatch.setattr(deadlines, "UNCLOSED_S", UNCLOSED_S)
    monkeypatch.setattr(unclosed, "LOOK_EVERY_S", 1.0)


class Chain(DirectClient):
    """An L1 that may be away, lose what it was sent, or refuse it."""

    away = False
    refusal = ""

    def __init__(self, chain: Any) -> None:
        super().__init__(chain)
        self.loses: set[str] = set()
        """Types of transactions that it takes and forgets."""

    async def status(self) -> Any:
        if self.away:
            await trio.lowlevel.checkpoint()
            raise L1Unavailable("away")
        return await super().status()

    async def send(self, tx: Transaction) -> SendOutcome:
        if tx.tx_type not in self.loses:
            return await super().send(tx)
        await trio.lowlevel.checkpoint()
        return SendOutcome("rejected", self.refusal) if self.refusal else SendOutcome("accepted")


@pytest.fixture
async def chain(held: Any) -> Chain:
    """Everybody again, over a chain that may go wrong."""
    held.l1 = Chain(held.chain)
    await held.restart(*held.members.values())
    await held.meet()
    return held.l1


def overdue(world: Any, name: str = "market") -> list[Overdue]:
    return list(world.members[name].assembly.info.status().overdue)


def listed(world: Any, name: str = "market") -> list[str]:
    return [one.what for one in overdue(world, name)]


def record(world: Any, task_id: str) -> EscrowRecord | None:
    book = EscrowBook(world.members["market"].db)
    return next((one for one in book.active() if one.task_id == task_id), None)


async def at(world: Any, task_id: str, stage: str) -> None:
    """Wait until a task's escrow is there."""
    await world.holds(lambda: (one := record(world, task_id)) is not None and one.stage == stage)


async def late(world: Any, limit_s: float, what: str) -> Overdue:
    """What is listed beyond a limit from now, and was not before."""
    await trio.sleep(limit_s - 2 * BLOCK_S)
    assert what not in listed(world)
    await trio.sleep(4 * BLOCK_S)
    [one] = [one for one in overdue(world) if one.what == what]
    assert one.remedy
    return one


async def ends(world: Any, task_id: str, *phases: str) -> None:
    """The task ends so, and nothing is overdue any more, at anybody."""
    done = await world.until(task_id, "settled", "refunded", "reclaimed")
    assert done.phase in phases
    await world.holds(lambda: record(world, task_id) is None)
    await trio.sleep(unclosed.LOOK_EVERY_S + BLOCK_S)
    for name in world.members:
        assert overdue(world, name) == []
    assert world.ledger.audit().ok


async def send(world: Any, draft: Draft) -> None:
    """Hand the customer's transaction in."""
    nonce = await world.l1.nonce(world.customer.address, pending=True)
    outcome = await DirectClient(world.chain).send(draft.signed(world.customer, nonce))
    assert outcome.status == "accepted", outcome


async def test_nothing_is_listed_while_all_goes_well(
    held: Any, chain: Chain, autojump_clock: Any
) -> None:
    """One task paid, one given back, money taken out and paid in again; for minutes."""
    for gate in (None, trio.Event()):
        for worker in held.team("worker"):
            worker.compute.gate = gate
        task = await held.buy()
        if gate is not None:
            await at(held, task.task_id, "held")
            await held.market.cancel(task.task_id, held.customer.address)
        for _ in range(int(2 * UNCONFIRMED_S / BLOCK_S)):
            for name in held.members:
                assert overdue(held, name) == []
            await trio.sleep(BLOCK_S)
    await ends(held, task.task_id, "refunded")
    await send(held, withdraw_all(held.members["market"].address))
    for _ in range(int((NOTICE_S + UNCONFIRMED_S) / BLOCK_S) - 4):
        assert listed(held) == []
        await trio.sleep(BLOCK_S)
    await send(held, withdraw_all(held.members["market"].address))
    await trio.sleep(2 * UNCONFIRMED_S)
    assert listed(held) == []


async def test_an_escrow_that_is_not_asked_for(
    held: Any, chain: Chain, autojump_clock: Any
) -> None:
    """A market that started while the chain is away does not know its terms."""
    chain.away = True
    await held.restart(held.members["market"])
    await held.meet()
    task = await held.buy()
    await at(held, task.task_id, "wanted")
    one = await late(held, GRACE_S, "escrow to open")
    assert one.about == task.task_id
    await trio.sleep(10)
    [one] = [one for one in overdue(held) if one.what == "escrow to open"]
    assert "the L1 has not answered for" in one.reason
    chain.away = False
    await ends(held, task.task_id, "settled")


async def test_an_opening_that_no_block_holds(held: Any, chain: Chain, autojump_clock: Any) -> None:
    chain.loses = {"ESCROW_OPEN"}
    task = await held.buy()
    await at(held, task.task_id, "opening")
    status = held.status()
    assert status.counts["escrows_opening"] == 1
    assert "1 escrow waits for a block of the L1" in status.waiting
    one = await late(held, UNCONFIRMED_S, "escrow opening")
    assert (one.about, one.reason) == (task.task_id, "no confirmed block holds its ESCROW_OPEN")
    assert f"at block {record(held, task.task_id).deadline} it is given up" in one.remedy
    chain.refusal = "insufficient_balance"
    await trio.sleep(5 * BLOCK_S)
    [one] = overdue(held)
    assert one.reason.endswith("insufficient_balance")
    assert "CPC for fees" in one.remedy
    chain.loses = set()
    await ends(held, task.task_id, "settled")


async def test_an_opening_whose_time_is_over(held: Any, chain: Chain, autojump_clock: Any) -> None:
    """It ends by itself: the customer has the reward, also of what was completed meanwhile."""
    chain.loses = {"ESCROW_OPEN"}
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 60)
    await at(held, task.task_id, "opening")
    await ends(held, task.task_id, "reclaimed")
    assert held.market.account(held.customer.address).available == 1000 * CPC


async def test_an_opening_that_is_not_given_up(
    held: Any, chain: Chain, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.loses = {"ESCROW_OPEN"}
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 60)
    await at(held, task.task_id, "opening")
    with monkeypatch.context() as held_back:
        held_back.setattr(EscrowSteps, "step", lambda *_: None)
        deadline = record(held, task.task_id).deadline
        await held.holds(lambda: held.chain.tip.height >= deadline)
        await trio.sleep(GRACE_S - 2 * BLOCK_S)
        assert [one.reason for one in overdue(held)] == ["no confirmed block holds its ESCROW_OPEN"]
        await trio.sleep(4 * BLOCK_S)
        [one] = overdue(held)
        assert one.reason == f"block {deadline}, its last one, has come and it is not given up"
    await ends(held, task.task_id, "reclaimed")


async def test_an_open_escrow_is_late_when_its_task_is(
    held: Any, chain: Chain, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 30)
    await at(held, task.task_id, "held")
    await trio.sleep(20)
    assert listed(held) == []
    with monkeypatch.context() as held_back:
        held_back.setattr(Leases, "expire", lambda _: None)
        await trio.sleep(20)
        assert listed(held) in (["leased task"], ["queued task"])
    await ends(held, task.task_id, "refunded")


async def refuse(*_: Any) -> Any:
    raise RequestRefused("no", "not\ttoday")


async def test_a_claim_that_too_few_sign(held: Any, chain: Chain, autojump_clock: Any) -> None:
    for member in held.team("validator")[:2]:
        member.answers[RequestSettlement] = refuse
    task = await held.buy()
    await at(held, task.task_id, "unsigned")
    one = await late(held, UNSIGNED_S, "unsigned claim")
    assert one.about == task.task_id
    assert one.reason.startswith("1 of 2 signatures; ")
    for member in held.team("validator")[:2]:
        assert f"{member.peer_id}: no: not today" in one.reason
        member.answers.clear()
    assert "1 escrow waits for validators' signatures" in held.status().waiting
    back = record(held, task.task_id).late_height + 20
    assert f"from block {back} on the customer has the reward" in one.remedy
    await ends(held, task.task_id, "settled")


async def test_a_refund_that_too_few_sign(held: Any, chain: Chain, autojump_clock: Any) -> None:
    """By the clock it comes back all the same."""
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    for member in held.team("validator"):
        member.answers[RequestRefund] = refuse
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 100)
    await at(held, task.task_id, "held")
    await held.market.cancel(task.task_id, held.customer.address)
    await held.crash(held.team("validator")[0])
    one = await late(held, UNSIGNED_S, "unsigned refund")
    assert one.about == task.task_id
    assert one.reason.startswith("0 of 2 signatures; ")
    assert f"{held.team('validator')[0].peer_id}: is not connected" in one.reason
    assert f"from block {record(held, task.task_id).late_height} on" in one.remedy
    await held.start(held.team("validator")[0])
    await ends(held, task.task_id, "refunded")


@pytest.mark.parametrize("wanted", ["claim", "refund"])
async def test_a_refund_by_the_clock_that_is_not_asked_for(
    held: Any, chain: Chain, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    """For a claim that nobody signs when the grace is over twice."""
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event() if wanted == "refund" else None
    for member in held.team("validator"):
        member.answers[RequestRefund] = member.answers[RequestSettlement] = refuse
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 30)
    await at(held, task.task_id, "unsigned")
    one = record(held, task.task_id)
    with monkeypatch.context() as held_back:
        held_back.setattr(EscrowSteps, "_refund", lambda *_: None)
        back = one.late_height + (20 if wanted == "claim" else 0)
        await held.holds(lambda: held.chain.tip.height >= back)
        found = await late(held, GRACE_S, "escrow refund")
        assert (found.about, found.reason) == (
            task.task_id,
            "the market did not ask the chain for it",
        )
    await ends(held, task.task_id, "reclaimed" if wanted == "claim" else "refunded")


async def test_a_signed_claim_that_is_not_sent(
    held: Any, chain: Chain, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as held_back:
        held_back.setattr(Results, "mature", lambda _: 0)
        task = await held.buy()
        await at(held, task.task_id, "signed")
        due_s = held.record(task.task_id).pay_due_ms / 1000
        await held.holds(lambda: virtual_clock_ms() / 1000 >= due_s)
        one = await late(held, GRACE_S, "maturing pay")
        assert (one.about, one.reason) == (task.task_id, "the market did not send it")
    await ends(held, task.task_id, "settled")


async def test_a_signed_refund_that_is_not_sent(
    held: Any, chain: Chain, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    task = await held.buy()
    await at(held, task.task_id, "held")
    with monkeypatch.context() as held_back:
        held_back.setattr(EscrowSteps, "_refund", lambda *_: None)
        await held.market.cancel(task.task_id, held.customer.address)
        await at(held, task.task_id, "signed")
        one = await late(held, GRACE_S, "escrow refund")
        assert (one.about, one.reason) == (task.task_id, "the market did not send it")
    await ends(held, task.task_id, "refunded")


@pytest.mark.parametrize("kind", ["ESCROW_SETTLE", "ESCROW_REFUND"])
async def test_what_closes_an_escrow_and_is_in_no_block(
    held: Any, chain: Chain, autojump_clock: Any, kind: str
) -> None:
    """Those who signed it see it, too: it is their pay."""
    chain.loses = {kind}
    if kind == "ESCROW_REFUND":
        for worker in held.team("worker"):
            worker.compute.gate = trio.Event()
    task = await held.buy()
    if kind == "ESCROW_REFUND":
        await at(held, task.task_id, "held")
        await held.market.cancel(task.task_id, held.customer.address)
    await at(held, task.task_id, "closing")
    word = "claim" if kind == "ESCROW_SETTLE" else "refund"
    one = await late(held, UNCONFIRMED_S, f"sent {word}")
    assert (one.about, one.reason) == (task.task_id, f"no confirmed block holds its {kind}")
    signers = [one.name for one in held.team("validator")]
    assert [one for name in signers for one in listed(held, name)] == []
    await trio.sleep(UNCLOSED_S)
    seen = [one for name in signers for one in overdue(held, name)]
    assert len(seen) >= 2
    back = record(held, task.task_id).late_height
    for one in seen:
        assert (one.what, one.about) == ("signed escrow", task.task_id)
        assert held.members["market"].peer_id in one.reason
        assert f"by the {word} signed for it" in one.reason
        assert f"after block {back}" in one.remedy
    chain.loses = set()
    await ends(held, task.task_id, "settled" if word == "claim" else "refunded")


async def test_a_withdrawal_that_no_block_holds(
    held: Any, chain: Chain, autojump_clock: Any
) -> None:
    chain.loses = {"WITHDRAW"}
    assembly = held.members["market"].assembly
    await assembly.withdrawals.withdraw(held.customer.address, 3 * CPC, "k")
    one = await late(held, UNCONFIRMED_S, "payment")
    assert one.about.startswith("withdraw:")
    assert "(3.0 CPC)" in one.about
    assert one.reason == "no confirmed block holds it"
    chain.loses = set()
    await held.holds(lambda: not list(held.ledger.holdings("outbox:")))
    assert listed(held) == []


async def test_a_notice_that_ran_out(held: Any, chain: Chain, autojump_clock: Any) -> None:
    market = held.members["market"].address
    await send(held, withdraw_all(market))
    await trio.sleep(BLOCK_S)
    one = await late(held, NOTICE_S + UNCONFIRMED_S, "deposit notice")
    assert one.about == f"1000.0 CPC of {held.customer.address}"
    assert "has not taken the deposit out" in one.reason
    await send(held, withdraw_all(market))
    await held.holds(lambda: listed(held) == [])
    await held.deposit(5)
    assert listed(held) == []


async def test_a_deposit_under_too_few_blocks(
    open_world: Callable[..., Any], tmp_path: Path, autojump_clock: Any
) -> None:
    economics, profile = {"settlement": "escrow"}, MarketProfile(CHAIN)
    async with open_world(
        tmp_path, profile=profile, economics=economics, l1_confirmations=40
    ) as world:
        await send(world, deposit(world.members["market"].address, 7 * CPC))
        one = await late(world, UNCONFIRMED_S, "deposit")
        assert one.about == f"7.0 CPC of {world.customer.address}"
        assert "40 blocks are needed" in one.reason
        await trio.sleep(40)
        assert listed(world) == []
