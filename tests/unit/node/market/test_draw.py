from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from node.market.draw import Candidate, draw_seats

TASK = "550e8400-e29b-41d4-a716-446655440000"


def candidates(count: int) -> list[Candidate]:
    return [Candidate(f"peer-{n}", bytes([n]) * 32, f"cpc1{n}") for n in range(count)]


@given(order=st.permutations(candidates(6)), epoch=st.integers(1, 9))
def test_nobody_chooses(order: list[Candidate], epoch: int) -> None:
    drawn = draw_seats(order, task_id=TASK, epoch=epoch, size=3)
    assert drawn == draw_seats(candidates(6), task_id=TASK, epoch=epoch, size=3)
    assert len(set(drawn)) == 3


def test_one_that_leaves_moves_only_its_own_seat() -> None:
    everybody = candidates(6)
    before = draw_seats(everybody, task_id=TASK, epoch=1, size=3)
    without = [one for one in everybody if one != before[1]]
    after = draw_seats(without, task_id=TASK, epoch=1, size=3)
    assert set(before) - {before[1]} <= set(after)


def test_a_failed_orchestrator_keeps_a_seat_but_not_the_first() -> None:
    everybody = candidates(3)
    first = draw_seats(everybody, task_id=TASK, epoch=2, size=3)[0]
    again = draw_seats(everybody, task_id=TASK, epoch=2, size=3, avoid=[first.peer_id])
    assert again[0] != first
    assert first in again


def test_when_all_failed_one_of_them_tries_again() -> None:
    everybody = candidates(2)
    peers = [one.peer_id for one in everybody]
    assert len(draw_seats(everybody, task_id=TASK, epoch=3, size=3, avoid=peers)) == 2


def test_seats_are_spread_evenly() -> None:
    everybody = candidates(4)
    firsts = Counter(
        draw_seats(everybody, task_id=f"task-{n}", epoch=1, size=3)[0].peer_id for n in range(2000)
    )
    assert all(400 < count < 600 for count in firsts.values())
