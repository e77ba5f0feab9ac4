import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.utils.varint import encode_varint_prefixed

from p2p.errors import BrokenFraming
from p2p.libp2p.gossip import MAX_RPC_BYTES, RpcReader, SeenIds


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


def test_ids_are_seen_once():
    seen = SeenIds()
    assert not seen.has(b"a")
    assert seen.add(b"a")
    assert seen.has(b"a")
    assert not seen.add(b"a")
