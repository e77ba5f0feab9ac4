"""What every peer may do, and who is refused because they overdid it.

A peer has a budget for each thing it can do as fast as it likes. One that stays within its
budgets and speaks the protocol is never bothered: our own side waits to stay within them. Whoever
overspends, signs too much, or signs two messages where there can be one, is cut off at once:
disconnected, and refused for `Limits.refusal_s`, and so is what it signs. Smaller faults are put
up with up to a number. A peer is its public key; nobody is blamed for what another signed or sent.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import StrEnum

import trio

from p2p.identity import peer_id_of
from p2p.limits import Limits
from p2p.rates import Pacer, RateTable

_OWN_RATE_SHARE = 0.9
_OWN_BURST_SHARE = 0.3
"""Of a peer's budget, what we use ourselves: clocks differ, and a stalled connection hands over
at once what was sent in seconds."""


class Offence(StrEnum):
    """What a peer can do wrong."""

    GOSSIP_FLOOD = "gossip_flood"
    SIGNED_FLOOD = "signed_flood"
    REQUEST_FLOOD = "request_flood"
    STREAM_FLOOD = "stream_flood"
    FRAME_FLOOD = "frame_flood"
    UNREAD_FLOOD = "unread_flood"
    EQUIVOCATION = "equivocation"
    FORGERY = "forgery"
    PROTOCOL = "protocol"


FAULTS = frozenset({Offence.FORGERY, Offence.PROTOCOL})
"""Offences that are put up with for some time: a bug can cause them, too."""


def own_pace(rate: float, burst: float) -> Pacer:
    """What keeps our own side well within a budget that a peer has for us."""
    return Pacer(rate * _OWN_RATE_SHARE, burst * _OWN_BURST_SHARE)


class Conduct:
    """The budgets and faults of all peers, and the list of those refused.

    `hang_up(peer_id)` is called for a peer that is cut off; whoever has the connections sets it.
    """

    def __init__(
        self,
        limits: Limits,
        counters: Counter[str],
        now_s: Callable[[], float] = trio.current_time,
    ) -> None:
        self.hang_up: Callable[[str], None] = _nobody_is_connected
        self._limits = limits
        self._counters = counters
        self._now_s = now_s
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        known = 2 * limits.max_connections
        self._budgets = {
            Offence.GOSSIP_FLOOD: RateTable(
                limits.neighbour_rate_per_s, limits.neighbour_burst, known
            ),
            Offence.REQUEST_FLOOD: RateTable(
                limits.request_rate_per_s, limits.request_burst, known
            ),
            Offence.STREAM_FLOOD: RateTable(limits.stream_rate_per_s, limits.stream_burst, known),
            Offence.FRAME_FLOOD: RateTable(limits.frame_rate_per_s, limits.frame_burst, known),
        }
        self._faults = RateTable(limits.fault_rate_per_s, limits.fault_burst, known)

    def spend(self, peer: bytes, flood: Offence, cost: float = 1.0) -> bool:
        """Whether the peer's budget allows it. If not, the peer has been cut off."""
        if self._budgets[flood].take(peer, self._now_s(), cost):
            return True
        self.cut_off(peer, flood)
        return False

    def blame(self, peer: bytes, offence: Offence) -> None:
        """Note what the peer did; too many faults, or anything worse, cut it off."""
        if offence not in FAULTS or not self._faults.take(peer, self._now_s()):
            self.cut_off(peer, offence)

    def cut_off(self, peer: bytes, offence: Offence) -> None:
        """Disconnect the peer and refuse it for `Limits.refusal_s`."""
        if not self.refuses(peer):
            self._refused[peer] = self._now_s() + self._limits.refusal_s
            self._counters[f"peers_cut_off_{offence}"] += 1
        if len(self._refused) > self._limits.refusals_remembered:
            self._refused.popitem(last=False)
        self.hang_up(peer_id_of(peer))

    def refuses(self, peer: bytes) -> bool:
        """Whether the peer is refused now."""
        until_s = self._refused.get(peer)
        if until_s is None or until_s > self._now_s():
            return until_s is not None
        del self._refused[peer]
        return False


def _nobody_is_connected(_peer_id: str) -> None: ...
