"""How long the server waits for a client, and how many clients it has.

Here the tests play clients that are slow, so some of them sleep.
"""

import httpx
import pytest
import trio

from node.api.connections import Patience
from node.api.server import ServerLimits

pytestmark = pytest.mark.system

QUICK = ServerLimits(patience=Patience(header_s=0.2, send_s=0.2, linger_s=0.2))


async def test_headers_that_trickle_are_cut_off(service, serving, wire) -> None:
    async with serving(service, QUICK) as bound:
        started = trio.current_time()
        async with await wire.open(bound) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nX-")
            await trickle(stream)
        assert trio.current_time() - started < 10


async def trickle(stream: trio.SocketStream) -> None:
    """A byte every 20 ms until the connection is reset."""
    try:
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.02)
    except trio.BrokenResourceError:
        pass


async def test_an_idle_connection_is_closed(service, serving, wire) -> None:
    async with serving(service, QUICK) as bound:
        assert await wire.exchange(bound, b"") == b""
        data = await wire.exchange(bound, wire.get("/healthz", bound))
        assert data.startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_trickles_is_refused(bound, wire) -> None:
    head = wire.post("/quote", bound, b"x" * 100)[:-99]
    data = await wire.exchange(bound, head)
    assert data.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"slow_request"' in data


async def test_a_client_that_does_not_read_is_given_up(service, serving, wire, big_file) -> None:
    async with serving(service, QUICK) as bound, await wire.open(bound) as stream:
        await stream.send_all(wire.get(f"/artifacts/{big_file}", bound))
        await trio.sleep(1)
        assert await received(stream) < wire.huge / 2


async def received(stream: trio.SocketStream) -> int:
    """How many bytes are still to be had."""
    count = 0
    try:
        while part := await stream.receive_some(1 << 20):
            count += len(part)
    except trio.BrokenResourceError:
        pass
    return count


async def test_above_the_bound_of_requests_it_says_so(
    service, serving, market, order, wire
) -> None:
    started, finish, submit = trio.Event(), trio.Event(), market.submit

    async def slow(*args: object) -> object:
        started.set()
        await finish.wait()
        return await submit(*args)

    market.submit = slow
    statuses = []
    async with (
        serving(service, ServerLimits(requests=1)) as bound,
        httpx.AsyncClient(base_url=bound.url, verify=False) as client,
        trio.open_nursery() as nursery,
    ):

        async def post() -> None:
            statuses.append((await client.post("/tasks", json=order)).status_code)

        nursery.start_soon(post)
        await started.wait()
        busy = await client.get("/tasks")
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
        assert busy.json()["code"] == "overloaded"
        assert (await client.get("/healthz")).status_code == 200
        finish.set()
        await wire.until(lambda: statuses)
        assert statuses == [201]
        assert (await client.get("/tasks")).status_code == 200


async def test_waiting_takes_no_place(service, serving, market, order, wire) -> None:
    phases = []
    async with (
        serving(service, ServerLimits(requests=1)) as bound,
        httpx.AsyncClient(base_url=bound.url, verify=False) as client,
        trio.open_nursery() as nursery,
    ):
        task_id = (await client.post("/tasks", json=order)).json()["task_id"]

        async def wait() -> None:
            phases.append((await client.get(f"/tasks/{task_id}/wait")).json()["phase"])

        nursery.start_soon(wait)
        await wire.until(lambda: market.waiting_for(task_id))
        assert (await client.get("/tasks")).status_code == 200
        market.move(task_id, "leased")
        await wire.until(lambda: phases)
        assert phases == ["leased"]
        assert (await client.get("/tasks")).status_code == 200


async def test_above_the_bound_of_connections_new_ones_are_closed(service, serving, wire) -> None:
    async with serving(service, ServerLimits(connections=2)) as bound:
        async with await wire.open(bound) as first, await wire.open(bound) as second:
            for stream in (first, second):
                await stream.send_all(wire.get("/healthz", bound))
                assert await wire.status(stream) == 200
            async with await wire.open(bound) as third:
                assert await wire.closed(third)
            await second.send_all(wire.get("/healthz", bound))
            assert await wire.status(second) == 200
        async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
            assert (await client.get("/healthz")).status_code == 200
