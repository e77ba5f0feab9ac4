"""What strangers can send to a real node, and that it goes on answering everybody else.

Every test has a victim, a good peer that is connected to it, and an attacker that speaks as much
of the protocol as the attack needs. In the end the good peer must get an answer and be heard.
"""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from p2p.envelope import Terms, seal
from p2p.errors import RequestRefused, TransferFailed
from p2p.identity import Identity, peer_id_bytes
from p2p.libp2p.addresses import parse
from p2p.libp2p.hardening import Supervisor
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.network import open_libp2p_network
from p2p.libp2p.streams import BULK, REQUEST, bytes_of
from p2p.libp2p.swarm import GuardedSwarm
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import Limits
from p2p.messages import Message, encode, register
from p2p.network import Network, PeerEvent
from p2p.requests import FrameReader, Kind, decode_refusal, encode_frame
from p2p.transfer import Ask as BulkAsk
from p2p.transfer import Offer, encode_header

pytestmark = pytest.mark.system

StreamHandler = Callable[[INetStream], Awaitable[None]]

CHAIN = "test-chain"
TOPIC = "news"
WIRE_TOPIC = f"/tmnode/{CHAIN}/{TOPIC}"
MESHSUB = TProtocol("/meshsub/1.1.0")
PATIENCE_S = 20
LIMITS = Limits(
    frame_timeout_s=0.4, bulk_idle_timeout_s=0.4, stream_open_timeout_s=1, handshake_timeout_s=2
)


@register
class Ask(Message):
    TYPE_ID = 65_200
    VERSION = 1
    MAX_BYTES = 1000
    text: str


class Attacker:
    """A peer that is connected to the victim and may send it anything."""

    def __init__(self, identity: Identity, host: GuardedHost, victim: Network) -> None:
        self.identity = identity
        self._host = host
        self._victim = ID.from_string(victim.peer_id)
        self._address = Multiaddr(victim.addresses[0])

    async def stream(self, protocol: TProtocol) -> YamuxStream:
        return bytes_of(await self._host.new_stream(self._victim, [protocol]))

    def serve(self, protocol: TProtocol, handler: StreamHandler) -> None:
        self._host.set_stream_handler(protocol, handler)

    async def bare_stream(self) -> YamuxStream:
        """A stream on which no protocol has been negotiated."""
        return bytes_of(await self._host.get_network().new_stream(self._victim))

    async def dial(self) -> None:
        await self._host.get_network().dial_addr(self._address, self._victim)

    def message(
        self,
        content: bytes,
        /,
        signer: Identity | None = None,
        seqno_of_choice: bytes | None = None,
        **changes: object,
    ) -> rpc_pb2.Message:
        """A gossip message, signed as gossipsub wants it, before the changes."""
        signer = signer or self.identity
        message = rpc_pb2.Message(
            data=content,
            topicIDs=[WIRE_TOPIC],
            from_id=peer_id_bytes(signer.peer_id),
            seqno=seqno_of_choice or time.time_ns().to_bytes(8),
        )
        payload = b"libp2p-pubsub:" + message.SerializeToString()
        message.signature = signer.sign(payload)
        for field, value in changes.items():
            message.ClearField(field)
            getattr(message, field).extend(value) if isinstance(value, list) else setattr(
                message, field, value
            )
        return message


class Scene:
    """The victim, its good peer, and the attacker."""

    def __init__(self, victim: Network, good: Network, attacker: Attacker) -> None:
        self.victim = victim
        self.good = good
        self.attacker = attacker
        self.heard: trio.MemoryReceiveChannel


@asynccontextmanager
async def connected_attacker(victim: Network, identity: Identity) -> AsyncGenerator[Attacker]:
    swarm = GuardedSwarm(create_new_key_pair(identity.seed), LIMITS)
    host = GuardedHost(swarm, [], LIMITS)
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(swarm)
        nursery.start_soon(supervisor.run)
        await supervisor.wait_started()
        await swarm.dial_addr(Multiaddr(victim.addresses[0]), ID.from_string(victim.peer_id))
        yield Attacker(identity, host, victim)
        await host.close()


@pytest.fixture
async def scene(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[Scene]:
    with trio.fail_after(PATIENCE_S):
        async with AsyncExitStack() as stack:
            identities = [Identity.from_seed(letter * 32) for letter in (b"v", b"g", b"a")]
            victim, good = [
                await stack.enter_async_context(
                    open_libp2p_network(identity, CHAIN, ["/ip4/127.0.0.1/tcp/0"], (), LIMITS)
                )
                for identity in identities[:2]
            ]
            await good.connect(victim.addresses[0])
            victim.serve(Ask, echo)
            attacker = await stack.enter_async_context(connected_attacker(victim, identities[2]))
            scene = Scene(victim, good, attacker)
            scene.heard = await stack.enter_async_context(victim.subscribe(TOPIC))
            yield scene
            await assert_unharmed(scene)
    assert [
        r for r in caplog.records if r.name.startswith("p2p") and r.levelno > logging.INFO
    ] == []


async def echo(_sender: str, ask: Ask) -> Ask:
    return ask


async def assert_unharmed(scene: Scene) -> None:
    answer = await scene.good.request(scene.victim.peer_id, Ask(text="?"), timeout_s=5)
    assert answer == Ask(text="?")
    await scene.good.publish(TOPIC, Ask(text="the end"))
    while (await scene.heard.receive()) != (scene.good.peer_id, Ask(text="the end")):
        pass


async def assert_stream_ends(stream: YamuxStream) -> None:
    with pytest.raises(MuxedStreamError):
        await read_to_end(stream)


async def read_to_end(stream: YamuxStream) -> None:
    while True:
        await stream.read()


def rpc(*messages: rpc_pb2.Message, **fields: object) -> bytes:
    return encode_varint_prefixed(rpc_pb2.RPC(publish=messages, **fields).SerializeToString())


def envelope(
    identity: Identity, *, topic: str = TOPIC, chain: str = CHAIN, body: bytes = b"", **how: Any
) -> bytes:
    terms = Terms(chain, LIMITS.max_gossip_bytes, 10**9, 10**9)
    times = {"now_ms": time.time_ns() // 1_000_000, "lifetime_ms": 60_000} | how
    return seal(identity, terms, topic, body or encode(Ask(text="attack")), **times)


def spoilt(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


# Bytes on the port


async def on_the_port(victim: Network) -> trio.SocketStream:
    endpoint = parse(victim.addresses[0])
    return await trio.open_tcp_stream(endpoint.host, endpoint.port)


async def assert_hung_up_on(stream: trio.SocketStream, data: bytes) -> None:
    """The victim closes the connection on the data, whatever it says before."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(data)
        await stream.send_eof()
        while await stream.receive_some():
            pass


NO_HANDSHAKES = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    bytes(range(256)) * 40,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a line of 2^63 bytes
    b"\x13/multistream/1.0.0\n" + b"\xff\xff\xff\xff\x0f" + bytes(100_000),
    b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\xff\xff" + bytes(65_535),
]


async def test_bytes_that_are_no_handshake(scene):
    for data in NO_HANDSHAKES:
        async with await on_the_port(scene.victim) as stream:
            await assert_hung_up_on(stream, data)


async def test_a_handshake_that_does_not_end_is_cut_off(scene):
    async with await on_the_port(scene.victim) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"\x13/multistream/1.0.0\n" + b"\x03ls\n" * 10_000_000)


async def test_idle_connections_keep_nobody_out(scene):
    async with AsyncExitStack() as idle:
        for _ in range(50):
            await idle.enter_async_context(await on_the_port(scene.victim))
        async with (
            open_libp2p_network(Identity.generate(), CHAIN, []) as late,
            late.connections() as events,
        ):
            await late.connect(scene.victim.addresses[0])
            assert (await events.receive()).connected


OTHER_SECURITY = ["/plaintext/2.0.0", "/tls/1.0.0", "/secio/1.0.0"]


async def test_only_noise_is_spoken(scene):
    for protocol in OTHER_SECURITY:
        lines = [b"/multistream/1.0.0\n", protocol.encode() + b"\n"]
        async with await on_the_port(scene.victim) as stream:
            await stream.send_all(b"".join(bytes([len(line)]) + line for line in lines))
            received = b""
            while b"na\n" not in received:
                received += await stream.receive_some()
        assert received == b"\x13/multistream/1.0.0\n\x03na\n"


# Negotiation of streams


NO_NEGOTIATIONS = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x04\xff\xfe\xfd\n",
    b"\x13/multistream/9.9.9\n",
    b"\x00",
]


async def test_negotiation_that_makes_no_sense(scene):
    for data in NO_NEGOTIATIONS:
        stream = await scene.attacker.bare_stream()
        await stream.write(data)
        await assert_stream_ends(stream)


async def test_a_stream_that_never_negotiates_is_given_up(scene):
    await assert_stream_ends(await scene.attacker.bare_stream())


async def test_a_protocol_nobody_speaks(scene):
    stream = await scene.attacker.bare_stream()
    await stream.write(b"\x13/multistream/1.0.0\n\x08/boom/1\n")
    await assert_stream_ends(stream)


# Gossip


NO_GOSSIP = [
    b"\x05\xff\xff\xff\xff\xff",  # no protobuf
    b"\xff\xff\xff\xff\x0f",  # an RPC of 4 GiB
    b"\xff" * 12,  # a length that never ends
    b"\x0a\x0a\x08" + b"\xff" * 30,
]


async def test_bytes_that_are_no_gossip(scene):
    for data in NO_GOSSIP:
        stream = await scene.attacker.stream(MESHSUB)
        await stream.write(data)
        await assert_stream_ends(stream)


RSA_LIKE = b"\x12\x20" + b"A" * 32
OTHER_ID = peer_id_bytes(Identity.from_seed(b"o" * 32).peer_id)


MALFORMED = [
    {"signature": b""},
    {"signature": b"short"},
    {"signature": b"s" * 64},
    {"from_id": b""},
    {"from_id": b"zz", "key": b"\x08\x01\x12\x20" + b"B" * 32},
    {"from_id": b"\x00\x24\x08\x01\x12\x20" + b"\xff" * 31},
    {"from_id": RSA_LIKE, "key": b"garbage"},
    {"from_id": RSA_LIKE, "key": b""},
    {"from_id": OTHER_ID},
    {"data": b"changed"},
    {"seqno": b"x" * 100},
    {"topicIDs": []},
    {"topicIDs": [WIRE_TOPIC, WIRE_TOPIC]},
    {"topicIDs": [WIRE_TOPIC, "other"]},
    {"topicIDs": ["/tmnode/other-chain/news"]},
    {"key": b"k" * 200_000},
]


async def test_malformed_messages_are_not_heard(scene):
    for changes in MALFORMED:
        attacker = scene.attacker
        bad = attacker.message(envelope(attacker.identity), **changes)
        good = attacker.message(envelope(attacker.identity, body=encode(Ask(text="good"))))
        stream = await attacker.stream(MESHSUB)
        await stream.write(rpc(bad, good))
        received = await scene.heard.receive()
        assert received == (attacker.identity.peer_id, Ask(text="good"))


BAD_ENVELOPES = [
    (lambda _: envelope(Identity.from_seed(b"o" * 32)), "origin"),
    (lambda me: spoilt(envelope(me)), "signature"),
    (lambda me: envelope(me, topic="other"), "signature"),
    (lambda me: envelope(me, chain="other"), "signature"),
    (lambda me: envelope(me, now_ms=1), "expired"),
    (lambda me: envelope(me, now_ms=time.time_ns() // 10**6 + 60_000), "early"),
    (lambda me: envelope(me, lifetime_ms=10**8), "lifetime"),
    (lambda me: envelope(me, body=b"no message"), "message"),
    (lambda me: envelope(me, body=encode(Ask(text="x")) + b"\0"), "message"),
    (lambda _: b"", "layout"),
    (lambda _: bytes(300), "layout"),
]


async def test_bad_envelopes_are_not_heard(scene):
    attacker, counters = scene.attacker, scene.victim.counters
    stream = await attacker.stream(MESHSUB)
    for bad, reason in BAD_ENVELOPES:
        before = counters[f"gossip_refused_{reason}"]
        await stream.write(rpc(attacker.message(bad(attacker.identity))))
        await stream.write(rpc(attacker.message(envelope(attacker.identity))))
        assert (await scene.heard.receive()).message == Ask(text="attack")
        assert counters[f"gossip_refused_{reason}"] == before + 1
    assert counters.total() == len(BAD_ENVELOPES)


async def test_a_replayed_envelope_is_heard_once(scene):
    attacker = scene.attacker
    data = envelope(attacker.identity)
    stream = await attacker.stream(MESHSUB)
    # Wrapped anew each time, so that gossipsub sees three different messages.
    for _ in range(3):
        await stream.write(rpc(attacker.message(data)))
    await stream.write(
        rpc(attacker.message(envelope(attacker.identity, body=encode(Ask(text="x")))))
    )
    heard = [(await scene.heard.receive()).message.text for _ in range(2)]
    assert heard == ["attack", "x"]
    assert scene.victim.counters == {"gossip_refused_replay": 2}


async def wait_cut_off(scene: Scene, events: trio.MemoryReceiveChannel) -> None:
    """The victim has hung up on the attacker, and does not take it back."""
    attacker = scene.attacker.identity.peer_id
    assert await events.receive() == PeerEvent(attacker, connected=False)
    with suppress(BaseLibp2pError):
        await scene.attacker.stream(MESHSUB)
    with suppress(BaseLibp2pError):
        await scene.attacker.dial()
        await read_to_end(await scene.attacker.bare_stream())
    assert attacker not in [peer.peer_id for peer in scene.victim.peers()]


SEQNO, NONCE = b"s" * 8, b"n" * 16


@pytest.mark.parametrize("twice", ["id", "nonce"])
async def test_who_signs_two_messages_as_one_is_cut_off(scene, twice):
    attacker = scene.attacker
    seqno = SEQNO if twice == "id" else None
    nonce = NONCE if twice == "nonce" else None
    stream = await attacker.stream(MESHSUB)
    async with scene.victim.connections() as events:
        for text in ("one thing", "another"):
            data = envelope(attacker.identity, body=encode(Ask(text=text)), nonce=nonce)
            await stream.write(rpc(attacker.message(data, seqno_of_choice=seqno)))
        await wait_cut_off(scene, events)
    assert (await scene.heard.receive()).message == Ask(text="one thing")
    assert scene.victim.counters == {
        "gossip_refused_equivocation": 1,
        "peers_cut_off_equivocation": 1,
    }


async def test_replays_by_a_third_peer_are_not_the_signers_fault(scene):
    """Not the same bytes again, not in new wrapping, not with another content and no signature."""
    attacker, signer = scene.attacker, Identity.from_seed(b"g" * 32)
    assert signer.peer_id == scene.good.peer_id
    data = envelope(signer)
    original = attacker.message(data, signer=signer)
    changed = attacker.message(data, signer=signer)
    changed.data, changed.seqno = envelope(signer), original.seqno
    stream = await attacker.stream(MESHSUB)
    for _ in range(20):
        await stream.write(rpc(original, changed, attacker.message(data)))
    await stream.write(rpc(attacker.message(envelope(attacker.identity))))
    heard = [await scene.heard.receive() for _ in range(2)]
    assert [received.sender for received in heard] == [signer.peer_id, attacker.identity.peer_id]
    assert scene.victim.counters == {"gossip_refused_origin": 20}


async def test_a_forger_is_cut_off_in_the_end(scene):
    attacker, signer = scene.attacker, Identity.from_seed(b"g" * 32)
    forged = attacker.message(envelope(signer), signer=signer)
    forged.signature = b"s" * 64
    stream = await attacker.stream(MESHSUB)
    async with scene.victim.connections() as events:
        for number in range(70):
            forged.seqno = number.to_bytes(8)
            await stream.write(rpc(forged))
        await wait_cut_off(scene, events)
    assert scene.victim.counters == {"peers_cut_off_forgery": 1}


async def test_an_rpc_that_drips_is_given_up(scene):
    """A byte now and then does not keep it alive."""
    stream = await scene.attacker.stream(MESHSUB)
    await drip(stream, rpc(scene.attacker.message(envelope(scene.attacker.identity))))


async def test_a_request_that_drips_is_given_up(scene):
    stream = await scene.attacker.stream(REQUEST)
    await drip(stream, encode_frame(Kind.REQUEST, 1, encode(Ask(text="x" * 500))))


async def write_slowly(stream: YamuxStream, data: bytes, pause_s: float) -> None:
    for number in range(len(data)):
        await stream.write(data[number : number + 1])
        await trio.sleep(pause_s)


async def drip(stream: YamuxStream, frame: bytes) -> None:
    started_s = trio.current_time()
    with pytest.raises(MuxedStreamError):
        await write_slowly(stream, frame, LIMITS.frame_timeout_s / 4)
    assert trio.current_time() - started_s < 20 * LIMITS.frame_timeout_s


async def test_a_second_stream_of_gossip_replaces_the_first(scene):
    first = await scene.attacker.stream(MESHSUB)
    await first.write(rpc(scene.attacker.message(envelope(scene.attacker.identity))))
    await scene.heard.receive()
    await scene.attacker.stream(MESHSUB)
    await assert_stream_ends(first)


async def test_a_flood_of_one_signer_is_cut_to_its_rate(scene):
    attacker = scene.attacker
    stream = await attacker.stream(MESHSUB)
    for _ in range(6):
        messages = [attacker.message(envelope(attacker.identity)) for _ in range(100)]
        await stream.write(rpc(*messages))
    await assert_unharmed(scene)
    assert scene.victim.counters["gossip_refused_rate"] > 0


async def test_control_messages_that_lead_nowhere(scene):
    attacker = scene.attacker
    topics = [f"/tmnode/{CHAIN}/{number}" for number in range(3000)]
    px = [rpc_pb2.PeerInfo(peerID=OTHER_ID, signedPeerRecord=b"junk")]
    control = rpc_pb2.ControlMessage(
        graft=[rpc_pb2.ControlGraft(topicID=topic) for topic in topics],
        prune=[rpc_pb2.ControlPrune(topicID=topic, backoff=2**60) for topic in topics],
        ihave=[rpc_pb2.ControlIHave(topicID=WIRE_TOPIC, messageIDs=[b"x" * 50] * 5000)],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"\xff", b"zz"] * 5000)] * 3,
    )
    control.prune.append(rpc_pb2.ControlPrune(topicID=WIRE_TOPIC, peers=px))
    subscriptions = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid="t" * 1000)] * 100
    stream = await attacker.stream(MESHSUB)
    await stream.write(rpc(control=control, subscriptions=subscriptions, senderRecord=b"junk"))
    await stream.write(rpc(attacker.message(envelope(attacker.identity))))
    assert (await scene.heard.receive()).sender == attacker.identity.peer_id


# Requests


async def one_frame(stream: YamuxStream) -> tuple[Kind, int, bytes]:
    reader = FrameReader(10_000)
    while not (frames := reader.feed(await stream.read())):
        pass
    return frames[0]


NO_FRAMES = [
    b"\xff\xff\xff\xff",  # a frame of 4 GiB
    (LIMITS.max_frame_bytes + 10).to_bytes(4) + b"\0" * 100,
    b"\0\0\0\0",
    b"GET / HTTP/1.1\r\n\r\n",
    encode_frame(Kind.RESPONSE, 1, b"nobody asked"),
    encode_frame(Kind.REFUSAL, 1, b"nobody asked"),
]


async def test_frames_that_are_none(scene):
    for data in NO_FRAMES:
        stream = await scene.attacker.stream(REQUEST)
        await stream.write(data)
        await assert_stream_ends(stream)


PARTS = [1, 4, 15]


async def test_a_frame_that_never_ends_is_given_up(scene):
    for part in PARTS:
        stream = await scene.attacker.stream(REQUEST)
        await stream.write(encode_frame(Kind.REQUEST, 1, encode(Ask(text="x")))[:part])
        await assert_stream_ends(stream)


NO_MESSAGES = [b"", b"\xff" * 50, b"\xfe\xb0\x01\xc1", b"\xfe\xb0\x01\x91\x01"]


async def test_garbage_in_a_frame_is_refused_and_the_stream_goes_on(scene):
    for payload in NO_MESSAGES:
        stream = await scene.attacker.stream(REQUEST)
        await stream.write(encode_frame(Kind.REQUEST, 7, payload))
        kind, request_id, answer = await one_frame(stream)
        assert (kind, request_id) == (Kind.REFUSAL, 7)
        assert decode_refusal(answer).code == "malformed"
        await stream.write(encode_frame(Kind.REQUEST, 8, encode(Ask(text="x"))))
        assert await one_frame(stream) == (Kind.RESPONSE, 8, encode(Ask(text="x")))


async def test_a_second_stream_of_requests_replaces_the_first(scene):
    first = await scene.attacker.stream(REQUEST)
    await first.write(encode_frame(Kind.REQUEST, 1, encode(Ask(text="x"))))
    await one_frame(first)
    second = await scene.attacker.stream(REQUEST)
    await second.write(encode_frame(Kind.REQUEST, 2, encode(Ask(text="x"))))
    assert (await one_frame(second))[1] == 2
    await assert_stream_ends(first)


async def test_as_many_streams_as_there_can_be(scene):
    for _ in range(250):
        await scene.attacker.bare_stream()
    await assert_unharmed(scene)


# Bulk transfers


NO_HEADERS = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\x05junk!",
    b"\0\0\0\x10",  # a header that never comes
    encode_header(BulkAsk("x" * 70_000, b"")),
]


async def test_bulk_headers_that_are_none(scene):
    for data in NO_HEADERS:
        stream = await scene.attacker.stream(BULK)
        await stream.write(data)
        await assert_stream_ends(stream)


LIES = [
    [encode_header(Offer(10, bytes(32))), b"x" * 11],  # more than announced
    [encode_header(Offer(10, bytes(32))), b"x" * 10],  # something else
    [encode_header(Offer(10, bytes(32))), b"x" * 5],  # less
    [encode_header(Offer(-1, bytes(32)))],
    [encode_header(Offer(5, b"short"))],
    [b"\xff\xff\xff\xff"],
    [b""],
]


def lying(body: list[bytes]) -> StreamHandler:
    async def lie(net_stream: INetStream) -> None:
        stream = bytes_of(net_stream)
        await stream.read()
        await stream.write(b"".join(body))
        await stream.close()

    return lie


async def test_bulk_senders_that_lie(scene):
    liar = scene.attacker.identity.peer_id
    for body in LIES:
        scene.attacker.serve(BULK, lying(body))
        with pytest.raises(TransferFailed):
            await scene.victim.fetch(liar, "x", b"", discard, max_bytes=100, timeout_s=5)


async def discard(_chunk: bytes) -> None: ...


async def test_answers_that_are_none(scene):
    answers = [
        encode_frame(Kind.RESPONSE, 999, b"for nobody"),
        encode_frame(Kind.RESPONSE, 1, b"\xff junk"),
    ]
    scene.attacker.serve(REQUEST, lying(answers))
    liar = scene.attacker.identity.peer_id
    with pytest.raises(RequestRefused, match="malformed"):
        await scene.victim.request(liar, Ask(text="x"), timeout_s=5)
