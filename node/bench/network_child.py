"""A node of `bench network`: a network alone, told by its parent what to do and to measure."""

import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import ClassVar

import msgspec
import trio

from node.bench.network_wire import (
    Ask,
    Command,
    Fetch,
    Flood,
    Gossip,
    Lines,
    Meet,
    Ready,
    Reply,
    Took,
    encode,
)
from p2p.identity import Identity
from p2p.libp2p.network import open_libp2p_network
from p2p.limits import Limits
from p2p.messages import Message, register
from p2p.network import BulkSource, Network, Received

CHAIN = "bench"
TOPIC = "bench/1"
LISTEN = "/ip4/127.0.0.1/tcp/0"
BULK_NAME = "bench"
CHUNK = os.urandom(1 << 20)
PATIENCE_S = 30.0
"""Gossip that has not come so long after the last was published is lost."""

FLOODER = "--flooder"
UNBOUNDED = Limits(
    signer_rate_per_s=1e9,
    signer_burst=1e9,
    signed_per_s=1e9,
    neighbour_rate_per_s=1e9,
    neighbour_burst=1e9,
)
"""Of a node that floods: what it holds itself to."""


@register
class Note(Message, frozen=True):
    """A message or request with the time at which it was sent, 0 if that is not to be measured."""

    TYPE_ID: ClassVar[int] = 65_400
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 65_536

    number: int
    sent_ns: int
    filling: bytes


async def main(limits: Limits) -> None:
    """Do what standard input says until it ends."""
    identity = Identity.generate()
    async with (
        open_libp2p_network(identity, CHAIN, [LISTEN], limits=limits) as network,
        network.subscribe(TOPIC) as heard,
    ):
        network.serve(Note, _echo)
        network.serve_bulk(BULK_NAME, _body)
        _say(Ready(network.addresses[0]))
        commands = Lines(trio.lowlevel.FdStream(os.dup(0)))
        while line := await commands.next():
            _say(await _do(network, heard, msgspec.json.decode(line, type=Command)))


def _say(reply: Reply) -> None:
    sys.stdout.buffer.write(encode(reply))
    sys.stdout.buffer.flush()


async def _do(
    network: Network, heard: trio.MemoryReceiveChannel[Received], command: Command
) -> Took:
    began, cpu = time.perf_counter(), time.process_time()
    match command:
        case Meet():
            each_s = await _meet(network, command)
        case Gossip():
            each_s = await _gossip(network, heard, command)
        case Ask():
            each_s = await _ask(network, command)
        case Fetch():
            each_s = await _fetch(network, command)
        case Flood():
            each_s = await _flood(network, command)
    elapsed_s = time.perf_counter() - began
    return Took(tuple(each_s), elapsed_s, time.process_time() - cpu)


async def _meet(network: Network, command: Meet) -> list[float]:
    async with network.connections() as events:
        for address in command.addresses:
            await network.connect(address)
        while len(network.peers()) < command.peers:
            await events.receive()
    return []


async def _gossip(
    network: Network, heard: trio.MemoryReceiveChannel[Received], command: Gossip
) -> list[float]:
    """Publish and listen; seconds from publish to here of each message heard, once each."""
    each_s: dict[tuple[str, int], float] = {}

    async def listen() -> None:
        while len(each_s) < command.expected:
            sender, note = await heard.receive()
            if isinstance(note, Note) and note.sent_ns:
                each_s[sender, note.number] = (time.monotonic_ns() - note.sent_ns) / 1e9

    duration_s = command.count / command.rate_per_s
    with trio.move_on_after(duration_s + PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await _publish(network, command)
    return list(each_s.values())


async def _publish(network: Network, command: Gossip) -> None:
    filling = os.urandom(command.size)
    began = trio.current_time()
    for number in range(command.count):
        await trio.sleep_until(began + number / command.rate_per_s)
        await network.publish(TOPIC, Note(number=number, sent_ns=_now_ns(), filling=filling))


async def _ask(network: Network, command: Ask) -> list[float]:
    """Seconds of each request."""
    each_s: list[float] = []
    numbers = iter(range(command.count))

    async def ask() -> None:
        for number in numbers:
            began = time.perf_counter()
            note = Note(number=number, sent_ns=0, filling=bytes(200))
            await network.request(command.peer_id, note, timeout_s=PATIENCE_S)
            each_s.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        for _ in range(command.at_once):
            nursery.start_soon(ask)
    return each_s


async def _fetch(network: Network, command: Fetch) -> list[float]:
    await network.fetch(
        command.peer_id,
        BULK_NAME,
        str(command.size).encode(),
        _drop,
        max_bytes=command.size,
        timeout_s=10 * PATIENCE_S,
    )
    return []


async def _flood(network: Network, command: Flood) -> list[float]:
    """Seconds from the first message to each, until the peer ends the connection.

    At the end of patience at the latest. Nobody is to time these.
    """
    await _meet(network, Meet((command.address,), 1))
    filling, began = os.urandom(command.size), trio.current_time()
    sent_s: list[float] = []
    while network.peers() and trio.current_time() < began + PATIENCE_S:
        number = len(sent_s)
        await trio.sleep_until(began + number / command.rate_per_s)
        await network.publish(TOPIC, Note(number=number, sent_ns=0, filling=filling))
        sent_s.append(trio.current_time() - began)
    return sent_s


async def _drop(_chunk: bytes) -> None:
    """Nothing: the fetch itself has hashed it."""


async def _echo(_sender: str, note: Note) -> Note:
    return note


async def _body(_sender: str, argument: bytes) -> BulkSource:
    count = int(argument) // len(CHUNK)
    return BulkSource(count * len(CHUNK), _digest(count), _chunks(count))


@cache
def _digest(count: int) -> bytes:
    """The SHA-256 of so many chunks: a sender knows it before it is asked."""
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(CHUNK)
    return digest.digest()


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield CHUNK


def _now_ns() -> int:
    """A clock that all processes of a machine share."""
    return time.monotonic_ns()


if __name__ == "__main__":
    trio.run(main, UNBOUNDED if FLOODER in sys.argv else Limits())
