import pytest

from node.roles.matching import Bench, pick_worker

A, B, C = Bench("a", 1), Bench("b", 1), Bench("c", 2)


@pytest.mark.parametrize(
    ("workers", "load", "strikes", "tried", "picked"),
    [
        ([], {}, {}, set(), None),
        ([A], {}, {}, set(), "a"),
        ([A], {"a": 4}, {}, set(), None),
        ([A, B], {"a": 1}, {}, set(), "b"),
        ([A, C], {"a": 1, "c": 1}, {}, set(), "c"),
        ([A, B], {}, {"a": 1}, set(), "b"),
        ([A, B], {}, {"b": 2}, {"a"}, "b"),
        ([A], {}, {"a": 9}, {"a"}, "a"),
    ],
)
def test_cases(workers, load, strikes, tried, picked) -> None:
    chosen = pick_worker(
        workers, task_id="t", load=load, strikes=strikes, tried=tried, queue_per_slot=4
    )
    assert chosen == picked


def test_equal_workers_are_spread_over_tasks() -> None:
    picked = {
        pick_worker([A, B], task_id=f"t{n}", load={}, strikes={}, tried=set(), queue_per_slot=1)
        for n in range(20)
    }
    assert picked == {"a", "b"}
