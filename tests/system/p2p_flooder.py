"""A peer that floods another one, as a process of its own.

    python p2p_flooder.py HOW ADDRESS SECONDS

Floods for the time given or until it is cut off, then tries to come back for a while, and prints
one line of JSON: when it began (CLOCK_MONOTONIC), when it was cut off or null, how much it sent.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count, cycle, islice

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from p2p.envelope import Terms, seal
from p2p.identity import Identity, peer_id_bytes
from p2p.libp2p.hardening import Supervisor
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.streams import BULK, REQUEST, bytes_of
from p2p.libp2p.swarm import GuardedSwarm
from p2p.libp2p.yamux.frames import Flag, Kind, encode
from p2p.libp2p.yamux.stream import WINDOW_BYTES, YamuxStream
from p2p.limits import Limits
from p2p.requests import Kind as FrameKind
from p2p.requests import encode_frame
from p2p.transfer import Ask, encode_header

TERMS = Terms("test-chain", 65_536, 10**9, 10**9)
TOPIC = "news"
BODY = bytes.fromhex("ff0101") + b"junk" * 60
"""A body that is decoded only after everything else was checked, and is no message then."""
GOSSIP_PER_S = 1000
SIGNED = 4000
SIGNED_EVERY_MS = 12
"""By the times in them, which are in the past: nobody can see that one signer wrote too much."""
OWN_GOSSIP_PER_S = 350
"""Less than a neighbour may pass on of others."""
REQUESTS_PER_S = 6000
TICK_S = 0.01
RETRY_S = 0.02
RETURNS_S = 1.25
"""How long it tries, within the time given: so long the victim has only its good peer to hear."""
UNBOUNDED = Limits(stream_rate_per_s=1e9, stream_burst=1e9)

Send = Callable[[], Awaitable[int]]
"""Sends as much as belongs into one tick; how much that was."""


class Flooder:
    """One identity and its connection to the victim."""

    def __init__(self, nursery: trio.Nursery, address: str) -> None:
        self._nursery = nursery
        self._identity = Identity.generate()
        self._address = Multiaddr(address)
        self._victim = ID.from_string(address.rpartition("/p2p/")[2])
        self.swarm = GuardedSwarm(create_new_key_pair(self._identity.seed), UNBOUNDED)
        self._host = GuardedHost(self.swarm, [], UNBOUNDED)
        self._seqno = count(time.time_ns())

    async def connect(self) -> None:
        await self.swarm.dial_addr(self._address, self._victim)

    async def gossip(self) -> Send:
        stream = bytes_of(await self._host.new_stream(self._victim, [TProtocol("/meshsub/1.1.0")]))

        # Signed before, so that a busy machine does not slow the flood down.
        ages_ms = range(SIGNED * SIGNED_EVERY_MS, 0, -SIGNED_EVERY_MS)
        signed = cycle([self._rpc(age_ms) for age_ms in ages_ms])

        async def send() -> int:
            number = round(GOSSIP_PER_S * TICK_S)
            await stream.write(b"".join(islice(signed, number)))
            return number

        return send

    async def signed(self) -> Send:
        stream = bytes_of(await self._host.new_stream(self._victim, [TProtocol("/meshsub/1.1.0")]))

        async def send() -> int:
            number = round(OWN_GOSSIP_PER_S * TICK_S)
            await stream.write(b"".join([self._rpc() for _ in range(number)]))
            return number

        return send

    async def requests(self) -> Send:
        stream = bytes_of(await self._host.new_stream(self._victim, [REQUEST]))
        self._nursery.start_soon(read_all, stream)
        request = encode_frame(FrameKind.REQUEST, 1, b"\xfe\xb0\x01")

        async def send() -> int:
            number = round(REQUESTS_PER_S * TICK_S)
            await stream.write(request * number)
            return number

        return send

    async def streams(self) -> Send:
        async def send() -> int:
            for _ in range(20):
                await (await self.swarm.new_stream(self._victim)).reset()
            return 20

        return send

    async def frames(self) -> Send:
        (connection,) = self.swarm.get_connections(self._victim)
        pings = encode(Kind.PING, Flag.ACK, 0, 0) * 1000

        async def send() -> int:
            connection.muxed_conn.post(pings)
            if connection.is_closed:
                raise BaseLibp2pError("closed")
            return 1000

        return send

    async def unread(self) -> Send:
        """Transfers that keep the victim busy while more arrives on their streams."""

        async def send() -> int:
            stream = bytes_of(await self._host.new_stream(self._victim, [BULK]))
            await stream.write(encode_header(Ask("slow", b"")))
            await trio.sleep(TICK_S)
            await stream.write(bytes(WINDOW_BYTES // 2))
            return 1

        return send

    def _rpc(self, age_ms: int = 0) -> bytes:
        now_ms = time.time_ns() // 1_000_000 - age_ms
        message = rpc_pb2.Message(
            data=seal(self._identity, TERMS, TOPIC, BODY, now_ms=now_ms, lifetime_ms=60_000),
            topicIDs=["/tmnode/test-chain/news"],
            from_id=peer_id_bytes(self._identity.peer_id),
            seqno=next(self._seqno).to_bytes(8),
        )
        message.signature = self._identity.sign(b"libp2p-pubsub:" + message.SerializeToString())
        return encode_varint_prefixed(rpc_pb2.RPC(publish=[message]).SerializeToString())


async def flood(send: Send, until_s: float) -> dict[str, float | None]:
    began_s, sent = time.monotonic(), 0
    due_s = trio.current_time()
    try:
        while time.monotonic() < until_s:
            sent += await send()
            due_s += TICK_S
            await trio.sleep_until(due_s)
    except BaseLibp2pError:
        return {"began_s": began_s, "cut_off_s": time.monotonic(), "sent": sent}
    return {"began_s": began_s, "cut_off_s": None, "sent": sent}


async def come_back(flooder: Flooder, until_s: float) -> None:
    """Dial again and again."""
    while time.monotonic() < until_s:
        with suppress(BaseLibp2pError, OSError):
            await flooder.connect()
        await trio.sleep(RETRY_S)


async def read_all(stream: YamuxStream) -> None:
    with suppress(BaseLibp2pError):
        while True:
            await stream.read()


async def main(how: str, address: str, seconds: str) -> None:
    async with trio.open_nursery() as nursery:
        flooder = Flooder(nursery, address)
        supervisor = Supervisor(flooder.swarm)
        nursery.start_soon(supervisor.run)
        await supervisor.wait_started()
        await flooder.connect()
        send: Send = await getattr(flooder, how)()
        until_s = time.monotonic() + float(seconds)
        found = await flood(send, until_s)
        await come_back(flooder, min(until_s, time.monotonic() + RETURNS_S))
        sys.stdout.write(json.dumps(found))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
