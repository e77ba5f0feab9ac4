"""What `bench network` is compared with: plain asyncio streams, neither encrypted nor signed.

The server answers `A` and a u32 length with as many bytes back, and `F` and a u64 size with that
many bytes and their SHA-256. Both ends hash what is fetched, as ours do. Run as a program, this
file is the server: it prints its port and serves until it is killed.
"""

import asyncio
import hashlib
import os
import time

CHUNK = os.urandom(1 << 20)
DIGEST_BYTES = 32


async def serve() -> None:
    """Serve on a free port."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while kind := await reader.read(1):
        if kind == b"A":
            length = await reader.readexactly(4)
            writer.write(length + await reader.readexactly(int.from_bytes(length)))
        else:
            await _send(writer, int.from_bytes(await reader.readexactly(8)))
    writer.close()


async def _send(writer: asyncio.StreamWriter, size: int) -> None:
    digest = hashlib.sha256()
    for _ in range(size // len(CHUNK)):
        digest.update(CHUNK)
        writer.write(CHUNK)
        await writer.drain()
    writer.write(digest.digest())
    await writer.drain()


async def ask(port: int, count: int, size: int) -> list[float]:
    """Seconds of each of `count` requests of `size` bytes, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    each_s = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(b"A" + size.to_bytes(4) + bytes(size))
        await reader.readexactly(4 + size)
        each_s.append(time.perf_counter() - began)
    await _close(writer)
    return each_s


async def fetch(port: int, size: int) -> float:
    """Seconds of one transfer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    writer.write(b"F" + size.to_bytes(8))
    digest, left = hashlib.sha256(), size
    while left:
        data = await reader.read(min(left, len(CHUNK)))
        digest.update(data)
        left -= len(data)
    if await reader.readexactly(DIGEST_BYTES) != digest.digest():
        raise ValueError("the peer's transfer is broken")
    elapsed_s = time.perf_counter() - began
    await _close(writer)
    return elapsed_s


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve())
