"""The nodes that this one knows: who they are, what they do, whether they are connected.

A presence counts only with a sound key binding, by the key it came from; the account in it is
therefore the account of that peer.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import trio

from gpu.workloads import KINDS
from node.keys import BindingInvalid, verify_binding
from node.market.views import WorkerView
from node.verification.snapshots import Candidate
from node.wire.presence import Presence
from p2p.identity import public_key_of

MAX_KNOWN = 4096
"""Peers remembered; beyond it one that is not connected goes, the longest silent first."""

Role = Literal["market", "validator", "worker"]
_WEIGHT = 1
"""Of every candidate: a bond is what being drawn takes, it does not buy seats."""


class Known(msgspec.Struct, frozen=True):
    """A peer with a sound presence."""

    peer_id: str
    key: bytes
    address: str
    presence: Presence
    seen_ms: int


class Directory:
    """Presences by peer id, and the set of connected peers."""

    def __init__(self, chain_id: str, now_ms: Callable[[], int], lifetime_s: float) -> None:
        self._chain_id = chain_id
        self._now_ms = now_ms
        self._lifetime_ms = lifetime_s * 1000
        self._known: dict[str, Known] = {}
        self._connected: set[str] = set()
        self.changed = trio.Event()
        """Set, and replaced, whenever a peer appears, changes its presence, comes or goes."""

    def learn(self, peer_id: str, presence: Presence) -> bool:
        """Take a presence; False if its binding is not sound or not this peer's."""
        known = self._known.get(peer_id)
        if known is None or known.presence.binding != presence.binding:
            address = self._address_of(peer_id, presence)
            if address is None:
                return False
        else:
            address = known.address
        self._known.pop(peer_id, None)
        key = public_key_of(peer_id)
        self._known[peer_id] = Known(peer_id, key, address, presence, self._now_ms())
        if len(self._known) > MAX_KNOWN:
            del self._known[self._least_wanted()]
        if known is None or known.presence != presence or not self._is_fresh(known):
            self._announce()
        return True

    def _least_wanted(self) -> str:
        """Whoever was silent longest, those first that are not connected."""
        strangers = (peer_id for peer_id in self._known if peer_id not in self._connected)
        return next(strangers, next(iter(self._known)))

    def connection(self, peer_id: str, connected: bool) -> None:
        """Note that a peer came or went."""
        (self._connected.add if connected else self._connected.discard)(peer_id)
        self._announce()

    def is_connected(self, peer_id: str) -> bool:
        """Whether messages can reach the peer now."""
        return peer_id in self._connected

    def find(self, peer_id: str) -> Known | None:
        """The peer's last sound presence."""
        return self._known.get(peer_id)

    def address_of(self, peer_id: str) -> str:
        """The account of a peer, or an empty text if it is not known."""
        known = self._known.get(peer_id)
        return "" if known is None else known.address

    def active(self, role: Role, kind: str | None = None) -> list[Known]:
        """Connected peers with the role, heard of lately, that take the kind."""
        return [
            one
            for one in self._known.values()
            if role in one.presence.roles
            and self._is_here(one)
            and (kind is None or kind in one.presence.kinds)
        ]

    def count(self, role: str) -> int:
        """How many nodes of the role are connected; this one counts if it has it."""
        return sum(role in one.presence.roles for one in self._known.values() if self._is_here(one))

    def slots(self, kind: str) -> int:
        """Jobs of the kind that can run at once, everywhere, as far as was heard lately."""
        return sum(
            one.presence.slots
            for one in self._known.values()
            if kind in one.presence.kinds and self._is_fresh(one)
        )

    def candidates(self) -> list[Candidate]:
        """Validators that can be drawn now, with the kinds of work that they check."""
        return [
            Candidate(one.key, one.address, _WEIGHT, _known_kinds(one.presence.kinds))
            for one in self.active("validator")
        ]

    def views(self) -> tuple[WorkerView, ...]:
        """All known peers, to show."""
        return tuple(
            WorkerView(
                peer_id=one.peer_id,
                address=one.address,
                roles=one.presence.roles,
                connected=one.peer_id in self._connected,
                kinds=one.presence.kinds,
            )
            for one in self._known.values()
        )

    def _is_here(self, one: Known) -> bool:
        return one.peer_id in self._connected and self._is_fresh(one)

    def _is_fresh(self, one: Known) -> bool:
        return self._now_ms() - one.seen_ms <= self._lifetime_ms

    def _address_of(self, peer_id: str, presence: Presence) -> str | None:
        if presence.binding.ed25519_public != public_key_of(peer_id):
            return None
        try:
            return verify_binding(presence.binding, self._chain_id)
        except BindingInvalid:
            return None

    def _announce(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


def _known_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Only kinds that exist: a stranger's words do not go into what is signed and published."""
    return tuple(kind for kind in KINDS if kind in kinds)
