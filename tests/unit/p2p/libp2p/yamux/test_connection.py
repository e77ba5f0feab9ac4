"""Yamux between two ends in memory, and against an end that breaks its rules."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from p2p.identity import Identity, public_key_of
from p2p.libp2p.yamux.connection import MAX_STREAMS, Yamux
from p2p.libp2p.yamux.frames import Flag, Frame, FrameParser, Kind, encode, encode_data
from p2p.libp2p.yamux.stream import WINDOW_BYTES, YamuxStream
from p2p.limits import Limits

PEER = Identity.from_seed(b"p" * 32).peer_id


class Channel:
    """A `SecureChannel` over memory, without encryption."""

    def __init__(self, stream: trio.StapledStream, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self._stream = stream

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some(65_536))

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def close(self) -> None:
        await self._stream.aclose()


class Stranger:
    """An end that sends whatever frames it likes."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self._stream = stream
        self._parser = FrameParser()

    async def send(self, *frames: bytes) -> None:
        await self._stream.send_all(b"".join(frames))

    async def receive(self) -> list[Frame]:
        await wait_all_tasks_blocked()
        return list(self._parser.feed(await self._stream.receive_some(1 << 20)))


@asynccontextmanager
async def ends() -> AsyncGenerator[tuple[Yamux, Yamux]]:
    left, right = memory_stream_pair()
    a = Yamux(Channel(left, True), PEER, Limits())
    b = Yamux(Channel(right, False), PEER, Limits())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.start)
        nursery.start_soon(b.start)
        yield a, b
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def against(
    limits: Limits | None = None, pair: Callable[[], Any] = memory_stream_pair
) -> AsyncGenerator[tuple[Yamux, Stranger]]:
    left, right = pair()
    victim = Yamux(Channel(left, False), PEER, limits or Limits())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(victim.start)
        yield victim, Stranger(right)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def streams() -> AsyncGenerator[tuple[YamuxStream, YamuxStream]]:
    async with ends() as (a, b):
        opened = await a.open_stream()
        yield opened, await b.accept_stream()


async def read_all(stream: YamuxStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.read(65_536)
    return data


async def test_bytes_go_both_ways():
    async with streams() as (one, other):
        await one.write(b"ping")
        assert await other.read(2) == b"pi"
        assert await other.read() == b"ng"
        await other.write(b"pong")
        assert await one.read() == b"pong"


async def test_a_body_larger_than_the_window_arrives_whole():
    body = bytes(range(256)) * 8192
    async with streams() as (one, other), trio.open_nursery() as nursery:
        nursery.start_soon(one.write, body)
        assert await read_all(other, len(body)) == body


async def test_two_writers_do_not_mix():
    async with streams() as (one, other), trio.open_nursery() as nursery:
        for letter in b"ab":
            nursery.start_soon(one.write, bytes([letter]) * 400_000)
        got = await read_all(other, 800_000)
        assert got in (b"a" * 400_000 + b"b" * 400_000, b"b" * 400_000 + b"a" * 400_000)


async def test_small_messages_cost_no_window_updates():
    async with against() as (victim, stranger):
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 1, 0))
        stream = await victim.accept_stream()
        assert [frame.flags for frame in await stranger.receive()] == [Flag.ACK]
        for size, credit in ((WINDOW_BYTES // 2 - 1, None), (1, WINDOW_BYTES // 2)):
            await stranger.send(encode_data(1, bytes(size)))
            await read_all(stream, size)
            if credit is None:
                stream.write_nowait(b"nothing before this")
            (frame,) = await stranger.receive()
            assert frame.length == (credit or len(b"nothing before this"))


async def test_a_writer_waits_for_credit_and_goes_on():
    async with against() as (victim, stranger), trio.open_nursery() as nursery:
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 1, 0))
        stream = await victim.accept_stream()
        nursery.start_soon(stream.write, bytes(WINDOW_BYTES + 10))
        received = 0
        while received < WINDOW_BYTES:
            received += sum(len(frame.body) for frame in await stranger.receive())
        assert not stream.write_nowait(b"x")
        await stranger.send(encode(Kind.WINDOW, 0, 1, 10))
        assert sum(len(frame.body) for frame in await stranger.receive()) == 10


async def test_a_writer_gives_up_on_a_peer_that_gives_no_credit(autojump_clock):
    async with against() as (victim, stranger):
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 1, 0))
        stream = await victim.accept_stream()

        async def listen() -> None:
            # It reads and answers pings, but gives no credit.
            while True:
                for frame in await stranger.receive():
                    if frame.kind == Kind.PING:
                        await stranger.send(encode(Kind.PING, Flag.ACK, 0, frame.length))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            with pytest.raises(MuxedStreamError):
                await stream.write(bytes(WINDOW_BYTES + 10))
            nursery.cancel_scope.cancel()
        assert trio.current_time() == pytest.approx(Limits().write_timeout_s)
        assert not victim.is_closed


async def test_half_closing():
    async with ends() as (a, b):
        one = await a.open_stream()
        other = await b.accept_stream()
        await one.write(b"last words")
        await one.close()
        assert await other.read() == b"last words"
        with pytest.raises(MuxedStreamEOF):
            await other.read()
        with pytest.raises(MuxedStreamClosed):
            await one.write(b"more")
        await other.write(b"answer")
        await other.close()
        assert await one.read() == b"answer"
        with pytest.raises(MuxedStreamEOF):
            await one.read()
        assert (a.streams, b.streams) == (0, 0)


async def test_a_reset_ends_both_ends():
    async with ends() as (a, b):
        one = await a.open_stream()
        other = await b.accept_stream()
        await one.write(b"read this before the reset")
        await one.reset()
        assert await other.read() == b"read this before the reset"
        with pytest.raises(MuxedStreamReset):
            await other.read()
        with pytest.raises(MuxedStreamReset):
            await other.write(b"x")
        with pytest.raises(MuxedStreamReset):
            await one.read()
        assert (a.streams, b.streams) == (0, 0)


async def test_a_write_cut_off_half_way_resets_the_stream():
    async with streams() as (one, other):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.write, bytes(3 * WINDOW_BYTES))
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with pytest.raises(MuxedStreamReset):
            await one.write(b"x")
        with pytest.raises(MuxedStreamReset):
            await read_all(other, 3 * WINDOW_BYTES)


async def test_more_credit_lets_more_arrive_unread():
    async with streams() as (one, other):
        other.widen(4 * WINDOW_BYTES)
        await wait_all_tasks_blocked()
        with trio.fail_after(60):
            await one.write(bytes(4 * WINDOW_BYTES))


async def test_closing_tells_the_peer_and_everybody_who_waits():
    async with ends() as (a, b):
        one = await a.open_stream()
        other = await b.accept_stream()
        async with trio.open_nursery() as nursery:

            async def waits(stream: YamuxStream) -> None:
                with pytest.raises(MuxedStreamReset):
                    await stream.read()

            nursery.start_soon(waits, one)
            nursery.start_soon(waits, other)
            await wait_all_tasks_blocked()
            await a.close()
            await b.event_closed.wait()
        with pytest.raises(MuxedConnUnavailable):
            await b.accept_stream()
        with pytest.raises(MuxedStreamError):
            await b.open_stream()


async def test_an_end_of_the_socket_ends_the_connection():
    left, right = memory_stream_pair()
    victim = Yamux(Channel(left, False), PEER, Limits())
    closed = []

    async def on_close() -> None:
        closed.append(victim.is_closed)

    victim.on_close = on_close
    async with trio.open_nursery() as nursery:
        nursery.start_soon(victim.start)
        await right.aclose()
    assert closed == [True]


SYN = encode(Kind.WINDOW, Flag.SYN, 1, 0)


@pytest.mark.parametrize(
    "attack",
    [
        [b"GET / HTTP/1.1\r\n\r\n"],
        [b"\x00\x09" + bytes(10)],
        [encode(Kind.WINDOW, Flag.SYN, 2, 0)],  # an id of ours
        [encode(Kind.WINDOW, Flag.SYN, 0, 0)],
        [SYN, SYN],
        [SYN, *[encode_data(1, bytes(65_536))] * 5],  # beyond the window
        [encode(Kind.DATA, 0, 1, 1 << 30)],
        [encode(Kind.GO_AWAY, 0, 0, 0)],
    ],
)
async def test_what_breaks_the_rules_ends_the_connection(attack):
    async with against() as (victim, stranger):
        await stranger.send(*attack)
        with trio.fail_after(60):
            await victim.event_closed.wait()


@pytest.mark.parametrize(
    "noise",
    [
        [encode_data(7, b"for nobody")],
        [encode(Kind.WINDOW, Flag.RST, 7, 0)],
        [encode(Kind.WINDOW, Flag.FIN, 7, 1 << 31)],
        [encode(Kind.PING, Flag.ACK, 0, 12345)],
        [SYN, encode(Kind.WINDOW, Flag.FIN, 1, 0), encode_data(1, b"after the end")],
    ],
)
async def test_what_means_nothing_is_ignored(noise):
    async with against() as (victim, stranger):
        await stranger.send(*noise, encode(Kind.PING, Flag.SYN, 0, 99))
        frames = await stranger.receive()
        assert frames[-1] == Frame(Kind.PING, Flag.ACK, 0, 99, b"")
        assert not victim.is_closed


async def test_streams_beyond_the_bound_are_reset():
    async with against() as (victim, stranger):
        opening = [
            encode(Kind.WINDOW, Flag.SYN, 2 * number + 1, 0) for number in range(MAX_STREAMS + 2)
        ]
        await stranger.send(*opening)
        frames = await stranger.receive()
        assert [frame.flags for frame in frames] == [Flag.ACK] * MAX_STREAMS + [Flag.RST] * 2
        assert victim.streams == MAX_STREAMS


async def test_a_peer_that_does_not_read_our_answers_is_dropped():
    # In lockstep a write waits until the other end reads it.
    async with against(Limits(frame_burst=1e9), lockstep_stream_pair) as (victim, stranger):
        pings = encode(Kind.PING, Flag.SYN, 0, 1) * 20_000
        with trio.fail_after(60), suppress(trio.BrokenResourceError):
            while not victim.is_closed:
                await stranger.send(pings)
        assert victim.is_closed


async def test_a_silent_peer_is_dropped(autojump_clock):
    limits = Limits(keepalive_s=10)
    async with against(limits) as (victim, stranger):
        await stranger.send(SYN)
        await victim.event_closed.wait()
        assert 30 <= trio.current_time() <= 50


async def test_a_peer_that_answers_pings_is_kept(autojump_clock):
    async with ends() as (a, b):
        await trio.sleep(1000)
        assert a.is_established
        assert b.is_established


async def test_a_stream_the_peer_never_closes_is_given_up(autojump_clock):
    async with ends() as (a, b):
        one = await a.open_stream()
        await b.accept_stream()
        await one.close()
        await trio.sleep(200)
        assert (a.streams, b.streams) == (0, 0)


# What a peer may do much of


async def test_streams_beyond_the_rate_end_the_connection():
    async with against(Limits(stream_rate_per_s=1e-9, stream_burst=20)) as (victim, stranger):
        for number in range(1, 41, 2):
            await stranger.send(encode(Kind.WINDOW, Flag.SYN | Flag.RST, number, 0))
        await wait_all_tasks_blocked()
        assert not victim.is_closed
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 101, 0))
        await victim.event_closed.wait()
        assert victim.conduct.refuses(public_key_of(PEER))


async def test_frames_beyond_the_rate_end_the_connection():
    async with against(Limits(frame_rate_per_s=1e-9, frame_burst=500)) as (victim, stranger):
        pong = encode(Kind.PING, Flag.ACK, 0, 0)
        await stranger.send(*[pong] * 500)
        await wait_all_tasks_blocked()
        assert not victim.is_closed
        await stranger.send(pong)
        await victim.event_closed.wait()
        assert victim.conduct.refuses(public_key_of(PEER))


async def test_what_nobody_reads_is_bounded_over_all_streams():
    limit = 3 * WINDOW_BYTES
    async with against(Limits(max_unread_bytes=limit)) as (victim, stranger):
        for number in (1, 3, 5):
            await stranger.send(encode(Kind.WINDOW, Flag.SYN, number, 0))
            await stranger.send(encode_data(number, bytes(WINDOW_BYTES)))
        await wait_all_tasks_blocked()
        assert not victim.is_closed
        await (await victim.accept_stream()).read()
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 7, 0), encode_data(7, bytes(100_000)))
        await wait_all_tasks_blocked()
        assert not victim.is_closed
        await stranger.send(encode_data(7, bytes(WINDOW_BYTES - 100_000)), encode_data(1, b"x"))
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 9, 0), encode_data(9, bytes(5000)))
        await victim.event_closed.wait()
        assert victim.conduct.refuses(public_key_of(PEER))


async def test_breaking_the_rules_is_a_fault_and_no_more():
    async with against() as (victim, stranger):
        await stranger.send(encode(Kind.WINDOW, Flag.SYN, 2, 0))
        await victim.event_closed.wait()
        assert not victim.conduct.refuses(public_key_of(PEER))


async def test_opening_streams_waits_to_stay_within_the_peers_rate(autojump_clock: MockClock):
    left, right = memory_stream_pair()
    limits = Limits(stream_rate_per_s=10, stream_burst=20)
    a, b = (Yamux(Channel(end, end is left), PEER, limits) for end in (left, right))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.start)
        nursery.start_soon(b.start)
        for _ in range(60):
            stream = await a.open_stream()
            await (await b.accept_stream()).reset()
            await stream.reset()
        assert not b.is_closed
        nursery.cancel_scope.cancel()
