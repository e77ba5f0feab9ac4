"""RIPEMD-160, which many OpenSSL builds no longer offer although addresses are made with it.

`ripemd160` takes OpenSSL's where there is one, else the plain Python below.
Source: H. Dobbertin, A. Bosselaers, B. Preneel, "RIPEMD-160: a strengthened version of RIPEMD",
1996; https://homes.esat.kuleuven.be/~bosselae/ripemd160.html
"""

import hashlib
import struct
from collections.abc import Callable, Sequence

_Mix = Callable[[int, int, int], int]
_State = tuple[int, int, int, int, int]

_MASK = 0xFFFFFFFF
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_LEFT_CONSTANTS = (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000)

_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
"""The order in which a round takes the words of the round before it."""

_ROTATIONS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
"""One row a round, by message word; both lines use them."""


def ripemd160(data: bytes) -> bytes:
    """The 20-byte digest."""
    try:
        return hashlib.new("ripemd160", data).digest()
    except ValueError:  # this OpenSSL has it switched off
        return plain_ripemd160(data)


def plain_ripemd160(data: bytes) -> bytes:
    """The same digest without OpenSSL, in about half a millisecond for a key."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    state: _State = _START
    for offset in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, offset)
        left = _line(state, words, _LEFT_ORDERS, _LEFT_CONSTANTS, _MIXES)
        right = _line(state, words, _RIGHT_ORDERS, _RIGHT_CONSTANTS, _MIXES[::-1])
        state = _joined(state, left, right)
    return struct.pack("<5I", *state)


def _line(
    state: _State,
    words: Sequence[int],
    orders: Sequence[Sequence[int]],
    constants: Sequence[int],
    mixes: Sequence[_Mix],
) -> _State:
    """One of the two parallel lines of the compression: five rounds of sixteen steps."""
    a, b, c, d, e = state
    for order, rotations, constant, mix in zip(orders, _ROTATIONS, constants, mixes, strict=True):
        for word in order:
            total = a + mix(b, c, d) + words[word] + constant & _MASK
            mixed = _rotated(total, rotations[word]) + e & _MASK
            a, b, c, d, e = e, mixed, b, _rotated(c, 10), d
    return a, b, c, d, e


def _joined(state: _State, left: _State, right: _State) -> _State:
    a, b, c, d, e = (
        state[(place + 1) % 5] + left[(place + 2) % 5] + right[(place + 3) % 5] & _MASK
        for place in range(5)
    )
    return a, b, c, d, e


def _rotated(value: int, places: int) -> int:
    return (value << places | value >> 32 - places) & _MASK


def _orders(first: Sequence[int]) -> list[Sequence[int]]:
    orders = [first]
    for _ in range(4):
        orders.append([_RHO[word] for word in orders[-1]])
    return orders


_LEFT_ORDERS = _orders(range(16))
_RIGHT_ORDERS = _orders([(9 * word + 5) % 16 for word in range(16)])
_MIXES: tuple[_Mix, ...] = (
    lambda x, y, z: x ^ y ^ z,
    lambda x, y, z: x & y | ~x & z,
    lambda x, y, z: (x | ~y & _MASK) ^ z,
    lambda x, y, z: x & z | y & ~z,
    lambda x, y, z: x ^ (y | ~z & _MASK),
)
