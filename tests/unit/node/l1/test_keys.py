"""Keys, addresses and signatures: by the vectors, and against the `ecdsa` package."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import ecdsa
import pytest
from ecdsa.util import sigdecode_string, sigencode_string, sigencode_string_canonize
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.keys import (
    CURVE_ORDER,
    VALIDATOR_PREFIX,
    AccountKey,
    BadAddress,
    address_of,
    check_address,
    node_accepts_signature,
    verify_digest,
)

KEYS = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
DIGESTS = st.binary(min_size=32, max_size=32)


def test_the_order_is_that_of_the_vectors(vectors: dict[str, Any]) -> None:
    assert f"{CURVE_ORDER:064x}" == vectors["curve_order_n_hex"]


def test_keys_and_addresses(vectors: dict[str, Any]) -> None:
    for vector in vectors["keys"]:
        key = AccountKey(bytes.fromhex(vector["private_key_hex"]))
        assert key.public_key.hex() == vector["public_key_compressed_hex"]
        assert sha256(key.public_key).hexdigest() == vector["sha256_of_pubkey_hex"]
        assert key.address == vector["address_cpc"]
        assert key.validator_address == vector["address_cpcvalcons"]
        assert address_of(key.public_key, "cpcvaloper") == vector["address_cpcvaloper"]
        check_address(key.address)
        check_address(key.validator_address, VALIDATOR_PREFIX)


def test_what_the_node_accepts(vectors: dict[str, Any]) -> None:
    for vector in vectors["signature_verify_cases"]:
        accepted = node_accepts_signature(
            bytes.fromhex(vector["public_key_hex"]),
            bytes.fromhex(vector["message_hash_hex"]),
            bytes.fromhex(vector["signature_hex"]),
        )
        assert accepted is vector["node_accepts"], vector["name"]


def test_we_accept_one_form_of_each_signature(vectors: dict[str, Any]) -> None:
    strict = {
        vector["name"]: verify_digest(
            bytes.fromhex(vector["public_key_hex"]),
            bytes.fromhex(vector["message_hash_hex"]),
            bytes.fromhex(vector["signature_hex"]),
        )
        for vector in vectors["signature_verify_cases"]
    }
    assert [name for name, valid in strict.items() if valid] == ["valid"]


@settings(deadline=None, max_examples=15)
@given(KEYS, DIGESTS)
def test_signatures_are_rfc_6979_with_low_s(private: bytes, digest: bytes) -> None:
    oracle = ecdsa.SigningKey.from_string(private, curve=ecdsa.SECP256k1)
    expected = oracle.sign_digest_deterministic(
        digest, hashfunc=sha256, sigencode=sigencode_string_canonize
    )
    key = AccountKey(private)
    assert key.sign_digest(digest) == expected
    assert key.public_key == oracle.verifying_key.to_string("compressed")
    assert verify_digest(key.public_key, digest, expected)


@settings(deadline=None, max_examples=15)
@given(KEYS, DIGESTS, st.integers(1, CURVE_ORDER - 1))
def test_signatures_of_others_verify_with_either_s(private: bytes, digest: bytes, k: int) -> None:
    oracle = ecdsa.SigningKey.from_string(private, curve=ecdsa.SECP256k1)
    signature = oracle.sign_digest(digest, k=k, sigencode=sigencode_string)
    r, s = sigdecode_string(signature, CURVE_ORDER)
    public = oracle.verifying_key.to_string("compressed")
    for either in (s, CURVE_ORDER - s):
        assert node_accepts_signature(public, digest, _joined(r, either))
        assert verify_digest(public, digest, _joined(r, either)) is (either <= CURVE_ORDER // 2)


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=80))
def test_hostile_bytes_never_raise(public: bytes, digest: bytes, signature: bytes) -> None:
    assert not verify_digest(public, digest, signature)
    assert not node_accepts_signature(public, digest, signature)


def test_numbers_out_of_range_are_no_signature(key: Callable[[int], AccountKey]) -> None:
    one, digest = key(1), bytes(32)
    r, s = sigdecode_string(one.sign_digest(digest), CURVE_ORDER)
    for bad in ((0, s), (r, 0), (r + CURVE_ORDER, s), (r, s + CURVE_ORDER), (CURVE_ORDER, s)):
        if max(bad) < 1 << 256:
            assert not node_accepts_signature(one.public_key, digest, _joined(*bad))


def test_a_raw_public_key_without_its_first_byte(key: Callable[[int], AccountKey]) -> None:
    private = ecdsa.SigningKey.from_string(key(1).private, curve=ecdsa.SECP256k1)
    raw = private.verifying_key.to_string("raw")
    assert node_accepts_signature(raw, bytes(32), key(1).sign_digest(bytes(32)))


@pytest.mark.parametrize("private", [bytes(32), b"\xff" * 32, b"\x01" * 31, b""])
def test_numbers_that_are_no_private_key(private: bytes) -> None:
    with pytest.raises(ValueError):
        AccountKey(private)


def test_generated_keys_differ_and_do_not_show_their_secret() -> None:
    one, other = AccountKey.generate(), AccountKey.generate()
    assert one.private != other.private
    assert one.private.hex() not in repr(one)
    assert one.address in repr(one)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[:-1] + ("q" if text[-1] != "q" else "p"), "checksum"),
        (str.upper, "upper case"),
        (lambda text: text.replace("cpc1", "bc1"), "checksum"),
        (lambda _: "", "no prefix"),
        (lambda _: "foo bar", "no prefix"),
        (lambda text: text + "é", "after the prefix"),
    ],
)
def test_addresses_that_would_lose_money(
    key: Callable[[int], AccountKey], change: Callable[[str], str], problem: str
) -> None:
    with pytest.raises(BadAddress, match=problem):
        check_address(change(key(1).address))


def test_addresses_of_other_kinds(key: Callable[[int], AccountKey]) -> None:
    with pytest.raises(BadAddress, match="begins with cpcvalcons"):
        check_address(key(1).validator_address)
    from node.l1 import bech32

    with pytest.raises(BadAddress, match="32 bytes"):
        check_address(bech32.encode("cpc", bytes(32)))


def _joined(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
