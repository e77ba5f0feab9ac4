"""Escrows for whose end this validator has signed, until the chain has closed them.

A validator is paid when that happens. Only the chain can say whether it has: it is asked about
those that should be closed by now, some at a time.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
import trio

from node import deadlines
from node.l1.errors import L1Error
from node.l1.escrow import EscrowView
from node.market.views import Overdue
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
"""Between looks for escrows that should be closed by now."""
AT_ONCE = 64
"""Escrows that the chain is asked about in one look."""
KEEP_MS = 60 * 86_400_000
"""How long what was signed is remembered: until long after the chain has closed the escrow."""


class EscrowSource(Protocol):
    """A chain that holds escrows."""

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        """An escrow, or None for an id that was never used; raises L1Error."""


class Signed(msgspec.Struct, frozen=True):
    """What this validator has signed."""

    task_id: str
    market: str
    """Peer id."""
    ending: str
    """`claim`, `refund` or `award`."""
    at_ms: int


class UnclosedEscrows:
    """Remembers what was signed, and asks the chain; `window_s` is how long pay waits."""

    def __init__(
        self, db: Database, chain: EscrowSource, *, window_s: float, now_ms: Callable[[], int]
    ) -> None:
        self._db = db
        self._chain = chain
        self._window_s = window_s
        self._now_ms = now_ms
        self._table = Table(db, "escrow-signed", Signed)
        self._signed = {key.decode(): one for key, one in self._table.items()}
        self._open: dict[str, int] = {}
        """Blocks after which anybody may refund those that the chain said are open."""

    def note(self, escrow_id: str, signed: Signed) -> None:
        """This validator has signed how an escrow ends; the first time counts."""
        if escrow_id not in self._signed:
            batch = Batch()
            self._table.put(batch, escrow_id.encode(), signed)
            self._db.stage(batch)
            self._signed[escrow_id] = signed

    def late(self) -> Iterator[Overdue]:
        """Those that the chain said are still open, the longest signed first."""
        for escrow_id, one in self._signed.items():
            if escrow_id in self._open:
                late_s = self._late_s(one)
                reason = f"market {one.market} has not closed it by the {one.ending} signed for it"
                back = self._open[escrow_id]
                remedy = f"nothing: whoever likes can have it refunded after block {back}"
                yield Overdue("signed escrow", one.task_id, late_s, reason, remedy)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""
        task_status.started()
        while True:
            try:
                await self._look()
            except L1Error as error:
                log.debug("cannot look for escrows: %s", error)
            await trio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Ask about those that are late, beginning with what was not asked for the longest time."""
        now_ms = self._now_ms()
        late = [key for key, one in self._signed.items() if self._late_s(one) > 0]
        asked = {key: place for place, key in enumerate(self._open)}
        for escrow_id in sorted(late, key=lambda key: asked.get(key, -1))[:AT_ONCE]:
            escrow = await self._chain.escrow(escrow_id)
            is_old = self._signed[escrow_id].at_ms + KEEP_MS < now_ms
            self._open.pop(escrow_id, None)
            if escrow is None or escrow.status != "open" or is_old:
                self._forget(escrow_id)
            elif escrow.appeal is None and escrow.back_height is not None:
                self._open[escrow_id] = escrow.back_height  # else a dispute keeps it open

    def _late_s(self, one: Signed) -> float:
        """Seconds beyond the time in which a block should have closed it."""
        return (self._now_ms() - one.at_ms) / 1000 - self._window_s - deadlines.UNCLOSED_S

    def _forget(self, escrow_id: str) -> None:
        batch = Batch()
        self._table.delete(batch, escrow_id.encode())
        self._db.stage(batch)
        del self._signed[escrow_id]
