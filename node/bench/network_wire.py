"""What the parent of `bench network` and its nodes say to each other: a line of JSON each way."""

from typing import TypeAlias

import msgspec
import trio


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The node listens at the address."""

    address: str


class Meet(msgspec.Struct, frozen=True, tag=True):
    """Dial these addresses and wait until so many peers are connected."""

    addresses: tuple[str, ...]
    peers: int


class Gossip(msgspec.Struct, frozen=True, tag=True):
    """Publish so many messages at a steady rate, and hear so many of others."""

    count: int
    rate_per_s: float
    size: int
    expected: int


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Send a peer so many requests, so many at a time."""

    peer_id: str
    count: int
    at_once: int


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """Fetch a body of so many bytes from a peer."""

    peer_id: str
    size: int


class Flood(msgspec.Struct, frozen=True, tag=True):
    """Publish at a steady rate, whatever peers put up with, until the connection is cut off."""

    address: str
    rate_per_s: float
    size: int


class Took(msgspec.Struct, frozen=True, tag=True):
    """How a command went: seconds of each thing done, seconds and CPU seconds of all together."""

    each_s: tuple[float, ...]
    elapsed_s: float
    cpu_s: float


Command: TypeAlias = Meet | Gossip | Ask | Fetch | Flood
Reply: TypeAlias = Ready | Took


def encode(message: Command | Reply) -> bytes:
    """The message's line."""
    return msgspec.json.encode(message) + b"\n"


class Lines:
    """The lines that come on a stream."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def next(self) -> bytes | None:
        """The next line, None at the end of the stream."""
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
