"""A light HTTP load: keep-alive connections over raw sockets, so that the client costs little."""

import json
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

import trio

HEAD_END = b"\r\n\r\n"
READ_BYTES = 65536


class Connection:
    """One keep-alive connection that posts JSON bodies."""

    def __init__(self, stream: trio.SocketStream, host: str) -> None:
        self._stream = stream
        self._host = host

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and answer of a GET."""
        await self._stream.send_all(f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode())
        return await self._answer()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post a JSON body; returns status and answer."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        await self._stream.send_all(head.encode() + body)
        return await self._answer()

    async def _answer(self) -> tuple[int, bytes]:
        data = b""
        while HEAD_END not in data:
            data += await self._receive()
        head, _, rest = data.partition(HEAD_END)
        status = int(head.split(b" ", 2)[1])
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(rest) < length:
            rest += await self._receive()
        return status, rest

    async def _receive(self) -> bytes:
        received = await self._stream.receive_some(READ_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        return bytes(received)


async def get(url: str, path: str) -> bytes:
    """The answer to one GET."""
    host, port = _place(url)
    async with await trio.open_tcp_stream(host, port) as stream:
        _, answer = await Connection(stream, f"{host}:{port}").get(path)
    return answer


async def post_all(
    url: str, path: str, bodies: Iterable[bytes], *, clients: int
) -> tuple[list[float], list[bytes]]:
    """Post every body once from `clients` connections; returns seconds and answers of each."""
    host, port = _place(url)
    waiting: Iterator[bytes] = iter(bodies)
    seconds: list[float] = []
    answers: list[bytes] = []

    async def client() -> None:
        async with await trio.open_tcp_stream(host, port) as stream:
            connection = Connection(stream, f"{host}:{port}")
            for body in waiting:
                began = trio.current_time()
                status, answer = await connection.post(path, body)
                if status >= 300:
                    raise ConnectionError(f"{status}: {answer[:200]!r}")
                seconds.append(trio.current_time() - began)
                answers.append(answer)

    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(client)
    return seconds, answers


def task_bodies(count: int, label: str, size: int, iterations: int, reward: str) -> Sequence[bytes]:
    """Bodies of `POST /tasks` for small synthetic tasks."""
    return [
        json.dumps(
            {
                "challenge_type": "synthetic",
                "payload": {
                    "seed": f"{label}/{number}",
                    "matrix_size": size,
                    "iterations": iterations,
                },
                "reward": reward,
            }
        ).encode()
        for number in range(count)
    ]


def _place(url: str) -> tuple[str, int]:
    place = urlsplit(url)
    return place.hostname or "127.0.0.1", place.port or 80
