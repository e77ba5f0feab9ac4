"""The pieces of gossipsub's wire: ids seen, RPCs read, queues written, signatures.

An RPC is a varint length and a protobuf body (libp2p specification, "pubsub").
"""

import math
import time
from collections import OrderedDict

from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils.varint import encode_varint_prefixed

from p2p.errors import BrokenFraming
from p2p.identity import PUBLIC_KEY_BYTES, verify

MAX_RPC_BYTES = 1024 * 1024
_SEEN_S = 120.0
_MAX_SEEN = 65_536
_BATCH_BYTES = 64 * 1024
_ED25519_ID = bytes.fromhex("002408011220")
_SIGNING_PREFIX: bytes = PUBSUB_SIGNING_PREFIX.encode()


class SeenIds:
    """Message ids of the last two minutes, without the thread that libp2p keeps for that."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, float] = OrderedDict()

    def has(self, message_id: bytes) -> bool:
        """Whether the id was added lately."""
        return self._ids.get(message_id, -math.inf) > time.monotonic() - _SEEN_S

    def add(self, message_id: bytes) -> bool:
        """Remember the id; whether it is new."""
        new = not self.has(message_id)
        self._ids[message_id] = time.monotonic()
        self._ids.move_to_end(message_id)
        if len(self._ids) > _MAX_SEEN:
            self._ids.popitem(last=False)
        return new


class RpcReader:
    """Cuts a gossip stream into RPCs: each a varint length, at most `MAX_RPC_BYTES`, and a body."""

    def __init__(self) -> None:
        self._buffer = bytearray()

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


class OutQueue(RpcQueue):  # type: ignore[misc]
    """RPCs waiting for one neighbour, encoded or not; the newest is dropped when it is full."""

    async def batch(self) -> bytes | None:
        """Everything that waits, up to about 64 KiB; None once the queue is closed."""
        rpc = await self.pop()
        if rpc is None:
            return None
        parts = [_encoded(rpc)]
        size = len(parts[0])
        while size < _BATCH_BYTES and (rpc := self._queue.pop()) is not None:
            parts.append(_encoded(rpc))
            size += len(parts[-1])
        return b"".join(parts)


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
    key = bytes(message.from_id[len(_ED25519_ID) :])
    if not message.from_id.startswith(_ED25519_ID) or len(key) != PUBLIC_KEY_BYTES:
        return None
    return key if verify(key, statement(message), message.signature) else None


def _encoded(rpc: rpc_pb2.RPC | bytes) -> bytes:
    if isinstance(rpc, bytes):
        return rpc
    encoded: bytes = encode_varint_prefixed(rpc.SerializeToString())
    return encoded
