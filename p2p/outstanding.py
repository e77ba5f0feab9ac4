"""Requests that wait for their answers."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from p2p.errors import PeerUnreachable
from p2p.messages import Message
from p2p.requests import Kind
from p2p.serving import read_answer


class _Waiter:
    def __init__(self) -> None:
        self.event = trio.Event()
        self.answer: tuple[Kind, bytes] | None = None


class Outstanding:
    """What one peer has been asked and has not answered."""

    def __init__(self, peer_id: str) -> None:
        self._peer_id = peer_id
        self._waiters: dict[int, _Waiter] = {}
        self._last_id = 0
        self._failure = "the connection was lost"

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The id of a new request, good inside the block; a later answer is ignored."""
        self._last_id += 1
        request_id = self._last_id
        self._waiters[request_id] = _Waiter()
        try:
            yield request_id
        finally:
            del self._waiters[request_id]

    async def wait(self, request_id: int) -> Message:
        """The response. Raises RequestRefused, or PeerUnreachable once `fail` was called."""
        waiter = self._waiters[request_id]
        await waiter.event.wait()
        if waiter.answer is None:
            raise PeerUnreachable(self._peer_id, self._failure)
        return read_answer(*waiter.answer)

    def answer(self, request_id: int, kind: Kind, payload: bytes) -> None:
        """The answer to a request has arrived."""
        waiter = self._waiters.get(request_id)
        if waiter is not None:
            waiter.answer = (kind, payload)
            waiter.event.set()

    def fail(self, reason: str) -> None:
        """No answer will come: everybody who waits gets PeerUnreachable."""
        self._failure = reason
        for waiter in self._waiters.values():
            waiter.event.set()
