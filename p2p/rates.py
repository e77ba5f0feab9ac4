"""What counts: token buckets, pacers and turnstiles."""

import math
from collections import Counter, OrderedDict

import trio


class TokenBucket:
    """Lets `rate` things through per second, and up to `burst` at once after a quiet time."""

    __slots__ = ("_burst", "_level", "_rate", "_seen_s")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._seen_s: float | None = None

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Take `cost` tokens if there are as many. `now_s`: a clock that never runs backwards."""
        self._refill(now_s)
        if self._level < cost:
            return False
        self._level -= cost
        return True

    def reserve(self, now_s: float, cost: float = 1.0) -> float:
        """Take `cost` tokens in any case; the seconds to wait until they are there."""
        self._refill(now_s)
        self._level -= cost
        return max(0.0, -self._level / self._rate)

    def _refill(self, now_s: float) -> None:
        if self._seen_s is not None:
            earned = max(0.0, now_s - self._seen_s) * self._rate
            self._level = min(self._burst, self._level + earned)
        self._seen_s = now_s


class Pacer:
    """Makes callers wait in turn, so that no more than a bucket allows goes out.

    Also after the process stood still: then at most `burst` go at once, and not all that were due
    meanwhile, as they would if each had slept until a time of its own.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.burst = burst
        self._bucket = TokenBucket(rate, burst)
        self._turn = trio.Lock()

    async def wait(self, cost: float = 1.0) -> None:
        """Return when `cost` more may go out; always a checkpoint."""
        async with self._turn:
            wait_s = self._bucket.reserve(trio.current_time(), cost)
            if wait_s:
                await trio.sleep(wait_s)


class RateTable:
    """One token bucket per key, for at most `capacity` keys."""

    def __init__(self, rate: float, burst: float, capacity: int) -> None:
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def take(self, key: bytes, now_s: float, cost: float = 1.0) -> bool:
        """Take from the key's bucket; a key not seen lately starts with a full one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now_s, cost)

    def __len__(self) -> int:
        return len(self._buckets)


class Tally:
    """Counts the things of a key in each second, in whatever order they come.

    At most `capacity` counts are kept; the one longest unchanged is forgotten first.
    """

    def __init__(self, most: float, capacity: int) -> None:
        self._most = most
        self._capacity = capacity
        self._counts: OrderedDict[tuple[bytes, int], int] = OrderedDict()

    def add(self, key: bytes, at_s: float) -> bool:
        """Whether the key has, with this one, no more than `most` in the second of `at_s`."""
        place = key, math.floor(at_s)
        self._counts[place] = self._counts.get(place, 0) + 1
        self._counts.move_to_end(place)
        if len(self._counts) > self._capacity:
            self._counts.popitem(last=False)
        return self._counts[place] <= self._most

    def __len__(self) -> int:
        return len(self._counts)


class Turnstile:
    """Counts who is inside: at most `limit` per key, and `total` together."""

    def __init__(self, limit: int, total: float = math.inf) -> None:
        self._limit = limit
        self._total = total
        self._inside: Counter[str] = Counter()

    def enter(self, key: str) -> bool:
        """Whether one more of this key is let in. If so, `leave` must follow."""
        if self._inside[key] >= self._limit or self._inside.total() >= self._total:
            return False
        self._inside[key] += 1
        return True

    def leave(self, key: str) -> None:
        """One of this key is done."""
        self._inside[key] -= 1
        if not self._inside[key]:
            del self._inside[key]
