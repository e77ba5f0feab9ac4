"""Handing one thing to many listeners without ever waiting for any of them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Broadcast(Generic[T]):
    """Sends every item to all who listen at that moment.

    A listener has a queue of `queue` items. When it is full the newest item is dropped for that
    listener and `on_drop` is called: whoever reads too slowly loses news, nobody else does.
    """

    def __init__(self, queue: int, on_drop: Callable[[], None]) -> None:
        self._queue = queue
        self._on_drop = on_drop
        self._channels: set[trio.MemorySendChannel[T]] = set()

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[trio.MemoryReceiveChannel[T]]:
        """Listen from now on."""
        send, receive = trio.open_memory_channel[T](self._queue)
        with send, receive:
            self._channels.add(send)
            try:
                yield receive
            finally:
                self._channels.discard(send)

    def send(self, item: T) -> None:
        """Hand the item to every listener that has room for it."""
        for channel in tuple(self._channels):
            try:
                channel.send_nowait(item)
            except trio.WouldBlock:
                self._on_drop()
            except trio.BrokenResourceError:
                self._channels.discard(channel)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._channels)


class Topics(Generic[T]):
    """One broadcast per topic that somebody listens to."""

    def __init__(self, queue: int, on_drop: Callable[[], None]) -> None:
        self._queue = queue
        self._on_drop = on_drop
        self._topics: dict[str, Broadcast[T]] = {}

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncGenerator[trio.MemoryReceiveChannel[T]]:
        """Listen to the topic from now on."""
        broadcast = self._topics.setdefault(topic, Broadcast(self._queue, self._on_drop))
        try:
            async with broadcast.listen() as channel:
                yield channel
        finally:
            if not broadcast.listeners:
                self._topics.pop(topic, None)

    def deliver(self, topic: str, item: T) -> None:
        """Hand the item to all who listen to the topic."""
        if topic in self._topics:
            self._topics[topic].send(item)

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics
