"""The pieces of gossipsub's wire: RPCs read and weighed, queues written, signatures.

An RPC is a varint length and a protobuf body (libp2p specification, "pubsub").
"""

from collections.abc import Callable

from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils.varint import encode_varint_prefixed

from p2p.conduct import own_pace
from p2p.errors import BrokenFraming
from p2p.identity import public_key_in, verify
from p2p.limits import Limits

MAX_RPC_BYTES = 1024 * 1024
_LENGTH_DELIMITED = 2
_MAX_THINGS = 1000
_BYTES_A_TOKEN = 4096
_BATCH_BYTES = 64 * 1024
_SIGNING_PREFIX: bytes = PUBSUB_SIGNING_PREFIX.encode()


class RpcReader:
    """Cuts a gossip stream into RPCs: each a varint length, at most `MAX_RPC_BYTES`, and a body."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def partial(self) -> bool:
        """Whether an RPC has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The RPCs that `data` completes. Raises BrokenFraming."""
        self._buffer += data
        bodies = []
        while (span := self._span()) is not None:
            bodies.append(bytes(self._buffer[slice(*span)]))
            del self._buffer[: span[1]]
        return bodies

    def _span(self) -> tuple[int, int] | None:
        length = 0
        for position, byte in enumerate(self._buffer[:4]):
            length |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                if length > MAX_RPC_BYTES:
                    break
                end = position + 1 + length
                return (position + 1, end) if len(self._buffer) >= end else None
        else:
            if len(self._buffer) < 4:
                return None
        raise BrokenFraming("an RPC over its bound")


def cost_of(body: bytes) -> float:
    """What an RPC costs its sender: one for each thing in it, and one for every 4 KiB.

    Counts the fields of the outermost layer (subscriptions, messages, control) without decoding
    them. Raises BrokenFraming for what is no RPC, or one of too many things.
    """
    things = position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        length, position = _varint(body, position)
        position += length
        things += 1
        if tag & 7 != _LENGTH_DELIMITED or position > len(body) or things > _MAX_THINGS:
            raise BrokenFraming("no RPC")
    return max(1, things) + len(body) // _BYTES_A_TOKEN


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(body):
            break
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise BrokenFraming("no RPC")


class OutQueue(RpcQueue):  # type: ignore[misc]
    """RPCs waiting for one neighbour, encoded or not; the newest is dropped when it is full.

    They leave it no faster than the neighbour would let them in.
    """

    def __init__(self, limits: Limits, on_drop: Callable[[], None]) -> None:
        super().__init__(max_size=limits.gossip_out_queue)
        self._on_drop = on_drop
        self._pace = own_pace(limits.neighbour_rate_per_s, limits.neighbour_burst)

    def push(self, rpc: rpc_pb2.RPC | bytes, priority: bool = False) -> bool:
        """Queue an RPC, or the bytes of one with a single message. False if there is no room."""
        queued: bool = super().push(rpc, priority)
        if not queued and not self.closed:
            self._on_drop()
        return queued

    async def batch(self) -> bytes | None:
        """What waits, as soon as it may go; None once the queue is closed.

        Up to about 64 KiB, and no more things than the neighbour lets in at once.
        """
        rpc = await self.pop()
        if rpc is None:
            return None
        parts = [_body(rpc)]
        size, cost = len(parts[0]), cost_of(parts[0])
        while (
            size < _BATCH_BYTES
            and cost < self._pace.burst
            and (rpc := self._queue.pop()) is not None
        ):
            parts.append(_body(rpc))
            size, cost = size + len(parts[-1]), cost + cost_of(parts[-1])
        await self._pace.wait(cost)
        return b"".join(map(encode_varint_prefixed, parts))


def statement(message: rpc_pb2.Message) -> bytes:
    """What the signature of a gossip message covers."""
    unsigned = rpc_pb2.Message(
        data=message.data,
        topicIDs=message.topicIDs,
        from_id=message.from_id,
        seqno=message.seqno,
    )
    return _SIGNING_PREFIX + bytes(unsigned.SerializeToString())


def signer_of(message: rpc_pb2.Message) -> bytes | None:
    """The Ed25519 key that `from_id` names, if it has signed the message.

    None for everything else, RSA keys and unsigned messages included.
    """
    key = public_key_in(message.from_id)
    if key is None or not verify(key, statement(message), message.signature):
        return None
    return key


def _body(rpc: rpc_pb2.RPC | bytes) -> bytes:
    return rpc if isinstance(rpc, bytes) else bytes(rpc.SerializeToString())
