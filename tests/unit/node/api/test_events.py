"""Streams of events, piece by piece as they are sent to an ASGI server."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from node.api.events import KEEP_ALIVE, KEEP_ALIVE_S, MAX_STREAM_S
from node.api.rest import build_app
from node.market.changes import KEPT, QUEUE
from node.market.phases import ENDS

FIRST = 1_700_000_000_000_000


class Stream:
    """One request and the pieces of its answer."""

    def __init__(self, status: int, headers: dict[str, str], pieces) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self.hang_up = trio.Event()

    async def event(self) -> dict[str, object]:
        """The next piece, parsed as a browser would."""
        block = (await self._pieces.receive()).decode()
        assert block.endswith("\n\n")
        fields = dict(line.split(": ", 1) for line in block.strip().split("\n"))
        return {k: json.loads(v) if k in ("id", "data") else v for k, v in fields.items()}

    async def piece(self) -> bytes:
        return await self._pieces.receive()

    async def rest(self) -> list[bytes]:
        return [piece async for piece in self._pieces if piece]


@pytest.fixture
def follow(service):
    """Open a stream; its pieces wait one by one to be taken."""

    @asynccontextmanager
    async def open_stream(path: str, *, after=None, state=None, on=service) -> AsyncIterator:
        headers = [(b"host", b"127.0.0.1:8080")]
        if after is not None:
            headers.append((b"last-event-id", str(after).encode()))
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080), "scheme": "http", "state": state or {},
        }  # fmt: skip
        sender, pieces = trio.open_memory_channel(0)
        starts, start = trio.open_memory_channel(1)
        hang_up = trio.Event()

        async def send(message) -> None:
            if message["type"] == "http.response.start":
                await starts.send(message)
            else:
                await sender.send(message.get("body", b""))

        async def receive():
            await hang_up.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            async with sender:
                await build_app(on)(scope, receive, send)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            begun = await start.receive()
            fields = {k.decode(): v.decode() for k, v in begun["headers"]}
            stream = Stream(begun["status"], fields, pieces)
            stream.hang_up = hang_up
            yield stream
            nursery.cancel_scope.cancel()

    return open_stream


@pytest.fixture
async def task_id(client, order) -> str:
    return (await client.post("/tasks", json=order)).json()["task_id"]


async def test_a_stream_begins_with_the_state_and_ends_with_the_last_phase(
    follow, market, task_id
) -> None:
    async with follow(f"/tasks/{task_id}/events") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert await stream.event() == {"retry": "1000"}
        state = await stream.event()
        assert (state["id"], state["event"]) == (FIRST + 1, "task")
        assert state["data"] == {
            "task_id": task_id, "status": "pending", "phase": "queued", "at": 1_700_000_000.5
        }  # fmt: skip
        market.move(task_id, "leased", status="in_progress")
        leased = await stream.event()
        assert (leased["id"], leased["data"]["phase"]) == (FIRST + 2, "leased")
        market.complete(task_id)
        market.move(task_id, "anchored")
        market.move(task_id, "settled")
        for phase in ("verified", "anchored", "settled"):
            assert (await stream.event())["data"]["phase"] == phase
        assert await stream.rest() == []


@pytest.mark.parametrize("end", ENDS)
async def test_every_end_of_a_task_ends_its_stream(follow, market, task_id, end) -> None:
    async with follow(f"/tasks/{task_id}/events") as stream:
        for _ in range(2):
            await stream.event()
        market.complete(task_id)
        market.move(task_id, end)
        for phase in ("verified", end):
            assert (await stream.event())["data"]["phase"] == phase
        assert await stream.rest() == []
    async with follow(f"/tasks/{task_id}/events", after=FIRST + 3) as stream:
        assert stream.status == 204


async def test_a_stream_goes_on_after_the_last_event_seen(follow, market, task_id) -> None:
    market.move(task_id, "leased", status="in_progress")
    market.complete(task_id)
    async with follow(f"/tasks/{task_id}/events", after=FIRST + 1) as stream:
        await stream.event()
        assert [(await stream.event())["id"] - FIRST for _ in range(2)] == [2, 3]
    async with follow("/events", after=FIRST + 2) as stream:
        await stream.event()
        assert (await stream.event())["id"] == FIRST + 3


async def test_a_browser_that_saw_the_last_phase_is_told_to_stay_away(
    follow, market, task_id
) -> None:
    market.move(task_id, "refunded", status="failed")
    async with follow(f"/tasks/{task_id}/events", after=FIRST + 2) as stream:
        assert stream.status == 204
        assert await stream.rest() == []
    async with follow(f"/tasks/{task_id}/events") as stream:
        pieces = await stream.rest()
        assert len(pieces) == 2
        assert b'"refunded"' in pieces[1]


@pytest.mark.parametrize("after", [5, FIRST - 1, FIRST + 10**9])
async def test_an_id_that_is_not_kept_resets(follow, task_id, after) -> None:
    async with follow(f"/tasks/{task_id}/events", after=after) as stream:
        await stream.event()
        assert await stream.event() == {"id": FIRST + 1, "event": "reset", "data": {}}
        assert (await stream.event())["data"]["phase"] == "queued"
    async with follow("/events", after=after) as stream:
        await stream.event()
        assert (await stream.event())["event"] == "reset"


async def test_an_id_that_was_pushed_out_resets(follow, market, task_id) -> None:
    for _ in range(KEPT):
        market.changes.add("other", "pending", "queued")
    async with follow("/events", after=FIRST) as stream:
        await stream.event()
        assert (await stream.event())["event"] == "reset"


async def test_all_tasks_are_followed_from_now_on(follow, market, task_id) -> None:
    async with follow("/events") as stream:
        await stream.event()
        assert await stream.event() == {"id": FIRST + 1}
        market.move(task_id, "anchored", status="completed")
        assert (await stream.event())["data"]["phase"] == "anchored"
        market.changes.add("another", "pending", "queued")
        assert (await stream.event())["data"]["task_id"] == "another"


async def test_silence_is_broken_every_15_seconds_for_an_hour(
    follow, task_id, autojump_clock
) -> None:
    async with follow(f"/tasks/{task_id}/events") as stream:
        await stream.piece()
        await stream.piece()
        begun = trio.current_time()
        assert await stream.piece() == KEEP_ALIVE
        assert trio.current_time() - begun == pytest.approx(KEEP_ALIVE_S)
        assert set(await stream.rest()) == {KEEP_ALIVE}
        assert trio.current_time() - begun == pytest.approx(MAX_STREAM_S)


async def test_a_slow_reader_is_cut_off_and_comes_back(follow, market, task_id) -> None:
    async with follow("/events") as stream:
        await stream.piece()
        await stream.piece()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(QUEUE + 10):
            market.changes.add("other", "pending", "queued")
        pieces = await stream.rest()
        assert len(pieces) == 1 + QUEUE  # one was in its hands
    async with follow("/events", after=FIRST + 2 + QUEUE) as stream:
        await stream.event()
        assert (await stream.event())["id"] == FIRST + 3 + QUEUE


async def test_a_stream_ends_when_the_client_hangs_up_or_the_server_stops(
    follow, task_id, service
) -> None:
    stopping = trio.Event()
    async with follow("/events") as left, follow("/events", state={"stopping": stopping}) as kept:
        for stream in (left, kept):
            await stream.piece()
            await stream.piece()
        left.hang_up.set()
        assert await left.rest() == []
        stopping.set()
        assert await kept.rest() == []
    assert service.streams.value == 64


async def test_streams_are_bounded(follow, service, task_id) -> None:
    few = replace(service, streams=trio.Semaphore(1))
    async with follow("/events", on=few) as stream:
        await stream.piece()
        async with follow("/events", on=few) as refused:
            assert refused.status == 429
            assert json.loads(await refused.piece())["code"] == "overloaded"
    async with follow("/events", on=few) as stream:
        assert stream.status == 200


async def test_what_cannot_be_followed_is_refused(client, task_id) -> None:
    unknown = await client.get("/tasks/00000000-0000-0000-0000-0000000000ff/events")
    assert unknown.status_code == 404
    wrong = await client.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": "x"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "last_event_id")
    head = await client.head("/events")
    assert head.status_code == 200
    assert not head.content
