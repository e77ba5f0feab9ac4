"""Workers' messages on their way to the attempts that wait for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from node.wire.jobs import SUPERSEDED, JobCommitted, JobFailed
from node.wire.presence import Ack
from p2p.errors import RequestRefused
from p2p.network import Network

Outcome = JobCommitted | JobFailed


class _Waiting(NamedTuple):
    """The worker whose message an attempt waits for."""

    worker: str
    channel: trio.MemorySendChannel[Outcome]


class Mailbox:
    """One place for each attempt that is on its way."""

    def __init__(self, network: Network) -> None:
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        network.serve(JobCommitted, self._on_committed)
        network.serve(JobFailed, self._on_failed)

    @contextmanager
    def expecting(
        self, task_id: str, nonce: int, worker: str
    ) -> Iterator[trio.MemoryReceiveChannel[Outcome]]:
        """Where the worker's message about the attempt will arrive, once."""
        send, receive = trio.open_memory_channel[Outcome](1)
        self._waiting[task_id, nonce] = _Waiting(worker, send)
        try:
            yield receive
        finally:
            del self._waiting[task_id, nonce]

    async def _on_committed(self, sender: str, message: JobCommitted) -> Ack:
        return self._deliver(sender, message, message.result.task_id, message.result.nonce)

    async def _on_failed(self, sender: str, message: JobFailed) -> Ack:
        return self._deliver(sender, message, message.task_id, message.nonce)

    def _deliver(self, sender: str, message: Outcome, task_id: str, nonce: int) -> Ack:
        """Hand a message to the attempt that waits for it, from no other worker."""
        waiting = self._waiting.get((task_id, nonce))
        if waiting is None or waiting.worker != sender:
            raise RequestRefused(SUPERSEDED, "nobody waits for this attempt of yours any more")
        try:
            waiting.channel.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError) as error:
            raise RequestRefused("answered", "the attempt has its answer") from error
        return Ack()
