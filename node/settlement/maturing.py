"""Pay that is earned and not yet due: who will get what, and when.

The reward of a completed task waits in `maturing:<task>` until the dispute window is over, so that
a dispute that is won has money to be paid from. Parts and due time are fixed when the task
completes and stored beside the ledger, in the same batches.
"""

from collections.abc import Iterator

import msgspec

from node.errors import Conflict, NotFound
from node.settlement.entries import Posting
from p2p.encoding import u64
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class Maturing(msgspec.Struct, frozen=True):
    """The pay of one task."""

    due_ms: int
    credits: tuple[Posting, ...]
    """What each payee gains; together the task's whole reward."""


class Due(msgspec.Struct, frozen=True):
    """An entry of the order in which pay is due."""

    task_id: str


class MaturingBook:
    """One record for each task whose pay is not due yet, and their order."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "settlement/maturing", Maturing)
        self._order = Table(db, "settlement/due", Due)

    def add(self, batch: Batch, task_id: str, maturing: Maturing) -> None:
        """Note the pay of a task."""
        self._table.put(batch, task_id.encode(), maturing)
        self._order.put(batch, _order_key(task_id, maturing.due_ms), Due(task_id))

    def remove(self, batch: Batch, task_id: str, maturing: Maturing) -> None:
        """Forget it: it is paid."""
        self._table.delete(batch, task_id.encode())
        self._order.delete(batch, _order_key(task_id, maturing.due_ms))

    def get(self, task_id: str, batch: Batch | None = None) -> Maturing | None:
        """The pay of a task, or None; sees into `batch` if one is given."""
        return self._table.get(task_id.encode(), batch)

    def due(self, now_ms: int) -> Iterator[str]:
        """Ids of the tasks whose pay is due, the longest first."""
        return (due.task_id for _, due in self._order.items(stop=u64(now_ms + 1)))


class HeldBook:
    """The pay of disputed tasks: it keeps its parts and its due time, and is not due meanwhile."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "settlement/disputed", Maturing)
        self._maturing = MaturingBook(db)

    def get(self, task_id: str, batch: Batch | None = None) -> Maturing | None:
        """What is held of a task's, or None; sees into `batch` if one is given."""
        return self._table.get(task_id.encode(), batch)

    def hold(self, batch: Batch, task_id: str) -> None:
        """Keep the pay of a task from maturing, if it does."""
        pay = self._maturing.get(task_id, batch)
        if pay is not None:
            self._maturing.remove(batch, task_id, pay)
            self._table.put(batch, task_id.encode(), pay)

    def go_on(self, batch: Batch, task_id: str) -> None:
        """Let it mature again, if it is held."""
        pay = self.get(task_id, batch)
        if pay is not None:
            self.forget(batch, task_id)
            self._maturing.add(batch, task_id, pay)

    def forget(self, batch: Batch, task_id: str) -> None:
        """It will never mature."""
        self._table.delete(batch, task_id.encode())


def pay_to_hold(maturing: MaturingBook, batch: Batch, task_id: str, at_ms: int) -> Maturing:
    """The pay of a task that can be disputed; raises NotFound if there is none, and Conflict if the
    window is over."""
    pay = maturing.get(task_id, batch)
    if pay is None:
        raise NotFound(f"no pay of task {task_id} matures")
    if at_ms >= pay.due_ms:
        raise Conflict(f"the pay of task {task_id} is due", field="task_id")
    return pay


def _order_key(task_id: str, due_ms: int) -> bytes:
    return u64(due_ms) + task_id.encode()
