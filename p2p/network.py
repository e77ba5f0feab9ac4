"""The network as the rest of the node sees it.

A `Network` is opened for one identity and one chain, by `open_libp2p_network` or by
`MemoryHub.open_network`; both behave the same and pass the same tests. Peers are named by their
peer ids. There are three ways to speak:

- gossip, for what many must hear: `publish` and `subscribe`. Best effort, signed by its author;
- requests, for what one peer must answer: `request` and `serve`. The sender a handler sees is
  the key that the connection proved;
- bulk transfers, for bodies of any size: `fetch` and `serve_bulk`. Checked by size and digest.

Whoever is to be reached must be connected: by `connect`, by a bootstrap address, or because the
peer connected to us.
"""

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

import msgspec
import trio

from p2p.messages import M, Message

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since 1970."""

Sink: TypeAlias = Callable[[bytes], Awaitable[None]]


class PeerInfo(msgspec.Struct, frozen=True):
    """A connected peer and the addresses it is known by."""

    peer_id: str
    addresses: tuple[str, ...]


class PeerEvent(NamedTuple):
    """A peer is connected now, or is no longer. However many connections, it counts once."""

    peer_id: str
    connected: bool


class Received(NamedTuple):
    """A gossip message and the peer that signed it."""

    sender: str
    message: Message


class BulkInfo(NamedTuple):
    """What was transferred."""

    size: int
    sha256: bytes


class BulkSource(NamedTuple):
    """A body to send: its size and SHA-256, known before, and its bytes in chunks of any size."""

    size: int
    sha256: bytes
    chunks: AsyncIterator[bytes]


BulkHandler: TypeAlias = Callable[[str, bytes], Awaitable[BulkSource]]


class Network(Protocol):
    """One node's place among its peers."""

    @property
    def peer_id(self) -> str:
        """Our own peer id."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where we can be reached: multiaddrs that end in /p2p/ and our peer id."""

    @property
    def counters(self) -> Counter[str]:
        """What happened since the network was opened, by name, for the metrics."""

    def peers(self) -> tuple[PeerInfo, ...]:
        """Who is connected now, ourselves not included."""

    async def publish(self, topic: str, message: Message) -> None:
        """Tell everybody on the topic, except ourselves.

        Waits while we are over the rate that peers let in. Raises MessageTooLarge.
        """

    def subscribe(
        self, topic: str
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Received]]:
        """What others publish on the topic. When the channel is full, the newest is dropped.

        Whoever has just connected is given the last few seconds too, so a node that restarts may
        hear again what it heard before.
        """

    def serve(self, request_type: type[M], handler: Callable[[str, M], Awaitable[Message]]) -> None:
        """Answer requests of the type with `handler(sender, request)`.

        A handler refuses by raising RequestRefused; any other error is logged and refused as
        `internal`. Handlers run side by side and are not cancelled when the requester is gone.
        """

    async def request(self, peer_id: str, message: Message, *, timeout_s: float) -> Message:
        """Ask one peer (or ourselves) and wait for its answer.

        Raises PeerUnreachable, RequestTimeout, RequestRefused, MessageTooLarge.
        """

    def serve_bulk(self, name: str, handler: BulkHandler) -> None:
        """Send bodies to whoever fetches `name`: `handler(sender, argument)` finds the body.

        A handler refuses by raising RequestRefused, for instance with the code `missing`.
        """

    async def fetch(
        self,
        peer_id: str,
        name: str,
        argument: bytes,
        sink: Sink,
        *,
        max_bytes: int,
        timeout_s: float,
    ) -> BulkInfo:
        """Fetch a body from one peer (or ourselves) into `sink`, chunk by chunk.

        The size is checked against `max_bytes` before any of the body is read, the digest after
        all of it: what the sink holds is to be thrown away unless this returns. `sink` must
        take a chunk within a few seconds, or the sender gives up.
        Raises PeerUnreachable, RequestTimeout, RequestRefused, TransferTooLarge,
        DigestMismatch, TransferFailed; what the sink raises passes through.
        """

    def connections(
        self,
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[PeerEvent]]:
        """Who comes and goes from now on."""

    async def connect(self, address: str, *, for_s: float = math.inf) -> None:
        """Want the peer at the address: it is dialled now, and again whenever it is not connected.

        It is given up once it was not connected for `for_s` seconds. Returns after the first
        attempt, successful or not. Raises BadAddress, also when too many are wanted already.
        """
