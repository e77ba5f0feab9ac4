from hypothesis import given
from hypothesis import strategies as st

from p2p.seen import ReplayCache, SeenIds, Sight

ONE, OTHER = b"1" * 16, b"2" * 16
NOW_MS = 1_700_000_000_000


def test_an_id_is_new_once_and_another_content_is_told_apart():
    seen = SeenIds(10, 60)
    assert seen.look(b"a", ONE) is Sight.NEW
    seen.add(b"a", ONE, 0)
    assert seen.has(b"a")
    assert seen.look(b"a", ONE) is Sight.SAME
    assert seen.look(b"a", OTHER) is Sight.OTHER
    assert not seen.has(b"b")


def test_ids_live_for_their_time_and_no_longer_than_twice_that():
    seen = SeenIds(10, 60)
    seen.add(b"a", ONE, 100)
    seen.add(b"b", ONE, 161)
    assert seen.has(b"a")
    seen.add(b"c", ONE, 222)
    assert not seen.has(b"a")
    assert seen.has(b"b")


@given(st.lists(st.integers(0, 300), max_size=300))
def test_the_last_ids_are_known_however_many_came(numbers):
    seen = SeenIds(50, 60)
    for number in numbers:
        seen.add(number.to_bytes(2), ONE, 1)
        assert len(seen) <= 100
    assert all(seen.has(number.to_bytes(2)) for number in numbers[-50:])


def test_envelopes_are_remembered_until_their_time_is_over():
    cache = ReplayCache(10)
    assert cache.look(b"a", ONE) is Sight.NEW
    cache.add(b"a", ONE, NOW_MS)
    assert cache.look(b"a", ONE) is Sight.SAME
    assert cache.look(b"a", OTHER) is Sight.OTHER
    cache.forget_until(NOW_MS + 99)
    assert len(cache) == 1
    cache.forget_until(NOW_MS + 100)
    assert len(cache) == 0


def test_a_full_cache_forgets_the_oldest_and_lets_nothing_as_old_in():
    cache = ReplayCache(2)
    cache.add(b"a", ONE, NOW_MS)
    cache.add(b"b", ONE, NOW_MS + 5000)
    assert not cache.is_too_old(NOW_MS)
    cache.add(b"c", ONE, NOW_MS + 6000)
    assert cache.look(b"a", ONE) is Sight.NEW
    assert cache.is_too_old(NOW_MS + 99)
    assert not cache.is_too_old(NOW_MS + 100)
    assert cache.look(b"b", ONE) is Sight.SAME


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=200))
def test_nothing_is_let_in_twice_whatever_the_order(arrivals):
    """A model of the gate: what is new and not too old is let in, and must not come again."""
    cache, let_in = ReplayCache(8), set()
    for number, tenth in arrivals:
        key, issued_ms = bytes([number, tenth]), tenth * 100
        if cache.look(key, ONE) is Sight.NEW and not cache.is_too_old(issued_ms):
            assert key not in let_in
            let_in.add(key)
            cache.add(key, ONE, issued_ms)
        assert len(cache) <= 8
