"""Streams of our own protocols: opened, ended and failed in one way."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError

from p2p.errors import BrokenFraming, PeerUnreachable, TransferFailed
from p2p.libp2p.hardening import end_stream
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.sockets import READ_BYTES
from p2p.libp2p.yamux.stream import YamuxStream

REQUEST = TProtocol("/tmnode/request/1")
BULK = TProtocol("/tmnode/bulk/1")

F = TypeVar("F")
R = TypeVar("R", covariant=True)
"""A frame, of whatever framing."""


def peer_of(stream: INetStream) -> str:
    """The peer at the other end, as its connection proved it."""
    return str(stream.muxed_conn.peer_id)


def bytes_of(stream: INetStream) -> YamuxStream:
    """The stream itself. libp2p's wrapper takes two locks for every read and write."""
    muxed: YamuxStream = stream.muxed_stream
    return muxed


async def open_stream(host: GuardedHost, peer_id: str, protocol: TProtocol) -> INetStream:
    """A new stream to a connected peer. Raises PeerUnreachable."""
    try:
        return await host.new_stream(ID.from_string(peer_id), [protocol])
    except (BaseLibp2pError, ValueError) as error:
        raise PeerUnreachable(peer_id, str(error)) from error


@asynccontextmanager
async def opened_stream(
    host: GuardedHost, peer_id: str, protocol: TProtocol
) -> AsyncGenerator[YamuxStream]:
    """A new stream that ends with the block. Raises PeerUnreachable, TransferFailed.

    What happens to the stream inside the block is raised as one of these, too.
    """
    stream = await open_stream(host, peer_id, protocol)
    try:
        yield bytes_of(stream)
    except MuxedStreamEOF as error:
        raise TransferFailed("cut off by the peer") from error
    except BrokenFraming as error:
        raise TransferFailed(str(error)) from error
    except MuxedStreamError as error:
        raise PeerUnreachable(peer_id, str(error)) from error
    finally:
        await end_stream(stream)


class Reader(Protocol[R]):
    """Cuts bytes into frames."""

    @property
    def partial(self) -> bool: ...

    def feed(self, data: bytes) -> Sequence[R]: ...


class Frames(Generic[F]):
    """The frames that arrive on a stream, each within `timeout_s` of its first byte.

    Only the time that we wait for the peer counts, however it drips its bytes.
    """

    def __init__(self, stream: YamuxStream, reader: Reader[F], timeout_s: float) -> None:
        self._stream = stream
        self._reader = reader
        self._timeout_s = timeout_s
        self._left_s = timeout_s

    async def next(self) -> Sequence[F]:
        """The next ones. Raises BrokenFraming, and MuxedStreamError also if one takes too long."""
        while True:
            frames = self._reader.feed(await self._read())
            if frames or not self._reader.partial:
                self._left_s = self._timeout_s
            if frames:
                return frames

    async def _read(self) -> bytes:
        if not self._reader.partial:
            return await self._stream.read(READ_BYTES)
        since_s = trio.current_time()
        data = await read_within(self._stream, self._left_s)
        self._left_s = max(0.0, self._left_s - (trio.current_time() - since_s))
        return data


async def read_within(stream: YamuxStream, timeout_s: float, max_bytes: int = READ_BYTES) -> bytes:
    """The next bytes. Raises MuxedStreamError, also if none come in `timeout_s` seconds."""
    with trio.move_on_after(timeout_s):
        return await stream.read(max_bytes)
    raise MuxedStreamError(f"no data for {timeout_s} s")
