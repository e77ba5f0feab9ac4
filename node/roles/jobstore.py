"""What a worker keeps of its attempts: a record in the database and a folder for the files."""

import shutil
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from node.offload import Offload
from node.verification.draws import Draw
from node.verification.statements import ComputeResult, Manifest
from node.wire.jobs import SecretCommitment
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

FOLDER_NAME_LENGTH = 32


class Committed(msgspec.Struct, frozen=True):
    """What an attempt is committed to."""

    result: ComputeResult
    manifest: Manifest
    trace: tuple[bytes, ...]


class JobRecord(msgspec.Struct, frozen=True):
    """A leased attempt, and its result once there is one."""

    draw: Draw
    """The leased one, or a later one whose seats were filled anew."""
    nonce: int
    orchestrator: str
    commitments: tuple[SecretCommitment, ...]
    until_ms: int
    """When nobody waits for its result any more."""
    committed: Committed | None = None


class JobStore:
    """Attempts by a key made of task and nonce."""

    def __init__(self, db: Database, scratch: Path, offload: Offload) -> None:
        self._db = db
        self._scratch = scratch
        self._offload = offload
        self._jobs = Table(db, "jobs", JobRecord, version=2)

    def get(self, key: str) -> JobRecord | None:
        """The record of an attempt."""
        return self._jobs.get(key.encode())

    def items(self) -> Iterator[tuple[str, JobRecord]]:
        """All attempts with their keys."""
        return ((key.decode(), record) for key, record in self._jobs.items())

    async def put(self, key: str, record: JobRecord) -> None:
        """Store an attempt; returns when it is durable, and shows it at once."""
        batch = Batch()
        self._jobs.put(batch, key.encode(), record)
        await self._db.commit(batch)

    async def flushed(self) -> None:
        """Return when all that was put is durable."""
        await self._db.flushed()

    async def delete(self, key: str, *, folder: bool) -> None:
        """Forget an attempt; its folder too, unless somebody still writes there."""
        batch = Batch()
        self._jobs.delete(batch, key.encode())
        self._db.stage(batch)
        if folder:
            await self.remove_folder(key)
        await self._db.flushed()

    def folder(self, key: str) -> Path:
        """Where an attempt's files are."""
        return self._scratch / sha256(key.encode()).hexdigest()[:FOLDER_NAME_LENGTH]

    async def make_folder(self, key: str) -> Path:
        """An empty folder for an attempt."""
        folder = self.folder(key)
        await self._offload(lambda: _make_empty(folder))
        return folder

    async def remove_folder(self, key: str) -> None:
        """Delete an attempt's files."""
        folder = self.folder(key)
        await self._offload(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def remove_strays(self) -> None:
        """Delete the folders of attempts that nobody knows any more."""
        known = {self.folder(key).name for key, _ in self.items()}
        await self._offload(lambda: _remove_others(self._scratch, known))


def job_key(task_id: str, nonce: int) -> str:
    """The key of an attempt."""
    return f"{task_id}/{nonce}"


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _remove_others(scratch: Path, known: Collection[str]) -> None:
    for folder in scratch.iterdir():
        if len(folder.name) == FOLDER_NAME_LENGTH and folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
