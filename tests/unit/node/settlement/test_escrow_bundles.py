"""Whatever happens to tasks that share transactions: each is paid or given back, once."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.devchain.faults import Faults
from tests.unit.node.settlement.support.crowd import Crowd
from tests.unit.node.settlement.support.crowd_steps import CUSTOMERS, MOST, SETS, Step, Steps
from tests.unit.node.settlement.support.driver import run_virtual
from tests.unit.node.settlement.support.escrows import Key

NAMES, TEAMS = st.sampled_from(list(CUSTOMERS)), st.sampled_from(list(SETS))
SECONDS = st.sampled_from([600, 20])
BUY = st.tuples(st.just("buy"), NAMES, TEAMS, st.integers(1, MOST), SECONDS)
END = st.tuples(st.just("end"), st.integers(1, 12), st.sampled_from(["settle", "refund"]))
WAIT = st.tuples(st.just("wait"), st.sampled_from([2.0, 0.1, 0.5, 1.0, 5.0]))
TROUBLE = st.one_of(
    WAIT,
    st.tuples(st.just("stranger"), st.integers(0, 8), st.sampled_from([9_000, 500])),
    st.tuples(st.just("willing"), st.booleans()),
    st.tuples(st.just("away"), st.sampled_from([41, 42, 43, 44]), st.sampled_from([42, 43])),
    st.tuples(st.just("take_nonce")),
    st.tuples(st.just("crash"), st.integers(0, 8), st.booleans()),
    st.tuples(st.just("die")),
    st.tuples(st.just("forget")),
    st.tuples(st.just("give_notice"), NAMES),
    st.tuples(st.just("deposit"), NAMES),
)
TROUBLES = st.lists(TROUBLE, max_size=3)
ROUND = st.tuples(
    st.lists(BUY, min_size=2, max_size=4),
    TROUBLES,
    WAIT,
    st.lists(END, min_size=1, max_size=2),
    TROUBLES,
    WAIT,
)
"""Several tasks are bought, and ended, and more or less comes between."""


def steps_of(rounds: Iterable[tuple[Any, ...]]) -> list[Step]:
    """In each round everybody is there at first."""
    steps: list[Step] = []
    for buys, first, pause, ends, then, rest in rounds:
        steps += [("calm",), *buys, *first, pause, *ends, *then, rest]
    return steps


LIVES = st.lists(ROUND, min_size=1, max_size=3).map(steps_of)
FAULTS = st.sampled_from([Faults(), Faults(rolls_back=1), Faults(forgets=3)])


def lived(make_world: Any, key: Key, steps: list[Step], faults: Faults) -> Crowd:
    crowd = Crowd(make_world(faults=faults, back_end="escrow"), key)

    async def main() -> None:
        async with crowd.world.running():
            await Steps(crowd).run(steps)

    run_virtual(main)
    return crowd


@given(LIVES, FAULTS)
@settings(max_examples=40, deadline=None)
def test_each_is_paid_or_given_back_once(
    make_world: Any, key: Key, steps: list[Step], faults: Faults
) -> None:
    lived(make_world, key, steps, faults)


@pytest.mark.full
@given(LIVES, FAULTS)
@settings(max_examples=1_000, deadline=None)
def test_the_same_for_many_more(
    make_world: Any, key: Key, steps: list[Step], faults: Faults
) -> None:
    lived(make_world, key, steps, faults)


def test_where_nothing_happens_they_share_transactions(make_world: Any, key: Key) -> None:
    steps: list[Step] = [
        ("buy", "alice", "first", 3, 600),
        ("buy", "bob", "first", 2, 600),
        ("wait", 3.0),
        ("end", 5, "settle"),
        ("wait", 5.0),
    ]
    crowd = lived(make_world, key, steps, Faults())
    assert crowd.opened() == crowd.settled() == [[0, 1, 2, 3, 4]]
