"""The leases that an orchestrator has in hand, and how far their jobs are: what it must not forget.

A lease is stored before it is answered, an attempt before it is sent (the lease stands for the
first one), a verified job before the task is reported. Only the newest epoch of a task is written
to: whoever still works on an earlier one writes into the void.
"""

from collections.abc import Iterator
from hashlib import sha256

import msgspec

from node.roles.outcomes import Verified
from node.verification.draws import Draw
from node.verification.statements import Judgement
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class LeaseRecord(msgspec.Struct, frozen=True):
    """A task leased to this orchestrator, by the newest draw of its epoch."""

    draw: Draw


class JobProgress(msgspec.Struct, frozen=True):
    """How far one job of a lease is."""

    attempts: int = 0
    """Attempts begun in this epoch."""
    verified: Verified | None = None
    earlier: tuple[Judgement, ...] = ()
    """What the validators found about attempts of this epoch that led to nothing."""


class Leases:
    """The stored leases."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._leases = Table(db, "leases", LeaseRecord, version=2)
        self._jobs = Table(db, "lease-jobs", JobProgress)

    def draws(self) -> Iterator[Draw]:
        """Of all leases in hand."""
        return (record.draw for _, record in self._leases.items())

    def find(self, task_id: str) -> Draw | None:
        """The newest draw of a task in hand."""
        record = self._leases.get(task_id.encode())
        return record.draw if record else None

    def take(self, batch: Batch, draw: Draw) -> None:
        """Add a new lease to a batch, in place of an earlier epoch of its task."""
        self._delete_jobs(batch, draw.task_id)
        self._leases.put(batch, draw.task_id.encode(), LeaseRecord(draw))

    async def redrawn(self, draw: Draw) -> None:
        """Put a draw with new seats in the place of the epoch's last one, durably."""
        batch = Batch()
        if self._holds(draw):
            self._leases.put(batch, draw.task_id.encode(), LeaseRecord(draw))
        await self._db.commit(batch)

    def progress(self, task_id: str, job: int) -> JobProgress | None:
        """How far a job is, if that is stored."""
        return self._jobs.get(_key(task_id, job))

    async def note(self, draw: Draw, job: int, progress: JobProgress) -> None:
        """Store how far a job of the draw's epoch is, durably."""
        batch = Batch()
        if self._holds(draw):
            self._jobs.put(batch, _key(draw.task_id, job), progress)
        await self._db.commit(batch)

    def jobs(self, task_id: str) -> list[JobProgress]:
        """How far the jobs of a task are, as far as they were begun, by rising indices."""
        start = sha256(task_id.encode()).digest()
        return [progress for _, progress in self._jobs.items(start, _after(start))]

    def end(self, batch: Batch, draw: Draw) -> list[JobProgress]:
        """Add to a batch that the lease of this epoch is over, unless a later one has its place;
        how far its jobs were."""
        if not self._holds(draw):
            return []
        jobs = self.jobs(draw.task_id)
        self._leases.delete(batch, draw.task_id.encode())
        self._delete_jobs(batch, draw.task_id)
        return jobs

    def _holds(self, draw: Draw) -> bool:
        held = self.find(draw.task_id)
        return held is not None and (held.market_key, held.epoch) == (draw.market_key, draw.epoch)

    def _delete_jobs(self, batch: Batch, task_id: str) -> None:
        start = sha256(task_id.encode()).digest()
        for key, _ in list(self._jobs.items(start, _after(start))):
            self._jobs.delete(batch, key)


def _key(task_id: str, job: int) -> bytes:
    """All jobs of a task lie together, whatever its name."""
    return sha256(task_id.encode()).digest() + job.to_bytes(2, "big")


def _after(start: bytes) -> bytes:
    return start + b"\xff\xff\xff"
