"""Bytes of strangers on a real port: none of them ends more than its own connection."""

import socket

import httpx
import pytest
import requests
import trio

pytestmark = pytest.mark.system


async def test_a_huge_body_is_refused(bound, wire) -> None:
    def refuse(data: bytes) -> requests.Response:
        headers = {"content-type": "application/json"}
        return requests.post(f"{bound.url}/tasks", data=data, headers=headers, timeout=20)

    for size in ((1 << 20) + 1, wire.huge):
        answer = await trio.to_thread.run_sync(refuse, b"x" * size)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True])
async def test_most_of_a_huge_body_is_never_read(bound, wire, chunked) -> None:
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {wire.huge}"
    head = f"POST /quote HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if chunked else b"x" * 65536
    async with await wire.open(bound) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await stream.send_all(head.encode())
        assert await sent_until_reset(stream, piece, wire.huge) < wire.huge / 4


async def sent_until_reset(stream: trio.SocketStream, piece: bytes, most: int) -> int:
    sent = 0
    try:
        while sent < most:
            await stream.send_all(piece)
            sent += len(piece)
    except trio.BrokenResourceError:
        pass
    return sent


async def test_headers_without_end_are_refused(bound, wire) -> None:
    data = await wire.exchange(bound, b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
    assert data.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        b"SSH-2.0-x\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_request(bound, wire, data) -> None:
    answer = await wire.exchange(bound, data)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501 "))
    async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("path", ["/%ff", "/tasks/%00", "/tasks/..%2f..", "//", "/?%ff=%fe", "*"])
async def test_odd_paths(bound, wire, path) -> None:
    data = await wire.exchange(bound, wire.get(path, bound, "Connection: close"))
    assert data.startswith(b"HTTP/1.1 4")
    assert b"application/problem+json" in data


async def test_http2_is_not_spoken_and_its_offer_ignored(bound, wire) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    data = await wire.exchange(bound, wire.get("/healthz", bound, *offer))
    assert data.startswith(b"HTTP/1.1 200 ")


async def test_a_websocket_is_refused(bound, wire) -> None:
    handshake = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    data = await wire.exchange(bound, wire.get("/worker", bound, *handshake))
    assert data.startswith(b"HTTP/1.1 403 ")


async def test_what_trips_the_protocol_machine_ends_one_connection(bound, wire, caplog) -> None:
    """A WebSocket offer with a byte that Hypercorn takes for UTF-8 and is not."""
    offer = (
        b"GET /worker HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: \xff\r\n\r\n"
    )
    assert await wire.exchange(bound, offer) == b""
    assert [record.getMessage() for record in caplog.records] == ["a connection failed"]
    caplog.clear()
    async with httpx.AsyncClient(base_url=bound.url, verify=False) as client:
        assert (await client.get("/healthz")).status_code == 200
