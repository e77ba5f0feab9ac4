import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import BrokenFraming, RequestRefused
from p2p.requests import (
    Frame,
    FrameReader,
    Kind,
    decode_refusal,
    encode_frame,
    encode_refusal,
)

frames = st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary(max_size=50))


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in pieces, cut at some of the positions."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 10_000), max_size=10))
def test_frames_survive_any_chopping(sent, cuts):
    reader = FrameReader(50)
    stream = b"".join(encode_frame(*frame) for frame in sent)
    received = [frame for piece in chopped(stream, cuts) for frame in reader.feed(piece)]
    assert received == sent
    assert not reader.partial


def test_the_bytes_are_the_specification():
    assert (
        encode_frame(Kind.RESPONSE, 5, b"xy").hex()
        == "0000000b" + "01" + "0000000000000005" + "7879"
    )


def test_a_frame_that_is_not_complete():
    reader = FrameReader(50)
    data = encode_frame(Kind.REQUEST, 1, b"abc")
    assert reader.feed(data[:-1]) == []
    assert reader.partial
    assert reader.feed(data[-1:]) == [Frame(Kind.REQUEST, 1, b"abc")]


def test_the_bound_is_exact_and_seen_before_the_body():
    FrameReader(50).feed(encode_frame(Kind.REQUEST, 1, bytes(50)))
    with pytest.raises(BrokenFraming):
        FrameReader(50).feed(encode_frame(Kind.REQUEST, 1, bytes(51))[:4])


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\0", b"\0\0\0\x08" + bytes(8), b"\xff\xff\xff\xff", b"\0\0\0\x09\x03" + bytes(8)],
)
def test_broken_framing(data):
    with pytest.raises(BrokenFraming):
        FrameReader(50).feed(data)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_garbage_is_frames_or_broken(pieces):
    reader = FrameReader(20)
    try:
        for piece in pieces:
            assert all(isinstance(frame, Frame) for frame in reader.feed(piece))
    except BrokenFraming:
        pass


@given(st.text(max_size=64), st.text(max_size=100))
def test_refusals_carry_code_and_text(code, text):
    refusal = decode_refusal(encode_refusal(RequestRefused(code, text)))
    assert (refusal.code, refusal.text) == (code, text)


def test_a_refusal_is_cut_to_a_sensible_length():
    refusal = decode_refusal(encode_refusal(RequestRefused("c" * 1000, "t" * 10_000)))
    assert (len(refusal.code), len(refusal.text)) == (64, 1024)


@given(st.binary(max_size=50))
def test_a_refusal_that_cannot_be_read_is_one(garbage):
    assert isinstance(decode_refusal(garbage), RequestRefused)
