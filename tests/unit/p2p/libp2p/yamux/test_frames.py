import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.libp2p.yamux.frames import (
    MAX_BODY_BYTES,
    Flag,
    Frame,
    FrameParser,
    Kind,
    ProtocolViolation,
    encode,
    encode_data,
)

ids = st.integers(0, 2**32 - 1)
plain = st.builds(
    lambda kind, flags, stream_id, length: (
        encode(kind, flags, stream_id, length),
        Frame(kind, flags, stream_id, length, b""),
    ),
    st.sampled_from([Kind.WINDOW, Kind.PING, Kind.GO_AWAY]),
    st.integers(0, 15),
    ids,
    ids,
)
data = st.builds(
    lambda stream_id, body: (
        encode_data(stream_id, body),
        Frame(Kind.DATA, 0, stream_id, len(body), body),
    ),
    ids,
    st.binary(max_size=60),
)


@given(st.lists(plain | data, max_size=6), st.integers(1, 40))
def test_frames_survive_any_chopping(sent, size):
    stream = b"".join(encoded for encoded, _ in sent)
    parser = FrameParser()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    received = [frame for piece in pieces for frame in parser.feed(piece)]
    assert received == [frame for _, frame in sent]


def test_the_bytes_are_the_specification():
    assert encode(Kind.WINDOW, Flag.SYN, 3, 5).hex() == "000100010000000300000005"
    assert encode_data(1, b"xy").hex() == "0000000000000001000000027879"


@pytest.mark.parametrize(
    "head",
    [
        b"\x01" + bytes(11),
        b"\x00\x04" + bytes(10),
        bytes(8) + (MAX_BODY_BYTES + 1).to_bytes(4),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_not_yamux(head):
    with pytest.raises(ProtocolViolation):
        list(FrameParser().feed(head))
