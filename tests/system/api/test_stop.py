"""The graceful stop: what runs may finish, and nothing else delays the end."""

import json
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest
import trio

from node.api.rest import build_app
from node.api.server import Bound, ServerLimits, serve_api
from node.api.service import Service

pytestmark = pytest.mark.system

Stop = Callable[[], None]
SOON_S = 10.0
"""Sooner than the grace for what still runs is over, also on a busy machine."""


async def stop_time(
    service: Service, during: Callable[[Bound, Stop], Awaitable[None]], grace_s: float = 20.0
) -> float:
    """Seconds from `during` calling stop to the end of `serve_api`."""
    called = 0.0

    async def run(task_status: trio.TaskStatus[Bound]) -> None:
        limits = ServerLimits(grace_s=grace_s)
        await serve_api(build_app(service), "127.0.0.1", 0, limits=limits, task_status=task_status)

    with trio.fail_after(60):
        async with trio.open_nursery() as clients:
            async with trio.open_nursery() as server:

                def stop() -> None:
                    nonlocal called
                    called = trio.current_time()
                    server.cancel_scope.cancel()

                bound = await server.start(run)
                clients.start_soon(during, bound, stop)
            ended = trio.current_time()
    return ended - called


def refused(bound: Bound) -> bool:
    """Whether new connections are."""
    with socket.socket() as probe:
        return probe.connect_ex((bound.host, bound.port)) != 0


async def test_running_requests_finish(service, market, order, wire) -> None:
    started, finish, submit = trio.Event(), trio.Event(), market.submit

    async def slow(*args: object) -> object:
        started.set()
        await finish.wait()
        return await submit(*args)

    market.submit = slow
    data = []

    async def during(bound: Bound, stop: Stop) -> None:
        async def post() -> None:
            request = wire.post("/tasks", bound, json.dumps(order).encode())
            data.append(await wire.exchange(bound, request))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            await started.wait()
            stop()
            await wire.until(lambda: refused(bound))
            finish.set()

    assert await stop_time(service, during) < SOON_S
    assert data[0].startswith(b"HTTP/1.1 201 ")


async def test_idle_connections_are_closed_at_once(service, wire) -> None:
    async def during(bound: Bound, stop: Stop) -> None:
        async with await wire.open(bound) as used, await wire.open(bound) as halfway:
            await halfway.send_all(b"GET / HT")
            await used.send_all(wire.get("/healthz", bound))
            assert await wire.status(used) == 200
            stop()
            assert await wire.closed(used)
            assert await wire.closed(halfway)

    assert await stop_time(service, during) < SOON_S


async def test_those_who_wait_are_answered_at_once(service, market, order, wire) -> None:
    phases = []

    async def during(bound: Bound, stop: Stop) -> None:
        async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
            task_id = (await client.post("/tasks", json=order)).json()["task_id"]

            async def wait() -> None:
                phases.append((await client.get(f"/tasks/{task_id}/wait")).json()["phase"])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await wire.until(lambda: market.waiting_for(task_id))
                stop()

    assert await stop_time(service, during) < SOON_S
    assert phases == ["queued"]


async def test_what_does_not_finish_is_cut_off(service, market, order, wire) -> None:
    started = trio.Event()

    async def hang(*_: object) -> None:
        started.set()
        await trio.sleep_forever()

    market.submit = hang

    async def during(bound: Bound, stop: Stop) -> None:
        async with await wire.open(bound) as stream:
            await stream.send_all(wire.post("/tasks", bound, json.dumps(order).encode()))
            await started.wait()
            stop()
            assert await wire.closed(stream)

    assert 0.25 <= await stop_time(service, during, grace_s=0.3) < SOON_S


async def test_a_client_that_does_not_read_is_cut_off(service, wire, big_file) -> None:
    async def during(bound: Bound, stop: Stop) -> None:
        async with await wire.open(bound) as stream:
            await stream.send_all(wire.get(f"/artifacts/{big_file}", bound))
            assert await stream.receive_some(13) == b"HTTP/1.1 200 "
            stop()
            await wire.until(lambda: refused(bound))

    assert await stop_time(service, during, grace_s=0.3) < SOON_S
