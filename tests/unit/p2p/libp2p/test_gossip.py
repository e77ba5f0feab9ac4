import pytest
import trio
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed
from trio.testing import MockClock

from p2p.errors import BrokenFraming
from p2p.libp2p.gossip import MAX_RPC_BYTES, OutQueue, RpcReader, cost_of
from p2p.limits import Limits
from p2p.rates import TokenBucket


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 100))
def test_rpcs_survive_any_chopping(bodies, size):
    stream = b"".join(map(encode_varint_prefixed, bodies))
    reader = RpcReader()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [body for piece in pieces for body in reader.feed(piece)] == bodies


def test_the_largest_rpc_and_one_more():
    largest = bytes(MAX_RPC_BYTES)
    assert RpcReader().feed(encode_varint_prefixed(largest)) == [largest]
    with pytest.raises(BrokenFraming):
        RpcReader().feed(encode_varint_prefixed(bytes(MAX_RPC_BYTES + 1))[:3])


@pytest.mark.parametrize("data", [b"\xff" * 12, b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80"])
def test_lengths_that_are_none(data):
    with pytest.raises(BrokenFraming):
        RpcReader().feed(data)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_garbage_never_raises_anything_else(pieces):
    reader = RpcReader()
    try:
        for piece in pieces:
            reader.feed(piece)
    except BrokenFraming:
        return


def test_an_rpc_costs_what_is_in_it_and_its_size():
    messages = [rpc_pb2.Message(data=b"x")] * 5
    options = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid="t")] * 2
    assert cost_of(b"") == 1
    assert cost_of(rpc_pb2.RPC(publish=messages, subscriptions=options).SerializeToString()) == 7
    big = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(60_000))])
    assert cost_of(big.SerializeToString()) == 1 + 14


@pytest.mark.parametrize(
    "body",
    [
        b"\x08\x01",  # a number where there can only be messages
        b"\x12\x05abc",  # cut short
        b"\x12",
        b"\xff" * 20,
        b"\x12\x00" * 1001,  # a frame that is all fields
    ],
)
def test_what_is_no_rpc_costs_the_stream(body):
    with pytest.raises(BrokenFraming):
        cost_of(body)


@given(st.binary(max_size=60))
def test_what_protobuf_takes_has_a_price(body):
    """Nothing that is decoded was let in without having been counted."""
    try:
        cost = cost_of(body)
    except BrokenFraming:
        return
    try:
        rpc = rpc_pb2.RPC.FromString(body)
    except DecodeError:
        return
    assert len(rpc.publish) + len(rpc.subscriptions) <= cost


@given(st.lists(st.binary(max_size=30), max_size=5), st.lists(st.text(max_size=9), max_size=5))
def test_every_real_rpc_has_its_price(bodies, topics):
    rpc = rpc_pb2.RPC(
        publish=[rpc_pb2.Message(data=data) for data in bodies],
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic) for topic in topics],
    )
    assert cost_of(rpc.SerializeToString()) == max(1, len(bodies) + len(topics))


def out_queue(size: int = 10, **limits: float) -> tuple[OutQueue, list[None]]:
    drops: list[None] = []
    bounds = Limits(gossip_out_queue=size, **limits)
    return OutQueue(bounds, lambda: drops.append(None)), drops


async def test_a_full_queue_drops_the_newest_and_says_so():
    queue, drops = out_queue(size=2)
    assert [queue.push(body) for body in (b"a", b"b", b"c")] == [True, True, False]
    assert len(drops) == 1
    assert len(queue) == 2


@pytest.mark.parametrize("payload_bytes", [10, 900, 40_000])
async def test_what_leaves_stays_within_what_the_neighbour_lets_in(
    autojump_clock: MockClock, payload_bytes: int
):
    """However much is put into one batch: many small messages, or few large ones."""
    queue, _ = out_queue(500, neighbour_rate_per_s=100, neighbour_burst=100)
    budget = TokenBucket(100, 100)
    body = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(payload_bytes))]).SerializeToString()
    for _ in range(500):
        queue.push(body)
    reader, left = RpcReader(), 500
    while left:
        for one in reader.feed(await queue.batch()):
            assert budget.take(trio.current_time(), cost_of(one))
            left -= 1
