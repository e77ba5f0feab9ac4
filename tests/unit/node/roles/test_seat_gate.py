"""A validator acts only on draws whose seats follow from a snapshot of late."""

import msgspec
import pytest
import trio

from node.roles.admission import SKEW_MS, SeatGate
from node.verification.claims import StatementInvalid
from node.verification.draws import Pass, Refusal, sign_refusal
from node.wire.snapshots import SNAPSHOT_TOPIC, PublishedSnapshot, RequestSnapshot
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"


@pytest.fixture
async def stage(open_stage, make_author, autojump_clock):
    async with open_stage(make_author(3)) as opened:
        yield opened


async def refused(gate: SeatGate, draw) -> str:
    with pytest.raises(StatementInvalid) as error:
        await gate.admit(draw)
    return str(error.value)


async def test_the_snapshot_is_asked_for_once(stage, autojump_clock) -> None:
    gate, draws = stage.seat_gate(), [stage.draw(task_id=f"task-{n}") for n in range(5)]
    async with trio.open_nursery() as nursery:
        for draw in draws * 2:
            nursery.start_soon(gate.admit, draw)
    assert stage.registry.asked == 1


async def test_a_published_snapshot_is_not_asked_for(stage, autojump_clock) -> None:
    gate = stage.seat_gate()
    await stage.nursery.start(gate._feed.run)
    draw = stage.draw()
    await stage.person(stage.market).publish(SNAPSHOT_TOPIC, await shown(stage, draw))
    await trio.testing.wait_all_tasks_blocked()
    await gate.admit(draw)
    assert stage.registry.asked == 1  # by `shown`


async def test_only_a_market_publishes_its_snapshots(stage, autojump_clock) -> None:
    gate = stage.seat_gate()
    await stage.nursery.start(gate._feed.run)
    draw = stage.draw()
    await stage.person(stage.stranger).publish(SNAPSHOT_TOPIC, await shown(stage, draw))
    await trio.testing.wait_all_tasks_blocked()
    assert gate._feed.book.find(draw.snapshot) is None


async def shown(stage, draw) -> PublishedSnapshot:
    return await stage.registry.show("", RequestSnapshot(draw.snapshot))


async def test_seats_that_the_market_chose(stage, make_author, autojump_clock) -> None:
    """Its friends instead of those that the snapshot ranks first."""
    gate, honest = stage.seat_gate(), stage.draw()
    friend = stage.draw(make_author(6))
    chosen = stage.draw(make_author(6), snapshot=honest.snapshot)
    assert "do not follow" in await refused(gate, chosen)
    fewer = stage.draw(seats=honest.seats[:2], snapshot=honest.snapshot)
    assert "do not follow" in await refused(gate, fewer)
    await gate.admit(friend)  # if a snapshot has just these


async def test_a_snapshot_that_nobody_has(stage, autojump_clock) -> None:
    gate = stage.seat_gate()
    assert "cannot be had" in await refused(gate, stage.draw(snapshot=b"\x01" * 32))
    other = await shown(stage, stage.draw())

    async def show_another(_sender, _message):
        return other

    stage.registry.show = show_another
    assert "shows another" in await refused(gate, stage.draw(snapshot=b"\x01" * 32))


async def test_a_market_that_is_silent_for_a_moment_is_asked_again(stage, autojump_clock) -> None:
    gate, draw, show = stage.seat_gate(), stage.draw(), stage.registry.show
    calls = []

    async def fail_first(sender, message):
        calls.append(sender)
        if len(calls) == 1:
            raise RequestRefused("busy")
        return await show(sender, message)

    stage.registry.show = fail_first
    assert "cannot be had" in await refused(gate, draw)
    await gate.admit(draw)


async def test_who_was_passed_over_needs_a_reason(stage, make_author, autojump_clock) -> None:
    """Without validator 4, who refused in signed words or was waited for in vain."""
    four, epoch, now_ms = make_author(4), 1, virtual_clock_ms()
    full = stage.draw()
    key = four.identity.public_key
    rest = tuple(seat for seat in full.seats if seat.key != key)
    said = Refusal(full.task_id, epoch, "check", "busy", now_ms, b"")
    signed = sign_refusal(said, CHAIN, four.identity)
    forged = sign_refusal(said, CHAIN, make_author(6).identity)

    def without(*passed):
        return stage.draw(seats=rest, snapshot=full.snapshot, redraw=1, passed=passed)

    gate = stage.seat_gate()
    await gate.admit(without(Pass(epoch, key, "check", "refused", now_ms, signed)))
    await gate.admit(without(Pass(epoch, key, "check", "no_reveal", now_ms)))
    for wrong in (
        (),
        (Pass(epoch, key, "check", "refused", now_ms, forged),),
        (Pass(epoch, key, "check", "refused", now_ms),),
        (Pass(epoch + 1, key, "check", "no_reveal", now_ms),),
        (Pass(epoch, key, "orchestrate", "unreachable", now_ms),),
    ):
        assert await refused(gate, without(*wrong))


async def test_a_snapshot_of_the_past(stage, make_author, autojump_clock) -> None:
    """A market must not choose among all the snapshots that it ever had."""
    gate, old = stage.seat_gate(), stage.draw()
    await gate.admit(old)
    await gate.admit(stage.draw(make_author(6), task_id="newer"))
    await trio.sleep(SKEW_MS / 1000)
    late = stage.draw(task_id="late", snapshot=old.snapshot)
    await gate.admit(late)  # perhaps it was drawn just before
    await trio.sleep(0.1)
    later = stage.draw(task_id="later", snapshot=old.snapshot)
    assert "replaced before" in await refused(gate, later)
    short = msgspec.structs.replace(later, expires_ms=virtual_clock_ms() + 5_000)
    resigned = stage.draw(task_id="later", snapshot=old.snapshot, expires_ms=short.expires_ms)
    await gate.admit(resigned)  # one that ends soon may have been made long ago
    await gate.admit(late)
