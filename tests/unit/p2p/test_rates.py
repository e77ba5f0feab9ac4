import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from p2p.rates import Pacer, RateTable, Tally, TokenBucket, Turnstile


@given(
    st.floats(0.1, 100),
    st.floats(1, 100),
    st.lists(st.floats(0, 10), max_size=200),
)
def test_never_more_than_burst_and_rate_allow(rate, burst, pauses):
    bucket = TokenBucket(rate, burst)
    now = taken = 0.0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)
        assert taken <= burst + rate * now + 1e-6


def test_a_token_is_earned_in_time():
    bucket = TokenBucket(rate=2, burst=1)
    assert bucket.take(0)
    assert not bucket.take(0.4)
    assert bucket.take(0.5)


def test_a_clock_that_runs_backwards_earns_nothing():
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(100)
    assert not bucket.take(50)
    assert not bucket.take(50.5)


def test_reserving_tells_how_long_to_wait():
    bucket = TokenBucket(rate=2, burst=2)
    assert [bucket.reserve(0) for _ in range(4)] == [0, 0, 0.5, 1]


def test_every_key_has_its_own_bucket_and_the_oldest_is_forgotten():
    table = RateTable(rate=1, burst=1, capacity=2)
    assert table.take(b"a", 0)
    assert table.take(b"b", 0)
    assert not table.take(b"a", 0)
    assert table.take(b"c", 0)
    assert len(table) == 2
    assert table.take(b"b", 0)


@given(st.permutations([0.0, 0.4, 0.9, 1.0, 1.7, 2.2, 2.3, 2.4, 2.5]))
def test_a_tally_counts_each_second_whatever_the_order(times):
    tally = Tally(3, capacity=10)
    within = [tally.add(b"a", at_s) for at_s in times]
    assert within.count(False) == 1
    assert 2.0 <= times[within.index(False)] < 3.0
    assert tally.add(b"b", 2.0)


def test_a_tally_forgets_what_is_longest_unchanged():
    tally = Tally(1, capacity=2)
    assert [tally.add(b"a", 1.0), tally.add(b"a", 2.0), tally.add(b"a", 1.0)] == [True, True, False]
    assert tally.add(b"a", 3.0)
    assert len(tally) == 2
    assert not tally.add(b"a", 1.0)
    assert tally.add(b"a", 2.0)


def test_the_turnstile_counts_per_peer():
    turnstile = Turnstile(2)
    assert [turnstile.enter("x") for _ in range(3)] == [True, True, False]
    assert turnstile.enter("y")
    turnstile.leave("x")
    assert turnstile.enter("x")


def test_the_turnstile_counts_all_together():
    turnstile = Turnstile(2, total=3)
    assert [turnstile.enter(key) for key in "aabbc"] == [True, True, True, False, False]
    turnstile.leave("a")
    assert turnstile.enter("c")


async def test_a_pacer_lets_callers_through_in_turn(autojump_clock) -> None:
    pacer, passed = Pacer(rate=2, burst=2), []

    async def go(number: int) -> None:
        await pacer.wait()
        passed.append((number, trio.current_time()))

    for number in range(4):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(go, number)
    begin_s = passed[0][1]
    assert [(number, at_s - begin_s) for number, at_s in passed] == [
        (0, 0), (1, 0), (2, 0.5), (3, 1.0)
    ]  # fmt: skip


async def test_a_process_that_stood_still_does_not_catch_up(mock_clock) -> None:
    """Whoever counts what comes from us sees at most a burst, however long it took to come."""
    pacer, passed = Pacer(rate=10, burst=3), 0

    async def go() -> None:
        nonlocal passed
        await pacer.wait()
        passed += 1

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(go)
        await trio.testing.wait_all_tasks_blocked()
        assert passed == 3
        mock_clock.jump(5)
        await trio.testing.wait_all_tasks_blocked()
        assert passed <= 3 + 4, "one that was asleep, and a burst"
        nursery.cancel_scope.cancel()


async def test_who_gives_up_waiting_holds_nobody_up(autojump_clock) -> None:
    pacer = Pacer(rate=1, burst=1)
    await pacer.wait()
    with trio.move_on_after(0.1):
        await pacer.wait()
    with trio.fail_after(2):
        await pacer.wait()
