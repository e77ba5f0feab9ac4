"""Sealing with a passphrase: argon2id (RFC 9106) makes a key for SecretBox (XSalsa20-Poly1305).

The cost stands in the file, within bounds, so that a file from elsewhere cannot take all memory.
"""

import unicodedata
from typing import Annotated

import msgspec
import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret
import nacl.utils

from node.errors import InvalidInput
from node.keys.errors import WrongPassphrase


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one guess costs: passes over so many bytes of memory."""

    passes: Annotated[int, msgspec.Meta(ge=1, le=16)] = nacl.pwhash.argon2id.OPSLIMIT_MODERATE
    memory_bytes: Annotated[int, msgspec.Meta(ge=8_192, le=1 << 30)] = (
        nacl.pwhash.argon2id.MEMLIMIT_MODERATE
    )


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file was sealed; all that is needed beside the passphrase."""

    cost: Cost
    salt: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class Passphrase:
    """A passphrase and the keys made from it; the costly step is done once for each seal."""

    def __init__(self, text: str) -> None:
        if not text:
            raise InvalidInput("is empty", field="passphrase", remedy="type at least one character")
        self._text = unicodedata.normalize("NFC", text).encode()
        self._keys: dict[Seal, bytes] = {}

    def seal(self, secret: bytes, seal: Seal) -> bytes:
        """The secret, encrypted and authenticated."""
        return bytes(nacl.secret.SecretBox(self._key(seal)).encrypt(secret))

    def open(self, box: bytes, seal: Seal) -> bytes:
        """The secret again; raises WrongPassphrase."""
        try:
            return nacl.secret.SecretBox(self._key(seal)).decrypt(box)
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise WrongPassphrase("the passphrase does not open the file") from error

    def _key(self, seal: Seal) -> bytes:
        if seal not in self._keys:
            self._keys[seal] = nacl.pwhash.argon2id.kdf(
                nacl.secret.SecretBox.KEY_SIZE,
                self._text,
                bytes.fromhex(seal.salt),
                opslimit=seal.cost.passes,
                memlimit=seal.cost.memory_bytes,
            )
        return self._keys[seal]


def new_seal(cost: Cost) -> Seal:
    """A seal with a fresh salt."""
    return Seal(cost, nacl.utils.random(nacl.pwhash.argon2id.SALTBYTES).hex())
