import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from p2p.envelope import OVERHEAD_BYTES, Opened, Terms, fingerprint_of, open_envelope, seal
from p2p.errors import EnvelopeRefused, MessageTooLarge, Refusal
from p2p.identity import Identity

ALICE = Identity.from_seed(b"a" * 32)
NOW_MS = 1_700_000_000_000
TERMS = Terms("chain", max_bytes=1024, max_lifetime_ms=120_000, clock_skew_ms=10_000)
BODY = b"the body"


def sealed(**how) -> bytes:
    how = {"now_ms": NOW_MS, "lifetime_ms": 60_000, "nonce": bytes(16)} | how
    return seal(ALICE, TERMS, "topic", BODY, **how)


def refusal(data: bytes, terms: Terms = TERMS, topic: str = "topic", now_ms: int = NOW_MS):
    with pytest.raises(EnvelopeRefused) as caught:
        open_envelope(data, terms, topic, now_ms=now_ms)
    return caught.value.reason


def test_a_good_envelope():
    opened = open_envelope(sealed(), TERMS, "topic", now_ms=NOW_MS)
    assert opened == Opened(ALICE.public_key, NOW_MS, NOW_MS + 60_000, bytes(16), BODY)


def test_the_bytes_are_the_specification():
    data = sealed()
    assert len(data) == OVERHEAD_BYTES + len(BODY)
    assert data[:65].hex() == (
        "01" + ALICE.public_key.hex() + "0000018bcfe56800" + "0000018bcfe65260" + bytes(16).hex()
    )
    assert data[65:-64] == BODY
    key = Ed25519PublicKey.from_public_bytes(ALICE.public_key)
    fields = (ALICE.public_key, data[33:41], data[41:49], bytes(16), BODY)
    statement = b"\0\0\0\x0ftmnode/envelope" + b"\0\x01" + b"\0\0\0\x05chain"
    for field in (b"topic", *fields):
        statement += len(field).to_bytes(4) + field
    key.verify(data[-64:], statement)


@given(st.integers(0, OVERHEAD_BYTES + len(BODY) - 1), st.integers(1, 255))
def test_every_byte_matters(position, change):
    data = bytearray(sealed())
    data[position] ^= change
    refusal(bytes(data))


@given(st.integers(0, OVERHEAD_BYTES + len(BODY) - 1))
def test_cut_short(length):
    refusal(sealed()[:length])


@given(st.binary(min_size=1, max_size=20))
def test_something_after_the_end(extra):
    assert refusal(sealed() + extra) is Refusal.SIGNATURE


@given(st.binary(max_size=300))
def test_garbage(garbage):
    refusal(garbage)


def test_other_topics_and_chains():
    assert refusal(sealed(), topic="other") is Refusal.SIGNATURE
    assert refusal(sealed(), terms=TERMS._replace(chain_id="other")) is Refusal.SIGNATURE


def test_times():
    assert refusal(sealed(), now_ms=NOW_MS + 70_000) is Refusal.EXPIRED
    open_envelope(sealed(), TERMS, "topic", now_ms=NOW_MS + 69_999)
    assert refusal(sealed(), now_ms=NOW_MS - 10_001) is Refusal.EARLY
    open_envelope(sealed(), TERMS, "topic", now_ms=NOW_MS - 10_000)
    assert refusal(sealed(lifetime_ms=120_001)) is Refusal.LIFETIME
    assert refusal(sealed(lifetime_ms=0)) is Refusal.LIFETIME


def test_the_size_is_looked_at_first():
    assert refusal(bytes(1025)) is Refusal.SIZE
    with pytest.raises(MessageTooLarge):
        seal(ALICE, TERMS, "topic", bytes(1024), now_ms=NOW_MS, lifetime_ms=1)


def test_two_envelopes_of_one_message_differ():
    assert sealed(nonce=None) != sealed(nonce=None)


def test_the_fingerprint_covers_whatever_is_signed():
    opened = Opened(ALICE.public_key, NOW_MS, NOW_MS + 1, bytes(16), BODY)
    others = [
        opened._replace(issued_at_ms=NOW_MS - 1),
        opened._replace(expires_at_ms=NOW_MS + 2),
        opened._replace(nonce=b"n" * 16),
        opened._replace(body=BODY + b"."),
    ]
    prints = {fingerprint_of(one, TERMS, "topic") for one in (opened, *others)}
    assert len(prints | {fingerprint_of(opened, TERMS, "other")}) == 6
