"""What `storage.store.KeyValueStore` promises, asked of every store."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.leveldb import open_leveldb
from storage.memory import MemoryStore
from storage.store import Batch, KeyValueStore

AWKWARD_KEYS = [b"", b"\x00", b"\x00\x00", b"\x01", b"a", b"a\x00", b"a\xff", b"b", b"\xff\xff"]
LAST = b"\xff" * 8
short = st.binary(max_size=3)
changes = st.lists(st.tuples(short, st.none() | short), max_size=8)


@contextmanager
def fresh_memory() -> Iterator[KeyValueStore]:
    yield MemoryStore()


@contextmanager
def fresh_leveldb() -> Iterator[KeyValueStore]:
    with tempfile.TemporaryDirectory() as directory, open_leveldb(Path(directory)) as store:
        yield store


def opened(kind: str) -> AbstractContextManager[KeyValueStore]:
    return {"memory": fresh_memory, "leveldb": fresh_leveldb}[kind]()


every_store = pytest.mark.parametrize("kind", ["memory", "leveldb"])


@pytest.fixture(params=["memory", "leveldb"])
def store(request: pytest.FixtureRequest) -> Iterator[KeyValueStore]:
    with opened(request.param) as store:
        yield store


def write(store: KeyValueStore, *pairs: tuple[bytes, bytes | None], sync: bool = False) -> None:
    store.write(batch_of(*pairs), sync=sync)


def batch_of(*pairs: tuple[bytes, bytes | None]) -> Batch:
    batch = Batch()
    for key, value in pairs:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def keys(pairs: Iterator[tuple[bytes, bytes]]) -> list[bytes]:
    return [key for key, _ in pairs]


def test_an_empty_store_has_nothing(store: KeyValueStore) -> None:
    assert store.get(b"a") is None
    assert list(store.scan(b"", LAST)) == []
    assert list(store.scan(b"", LAST, reverse=True)) == []


@pytest.mark.parametrize("sync", [False, True])
def test_what_was_written_is_read_back(store: KeyValueStore, sync: bool) -> None:
    write(store, (b"key", b"value"), (b"empty", b""), sync=sync)
    assert store.get(b"key") == b"value"
    assert store.get(b"empty") == b""
    assert store.get(b"ke") is None


def test_keys_are_any_bytes_and_come_in_unsigned_order(store: KeyValueStore) -> None:
    write(store, *((key, b"v" + key) for key in reversed(AWKWARD_KEYS)))
    assert list(store.scan(b"", LAST)) == [(key, b"v" + key) for key in AWKWARD_KEYS]
    assert keys(store.scan(b"", LAST, reverse=True)) == AWKWARD_KEYS[::-1]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_has_its_start_and_not_its_stop(store: KeyValueStore, reverse: bool) -> None:
    write(store, *((key, b"") for key in AWKWARD_KEYS))
    bounds = [*AWKWARD_KEYS, b"\x00\x01", b"ab", b"c"]
    for start in bounds:
        for stop in (*bounds, None):
            expected = [
                key for key in AWKWARD_KEYS if start <= key and (stop is None or key < stop)
            ]
            found = keys(store.scan(start, stop, reverse=reverse))
            assert found == (expected[::-1] if reverse else expected)


def test_the_last_change_in_a_batch_wins(store: KeyValueStore) -> None:
    write(store, (b"a", b"old"), (b"b", b"old"))
    write(store, (b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2"), (b"c", b"1"), (b"c", b"2"))
    assert list(store.scan(b"", LAST)) == [(b"b", b"2"), (b"c", b"2")]


def test_deleting_what_is_not_there_is_no_error(store: KeyValueStore) -> None:
    write(store, (b"a", None))
    write(store)
    assert list(store.scan(b"", LAST)) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_does_not_see_later_writes(store: KeyValueStore, reverse: bool) -> None:
    write(store, (b"a", b"1"), (b"b", b"1"), (b"c", b"1"))
    scan = store.scan(b"", LAST, reverse=reverse)
    write(store, (b"a", b"2"), (b"b", None), (b"bb", b"2"), (b"c", b"2"))
    assert sorted(scan) == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]


def test_a_scan_can_be_left_unfinished(store: KeyValueStore) -> None:
    write(store, (b"a", b"1"), (b"b", b"1"))
    unfinished = store.scan(b"", LAST)
    assert next(unfinished) == (b"a", b"1")
    store.close()
    store.close()


def test_batches_append_and_stay_apart() -> None:
    first, second = batch_of((b"a", b"1"), (b"b", b"1")), batch_of((b"b", None))
    first.update(second)
    second.put(b"c", b"2")
    assert first.changes == {b"a": b"1", b"b": None}
    assert len(first) == 2
    assert not Batch()


@every_store
@settings(max_examples=25, deadline=None)
@given(batches=st.lists(changes, max_size=5), start=short, stop=short, reverse=st.booleans())
def test_every_store_behaves_like_a_sorted_dictionary(
    kind: str,
    batches: list[list[tuple[bytes, bytes | None]]],
    start: bytes,
    stop: bytes,
    reverse: bool,
) -> None:
    model: dict[bytes, bytes] = {}
    with opened(kind) as store:
        for pairs in batches:
            write(store, *pairs)
            for key, value in pairs:
                model.pop(key, None)
                if value is not None:
                    model[key] = value
        expected = sorted(((k, v) for k, v in model.items() if start <= k < stop), reverse=reverse)
        assert list(store.scan(start, stop, reverse=reverse)) == expected
        assert all(store.get(key) == value for key, value in model.items())
