"""The database against a dictionary, under any order of staging, writing and reopening."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

T = TypeVar("T")
LAST = b"\xff" * 8
keys = st.sampled_from([b"", b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xff"])
changes = st.lists(st.tuples(keys, st.none() | st.sampled_from([b"", b"1", b"2"])), max_size=4)


class GatedStore(MemoryStore):
    """Lets writes through only while its gate is open, so that groups pile up behind it."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self._turn = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._turn:
            return super().get(key)

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        with self._turn:
            return super().scan(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        assert self.gate.wait(timeout=60)
        with self._turn:
            super().write(batch, sync=sync)


class OpenDatabase:
    """A database open in a trio loop of its own thread: rules are ordinary functions."""

    def __init__(self, store: GatedStore) -> None:
        self._opened = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main, store))
        self._thread.start()
        assert self._opened.wait(timeout=60)

    async def _main(self, store: GatedStore) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._leave = trio.Event()
        async with open_database(store) as self.database:
            self._opened.set()
            await self._leave.wait()

    def call(self, function: Callable[..., T], *args: object) -> T:
        return trio.from_thread.run_sync(function, *args, trio_token=self._token)

    def flush(self) -> None:
        trio.from_thread.run(self.database.flushed, trio_token=self._token)

    def close(self) -> None:
        self.call(self._leave.set)
        self._thread.join()


class DatabaseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model: dict[bytes, bytes] = {}
        self.store = GatedStore()
        self.open = OpenDatabase(self.store)

    @rule(pairs=changes)
    def stage(self, pairs: list[tuple[bytes, bytes | None]]) -> None:
        batch = Batch()
        for key, value in pairs:
            if value is None:
                batch.delete(key)
                self.model.pop(key, None)
            else:
                batch.put(key, value)
                self.model[key] = value
        self.open.call(self.open.database.stage, batch)

    @rule()
    def hold_writes(self) -> None:
        self.store.gate.clear()

    @rule()
    def flush(self) -> None:
        self.store.gate.set()
        self.open.flush()
        assert dict(self.store.scan(b"", LAST)) == self.model

    @rule()
    def reopen(self) -> None:
        self.store.gate.set()
        self.open.close()
        assert dict(self.store.scan(b"", LAST)) == self.model
        self.open = OpenDatabase(self.store)

    @rule(start=keys, stop=keys, reverse=st.booleans())
    def scan(self, start: bytes, stop: bytes, reverse: bool) -> None:
        found = self.open.call(self._scan, start, stop, reverse)
        pairs = ((key, value) for key, value in self.model.items() if start <= key < stop)
        assert found == sorted(pairs, reverse=reverse)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        assert self.open.call(self.open.database.get, key) == self.model.get(key)

    @invariant()
    def everything_staged_is_seen(self) -> None:
        assert self.open.call(self._scan, b"", LAST, False) == sorted(self.model.items())

    def _scan(self, start: bytes, stop: bytes, reverse: bool) -> list[tuple[bytes, bytes]]:
        return list(self.open.database.scan(start, stop, reverse=reverse))

    def teardown(self) -> None:
        self.store.gate.set()
        self.open.close()


TestDatabase = DatabaseMachine.TestCase
TestDatabase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
