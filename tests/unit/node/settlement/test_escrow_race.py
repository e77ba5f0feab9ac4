"""A refund races a settlement, and the market dies between: the books follow the chain.

Whatever the market wants, k of the set may have signed the other ending, or the deadline and its
grace pass; strangers send either. What a block has first counts, the other can never be in one.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.node.settlement.support.race import MEMBERS, NEEDED, Key, Race, Step


def run_virtual(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def raced(make_world: Any, key: Key, steps: list[Step]) -> Race:
    race = Race(make_world, key)
    async with race.world.running():
        await race.run(steps)
    return race


CLOSERS = ("claim", "refund", "late refund")


@pytest.mark.parametrize("dies", ["before", "after", "never"])
@pytest.mark.parametrize("first", CLOSERS)
@pytest.mark.parametrize("wanted", ["settle", "refund"])
async def test_both_orders(
    make_world: Any, key: Key, autojump_clock: Any, wanted: str, first: str, dies: str
) -> None:
    """The market's own transaction is under way; somebody else's is in a block before it."""
    pause = [("late",)] if first == "late refund" else []
    race = await raced(
        make_world,
        key,
        [
            ("end", wanted),
            *pause[: wanted == "settle"],
            ("sign", NEEDED if first != "late refund" else 1),
            *pause[wanted == "settle" :],
            *[("die",)] * (dies == "before"),
            ("stranger", first),
            *[("wait", 0.5), ("die",)] * (dies == "after"),
        ],
    )
    assert race.wanted == wanted
    assert race.sent == {first}


@pytest.mark.parametrize("gas_price", [500, 9_000], ids=["market first", "stranger first"])
@pytest.mark.parametrize("first", ["claim", "refund"])
@pytest.mark.parametrize("wanted", ["settle", "refund"])
async def test_two_transactions_for_one_block(
    make_world: Any, key: Key, autojump_clock: Any, wanted: str, first: str, gas_price: int
) -> None:
    """The better price is in it; the other is in none, and keeps nobody waiting."""
    steps = [("end", wanted), ("wait", 1), ("sign", NEEDED), ("stranger", first, gas_price)]
    await raced(make_world, key, steps)


async def test_a_claim_for_a_task_that_goes_on(
    make_world: Any, key: Key, autojump_clock: Any
) -> None:
    """Two of three that sign what they like can spend a reward; the books say so all the same."""
    race = await raced(make_world, key, [("stranger", "claim"), ("wait", 2), ("end", "settle")])
    assert race.wanted == ""


STEPS = st.one_of(
    st.tuples(st.just("end"), st.sampled_from(["settle", "settle", "refund"])),
    st.tuples(st.just("sign"), st.sampled_from([1, NEEDED, len(MEMBERS)])),
    st.tuples(st.just("stranger"), st.sampled_from(CLOSERS), st.sampled_from([500, 9_000])),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, 1.0, 2.0])),
    st.tuples(st.just("late")),
    st.tuples(st.just("crash"), st.integers(0, 4), st.booleans()),
    st.tuples(st.just("die")),
)
OUTCOMES = st.sampled_from(["upheld", "inconclusive", "overturned"])
DISPUTED = st.one_of(
    STEPS,
    st.tuples(st.just("appeal")),
    st.tuples(st.just("rule"), OUTCOMES),
    st.tuples(st.just("decide"), OUTCOMES),
    st.tuples(st.just("decide"), OUTCOMES),
    st.tuples(st.just("award"), OUTCOMES, st.sampled_from([500, 9_000])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 8.0])),
)


def _examples(few: int) -> pytest.MarkDecorator:
    many = pytest.param(200, marks=pytest.mark.full, id="many more")
    return pytest.mark.parametrize("examples", [few, many])


@_examples(10)
def test_whatever_the_order(make_world: Any, key: Key, examples: int) -> None:
    @given(st.lists(STEPS, min_size=3, max_size=12))
    @settings(max_examples=examples)
    def play(steps: list[Step]) -> None:
        run_virtual(partial(_whatever, make_world, key, steps))

    play()


@_examples(15)
def test_whatever_the_order_of_a_dispute(make_world: Any, key: Key, examples: int) -> None:
    """The result is disputed before anything else happens, or at some time."""

    @given(st.booleans(), st.lists(DISPUTED, min_size=3, max_size=12))
    @settings(max_examples=examples)
    def play(is_early: bool, steps: list[Step]) -> None:
        begin: list[Step] = [("end", "settle"), ("sign", NEEDED), ("appeal",)]
        steps = [*begin[: 3 if is_early else 1], *steps]
        run_virtual(partial(_whatever, make_world, key, steps))

    play()


@pytest.mark.parametrize("dies", ["before", "after", "never"])
@pytest.mark.parametrize("outcome", ["", "upheld", "inconclusive", "overturned"])
@pytest.mark.parametrize("first", ["claim", "refund", "late refund", "upheld", "overturned"])
async def test_a_dispute_and_what_comes_first(
    make_world: Any, key: Key, autojump_clock: Any, first: str, outcome: str, dies: str
) -> None:
    """Whoever closes or decides it, before or while the market's jury says what it says."""
    is_award = first in ("upheld", "overturned")
    race = await raced(
        make_world,
        key,
        [
            ("end", "settle"),
            ("sign", NEEDED),
            ("appeal",),
            *[("wait", 2)] * (first != "claim"),
            *[("late",)] * (first == "late refund"),
            *[("rule", outcome)] * bool(outcome),
            *[("die",)] * (dies == "before"),
            ("award", first) if is_award else ("stranger", first),
            *[("wait", 0.5), ("die",)] * (dies == "after"),
            *[("wait", 2), ("sign", NEEDED)] * bool(outcome),
        ],
    )
    assert race.wanted == "settle"
    assert first in race.sent or first == "late refund"


async def _whatever(make_world: Any, key: Key, steps: list[Step]) -> None:
    await raced(make_world, key, steps)
