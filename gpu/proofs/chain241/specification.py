"""Numbers and names that the specification of the proof fixes (chain241 version 1).

Prover and verifier take every constant from here, so that this file is all there is to compare
with the specification.
"""

from enum import IntEnum
from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt

MODULUS: Final = 241
"""F_241: the field of the chain."""

DEGREE: Final = 16
NON_RESIDUE: Final = 7
"""E = F_241[x] / (x^16 - 7), of 2^126.6 elements: 7 generates F_241*, and 241 = 1 mod 4."""

TAG: Final = b"tmnode/chain241/v1/proof"
_OUT_TAG: Final = b"tmnode/chain241/v1/out"

MAX_SIZE: Final = 65_536
"""Up to this n, sums of n products of residues stay below 2^32."""

MAX_ITERATIONS: Final = 2**32 - 1

Element = bytes
"""Of E: 16 bytes, byte i is the coefficient of x^i, each at most 240."""

Residues = npt.NDArray[np.uint8]
"""A vector or a matrix over F_241, each byte at most 240."""

Table = npt.NDArray[np.uint8]
"""Elements of E, one a row: shape (rows, 16)."""

ZERO: Final[Element] = bytes(DEGREE)
ONE: Final[Element] = b"\1" + bytes(DEGREE - 1)

ROUND_BYTES: Final = 2 * DEGREE
"""A message of the sum-check: c0 = p(0), and c2, the coefficient of x^2."""

PAIR_BYTES: Final = 2 * DEGREE
"""alpha and beta, after the first sum-check of a step."""


class Stream(IntEnum):
    """Streams of a chain's key that the proof needs."""

    START = 0
    DIAGONAL = 1
    COLUMN = 2
    ROW = 3


def variables(size: int) -> int:
    """m = ceil(log2 n): how many coordinates an index of 0 .. n - 1 has."""
    return (size - 1).bit_length()


def step_bytes(size: int) -> int:
    """What one step takes in a proof: 3 m messages, then alpha, beta and x."""
    return 3 * variables(size) * ROUND_BYTES + PAIR_BYTES + DEGREE


def proof_bytes(size: int, iterations: int) -> int:
    """The length of every proof for these n and T."""
    return iterations * step_bytes(size)


def prefixed(data: bytes) -> bytes:
    """LP: data behind its length as four bytes, little-endian."""
    return len(data).to_bytes(4, "little") + data


def out_digest(key: bytes, size: int, iterations: int, last: bytes | memoryview) -> bytes:
    """What a proof is about: the chain's key, n, T, and X_T by its SHA-256."""
    fields = (size.to_bytes(4, "little"), iterations.to_bytes(4, "little"), sha256(last).digest())
    return sha256(b"".join(map(prefixed, (_OUT_TAG, key, *fields)))).digest()


def added(a: Element, b: Element) -> Element:
    """a + b."""
    return bytes([(x + y) % MODULUS for x, y in zip(a, b, strict=True)])


def subtracted(a: Element, b: Element) -> Element:
    """a - b."""
    return bytes([(x - y) % MODULUS for x, y in zip(a, b, strict=True)])


def is_canonical(data: bytes | memoryview) -> bool:
    """Whether every byte is a residue, at most 240."""
    view = np.frombuffer(data, np.uint8)
    return view.size == 0 or int(view.max()) < MODULUS
