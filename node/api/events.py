"""Server-sent events: every change of phase of one task and its jobs, or of all.

An event's `id` is the number of the change; a client that comes back with it as `Last-Event-ID`
misses nothing. If the changes after it are not all kept any more, `reset` tells the client to
look at the state again. What a stream costs is bounded: their number, their length in time, and
how far a client may fall behind before it is cut off (`node.market.changes.QUEUE`).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from node.api.answers import TaskPhase
from node.api.callers import Interruption, Waiting
from node.api.service import Service
from node.errors import Overloaded
from node.market.changes import Change
from node.market.phases import ENDS
from node.market.views import Market

KEEP_ALIVE_S = 15.0
MAX_STREAM_S = 3600.0
"""Seconds after which a stream ends; a client that wants more comes back."""
RETRY_MS = 1000
KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class TaskEvent(msgspec.Struct, frozen=True):
    """A task is in another phase since `at`, Unix seconds."""

    task_id: str
    status: str
    phase: TaskPhase
    at: float


class JobEvent(msgspec.Struct, frozen=True):
    """A job of the task is in another phase since `at`, Unix seconds, as its orchestrator says."""

    task_id: str
    job: int
    phase: str
    attempt: int
    worker_address: str
    at: float


@dataclass(frozen=True)
class EventStream:
    """What a client wants to follow."""

    service: Service
    market: Market
    waiting: Waiting
    task_id: str | None = None
    after: int | None = None
    """Number of the last event that the client has seen."""

    def is_over(self) -> bool:
        """Whether the client has seen the task's last phase already."""
        if self.task_id is None or self.after is None:
            return False
        return self._has_ended() and self.market.changes.since(self.after, self.task_id) == ()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place among the streams; raises Overloaded if there is none."""
        try:
            self.service.streams.acquire_nowait()
        except trio.WouldBlock:
            raise Overloaded("too many clients follow tasks", remedy="ask again later") from None
        try:
            with self.waiting.parked():
                yield
        finally:
            self.service.streams.release()

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The stream, piece by piece, until the task has ended or the client was too slow."""
        with self.market.changes.follow(self.task_id) as changes:
            opening, ended = self._opening(), self._has_ended()
            for block in opening:
                yield block
            while not ended:
                change = None
                with trio.move_on_after(KEEP_ALIVE_S):
                    try:
                        change = await changes.receive()
                    except trio.EndOfChannel:
                        return
                yield KEEP_ALIVE if change is None else _change(change)
                ended = self.task_id is not None and change is not None and _is_last(change.phase)

    def _has_ended(self) -> bool:
        return self.task_id is not None and _is_last(self.market.task(self.task_id).phase)

    def _opening(self) -> list[bytes]:
        """Where the client stands: the changes it missed, or the state as it is now."""
        log = self.market.changes
        blocks = [f"retry: {RETRY_MS}\n\n".encode()]
        missed = None if self.after is None else log.since(self.after, self.task_id)
        if missed is not None:
            return blocks + [_change(change) for change in missed]
        if self.after is not None:
            blocks.append(_event(log.last, "reset", b"{}"))
        elif self.task_id is None:
            blocks.append(f"id: {log.last}\n\n".encode())
        if self.task_id is not None:
            task = self.market.task(self.task_id)
            state = TaskEvent(task.task_id, task.status, task.phase, self.service.now())
            blocks.append(_event(log.last, "task", msgspec.json.encode(state)))
        return blocks


async def send_events(send: Send, stream: EventStream, *, only_headers: bool = False) -> None:
    """Answer with a stream until it ends, the client hangs up, or the server stops.

    Raises:
        Overloaded: there are too many streams.
    """
    with stream.admitted():
        headers = [] if stream.is_over() else _HEADERS
        status = 200 if headers else 204
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if headers and not only_headers:
            await _send_while_wanted(send, stream)
        await send({"type": "http.response.body", "body": b""})


async def _send_while_wanted(send: Send, stream: EventStream) -> None:
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + MAX_STREAM_S
        for interruption in stream.waiting.interruptions:
            nursery.start_soon(_cancel_after, interruption, nursery.cancel_scope)
        async with aclosing(stream.blocks()) as blocks:
            async for block in blocks:
                await send({"type": "http.response.body", "body": block, "more_body": True})
        nursery.cancel_scope.cancel()


async def _cancel_after(interruption: Interruption, scope: trio.CancelScope) -> None:
    await interruption()
    scope.cancel()


def _is_last(phase: str) -> bool:
    return phase in ENDS


def _change(change: Change) -> bytes:
    at, job = change.at_ms / 1000, change.job
    if job is not None:
        data = JobEvent(change.task_id, job.job, job.phase, job.attempt, job.worker_address, at)
        return _event(change.sequence, "job", msgspec.json.encode(data))
    event = TaskEvent(change.task_id, change.status, change.phase, at)
    return _event(change.sequence, "task", msgspec.json.encode(event))


def _event(sequence: int, name: str, data: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (sequence, name.encode(), data)
