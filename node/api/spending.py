"""How much an API key may spend: counted before the task is taken, so never too little.

The count and the task go into the same database in this order, and groups of changes reach the
disk in order: no task that a key paid for survives a crash without its count. What a cancelled
task gives back goes to the account; the key's count stays.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import msgspec

from node.amounts import Amount, format_cpc
from node.errors import Conflict, NodeError, NotAllowed
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class KeyRecord(msgspec.Struct, frozen=True):
    """An API key, stored under the SHA-256 of its text."""

    address: str
    limit: Amount | None
    """Units of 10^-18 CPC that it may spend in all; None for no limit."""
    spent: Amount
    created_at: int
    """Unix seconds."""


class ChargeRecord(msgspec.Struct, frozen=True):
    """What was counted for an idempotency key, so that a repeated request counts once."""

    amount: Amount


class SpendingLimits:
    """The counts of the keys that have a limit."""

    def __init__(self, db: Database, keys: Table[KeyRecord]) -> None:
        self._db = db
        self._keys = keys
        self._charges = Table(db, "api_key_charges", ChargeRecord)
        self._running: set[bytes] = set()

    @asynccontextmanager
    async def spending(
        self, key: bytes, amount: Amount, idempotency_key: str | None
    ) -> AsyncIterator[None]:
        """Count `amount` for the key `key` while the block buys something with it.

        Taken back if the block fails with a NodeError; kept if it is cancelled, for then nobody
        knows. A repeated idempotency key counts once.

        Raises:
            NotAllowed: the limit does not allow it, or the key was retired meanwhile.
            Conflict: a request with the same idempotency key is running.
        """
        record = self._record(key)
        if record.limit is None:
            yield
            return
        mark = None if idempotency_key is None else _mark(key, idempotency_key)
        if mark in self._running:
            raise Conflict(
                "a request with this key is still running",
                field="idempotency_key",
                remedy="wait for its answer",
            )
        if mark is not None and (charged := self._charges.get(mark)) is not None:
            _check_same(charged, amount)
            yield
            return
        self._charge(key, record, amount, mark)
        try:
            yield
        except NodeError:
            self._take_back(key, amount, mark)
            raise
        finally:
            self._running.discard(mark or b"")

    def refuse_limited(self, key: bytes) -> None:
        """Raise NotAllowed if the key has a limit: whoever has it may spend that much, no more."""
        if self._record(key).limit is not None:
            raise NotAllowed(
                "an API key with a spending limit takes nothing out",
                field="Authorization",
                remedy="use a key without a limit",
            )

    def _record(self, key: bytes) -> KeyRecord:
        record = self._keys.get(key)
        if record is None:
            raise NotAllowed("the API key was retired", remedy="use a newer one")
        return record

    def _charge(self, key: bytes, record: KeyRecord, amount: Amount, mark: bytes | None) -> None:
        left = (record.limit or 0) - record.spent
        if amount > left:
            raise NotAllowed(
                f"{format_cpc(amount)} CPC is above what this API key may still spend",
                field="reward",
                remedy=f"offer at most {format_cpc(left)}, or make another key",
            )
        batch = Batch()
        self._count(batch, key, record, amount)
        if mark is not None:
            self._charges.put(batch, mark, ChargeRecord(amount))
            self._running.add(mark)
        self._db.stage(batch)

    def _take_back(self, key: bytes, amount: Amount, mark: bytes | None) -> None:
        batch = Batch()
        record = self._keys.get(key)
        if record is not None:
            self._count(batch, key, record, -amount)
        if mark is not None:
            self._charges.delete(batch, mark)
        self._db.stage(batch)

    def _count(self, batch: Batch, key: bytes, record: KeyRecord, amount: int) -> None:
        spent = Amount(record.spent + amount)
        self._keys.put(batch, key, msgspec.structs.replace(record, spent=spent))


def _check_same(charged: ChargeRecord, amount: Amount) -> None:
    if charged.amount != amount:
        raise Conflict(
            "this key was used for another reward",
            field="idempotency_key",
            remedy="use a new key for a new task",
        )


def _mark(key: bytes, idempotency_key: str) -> bytes:
    return key + sha256(idempotency_key.encode()).digest()
