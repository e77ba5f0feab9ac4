"""Messages from whoever has no business sending them, and ones that mean nothing.

Everything that is said during a task is said again, and said wrongly: nobody falls over it, nothing
that a stranger says changes anything, and no handler fails on it.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio

from node.amounts import Amount
from node.verification.batches import seal_batch
from node.wire.checks import RequestCommitment, RequestReveal, RequestVerdict
from node.wire.jobs import Challenge, JobCommitted, JobFailed, LeaseJob, ReleaseJob
from node.wire.leases import (
    BatchAnchored,
    CancelLease,
    OfferLeases,
    ReportFailure,
    ReportResult,
)
from node.wire.presence import PRESENCE_TOPIC, Ack, Presence
from p2p.errors import P2PError
from p2p.identity import Identity
from p2p.messages import Message

CHAIN = "cpc-devnet-1"
SPOKEN = (
    OfferLeases,
    ReportResult,
    ReportFailure,
    CancelLease,
    BatchAnchored,
    LeaseJob,
    JobCommitted,
    JobFailed,
    Challenge,
    ReleaseJob,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
)
ODD: dict[type, list[Any]] = {
    int: [-1, 0, 1, 2**63 - 1],
    float: [0.0, -1.0, float("nan"), float("inf")],
    str: ["", "\x00", "x" * 60, "550e8400-e29b-41d4-a716-446655440000"],
    bytes: [b"", b"\xff" * 32, b"\x00" * 33],
    bool: [],
}


def odd_copies(message: Any, depth: int = 2) -> Iterator[Any]:
    """The message with one field after the other replaced, inside its structs too."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        changed: list[Any] = list(ODD.get(type(value), []))
        if isinstance(value, tuple):
            changed = [(), value[1:], value + value[-1:]]
            if value and isinstance(value[0], bytes):
                changed.append((b"", *value[1:]))
        if isinstance(value, msgspec.Struct) and depth:
            changed = list(odd_copies(value, depth - 1))
        for one in changed:
            if one != value:
                yield msgspec.structs.replace(message, **{name: one})


@pytest.fixture
async def stranger(world):
    """Somebody without a role, connected to everybody."""
    identity = Identity.from_seed(b"\xee" * 32)
    async with world.hub.open_network(identity, CHAIN) as network:
        for member in world.members.values():
            await network.connect(f"/memory/{member.peer_id}")
        yield network


def failures(caplog) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


def eavesdrop(world, react) -> None:
    """Call `react(member, sender, message)` before anybody handles a message."""

    async def listen(member, sender: str, message: Message, handler) -> Message:
        await react(member, sender, message)
        return await handler(sender, message)

    for member in world.members.values():
        for kind in SPOKEN:
            member.answers[kind] = lambda *heard, member=member: listen(member, *heard)


async def say(network, peer_id: str, message: Message) -> None:
    with suppress(P2PError):
        await network.request(peer_id, message, timeout_s=2)


async def test_a_stranger_that_repeats_everything(
    world, stranger, check_money, caplog, autojump_clock
) -> None:
    """To whom it was said, just before it is heard, and to everybody afterwards."""
    heard: list[Message] = []

    async def repeat(member, sender, message) -> None:
        if sender != stranger.peer_id:
            heard.append(message)
            with trio.move_on_after(0.1):
                await say(stranger, member.peer_id, message)

    eavesdrop(world, repeat)
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert world.judgements()[0].result.nonce == 6
    entries = len(list(world.ledger.entries()))
    for member in world.members.values():
        member.answers.clear()
        for message in heard:
            await say(stranger, member.peer_id, message)
    assert {type(message) for message in heard} >= set(SPOKEN) - {
        ReportFailure,
        CancelLease,
        JobFailed,
    }
    assert len(list(world.ledger.entries())) <= entries + 12
    assert failures(caplog) == []
    await check_money(world)


async def test_a_stranger_that_says_everything_wrongly(
    world, stranger, check_money, caplog, autojump_clock
) -> None:
    async def distort(member, sender, message) -> None:
        if sender != stranger.peer_id:
            for copy in odd_copies(message):
                with trio.move_on_after(0.01):
                    await say(stranger, member.peer_id, copy)

    eavesdrop(world, distort)
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert failures(caplog) == []
    await check_money(world)


class Distorted:
    """Answers with one odd copy of the true answer after the other."""

    def __init__(self) -> None:
        self.given = 0
        self.known = 1

    @property
    def is_through(self) -> bool:
        return self.given >= self.known

    async def answer(self, sender: str, message: Message, handler) -> Message:
        true = await handler(sender, message)
        copies = [*odd_copies(true), Ack(), ReleaseJob("task", 1, accepted=True)]
        self.known = len(copies)
        self.given += 1
        return copies[(self.given - 1) % len(copies)]


@pytest.mark.parametrize("kind", [OfferLeases, RequestCommitment, RequestReveal, RequestVerdict])
async def test_a_validator_whose_answers_mean_nothing(
    world, check_money, caplog, autojump_clock, kind: type[Message]
) -> None:
    """One of three never answers rightly: the others do the work."""
    distorted = Distorted()
    world.members["validator-3"].answers[kind] = distorted.answer
    while not distorted.is_through:
        task = await world.buy(reward=Amount(2 * 10**15))
        done = await world.until(task.task_id, "settled", "refunded")
        assert done.phase == "settled", done
    assert failures(caplog) == []
    await check_money(world)


@pytest.mark.parametrize("kind", [LeaseJob, Challenge])
async def test_a_worker_whose_answers_mean_nothing(
    world, check_money, caplog, autojump_clock, kind: type[Message]
) -> None:
    """The only one there is: no task is done by it, and no orchestrator falls over it."""
    await world.crash(world.members["worker-1"])
    distorted = Distorted()
    world.members["worker-2"].answers[kind] = distorted.answer
    while not distorted.is_through:
        task = await world.buy(reward=Amount(2 * 10**15))
        await world.until(task.task_id, "settled", "refunded")
    world.members["worker-2"].answers.clear()
    task = await world.buy()
    assert (await world.until(task.task_id, "settled", "refunded")).phase == "settled"
    assert failures(caplog) == []
    await check_money(world)


MAY_DISTURB = (CancelLease, ReleaseJob, ReportFailure, JobFailed, OfferLeases)
"""From its true sender such a message means what it says, whatever else is odd in it."""


async def test_the_true_senders_say_everything_wrongly_first(
    world, check_money, caplog, autojump_clock
) -> None:
    """Distorted copies from the sender itself, before the message that is meant."""
    speaking: set[str] = set()

    async def distort(member, sender, message) -> None:
        if isinstance(message, MAY_DISTURB) or sender in speaking:
            return
        speaking.add(sender)
        for copy in odd_copies(message):
            with trio.move_on_after(0.01):
                await say(world.named(sender).network._network, member.peer_id, copy)
        speaking.discard(sender)

    eavesdrop(world, distort)
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase in ("settled", "refunded")
    assert failures(caplog) == []
    await check_money(world)


async def test_results_of_strangers_are_not_stored(world, stranger, autojump_clock) -> None:
    """A market keeps no output, and asks for none, before it knows that it wants it."""
    market = world.members["market"]
    reports: list[ReportResult] = []

    async def keep(_peer, report):
        reports.append(report)
        return report

    for member in world.team("validator"):
        member.sends[ReportResult] = keep
    task = await world.buy()
    await world.until(task.task_id, "settled")
    (report,) = reports
    for changed in (
        msgspec.structs.replace(report, epoch=9),
        msgspec.structs.replace(report, jobs=()),
        *odd_copies(report, 1),
    ):
        await say(stranger, market.peer_id, changed)
    assert world.artifacts(market) == 1


async def test_the_chain_is_not_asked_for_strangers(world, stranger, autojump_clock) -> None:
    """Batches that hold nothing of this market's are not even looked up."""
    task = await world.buy()
    await world.until(task.task_id, "settled")
    asked: list[int] = []
    block = world.l1.block

    async def count(height: int):
        asked.append(height)
        return await block(height)

    world.l1.block = count
    author = world.members["worker-1"].assembly.info._author
    sealed = seal_batch([world.judgements()[0].result], author)
    for number in range(20):
        message = BatchAnchored(sealed, (task.task_id,), (bytes(32),), number)
        await say(stranger, world.members["market"].peer_id, message)
        message = BatchAnchored(sealed, ("nobody's",), (bytes(32),), number)
        await say(stranger, world.members["market"].peer_id, message)
    assert len(asked) < 10  # the followers' own


async def test_gossip_that_leads_nowhere(
    world, stranger, check_money, caplog, autojump_clock
) -> None:
    """Presences with other people's keys and with addresses that are none."""
    own = world.members["worker-1"].assembly.info._author.binding
    async with stranger.subscribe(PRESENCE_TOPIC):
        for address in ("", "garbage", "/memory/x", f"/memory/{stranger.peer_id}x"):
            presence = Presence(own, ("validator",), ("synthetic",), (address,), 4096)
            await stranger.publish(PRESENCE_TOPIC, presence)
        await trio.sleep(1)
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert failures(caplog) == []
    await check_money(world)
