"""Every bound and deadline of the package, and what counts: token buckets and turnstiles.

Sizes are bytes, times seconds, rates per second. The defaults suit a node with two cores and a
few hundred peers; whoever opens a network may pass others.
"""

import math
from collections import Counter, OrderedDict

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds one node holds its peers, and itself, to."""

    # requests
    max_frame_bytes: int = 8 * MIB
    """Largest request or response; a longer announced length ends the stream unread."""
    requests_per_peer: int = 256
    """Requests of one peer served at a time; one more is refused as `busy`."""
    frame_timeout_s: float = 20.0
    """From the first byte of a frame to its last; a slower peer loses its stream."""
    handler_timeout_s: float = 120.0
    """How long a handler may take before its request is refused as `timeout`."""
    stream_open_timeout_s: float = 5.0
    """Opening a stream on a live connection."""

    # bulk transfers
    bulk_streams_per_peer: int = 64
    """Transfers at a time with one peer, in each direction; more of our own wait their turn."""
    bulk_argument_bytes: int = 64 * KIB
    """Largest header of a transfer: its name and argument."""
    bulk_idle_timeout_s: float = 20.0
    """Longest pause of a body, its header or its acknowledgement."""

    # gossip
    max_gossip_bytes: int = 64 * KIB
    """Largest message on a topic, envelope included; bigger things are announced by digest."""
    subscription_queue: int = 4096
    """Messages waiting for one subscriber; when full the newest is dropped and counted."""
    gossip_out_queue: int = 2048
    """Messages waiting for one neighbour; when full the newest is dropped."""
    signer_rate_per_s: float = 100.0
    signer_burst: float = 400.0
    """Messages of one signer let in, steadily and at once. `publish` waits to stay within."""
    signers_tracked: int = 8192
    """Signers whose rate is remembered; the one longest silent is forgotten first."""
    neighbour_rate_per_s: float = 500.0
    neighbour_burst: float = 2000.0
    """Messages looked at per directly connected peer, whoever signed them."""
    envelope_lifetime_s: float = 60.0
    """How long our own gossip may travel before it is stale."""
    envelope_max_lifetime_s: float = 120.0
    """Longest lifetime accepted from others."""
    clock_skew_s: float = 10.0
    """How far a peer's clock may be ahead of ours, or behind."""
    replays_remembered: int = 131_072
    """Envelopes remembered until they expire; beyond that new ones are refused."""

    # connections
    max_connections: int = 256
    inbound_connections: int = 192
    """Of these, how many others may have opened: the rest is kept for those we want."""
    inbound_per_address: int = 96
    """The same, from one IP address."""
    handshakes: int = 256
    """Inbound connections that have not proved who they are, together."""
    handshakes_per_address: int = 128
    """The same, from one IP address."""
    handshake_timeout_s: float = 10.0
    dial_timeout_s: float = 10.0
    redial_min_s: float = 0.2
    redial_max_s: float = 5.0
    """Back-off of a wanted address: first pause, doubled up to the last."""
    wanted_peers: int = 1024
    """Peers that are redialled for as long as they are wanted."""
    keepalive_s: float = 15.0
    """Pause between pings of a connection; three without any byte in return end it."""
    write_timeout_s: float = 30.0
    """Longest time in which a connection takes none of what we write."""
    event_queue: int = 4096
    """Connection events waiting for one listener; when full the newest is dropped and counted."""


class TokenBucket:
    """Lets `rate` things through per second, and up to `burst` at once after a quiet time."""

    __slots__ = ("_burst", "_level", "_rate", "_seen_s")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._seen_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take a token if there is one. `now_s` is any clock that never runs backwards."""
        self._refill(now_s)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def reserve(self, now_s: float) -> float:
        """Take a token in any case; the seconds to wait until there is one."""
        self._refill(now_s)
        self._level -= 1.0
        return max(0.0, -self._level / self._rate)

    def _refill(self, now_s: float) -> None:
        if self._seen_s is not None:
            earned = max(0.0, now_s - self._seen_s) * self._rate
            self._level = min(self._burst, self._level + earned)
        self._seen_s = now_s


class RateTable:
    """One token bucket per key, for at most `capacity` keys."""

    def __init__(self, rate: float, burst: float, capacity: int) -> None:
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def take(self, key: bytes, now_s: float) -> bool:
        """Take a token of the key's bucket; a key not seen lately starts with a full one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now_s)

    def __len__(self) -> int:
        return len(self._buckets)


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
