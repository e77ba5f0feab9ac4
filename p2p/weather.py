"""Bad weather for the network in memory: what a link does to what passes over it.

Gossip is modelled as messages: each copy for each neighbour is lost, doubled, or overtaken on its
own. (Over TCP nothing of that happens on the way; it happens at full queues and broken
connections, which the twin does not have.) Requests and bulk transfers are modelled as what they
are, streams: nothing in them is lost, doubled or overtaken, but a lost segment comes again after
`retransmission_s`, twice that if it is lost again, and all that was sent behind it waits for it.
A cut link is silent, not closed: see `MemoryHub.partition`.
"""

import random

import msgspec

_RETRANSMISSIONS = 6
"""Segments lost more often than this in a row are let through: TCP would give up much later."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a link in both directions. Times are seconds, shares between 0 and 1."""

    delay_s: tuple[float, float] = (0.0, 0.0)
    """Least and greatest time that one hop takes."""
    loss: float = 0.0
    """Share of gossip that does not arrive, and of stream segments that come late."""
    duplication: float = 0.0
    """Share of gossip that arrives twice."""
    reordering: float = 0.0
    """Share of gossip that is held back, and overtaken by what is sent after it."""
    held_back_s: float = 0.5
    """For how long at most."""
    retransmission_s: float = 0.25
    """When a lost segment is sent again the first time."""


class Way:
    """One direction of a link. `rng` decides; the same seed gives the same weather."""

    def __init__(self, weather: Weather, rng: random.Random) -> None:
        self.weather = weather
        self._rng = rng
        self._gossip_s = 0.0
        self._stream_s = 0.0

    def gossip_due_s(self, now_s: float) -> list[float]:
        """When the copies of a message arrive: none, one or two."""
        weather = self.weather
        if self._happens(weather.loss):
            return []
        due_s = now_s + self._delay_s()
        if self._happens(weather.reordering):
            due_s += self._rng.uniform(0, weather.held_back_s)
        else:
            due_s = self._gossip_s = max(due_s, self._gossip_s)
        if self._happens(weather.duplication):
            return [due_s, due_s + self._rng.uniform(0, weather.held_back_s)]
        return [due_s]

    def stream_due_s(self, now_s: float) -> float:
        """When a piece of a stream arrives, after everything that was sent before it."""
        due_s = now_s + self._delay_s() + self.hold_up_s()
        self._stream_s = max(due_s, self._stream_s)
        return self._stream_s

    def hold_up_s(self) -> float:
        """For how long a piece of a stream waits for lost segments, beyond its delay."""
        lost = 0
        while lost < _RETRANSMISSIONS and self._happens(self.weather.loss):
            lost += 1
        return self.weather.retransmission_s * float(2**lost - 1)

    def _delay_s(self) -> float:
        return self._rng.uniform(*self.weather.delay_s)

    def _happens(self, share: float) -> bool:
        return self._rng.random() < share
