"""Attempts that were checked and found not valid: kept with their task, since their checks are paid
when the task completes, and as evidence.
"""

from collections.abc import Sequence

from node.verification.statements import Judgement
from p2p.encoding import u64
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class EarlierBook:
    """One record for each attempt; an epoch reports its attempts once, with its end."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "earlier", Judgement)

    def of(self, task_id: str) -> list[Judgement]:
        """The kept attempts of a task, over all epochs."""
        start = f"{task_id}/".encode()
        return [one for _, one in self._table.items(start, start + b"\xff" * 17)]

    def add(self, batch: Batch, task_id: str, attempts: Sequence[Judgement]) -> None:
        """Keep attempts, in the batch that ends their epoch."""
        for one in attempts:
            key = f"{task_id}/".encode() + u64(one.draw.epoch) + u64(one.result.nonce)
            self._table.put(batch, key, one)
