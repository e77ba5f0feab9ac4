"""Who is connected, and who came and went."""

from collections import Counter
from contextlib import AbstractAsyncContextManager

import trio

from p2p.network import PeerEvent
from p2p.subscriptions import Broadcast


class Presence:
    """The connected peers of one network, with their connections counted.

    A peer is there from its first connection to the end of its last one.
    """

    def __init__(self, queue: int, counters: Counter[str]) -> None:
        self._connections: Counter[str] = Counter()
        self._gone: dict[str, trio.Event] = {}
        self._events: Broadcast[PeerEvent] = Broadcast(
            queue, lambda: counters.update(events_dropped=1)
        )

    def joined(self, peer_id: str) -> None:
        """One more connection to the peer."""
        self._connections[peer_id] += 1
        if self._connections[peer_id] == 1:
            self._gone[peer_id] = trio.Event()
            self._events.send(PeerEvent(peer_id, connected=True))

    def left(self, peer_id: str) -> None:
        """One connection less."""
        self._connections[peer_id] -= 1
        if self._connections[peer_id] <= 0:
            del self._connections[peer_id]
            self._gone.pop(peer_id).set()
            self._events.send(PeerEvent(peer_id, connected=False))

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self._gone

    @property
    def peers(self) -> tuple[str, ...]:
        """Who is connected now."""
        return tuple(self._gone)

    async def wait_gone(self, peer_id: str) -> None:
        """Return once the peer is not connected."""
        gone = self._gone.get(peer_id)
        if gone is not None:
            await gone.wait()

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[PeerEvent]]:
        """Who comes and goes from now on."""
        return self._events.listen()
