"""Fiat-Shamir: challenges are hashes of everything that was said before.

A state of 64 bytes, H = BLAKE2b-512, LP = length prefix of four bytes, little-endian:

    start:      h = H(00 ‖ LP(tag))
    absorb:     h = H(01 ‖ h ‖ LP(label) ‖ LP(data))
    challenge:  the first 16 bytes below 241 of H(02 ‖ h ‖ LP(label) ‖ u32 j), j = 0, 1, …;
                then h = H(03 ‖ h ‖ LP(label))

Bytes of 241 and above are dropped, so that a challenge is exactly uniform in E when H is random.
"""

from hashlib import blake2b

from gpu.proofs.chain241.specification import DEGREE, MODULUS, TAG, Element, prefixed

_TOO_LARGE = bytes(range(MODULUS, 256))


class Transcript:
    """The conversation so far. Prover and verifier each keep their own and must agree."""

    def __init__(self) -> None:
        self._state = _hash(b"\0", prefixed(TAG))

    def absorb(self, label: bytes, data: bytes) -> None:
        """What the prover says next; every later challenge depends on it."""
        self._state = _hash(b"\1", self._state, prefixed(label), prefixed(data))

    def challenge(self, label: bytes) -> Element:
        """What the verifier says next: a random element of E."""
        said, found, counter = self._state + prefixed(label), b"", 0
        while len(found) < DEGREE:
            block = _hash(b"\2", said, counter.to_bytes(4, "little"))
            found += block.translate(None, delete=_TOO_LARGE)
            counter += 1
        self._state = _hash(b"\3", said)
        return found[:DEGREE]

    def point(self, label: bytes, variables: int) -> list[Element]:
        """A challenge for each coordinate."""
        return [self.challenge(label) for _ in range(variables)]


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts)).digest()
