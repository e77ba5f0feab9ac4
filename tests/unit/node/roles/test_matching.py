from collections.abc import Callable

import pytest

from node.roles.matching import Bench, pick_worker

A, B, C = Bench("a", 1), Bench("b", 1), Bench("c", 2)


def strikes_of(strikes: dict[str, float]) -> Callable[[str], float]:
    return lambda peer_id: strikes.get(peer_id, 0.0)


@pytest.mark.parametrize(
    ("workers", "load", "strikes", "tried", "picked"),
    [
        ([], {}, {}, set(), None),
        ([A], {}, {}, set(), "a"),
        ([A], {"a": 4}, {}, set(), None),
        ([A, B], {"a": 1}, {}, set(), "b"),
        ([A, C], {"a": 1, "c": 1}, {}, set(), "c"),
        ([A, B], {}, {"a": 1.0}, set(), "b"),
        ([A, B], {}, {"a": 0.06}, set(), "b"),
        ([A, B], {"b": 1}, {"a": 0.9}, set(), "a"),
        ([A, B], {"b": 1}, {"a": 1.1}, set(), "b"),
        ([A, B], {}, {"b": 2.0}, {"a"}, "b"),
        ([A], {}, {"a": 9.0}, {"a"}, "a"),
    ],
)
def test_cases(workers, load, strikes, tried, picked) -> None:
    chosen = pick_worker(
        workers, job="t", load=load, strikes=strikes_of(strikes), tried=tried, queue_per_slot=4
    )
    assert chosen == picked


def test_equal_workers_are_spread_over_jobs() -> None:
    picked = {
        pick_worker(
            [A, B], job=f"t{n}", load={}, strikes=strikes_of({}), tried=set(), queue_per_slot=1
        )
        for n in range(20)
    }
    assert picked == {"a", "b"}
