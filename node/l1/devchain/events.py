"""What subscribers of the event stream are told, as server-sent events.

A frame is `data: ` with JSON, or a comment `: ping` at the start and whenever it has been quiet
for 15 seconds. Nothing is replayed.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress

import trio

PING_S = 15.0
MAX_WAITING = 10_000  # events of one subscriber, beyond which they are dropped

PING = b": ping\n\n"


class EventHub:
    """Hands every event to all subscribers of the moment."""

    def __init__(self, *, late: bool = False) -> None:
        """`late`: events are looked for every 15 s only, and then come in a burst."""
        self._subscribers: set[trio.MemorySendChannel[bytes]] = set()
        self._late = late

    def emit(self, event: Mapping[str, object]) -> None:
        """Tell everybody, in no time."""
        frame = f"data: {json.dumps(event)}\n\n".encode()
        for subscriber in self._subscribers:
            with suppress(trio.WouldBlock):  # too slow to be told everything
                subscriber.send_nowait(frame)

    def close(self) -> None:
        """End all streams."""
        for subscriber in list(self._subscribers):
            subscriber.close()
        self._subscribers.clear()

    async def frames(self) -> AsyncIterator[bytes]:
        """The stream of one subscriber, until the hub is closed."""
        with self._subscription() as events:
            yield PING
            while True:
                try:
                    frames = await self._next(events)
                except trio.EndOfChannel:
                    return
                for frame in frames:
                    yield frame

    async def _next(self, events: trio.MemoryReceiveChannel[bytes]) -> list[bytes]:
        """What to send now: events, or a ping after a quiet time; raises EndOfChannel."""
        if self._late:
            await trio.sleep(PING_S)
            return [*_drained(events), PING]
        with trio.move_on_after(PING_S):
            return [await events.receive()]
        return [PING]

    @contextmanager
    def _subscription(self) -> Iterator[trio.MemoryReceiveChannel[bytes]]:
        sending, receiving = trio.open_memory_channel[bytes](MAX_WAITING)
        self._subscribers.add(sending)
        try:
            yield receiving
        finally:
            self._subscribers.discard(sending)
            sending.close()
            receiving.close()


def _drained(events: trio.MemoryReceiveChannel[bytes]) -> list[bytes]:
    frames = []
    with suppress(trio.WouldBlock):
        while True:
            frames.append(events.receive_nowait())
    return frames
