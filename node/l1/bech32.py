"""Bech32 as in BIP-173: a prefix, `1`, the data in 5-bit characters, a checksum of six.

The original checksum constant (not bech32m) and no version byte, as the L1 has it.
Source: https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki
"""

from collections.abc import Iterable

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM_LENGTH = 6
MAX_LENGTH = 90  # beyond it the checksum no longer promises to find four errors

_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode(prefix: str, data: bytes) -> str:
    """The text of some bytes. The prefix is taken as it is: the L1 derives with any of them."""
    bits = len(data) * 8
    padding = -bits % 5
    number = int.from_bytes(data, "big") << padding
    values = [number >> shift & 31 for shift in range(bits + padding - 5, -1, -5)]
    remainder = _polymod([*_expand(prefix), *values, *[0] * CHECKSUM_LENGTH]) ^ 1
    checksum = [remainder >> shift & 31 for shift in range(25, -1, -5)]
    return prefix + "1" + "".join(ALPHABET[value] for value in values + checksum)


def decode(text: str) -> tuple[str, bytes]:
    """The prefix and the bytes; raises ValueError that says what is wrong with the text."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH} characters")
    if text.lower() != text and text.upper() != text:
        raise ValueError("it mixes upper and lower case")
    prefix, separator, tail = text.lower().rpartition("1")
    if not separator or not prefix or len(tail) < CHECKSUM_LENGTH:
        raise ValueError("it has no prefix, or is too short")
    if not all("!" <= character <= "~" for character in prefix):
        raise ValueError("its prefix is not printable ASCII")
    if not all(character in _VALUES for character in tail):
        raise ValueError(f"a character after the prefix is none of {ALPHABET}")
    values = [_VALUES[character] for character in tail]
    if _polymod([*_expand(prefix), *values]) != 1:
        raise ValueError("its checksum is wrong, so it was mistyped")
    return prefix, _bytes_of(values[:-CHECKSUM_LENGTH])


def _bytes_of(values: list[int]) -> bytes:
    bits = len(values) * 5
    number = 0
    for value in values:
        number = number << 5 | value
    padding = bits % 8
    if padding >= 5 or number & ((1 << padding) - 1):
        raise ValueError("its last character carries bits of no byte")
    return (number >> padding).to_bytes(bits // 8, "big")


def _expand(prefix: str) -> list[int]:
    codes = [ord(character) for character in prefix]
    return [*[code >> 5 for code in codes], 0, *[code & 31 for code in codes]]


def _polymod(values: Iterable[int]) -> int:
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for place, factor in enumerate(_GENERATOR):
            if top >> place & 1:
                remainder ^= factor
    return remainder
