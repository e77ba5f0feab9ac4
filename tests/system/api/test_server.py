"""The doors on a real port, as a newcomer finds them."""

from hashlib import sha256

import httpx
import pytest
import requests
import trio

from node.api.rest import build_app
from node.api.server import Bound, ServerLimits, bind_api, serve_api
from node.errors import ConfigError

pytestmark = pytest.mark.system


async def test_the_specifications_example_verbatim(bound) -> None:
    port = bound.port

    def newcomer() -> dict[str, object]:
        task_id = requests.post(
            f"http://127.0.0.1:{port}/tasks",
            json={
                "challenge_type": "synthetic",
                "payload": {"seed": "1234abcd5678ef90", "matrix_size": 1024, "iterations": 100},
                "reward": "10.0",
            },
        ).json()["task_id"]
        return requests.get(f"http://127.0.0.1:{port}/tasks/{task_id}").json()

    task = await trio.to_thread.run_sync(newcomer)
    assert (task["status"], task["reward"], task["result"]) == ("pending", "10.0", None)


async def test_localhost_and_rpc_and_download(bound, market, order, tmp_path) -> None:
    data = bytes(range(256)) * 4096
    name = sha256(data).hexdigest()
    (tmp_path / name).write_bytes(data)
    market.files[name] = tmp_path / name
    async with httpx.AsyncClient(base_url=f"http://localhost:{bound.port}", verify=False) as client:
        call = {"jsonrpc": "2.0", "method": "tm_submitTask", "params": order, "id": 1}
        assert (await client.post("/rpc", json=call)).json()["result"]["status"] == "pending"
        whole = await client.get(f"/artifacts/{name}")
        assert (whole.content, "server" in whole.headers) == (data, False)
        part = await client.get(f"/artifacts/{name}", headers={"Range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, data[1000:2000])


async def test_a_foreign_host_does_not_spend(bound, market, order) -> None:
    async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
        for headers in (
            {"Host": f"evil.example:{bound.port}"},
            {"Origin": "http://evil.example"},
            {"Host": "127.0.0.1"},
        ):
            answer = await client.post("/tasks", json=order, headers=headers)
            assert answer.status_code == 401
    assert market.submitted == 0


def test_a_port_in_use_is_named() -> None:
    with bind_api("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            bind_api("127.0.0.1", port)
    assert "another port" in caught.value.remedy
    with bind_api("127.0.0.1", port):
        pass  # free again at once


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::ffff:192.0.2.1"])
def test_a_host_that_is_not_ours_is_named(host) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        bind_api(host, 0)


async def test_a_listener_is_taken_over(service) -> None:
    listener = bind_api("127.0.0.1", 0)
    port = listener.getsockname()[1]
    app = build_app(service)

    async def run(task_status: trio.TaskStatus[Bound]) -> None:
        await serve_api(app, "", 0, listener=listener, task_status=task_status)

    async with trio.open_nursery() as nursery:
        bound = await nursery.start(run)
        assert bound == ("127.0.0.1", port)
        assert bound.url == f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
            assert (await client.get("/healthz")).status_code == 200
        nursery.cancel_scope.cancel()
    assert listener.fileno() == -1


async def test_one_connection_serves_many_requests(service, serving, wire) -> None:
    async with serving(service, ServerLimits(requests_per_connection=3)) as bound:
        pipelined = await wire.exchange(bound, wire.get("/healthz", bound) * 5)
        assert pipelined.count(b"HTTP/1.1 200 ") == 3
        assert pipelined.lower().count(b"connection: close") == 1


async def test_nobody_waits_for_a_client_that_hung_up(bound, market, order, wire) -> None:
    async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
        task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    async with await wire.open(bound) as stream:
        await stream.send_all(wire.get(f"/tasks/{task_id}/wait", bound))
        await wire.until(lambda: market.waiting_for(task_id) == 1)
    await wire.until(lambda: market.waiting_for(task_id) == 0)
