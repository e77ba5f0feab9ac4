"""Streams of our own protocols: opened, ended and failed in one way."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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


async def read_within(stream: YamuxStream, timeout_s: float) -> bytes:
    """The next bytes. Raises MuxedStreamError, also if none come in `timeout_s` seconds."""
    with trio.move_on_after(timeout_s):
        return await stream.read(READ_BYTES)
    raise MuxedStreamError(f"no data for {timeout_s} s")
