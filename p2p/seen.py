"""What has been heard already: gossip by its id, envelopes by signer and nonce.

Both memories keep a fingerprint beside the id, because an id that comes again with another
content is not a duplicate but an equivocation: its author has signed two messages as one.
"""

from enum import Enum, auto

_SLOT_MS = 100
"""Envelopes are forgotten by the tenth of a second in which they were issued."""


class Sight(Enum):
    """How an id and its content stand to what was heard before."""

    NEW = auto()
    SAME = auto()
    OTHER = auto()


class SeenIds:
    """The last ids, at least `capacity` of them for at least `lifetime_s`, and at most twice.

    Two generations: when the younger one is full or old, the older one is forgotten.
    """

    def __init__(self, capacity: int, lifetime_s: float) -> None:
        self._capacity = capacity
        self._lifetime_s = lifetime_s
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._since_s = 0.0

    def look(self, key: bytes, fingerprint: bytes) -> Sight:
        """What is known of the id."""
        known = self._young.get(key) or self._old.get(key)
        if known is None:
            return Sight.NEW
        return Sight.SAME if known == fingerprint else Sight.OTHER

    def has(self, key: bytes) -> bool:
        """Whether the id is known, whatever its content."""
        return key in self._young or key in self._old

    def add(self, key: bytes, fingerprint: bytes, now_s: float) -> None:
        """Remember the id."""
        if len(self._young) >= self._capacity or now_s - self._since_s > self._lifetime_s:
            self._young, self._old, self._since_s = {}, self._young, now_s
        self._young[key] = fingerprint

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class ReplayCache:
    """Remembers envelopes until they have expired, so that none is let in twice.

    Holds at most `capacity`. When it is full, those that were issued first are forgotten, and from
    then on nothing issued then or before is let in: what is forgotten cannot come again, and what
    is new always finds room.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._fingerprints: dict[bytes, bytes] = {}
        self._by_slot: dict[int, list[bytes]] = {}
        self._floor = 0

    def look(self, key: bytes, fingerprint: bytes) -> Sight:
        """What is known of the envelope with this signer and nonce."""
        known = self._fingerprints.get(key)
        if known is None:
            return Sight.NEW
        return Sight.SAME if known == fingerprint else Sight.OTHER

    def is_too_old(self, issued_at_ms: int) -> bool:
        """Whether nobody could tell any more that an envelope issued then is new."""
        return issued_at_ms // _SLOT_MS < self._floor

    def add(self, key: bytes, fingerprint: bytes, issued_at_ms: int) -> None:
        """Remember a new envelope."""
        if len(self._fingerprints) >= self._capacity:
            self._forget_below(min(self._by_slot) + 1)
        if self.is_too_old(issued_at_ms):
            return  # it was the oldest itself: nothing as old comes in again
        self._fingerprints[key] = fingerprint
        self._by_slot.setdefault(issued_at_ms // _SLOT_MS, []).append(key)

    def forget_until(self, issued_at_ms: int) -> None:
        """Forget what was issued before the tenth of a second of `issued_at_ms`."""
        self._forget_below(issued_at_ms // _SLOT_MS)

    def _forget_below(self, floor: int) -> None:
        if floor <= self._floor:
            return
        self._floor = floor
        for slot in [slot for slot in self._by_slot if slot < floor]:
            for key in self._by_slot.pop(slot):
                del self._fingerprints[key]

    def __len__(self) -> int:
        return len(self._fingerprints)
