"""Ed25519 identities and the libp2p peer ids made from them.

A peer id is the base58 text of the identity multihash of the key's protobuf form:
`00 24 | 08 01 12 20 | 32 bytes of key` (libp2p specification, "Peer ids and keys"). The key can
be read back from it, so a peer id is all that is needed to check a signature.
"""

import os
from functools import lru_cache
from typing import Self

import nacl.bindings
import nacl.exceptions
import nacl.signing

from p2p.errors import BadPeerId

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_PREFIX = bytes.fromhex("002408011220")
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_MAX_PEER_ID_CHARACTERS = 64


class Identity:
    """A node's key pair. `seed` is the private half: 32 bytes that must stay on this machine."""

    def __init__(self, seed: bytes) -> None:
        self._key = nacl.signing.SigningKey(seed)
        self.seed = seed
        self.public_key = bytes(self._key.verify_key)
        self.peer_id = peer_id_of(self.public_key)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The identity of a 32-byte seed. Raises ValueError for another length."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        return cls(seed)

    @classmethod
    def generate(cls) -> Self:
        """A new identity from the system's randomness."""
        return cls(os.urandom(SEED_BYTES))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `message` (RFC 8032)."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"Identity({self.peer_id})"


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's signature of `message`. Never raises."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public_key)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


@lru_cache(maxsize=4096)
def peer_id_of(public_key: bytes) -> str:
    """The peer id of a 32-byte Ed25519 public key. Raises ValueError for another length."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"a public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    return _base58(_PREFIX + public_key)


@lru_cache(maxsize=4096)
def public_key_of(peer_id: str) -> bytes:
    """The public key inside a peer id. Raises BadPeerId if it is none of an Ed25519 key."""
    key = public_key_in(peer_id_bytes(peer_id))
    if key is None:
        raise BadPeerId(peer_id)
    return key


def public_key_in(raw: bytes) -> bytes | None:
    """The public key inside a peer id's bytes, None if they are not of an Ed25519 key."""
    if not raw.startswith(_PREFIX) or len(raw) != len(_PREFIX) + PUBLIC_KEY_BYTES:
        return None
    return raw[len(_PREFIX) :]


def peer_id_bytes(peer_id: str) -> bytes:
    """The multihash a peer id is the text of. Raises BadPeerId if the text is not base58."""
    if not 0 < len(peer_id) <= _MAX_PEER_ID_CHARACTERS:
        raise BadPeerId(peer_id[:_MAX_PEER_ID_CHARACTERS])
    number = 0
    for character in peer_id:
        digit = _DIGITS.get(character)
        if digit is None:
            raise BadPeerId(peer_id)
        number = number * 58 + digit
    zeros = len(peer_id) - len(peer_id.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def _base58(raw: bytes) -> str:
    number = int.from_bytes(raw)
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + "".join(reversed(digits))
