"""The workers that an orchestrator can send attempts to, and the queue of jobs that want one.

A slot that becomes free goes to the job that waits longest and may have it; nobody else is woken.
"""

from collections import Counter
from dataclasses import dataclass, field

import trio

from node.directory import Directory
from node.roles.matching import Bench, pick_worker
from node.roles.standings import StandingBook

JOBS_PER_SLOT = 4
"""Attempts sent to a worker's slot ahead of need."""
RETRY_PAUSE_S = 2.0
"""Before a worker gets a job again that it failed: somebody else may turn up."""
BUSY_PAUSES_S = (0.05, 2.0)
"""Before a worker is asked again that said it is full: at first, and at most, doubled between."""
FRESH_S = 1.0
"""How long a look at the directory is good for, if nothing is announced."""


@dataclass
class Search:
    """What a job wants: its kind of work, and whom it does not want."""

    kind: str
    job: str
    """A name, to spread equal choices by."""
    tried: set[str] = field(default_factory=set)
    """Those that failed it."""
    rest_until: float = 0.0
    """Before this time none of them gets it again."""
    busy: dict[str, float] = field(default_factory=dict)
    """When those may be asked again that were full."""
    busy_pause_s: float = BUSY_PAUSES_S[0]

    def failed_by(self, worker: str) -> None:
        """Another one is wanted, or the same one after a pause."""
        self.tried.add(worker)
        self.rest_until = trio.current_time() + RETRY_PAUSE_S

    def full(self, worker: str) -> None:
        """Somebody else is wanted for a moment, that is longer each time."""
        self.busy[worker] = trio.current_time() + self.busy_pause_s
        self.busy_pause_s = min(2 * self.busy_pause_s, BUSY_PAUSES_S[1])

    def next_change(self) -> float:
        """When the first of those that are not wanted now may be had again."""
        now = trio.current_time()
        times = [until for until in (self.rest_until, *self.busy.values()) if until > now]
        return min(times, default=float("inf"))


class _Waiting:
    """A job in the queue."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.woken = trio.Event()
        self.worker: str | None = None


class Staff:
    """Workers by load and standing."""

    def __init__(self, directory: Directory, standings: StandingBook) -> None:
        self._directory = directory
        self._standings = standings
        self._load: Counter[str] = Counter()
        self._queue: dict[_Waiting, None] = {}
        self._benches: dict[str, list[Bench]] = {}
        self._seen: tuple[trio.Event | None, float] = (None, 0.0)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._queue)

    async def run(self) -> None:
        """Give workers that turn up to those that wait, until cancelled."""
        while True:
            changed = self._directory.changed
            served = [one for one in self._queue if self._serve(one)]
            for one in served:
                del self._queue[one]
                one.woken.set()
            await changed.wait()

    async def hire(self, search: Search) -> str:
        """Wait for the best worker that is free, and take a place in its queue until `leave`."""
        worker = self._take(search)
        while worker is None:
            worker = await self._wait(search)
        return worker

    def has_any(self, kind: str) -> bool:
        """Whether there is a worker that might take such a job at another time."""
        return any(not self._standings.is_barred(one.peer_id) for one in self._benches_of(kind))

    def leave(self, worker: str) -> None:
        """Give the place back, to the first in the queue that may have it."""
        self._load[worker] -= 1
        if not self._load[worker]:
            del self._load[worker]
        first = next((one for one in self._queue if self._serve(one)), None)
        if first is not None:
            del self._queue[first]
            first.woken.set()

    async def _wait(self, search: Search) -> str | None:
        waiting = _Waiting(search)
        self._queue[waiting] = None
        try:
            with trio.move_on_at(search.next_change()):
                await waiting.woken.wait()
        except trio.Cancelled:
            if waiting.worker is not None:
                self.leave(waiting.worker)
            raise
        finally:
            self._queue.pop(waiting, None)
        return waiting.worker or self._take(search)

    def _serve(self, waiting: _Waiting) -> bool:
        waiting.worker = self._take(waiting.search)
        return waiting.worker is not None

    def _take(self, search: Search) -> str | None:
        now = trio.current_time()
        wanted = [
            one
            for one in self._benches_of(search.kind)
            if search.busy.get(one.peer_id, 0.0) <= now
            and not self._standings.is_barred(one.peer_id)
        ]
        worker = pick_worker(
            wanted,
            job=search.job,
            load=self._load,
            strikes=self._standings.strikes,
            tried=search.tried,
            queue_per_slot=JOBS_PER_SLOT,
        )
        if worker is None or (worker in search.tried and now < search.rest_until):
            return None
        self._load[worker] += 1
        return worker

    def _benches_of(self, kind: str) -> list[Bench]:
        """The directory's workers, looked up again when it announces a change, or after a while."""
        now, (seen, looked_at) = trio.current_time(), self._seen
        if seen is not self._directory.changed or now - looked_at > FRESH_S:
            self._benches.clear()
            self._seen = (self._directory.changed, now)
        if kind not in self._benches:
            self._benches[kind] = [
                Bench(one.peer_id, max(1, one.presence.slots))
                for one in self._directory.active("worker", kind)
            ]
        return self._benches[kind]
