"""For which result a validator revealed its secret: one of each attempt and draw, ever."""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from node.verification.draws import Draw, draw_bytes
from node.verification.statements import ComputeResult, result_bytes
from p2p.encoding import u64
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

KEEP_REVEALS_MS = 3_600_000
"""How long after a draw's end it is remembered for which result its secret was revealed. Nothing
is revealed for a draw that is over, so this bounds how far the clock may be set back."""


class RevealRecord(msgspec.Struct, frozen=True):
    """The one result of an attempt for which the secret was revealed."""

    result: bytes
    """SHA-256 of the result's signed bytes."""


class Reveals:
    """The stored reveals."""

    def __init__(self, db: Database, chain_id: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._chain_id = chain_id
        self._now_ms = now_ms
        self._table = Table(db, "reveals", RevealRecord)

    async def fix(self, draw: Draw, result: ComputeResult) -> bool:
        """Whether this is the attempt's one result; the first asked for is, durably."""
        digest = sha256(result_bytes(result, self._chain_id)).digest()
        key = self._key(draw, result.nonce)
        known = self._table.get(key)
        if known is None:
            batch = Batch()
            self._forget_past(batch)
            self._table.put(batch, key, RevealRecord(digest))
            self._db.stage(batch)
        await self._db.flushed()  # also for whoever repeats a request that is not answered yet
        return known is None or known.result == digest

    def _key(self, draw: Draw, nonce: int) -> bytes:
        """Begins with the draw's end, so that what is past comes first in the table."""
        digest = sha256(draw_bytes(draw, self._chain_id)).digest()
        return u64(draw.expires_ms) + digest + u64(nonce)

    def _forget_past(self, batch: Batch) -> None:
        stop = u64(max(0, self._now_ms() - KEEP_REVEALS_MS))
        past = [key for key, _ in self._table.items(stop=stop)]
        for key in past:
            self._table.delete(batch, key)
