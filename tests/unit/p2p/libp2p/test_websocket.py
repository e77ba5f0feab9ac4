"""A WebSocket among TCP connections, and what strangers can send on it."""

import contextlib
from collections.abc import AsyncGenerator

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from libp2p.io.exceptions import ConnectionClosedError
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from p2p.libp2p.sockets import HANDSHAKE_BYTES, Carrier, TcpStream
from p2p.libp2p.websocket import WebSocketStream, accept_carrier, dial_websocket

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, head: int = 0x80, masked: bool = True) -> bytes:
    """A client's frame; a mask of zeros leaves the payload as it is."""
    return announced(opcode, len(payload), head=head, masked=masked) + payload


def announced(opcode: int, size: int, *, head: int = 0x80, masked: bool = True) -> bytes:
    """The head of a frame of `size` bytes."""
    short = size if size < 126 else 126 if size < 65_536 else 127
    extended = size.to_bytes({126: 2, 127: 8}[short]) if short > 125 else b""
    return bytes([head | opcode, short | 0x80 * masked]) + extended + bytes(4 * masked)


class Wire:
    """The stranger's end."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def received(self) -> bytes:
        return bytes(await self._stream.receive_some(1 << 20))

    async def end(self) -> None:
        await self._stream.send_eof()


async def to_the_end(carrier: Carrier) -> None:
    while await carrier.receive():
        pass


def pair() -> tuple[Wire, TcpStream]:
    theirs, ours = memory_stream_pair()
    return Wire(theirs), TcpStream(ours)


@pytest.fixture
async def patience() -> AsyncGenerator[None]:
    with trio.fail_after(10_000):
        yield


async def upgraded(wire: Wire, tcp: TcpStream, first: bytes) -> Carrier:
    """The accepted WebSocket on which the stranger has sent these bytes first."""
    carriers = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def accept() -> None:
            carriers.append(await accept_carrier(tcp))

        await wire.send(UPGRADE)
        assert (await wire.received()).startswith(b"HTTP/1.1 101 ")
        await wire.send(first)
    return carriers[0]


@pytest.fixture
async def opened() -> tuple[Wire, Carrier]:
    """A WebSocket on which the connection inside has been established."""
    wire, tcp = pair()
    carrier = await upgraded(wire, tcp, frame(BINARY, b"hello"))
    assert isinstance(carrier, WebSocketStream)
    assert await carrier.receive() == b"hello"
    carrier.established()
    return wire, carrier


# Which of the two it is


async def test_what_is_not_http_stays_as_it_is(patience, autojump_clock) -> None:
    wire, tcp = pair()
    await wire.send(b"\x13/multistream/1.0.0\n")
    assert await accept_carrier(tcp) is tcp
    assert await tcp.read(1) == b"\x13"
    assert await tcp.receive() == b"/multistream/1.0.0\n"


async def test_who_leaves_at_once_is_no_websocket(patience, autojump_clock) -> None:
    wire, tcp = pair()
    await wire.end()
    assert await accept_carrier(tcp) is tcp
    assert await tcp.receive() == b""


async def test_a_request_that_comes_byte_by_byte(patience, autojump_clock) -> None:
    wire, tcp = pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def dribble() -> None:
            for byte in UPGRADE:
                await wire.send(bytes([byte]))
            await wire.received()
            for byte in frame(BINARY, b"x"):
                await wire.send(bytes([byte]))

        assert isinstance(await accept_carrier(tcp), WebSocketStream)


async def test_nothing_is_said_before_the_dialler_speaks(patience, autojump_clock) -> None:
    wire, tcp = pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def speak_first() -> None:
            await (await accept_carrier(tcp)).write(b"early")

        await wire.send(UPGRADE)
        await wait_all_tasks_blocked()
        assert (await wire.received()).endswith(b"\r\n\r\n")
        await wire.send(frame(BINARY, b"x"))
        assert await wire.received() == frame(BINARY, b"early", masked=False)


async def test_both_ends_are_ours(patience, autojump_clock) -> None:
    here, there = memory_stream_pair()
    carriers = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def accept() -> None:
            carriers.append(await accept_carrier(TcpStream(here)))

        carriers.append(await dial_websocket(TcpStream(there), "127.0.0.1:1"))
        await carriers[0].write(b"first")
    assert await carriers[1].receive() == b"first"
    for sender, receiver in (carriers, reversed(carriers)):
        for carrier in carriers:
            carrier.established()
        body = bytes(range(256)) * 4096
        await sender.write(body)
        received = b""
        while len(received) < len(body):
            received += await receiver.read(50_000)
        assert received == body


# Before it is one


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        UPGRADE.replace(b"websocket", b"h2c"),
        UPGRADE.replace(b"Version: 13", b"Version: 8"),
        UPGRADE.replace(b"Host: here\r\n", b""),
        UPGRADE.replace(b"Host: here", b"Host: \xff"),
        UPGRADE.replace(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b""),
        UPGRADE.replace(b"GET /", b"GET \x00"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/9"),
        b"G" + b"\xff" * 100 + b"\r\n\r\n",
    ],
)
async def test_a_bad_request_is_refused(patience, autojump_clock, request_: bytes) -> None:
    wire, tcp = pair()
    await wire.send(request_)
    with pytest.raises(ConnectionClosedError):
        await accept_carrier(tcp)
    assert (await wire.received()).startswith(b"HTTP/1.1 4")


async def test_headers_that_never_end(patience, autojump_clock) -> None:
    wire, tcp = pair()
    sent = 0
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def talk() -> None:
            nonlocal sent
            await wire.send(UPGRADE[:-2])
            while True:
                await wire.send(b"X-More: and more\r\n")
                await wait_all_tasks_blocked()
                sent += 18

        with pytest.raises(ConnectionClosedError):
            await accept_carrier(tcp)
        nursery.cancel_scope.cancel()
    assert sent <= HANDSHAKE_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnever",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        b"\x13/multistream/1.0.0\n\r\n\r\n",
        b"",
    ],
)
async def test_a_peer_that_is_dialled_and_is_no_websocket(
    patience, autojump_clock, answer: bytes
) -> None:
    wire, tcp = pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def reply() -> None:
            await wire.received()
            await wire.send(answer)
            await wire.end()

        with pytest.raises(ConnectionClosedError):
            await dial_websocket(tcp, "127.0.0.1:1")


async def test_the_allowance_of_a_handshake_holds_inside_too(patience, autojump_clock) -> None:
    wire, tcp = pair()
    carrier = await upgraded(wire, tcp, frame(BINARY, b"first"))
    await wire.send(frame(BINARY, bytes(2 * HANDSHAKE_BYTES)))
    with pytest.raises(ConnectionClosedError):
        await to_the_end(carrier)


# Frames


async def test_a_message_in_fragments(patience, autojump_clock, opened) -> None:
    wire, carrier = opened
    await wire.send(frame(BINARY, b"a", head=0) + frame(PING) + frame(CONTINUATION, b"b"))
    assert await carrier.receive() == b"ab"


async def test_a_frame_is_handed_on_as_it_comes(patience, autojump_clock, opened) -> None:
    """However much it announces, nothing is set aside for what has not come."""
    wire, carrier = opened
    await wire.send(announced(BINARY, 1 << 62) + b"first")
    assert await carrier.receive() == b"first"
    await wire.send(b"second")
    assert await carrier.receive() == b"second"


@pytest.mark.parametrize(
    "data",
    [
        frame(CLOSE),
        frame(TEXT, b"text"),
        frame(BINARY, b"x", masked=False),
        frame(BINARY, b"x", head=0xC0),
        frame(BINARY, b"x", head=0) + frame(BINARY, b"y"),
        frame(3, b"x"),
        frame(PING, b"x" * 126),
        frame(PING, b"x", head=0),
        announced(BINARY, 1 << 63),
        frame(CONTINUATION, b"x"),
    ],
)
async def test_what_ends_it(patience, autojump_clock, opened, data: bytes) -> None:
    wire, carrier = opened
    await wire.send(data + frame(BINARY, b"after"))
    received = await carrier.receive()
    assert received in (b"", b"x")
    assert await carrier.receive() == b""


async def test_the_peer_is_gone_in_the_middle_of_a_frame(patience, autojump_clock, opened) -> None:
    wire, carrier = opened
    await wire.send(announced(BINARY, 10) + b"half")
    await wire.end()
    assert await carrier.receive() == b"half"
    assert await carrier.receive() == b""


async def test_the_latest_ping_is_answered_with_what_we_write_next(
    patience, autojump_clock, opened
) -> None:
    wire, carrier = opened
    await wire.send(frame(PING, b"1") + frame(PING, b"2") + frame(BINARY, b"x"))
    assert await carrier.receive() == b"x"
    await carrier.write(b"y")
    assert await wire.received() == frame(PONG, b"2", masked=False) + frame(
        BINARY, b"y", masked=False
    )
    await carrier.write(b"z")
    assert await wire.received() == frame(BINARY, b"z", masked=False)


@pytest.mark.parametrize("idle", [frame(PING, b"x" * 100), frame(PONG), frame(BINARY)])
async def test_a_flood_of_frames_that_carry_nothing_is_cut_off(
    patience, autojump_clock, opened, idle: bytes
) -> None:
    wire, carrier = opened
    await wire.send(idle * 1000)
    with pytest.raises(ConnectionClosedError):
        await carrier.receive()


async def test_a_ping_now_and_then_is_not_a_flood(patience, autojump_clock, opened) -> None:
    wire, carrier = opened
    for _ in range(1000):
        await wire.send(frame(PING) + frame(BINARY, b"x"))
        assert await carrier.receive() == b"x"
        await trio.sleep(2)


async def test_tiny_frames_are_slowed_down(patience, autojump_clock, opened) -> None:
    wire, carrier = opened
    count = 15_000
    await wire.send(frame(BINARY, b"x") * count)
    began = trio.current_time()
    received = 0
    while received < count:
        received += len(await carrier.receive())
    assert 0.9 <= trio.current_time() - began <= 1.5


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=4))
async def test_any_bytes_end_in_an_end_or_in_one_error(pieces: list[bytes]) -> None:
    wire, tcp = pair()
    carrier = await upgraded(wire, tcp, frame(BINARY, b"first"))
    for piece in pieces:
        await wire.send(piece)
    await wire.end()
    with contextlib.suppress(ConnectionClosedError):
        await to_the_end(carrier)
