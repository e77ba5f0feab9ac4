"""SHA-256 Merkle trees that a browser or a few lines of any language can check.

    leaf = H(0x00 || data)        node = H(0x01 || left || right)
    root = H(0x02 || u64be leaf count || top)

On each level a last node without a partner moves up unchanged; the top of an empty tree is 32 zero
bytes. The prefixes are those of RFC 6962 and keep a node from passing as a leaf; the count in the
root fixes the shape of the tree, and with it the exact length of every path.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

DIGEST_BYTES = 32
MAX_COUNT = 2**64 - 1
_EMPTY_TOP = bytes(DIGEST_BYTES)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The 32-byte root over leaves of any size."""
    *_, level = _levels(leaves)
    return _root(len(leaves), level[0] if level else _EMPTY_TOP)


def merkle_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings between leaf `index` and the top, bottom up.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    places = ((level, (index >> height) ^ 1) for height, level in enumerate(_levels(leaves)))
    return tuple(level[place] for level, place in places if place < len(level))


def verify_path(root: bytes, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Whether `leaf` is number `index` of the `count` leaves under `root`.

    Strict and safe on a stranger's values: false, never an error, unless index and count fit and
    the path has exactly the siblings that they call for.
    """
    if not 0 <= index < count <= MAX_COUNT or any(len(node) != DIGEST_BYTES for node in path):
        return False
    sides = _sides(index, count)
    if len(path) != len(sides):
        return False
    top = _leaf(leaf)
    for sibling, is_right in zip(path, sides, strict=True):
        top = _node(sibling, top) if is_right else _node(top, sibling)
    return _root(count, top) == root


def _sides(index: int, count: int) -> list[bool]:
    """For each level at which leaf `index` has a sibling: whether its own node is the right one."""
    sides = []
    while count > 1:
        if index ^ 1 < count:
            sides.append(bool(index & 1))
        index, count = index >> 1, (count + 1) >> 1
    return sides


def _levels(leaves: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The digests of each level from the leaves to the top."""
    level = [_leaf(data) for data in leaves]
    yield level
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        unpaired = level[-1:] if len(level) % 2 else []
        level = [_node(left, right) for left, right in pairs] + unpaired
        yield level


def _leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _root(count: int, top: bytes) -> bytes:
    return sha256(b"\x02" + count.to_bytes(8, "big") + top).digest()
