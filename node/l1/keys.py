"""Accounts of the L1: secp256k1 keys, their addresses, and signatures over 32-byte digests.

A signature is r ‖ s, 64 bytes, over the digest itself (it is not hashed again). Ours are RFC 6979
with low s. What the chain's own node accepts is wider: `node_accepts_signature`, which proposer
signatures and the development chain need.
"""

import secrets
from functools import lru_cache
from hashlib import sha256
from typing import Self

from coincurve import PrivateKey, PublicKey

from node.l1 import bech32
from node.l1.errors import BadAddress as BadAddress
from node.l1.ripemd import ripemd160

ACCOUNT_PREFIX = "cpc"
VALIDATOR_PREFIX = "cpcvalcons"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_HASH_BYTES = 20


class AccountKey:
    """A private key of an account; it prints as its address and never as its secret."""

    def __init__(self, private: bytes) -> None:
        """Take 32 bytes; raises ValueError if they are no private key."""
        if len(private) != 32 or not 0 < int.from_bytes(private, "big") < CURVE_ORDER:
            raise ValueError("a private key is 32 bytes, a number from 1 to the curve's order - 1")
        self._key = PrivateKey(private)
        self.private = private
        self.public_key = self._key.public_key.format(compressed=True)
        self.address = address_of(self.public_key)

    @classmethod
    def generate(cls) -> Self:
        """A new key from the system's randomness."""
        return cls((secrets.randbelow(CURVE_ORDER - 1) + 1).to_bytes(32, "big"))

    @property
    def validator_address(self) -> str:
        """The address under which this key proposes blocks, `cpcvalcons1…`."""
        return address_of(self.public_key, VALIDATOR_PREFIX)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r ‖ s by RFC 6979, with low s."""
        return _plain(self._key.sign(digest, hasher=None))

    def __repr__(self) -> str:
        return f"AccountKey({self.address})"


@lru_cache(maxsize=4096)
def address_of(public_key: bytes, prefix: str = ACCOUNT_PREFIX) -> str:
    """The bech32 address of a public key's bytes."""
    return bech32.encode(prefix, ripemd160(sha256(public_key).digest()))


def check_address(text: str, prefix: str = ACCOUNT_PREFIX) -> None:
    """Return if the text is an address that a key can own, with the right checksum.

    Raises:
        BadAddress: it is not. The L1 would credit it all the same, and nobody could spend that.
    """
    try:
        found, data = bech32.decode(text)
    except ValueError as error:
        raise BadAddress(text, str(error)) from error
    if text != text.lower():
        raise BadAddress(text, "it is in upper case, which the L1 takes for another account")
    if found != prefix:
        raise BadAddress(text, f"it begins with {found}, not {prefix}")
    if len(data) != _HASH_BYTES:
        raise BadAddress(text, f"it holds {len(data)} bytes, not {_HASH_BYTES}")


def verify_digest(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Check a signature of the one form that `sign_digest` makes: compressed key, low s.

    Never raises, whatever the bytes.
    """
    if len(public_key) != 33 or len(signature) != 64:
        return False
    r, s = _halves(signature)
    return s <= CURVE_ORDER // 2 and _verified(public_key, digest, r, s)


def node_accepts_signature(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Check a signature as the L1's node does: any s, and as long as one likes.

    r is the first 32 bytes and s is the number in *all* the rest, so that a zero byte between
    the two changes nothing. The key may be compressed, uncompressed, or that without its first
    byte. Never raises.
    """
    r, s = _halves(signature)
    return _verified(b"\x04" + public_key if len(public_key) == 64 else public_key, digest, r, s)


def _verified(public_key: bytes, digest: bytes, r: int, s: int) -> bool:
    if not (len(digest) == 32 and 0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
        return False
    point = _point(public_key)
    # libsecp256k1 knows only low s; (r, n - s) is valid exactly when (r, s) is.
    return point is not None and point.verify(_der(r, min(s, CURVE_ORDER - s)), digest, hasher=None)


@lru_cache(maxsize=4096)
def _point(public_key: bytes) -> PublicKey | None:
    """The point of a key, kept: senders come again and again."""
    if len(public_key) not in (33, 65):
        return None
    try:
        return PublicKey(public_key)
    except ValueError:
        return None


def _halves(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


def _der(r: int, s: int) -> bytes:
    """The ASN.1 form, the only one that coincurve reads."""
    body = _der_integer(r) + _der_integer(s)
    return b"\x30" + bytes([len(body)]) + body


def _der_integer(number: int) -> bytes:
    data = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(data)]) + data


def _plain(der: bytes) -> bytes:
    """r ‖ s of the ASN.1 form; its integers are at most 33 bytes long, so lengths are one byte."""
    r_end = 4 + der[3]
    r, s = der[4:r_end], der[r_end + 2 :]
    return b"".join(int.from_bytes(part, "big").to_bytes(32, "big") for part in (r, s))
