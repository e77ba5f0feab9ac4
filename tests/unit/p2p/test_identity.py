import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import BadPeerId
from p2p.identity import Identity, peer_id_bytes, peer_id_of, public_key_of, verify

seeds = st.binary(min_size=32, max_size=32)


def test_a_known_seed():
    identity = Identity.from_seed(bytes(range(32)))
    assert identity.public_key.hex() == (
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    )
    assert identity.peer_id == "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"


@given(seeds, st.binary(max_size=64))
def test_signatures_are_those_of_another_implementation(seed, message):
    expected = Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    assert Identity.from_seed(seed).sign(message) == expected


@given(seeds)
def test_the_key_can_be_read_back_from_the_peer_id(seed):
    identity = Identity.from_seed(seed)
    assert public_key_of(identity.peer_id) == identity.public_key
    assert identity.peer_id.startswith("12D3KooW")


@given(seeds, st.binary(max_size=64), st.integers(0, 63), st.integers(1, 255))
def test_a_changed_signature_is_not_one(seed, message, position, change):
    identity = Identity.from_seed(seed)
    signature = bytearray(identity.sign(message))
    assert verify(identity.public_key, message, bytes(signature))
    signature[position] ^= change
    assert not verify(identity.public_key, message, bytes(signature))


@given(st.binary(max_size=70), st.binary(max_size=10), st.binary(max_size=70))
def test_verify_never_raises(key, message, signature):
    assert verify(key, message, signature) is False


@given(st.text(max_size=70))
def test_text_that_is_no_peer_id(garbage):
    with pytest.raises(BadPeerId):
        public_key_of(garbage)


def test_the_peer_id_of_another_kind_of_key_is_refused():
    with pytest.raises(BadPeerId):
        public_key_of("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")


def test_leading_zeros_are_kept():
    assert peer_id_bytes("112") == b"\0\0\x01"
    assert peer_id_bytes(peer_id_of(bytes(32)))[6:] == bytes(32)


def test_lengths_are_checked():
    with pytest.raises(ValueError, match="32"):
        Identity.from_seed(b"short")
    with pytest.raises(ValueError, match="32"):
        peer_id_of(b"short")


def test_two_identities_differ_and_hide_their_seed():
    one, other = Identity.generate(), Identity.generate()
    assert one.peer_id != other.peer_id
    assert repr(one) == f"Identity({one.peer_id})"
