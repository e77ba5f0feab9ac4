"""Where peers were that this node was connected to, kept over restarts.

With it a node finds its network again when no bootstrap node is there. Only peers that proved who
they are and said where they listen get into it: see `node/roles/reunion.py`.
"""

from collections.abc import Callable, Sequence

import msgspec

from storage.database import Database
from storage.store import Batch
from storage.tables import Table

MAX_CONTACTS = 1024
"""Beyond it, whoever was not seen for longest is forgotten."""
MAX_ADDRESSES = 8
MAX_ADDRESS_CHARS = 256
FORGET_MS = 30 * 86_400_000
REFRESH_MS = 3_600_000
"""A peer that stays where it is is written down again after so long."""


class Contact(msgspec.Struct, frozen=True):
    """A peer's own addresses, and when it was last known to be there (milliseconds of 1970)."""

    addresses: tuple[str, ...]
    seen_ms: int


class AddressBook:
    """The contacts in a table of the node's store, all of them in memory as well."""

    def __init__(self, db: Database, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._table = Table(db, "contacts", Contact)
        self._contacts = {key.decode(): contact for key, contact in self._table.items()}

    def note(self, peer_id: str, addresses: Sequence[str]) -> None:
        """The peer is connected and listens there. Addresses that do not end in its id are not its.

        Durable with the next write of anything; nobody waits for it.
        """
        own = tuple(
            a for a in addresses if a.endswith(f"/{peer_id}") and len(a) <= MAX_ADDRESS_CHARS
        )
        contact = Contact(own[:MAX_ADDRESSES], self._now_ms())
        if own and self._is_news(peer_id, contact):
            batch = Batch()
            self._table.put(batch, peer_id.encode(), contact)
            self._contacts[peer_id] = contact
            self._forget(batch)
            self._db.stage(batch)

    def contacts(self) -> list[tuple[str, Contact]]:
        """All who were seen in the last 30 days, the latest first."""
        since_ms = self._now_ms() - FORGET_MS
        recent = [pair for pair in self._contacts.items() if pair[1].seen_ms >= since_ms]
        return sorted(recent, key=lambda pair: pair[1].seen_ms, reverse=True)

    def _is_news(self, peer_id: str, contact: Contact) -> bool:
        known = self._contacts.get(peer_id)
        return (
            known is None
            or known.addresses != contact.addresses
            or contact.seen_ms - known.seen_ms >= REFRESH_MS
        )

    def _forget(self, batch: Batch) -> None:
        """Let whoever was not seen for longest go if there are too many."""
        while len(self._contacts) > MAX_CONTACTS:
            oldest = min(self._contacts, key=lambda peer_id: self._contacts[peer_id].seen_ms)
            del self._contacts[oldest]
            self._table.delete(batch, oldest.encode())
