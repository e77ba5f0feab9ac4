import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import BrokenFraming, DigestMismatch, RequestRefused, TransferFailed
from p2p.network import BulkInfo
from p2p.transfer import Ask, BodyCheck, HeaderReader, Offer, encode_header

headers = st.one_of(
    st.builds(Ask, st.text(max_size=10), st.binary(max_size=30)),
    st.builds(Offer, st.integers(0, 2**63), st.binary(min_size=32, max_size=32)),
)


@given(headers, st.binary(max_size=20), st.lists(st.integers(1, 30), min_size=1, max_size=9))
def test_a_header_survives_any_chopping(header, rest, sizes):
    data = encode_header(header) + rest
    reader = HeaderReader(1000)
    start = 0
    for size in [*sizes, len(data)]:
        found = reader.feed(data[start : start + size], type(header))
        start += size
        if found is not None:
            break
    assert found == header
    assert reader.rest + data[start:] == rest


def test_the_bytes_are_the_specification():
    assert encode_header(Ask("a", b"\x01")).hex() == "00000006" + "92" + "a161" + "c40101"


@pytest.mark.parametrize("data", [b"\0\0\0\x33", b"\0\0\0\x01\xc1", b"\0\0\0\x03\x92\x01\x02"])
def test_headers_that_are_none(data):
    with pytest.raises(BrokenFraming):
        HeaderReader(50).feed(data, Ask)


@given(st.binary(max_size=60))
def test_a_garbage_header_is_broken_or_incomplete(garbage):
    try:
        header = HeaderReader(50).feed(garbage, Offer)
    except BrokenFraming:
        return
    if header is not None:
        with contextlib.suppress(RequestRefused, BrokenFraming):
            assert header.accepted().size >= 0


def test_refusals():
    offer = Offer.refusing(RequestRefused("missing", "no such thing"))
    with pytest.raises(RequestRefused) as caught:
        offer.accepted()
    assert (caught.value.code, caught.value.text) == ("missing", "no such thing")
    with pytest.raises(RequestRefused):
        Offer.refusing(RequestRefused("")).accepted()


@pytest.mark.parametrize("offer", [Offer(-1, bytes(32)), Offer(1, bytes(31)), Offer(1, b"")])
def test_impossible_offers(offer):
    with pytest.raises(BrokenFraming):
        offer.accepted()


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_a_body_that_is_the_announced_one(chunks):
    body = b"".join(chunks)
    info = BulkInfo(len(body), hashlib.sha256(body).digest())
    check = BodyCheck(info)
    for chunk in chunks:
        check.feed(chunk)
    assert check.left == 0
    assert check.finish() == info


def test_bodies_that_are_not():
    info = BulkInfo(3, hashlib.sha256(b"abc").digest())
    short, long, other = BodyCheck(info), BodyCheck(info), BodyCheck(info)
    short.feed(b"ab")
    with pytest.raises(TransferFailed, match="missing"):
        short.finish()
    with pytest.raises(TransferFailed, match="more than"):
        long.feed(b"abcd")
    other.feed(b"abd")
    with pytest.raises(DigestMismatch):
        other.finish()
