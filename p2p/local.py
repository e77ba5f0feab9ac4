"""What needs no wire: a node's requests to itself, and pouring a body into a sink."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import trio

from p2p.errors import RequestTimeout, TransferTooLarge
from p2p.messages import Message, encode
from p2p.network import BulkInfo, BulkSource, Sink
from p2p.serving import RequestDesk, read_answer
from p2p.transfer import WRITE_BYTES, BodyCheck


async def request_locally(
    desk: RequestDesk, peer_id: str, message: Message, timeout_s: float
) -> Message:
    """Answer a request of our own. The message is encoded and decoded as any other."""
    with trio.move_on_after(timeout_s):
        return read_answer(*await desk.answer(peer_id, encode(message)))
    raise RequestTimeout(peer_id, timeout_s)


async def pour(source: BulkSource, sink: Sink, max_bytes: int) -> BulkInfo:
    """Move a body into the sink with all the checks of a transfer."""
    info = BulkInfo(source.size, source.sha256)
    async with pieces(source) as chunks:
        if info.size > max_bytes:
            raise TransferTooLarge(info.size, max_bytes)
        check = BodyCheck(info)
        async for chunk in chunks:
            check.feed(chunk)
            await sink(chunk)
    return check.finish()


@asynccontextmanager
async def pieces(source: BulkSource) -> AsyncGenerator[AsyncIterator[bytes]]:
    """The body in pieces of at most `WRITE_BYTES`; the source is closed in the end."""
    cut = _cut(source.chunks)
    try:
        yield cut
    finally:
        await cut.aclose()
        if isinstance(source.chunks, AsyncGenerator):
            await source.chunks.aclose()


async def _cut(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        for start in range(0, len(chunk), WRITE_BYTES):
            yield chunk[start : start + WRITE_BYTES]
