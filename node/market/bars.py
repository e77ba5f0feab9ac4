"""The validators that a market does not draw for a while: one book, whatever it is for.

A validator is a pair of bound keys, its peer's and its account's. It is barred by either, so that
neither can be exchanged to be drawn again: a new peer key on the account that has the bond, or a
new account for the old peer.
"""

from collections.abc import Callable, Iterable

import msgspec
import trio

from node.verification.draws import Seat
from p2p.identity import PUBLIC_KEY_BYTES
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

MAX_BARRED = 4096
"""Pairs remembered; beyond it the one barred first is drawn again."""


class Bar(msgspec.Struct, frozen=True):
    """Until when somebody is not drawn, in Unix milliseconds; its key in the table says who."""

    until_ms: int


class BarBook:
    """Bars over restarts, written in the batch of what they are for."""

    def __init__(self, db: Database, bar_s: float, now_ms: Callable[[], int]) -> None:
        self._bar_ms = int(bar_s * 1000)
        self._now_ms = now_ms
        self._table = Table(db, "barred-validators", Bar)
        stored = sorted(self._table.items(), key=lambda one: one[1].until_ms)
        self._until = {_seat(key): bar.until_ms for key, bar in stored}
        self.changed = trio.Event()
        """Set, and replaced, whenever somebody is barred."""

    def bar(self, batch: Batch, seats: Iterable[Seat]) -> None:
        """Draw these no more for a while, as of this batch, which the caller stages at once."""
        until_ms = self._now_ms() + self._bar_ms
        for seat in seats:
            self._until.pop(seat, None)
            self._until[seat] = until_ms
            self._table.put(batch, _key(seat), Bar(until_ms))
        self._forget(batch)
        self.changed.set()
        self.changed = trio.Event()

    def is_barred(self, key: bytes, address: str) -> bool:
        """Whether a validator with this peer key, or this account, is not drawn now."""
        now_ms = self._now_ms()
        return any(
            now_ms < until_ms and (seat.key == key or seat.address == address)
            for seat, until_ms in self._until.items()
        )

    @property
    def barred(self) -> int:
        """How many are not drawn now."""
        now_ms = self._now_ms()
        return sum(now_ms < until_ms for until_ms in self._until.values())

    def _forget(self, batch: Batch) -> None:
        now_ms = self._now_ms()
        past = [seat for seat, until_ms in self._until.items() if until_ms <= now_ms]
        surplus = len(self._until) - len(past) - MAX_BARRED
        left = (seat for seat in self._until if seat not in past)
        past += [seat for _, seat in zip(range(surplus), left, strict=False)]
        for seat in past:
            del self._until[seat]
            self._table.delete(batch, _key(seat))


def _key(seat: Seat) -> bytes:
    return seat.key + seat.address.encode()


def _seat(key: bytes) -> Seat:
    return Seat(key[:PUBLIC_KEY_BYTES], key[PUBLIC_KEY_BYTES:].decode())
