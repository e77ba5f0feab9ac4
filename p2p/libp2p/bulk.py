"""Bulk transfers, one stream each. The framing is `p2p.transfer`'s."""

import trio
from libp2p.abc import INetStream
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2p.errors import BrokenFraming, MessageTooLarge, RequestRefused, TransferTooLarge
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.streams import BULK, bytes_of, opened_stream, peer_of, read_within
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import MIB, Limits
from p2p.local import pieces
from p2p.network import BulkInfo, BulkSource, Sink
from p2p.rates import Turnstile
from p2p.serving import BulkDesk
from p2p.transfer import (
    ACK,
    MAX_HEADER_BYTES,
    Ask,
    BodyCheck,
    H,
    HeaderReader,
    Offer,
    encode_header,
)

_WINDOW_BYTES = 4 * MIB
"""Credit for a body we read: 80 MB/s at a round trip of 50 ms."""


class BulkClient:
    """Fetches bodies, at most `bulk_streams_per_peer` of one peer at a time."""

    def __init__(self, host: GuardedHost, limits: Limits) -> None:
        self._host = host
        self._limits = limits
        self._slots: dict[str, trio.Semaphore] = {}

    async def fetch(self, peer_id: str, ask: Ask, sink: Sink, max_bytes: int) -> BulkInfo:
        """Fetch one body. Raises what `Network.fetch` raises, except for its deadline."""
        header = encode_header(ask)
        if len(header) > self._limits.bulk_argument_bytes:
            raise MessageTooLarge(len(header), self._limits.bulk_argument_bytes)
        async with self._slot(peer_id), opened_stream(self._host, peer_id, BULK) as stream:
            await stream.write(header)
            offer, rest = await _read_header(
                stream, Offer, MAX_HEADER_BYTES, self._limits.bulk_idle_timeout_s
            )
            info = offer.accepted()
            if info.size > max_bytes:
                raise TransferTooLarge(info.size, max_bytes)
            await self._read_body(stream, rest, info, sink)
            await stream.write(ACK)
            await stream.close()
            return info

    def forget(self, peer_id: str) -> None:
        """The peer is gone."""
        self._slots.pop(peer_id, None)

    def _slot(self, peer_id: str) -> trio.Semaphore:
        if peer_id not in self._slots:
            self._slots[peer_id] = trio.Semaphore(self._limits.bulk_streams_per_peer)
        return self._slots[peer_id]

    async def _read_body(
        self, stream: YamuxStream, rest: bytes, info: BulkInfo, sink: Sink
    ) -> None:
        check = BodyCheck(info)
        stream.widen(_WINDOW_BYTES)
        chunk = rest
        while chunk or check.left:
            chunk = chunk or await read_within(stream, self._limits.bulk_idle_timeout_s)
            check.feed(chunk)
            await sink(chunk)
            chunk = b""
        check.finish()


class BulkServer:
    """The stream handler of bulk transfers."""

    def __init__(self, desk: BulkDesk, limits: Limits) -> None:
        self._desk = desk
        self._limits = limits
        self._serving = Turnstile(limits.bulk_streams_per_peer)

    async def handle(self, net_stream: INetStream) -> None:
        """Serve one transfer. Raises MuxedStreamError or BrokenFraming if it fails."""
        sender, stream = peer_of(net_stream), bytes_of(net_stream)
        if not self._serving.enter(sender):
            await stream.write(encode_header(Offer.refusing(_BUSY)))
            await stream.close()
            return
        try:
            await self._serve(sender, stream)
        finally:
            self._serving.leave(sender)

    async def _serve(self, sender: str, stream: YamuxStream) -> None:
        idle_s = self._limits.bulk_idle_timeout_s
        ask, _ = await _read_header(stream, Ask, self._limits.bulk_argument_bytes, idle_s)
        try:
            source = await self._desk.find(sender, ask)
        except RequestRefused as refusal:
            await stream.write(encode_header(Offer.refusing(refusal)))
            await stream.close()
            return
        await self._send(stream, source)
        if await read_within(stream, idle_s) != ACK:
            raise BrokenFraming("no acknowledgement")
        await stream.close()

    async def _send(self, stream: YamuxStream, source: BulkSource) -> None:
        info = BulkInfo(source.size, source.sha256)
        check = BodyCheck(info)
        async with pieces(source) as chunks:
            await stream.write(encode_header(Offer(*info)))
            async for chunk in chunks:
                check.feed(chunk)
                await stream.write(chunk)
        check.finish()


_BUSY = RequestRefused("busy", "too many transfers of yours are being served")


async def _read_header(
    stream: YamuxStream, header_type: type[H], max_bytes: int, timeout_s: float
) -> tuple[H, bytes]:
    """A header and what came after it. Raises BrokenFraming, MuxedStreamError."""
    reader = HeaderReader(max_bytes)
    with trio.move_on_after(timeout_s):
        while True:
            header = reader.feed(await stream.read(), header_type)
            if header is not None:
                return header, reader.rest
    raise MuxedStreamError(f"no header for {timeout_s} s")
