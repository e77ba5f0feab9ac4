"""Who sits and who orchestrates: tables of cases, and what holds for any draw."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import Amount
from node.errors import Conflict
from node.market.seating import (
    MAX_REDRAWS,
    NoCandidates,
    lease_seats,
    next_passed,
    redraw_seats,
    require_redraw,
)
from node.verification.draws import MAX_PASSED, Draw, Pass, Seat
from node.verification.snapshots import Candidate, Snapshot, draw_from
from p2p.identity import Identity, peer_id_of

TASK = "550e8400-e29b-41d4-a716-446655440000"
KEYS = sorted(Identity.from_seed(bytes([number]) * 32).public_key for number in range(1, 13))
PEERS = [peer_id_of(key) for key in KEYS]


def candidates(count: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(key, f"cpc1{key.hex()[:8]}", 1, ("synthetic",)) for key in KEYS[:count])


def snapshot(count: int) -> Snapshot:
    return Snapshot(0, bytes(32), 0, candidates(count), b"m" * 32)


def draw_of(count: int, epoch: int = 1, **changes: object) -> Draw:
    drawn = draw_from(snapshot(count), task_id=TASK, epoch=epoch, kind="synthetic", size=3)
    draw = Draw(
        task_id=TASK,
        epoch=epoch,
        redraw=0,
        kind="synthetic",
        parameters=b"",
        reward=Amount(1),
        snapshot=bytes(32),
        passed=(),
        seats=lease_seats(drawn),
        needed=2,
        expires_ms=0,
        market_key=b"m" * 32,
    )
    return msgspec.structs.replace(draw, **changes)


def passed(draw: Draw, place: int) -> Pass:
    return Pass(draw.epoch, draw.seats[place].key, "check", "no_reveal", 0)


ORCHESTRATORS = [
    # avoid, full -> who of the three comes first
    ((), (), 0),
    ((0,), (), 1),
    ((0, 1), (), 2),
    ((0, 1, 2), (), 0),
    ((), (0,), 1),
    ((1,), (0,), 2),
    ((1, 2), (0,), 1),
    ((0,), (1, 2), 0),
    ((), (0, 1, 2), None),
]


@pytest.mark.parametrize(("avoid", "full", "first"), ORCHESTRATORS)
def test_who_orchestrates(avoid, full, first: int | None) -> None:
    drawn = candidates(3)
    seats = lease_seats(drawn, avoid=[PEERS[n] for n in avoid], full=[PEERS[n] for n in full])
    if first is None:
        assert seats == ()
    else:
        rest = [one for number, one in enumerate(drawn) if number != first]
        assert [seat.key for seat in seats] == [drawn[first].key, *(one.key for one in rest)]


def test_orchestrators_are_spread_evenly() -> None:
    firsts = Counter(
        lease_seats(draw_from(snapshot(4), task_id=f"t{n}", epoch=1, kind="synthetic", size=3))[
            0
        ].key
        for n in range(2000)
    )
    assert all(400 < count < 600 for count in firsts.values())


@given(
    count=st.integers(3, 12),
    epoch=st.integers(1, 99),
    places=st.sets(st.integers(1, 2), min_size=1),
)
def test_filling_seats_moves_nobody_else(count: int, epoch: int, places: set[int]) -> None:
    draw = draw_of(count, epoch)
    log = next_passed(draw, [passed(draw, place) for place in places])
    seats = redraw_seats(draw, log, snapshot(count), 3)
    kept = [seat for place, seat in enumerate(draw.seats) if place not in places]
    left = min(3, count - len(places))
    if count == 3:
        assert seats is None
    else:
        assert seats is not None
        assert seats[0] == draw.seats[0]
        assert set(kept) <= set(seats)
        assert len(seats) == left
        assert not {draw.seats[place].key for place in places} & {seat.key for seat in seats}


def test_a_quorum_must_be_left() -> None:
    draw = draw_of(4, needed=3)
    log = next_passed(draw, [passed(draw, 1), passed(draw, 2)])
    assert redraw_seats(draw, log, snapshot(4), 3) is None
    assert redraw_seats(draw, log, snapshot(5), 3) is not None


def test_the_orchestrator_must_have_its_seat() -> None:
    draw = draw_of(5)
    everybody = snapshot(5)
    without = tuple(one for one in everybody.candidates if one.key != draw.seats[0].key)
    assert redraw_seats(draw, (), msgspec.structs.replace(everybody, candidates=without), 3) is None


def test_an_epoch_has_so_many_redraws() -> None:
    draw = draw_of(12, redraw=MAX_REDRAWS - 1)
    assert next_passed(draw, [passed(draw, 1)])
    with pytest.raises(NoCandidates):
        next_passed(msgspec.structs.replace(draw, redraw=MAX_REDRAWS), [passed(draw, 1)])


def test_the_log_forgets_earlier_epochs_only() -> None:
    """What the epoch's seats follow from must be in its draw."""
    draw = draw_of(12, epoch=2)
    before = Pass(1, KEYS[0], "check", "no_reveal", 0)
    full = msgspec.structs.replace(draw, passed=(before,) * MAX_PASSED)
    log = next_passed(full, [passed(draw, 1)])
    assert (len(log), log[-1]) == (MAX_PASSED, passed(draw, 1))
    others = tuple(Pass(2, bytes([n]) * 32, "check", "no_reveal", 0) for n in range(MAX_PASSED))
    with pytest.raises(NoCandidates, match="too many"):
        next_passed(msgspec.structs.replace(draw, passed=others), [passed(draw, 1)])


def test_a_request_is_about_the_current_draw_or_an_earlier_one() -> None:
    draw = draw_of(3, redraw=2)
    assert [require_redraw(draw, number) for number in (0, 1, 2)] == [False, False, True]
    with pytest.raises(Conflict):
        require_redraw(draw, 3)


def test_seats_are_seats() -> None:
    assert all(isinstance(seat, Seat) for seat in draw_of(3).seats)
