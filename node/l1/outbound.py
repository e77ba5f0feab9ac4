"""What a sender keeps on disk: every transaction it ever signed, and which of them are open."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from node.l1.errors import NotSynchronised
from node.l1.transactions import Transaction, tx_hash
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

MAX_CAUSE_BYTES = 512


class OutboundRecord(msgspec.Struct, frozen=True):
    """One of our transactions. The only copy of its signed bytes that counts is this one."""

    cause: str
    """The owner's name for why it is sent; one transaction for each."""
    nonce: int
    tx_hash: str
    signed: bytes
    """The transaction as JSON, exactly as it is sent each time."""
    state: Literal["open", "confirmed", "lost"] = "open"
    height: int | None = None
    """Of the block that settled it."""
    problem: str = ""
    """Why it is lost: its nonce was used up, and not by it."""

    @property
    def transaction(self) -> Transaction:
        """The signed transaction."""
        return msgspec.json.decode(self.signed, type=Transaction)


class _OpenRecord(msgspec.Struct, frozen=True):
    cause: str


class _AccountRecord(msgspec.Struct, frozen=True):
    next_nonce: int


class OutboundBook:
    """The records of one account. All writes go into the caller's batch.

    Readers that take a batch see what it will make of the tables, so that one batch can stage or
    settle several transactions.
    """

    def __init__(self, db: Database, address: str) -> None:
        self._records = Table(db, f"l1-outbound/{address}", OutboundRecord)
        self._open = Table(db, f"l1-outbound-open/{address}", _OpenRecord)
        self._account = Table(db, f"l1-outbound-account/{address}", _AccountRecord)

    def find(self, batch: Batch, cause: str) -> OutboundRecord | None:
        """The record of a cause."""
        return self._records.get(_cause_key(cause), batch)

    @property
    def synchronised(self) -> bool:
        """Whether the next nonce is known."""
        return self._account.get(b"") is not None

    def next_nonce(self, batch: Batch) -> int:
        """The nonce of the next transaction; raises NotSynchronised before it is known."""
        account = self._account.get(b"", batch)
        if account is None:
            raise NotSynchronised("the account's first nonce has not been learned from the L1 yet")
        return account.next_nonce

    def set_next_nonce(self, batch: Batch, nonce: int) -> None:
        """Note the nonce of the next transaction."""
        self._account.put(batch, b"", _AccountRecord(nonce))

    def add(self, batch: Batch, cause: str, tx: Transaction) -> OutboundRecord:
        """Note a newly signed transaction, of the next nonce."""
        record = self.take_place(batch, cause, tx)
        self.set_next_nonce(batch, tx.nonce + 1)
        return record

    def take_place(self, batch: Batch, cause: str, tx: Transaction) -> OutboundRecord:
        """Note a transaction of a nonce whose record is not open any more."""
        record = OutboundRecord(cause, tx.nonce, tx_hash(tx), msgspec.json.encode(tx))
        self._records.put(batch, _cause_key(cause), record)
        self._open.put(batch, _nonce_key(tx.nonce), _OpenRecord(cause))
        return record

    def settle(self, batch: Batch, record: OutboundRecord) -> None:
        """Note a record that is not open any more."""
        self._records.put(batch, _cause_key(record.cause), record)
        self._open.delete(batch, _nonce_key(record.nonce))

    def open_at(self, batch: Batch, nonce: int) -> OutboundRecord | None:
        """The open record with a nonce, if there is one."""
        entry = self._open.get(_nonce_key(nonce), batch)
        return None if entry is None else self.find(batch, entry.cause)

    def open_records(self, first: int = 0, stop: int | None = None) -> Iterator[OutboundRecord]:
        """The open records with first <= nonce < stop, in order."""
        end = None if stop is None else _nonce_key(stop)
        for _, entry in self._open.items(_nonce_key(first), end):
            record = self._records.get(_cause_key(entry.cause))
            if record is not None:
                yield record

    @property
    def has_open(self) -> bool:
        """Whether anything waits for a block."""
        return next(self._open.items(), None) is not None


def _cause_key(cause: str) -> bytes:
    key = cause.encode()
    if not 1 <= len(key) <= MAX_CAUSE_BYTES:
        raise ValueError(f"a cause has 1 to {MAX_CAUSE_BYTES} bytes, not {len(key)}")
    return key


def _nonce_key(nonce: int) -> bytes:
    return nonce.to_bytes(8, "big")
