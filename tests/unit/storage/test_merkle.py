"""Merkle roots and paths against a recursive reference, and every way to bend a path."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.merkle import merkle_path, merkle_root, verify_path

leaf_lists = st.lists(st.binary(max_size=40), min_size=1, max_size=40)
VECTORS = {  # leaves "leaf 0", "leaf 1", ...: root
    0: "c6c0aa07f27493d2f2e5cff56c890a353a20086d6c25ec825128e12ae752b2d9",
    1: "8f915679a8ce15ae1aab11143d675bd3572190a38a01c30e5df6f5874c86a892",
    5: "2dfba50a8d94a20e3e127084ef9d6139530d05a25c2a11e60506fee3f72237a3",
}
COUNTS = [*range(1, 18), 31, 32, 33]


def digest(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def top(nodes: list[bytes]) -> bytes:
    """Split at the largest power of two below the count, as RFC 6962 words the same tree."""
    if len(nodes) == 1:
        return nodes[0]
    half = 1 << (len(nodes) - 1).bit_length() - 1
    return digest(b"\x01", top(nodes[:half]), top(nodes[half:]))


def reference_root(leaves: list[bytes]) -> bytes:
    nodes = [digest(b"\x00", leaf) for leaf in leaves]
    return digest(b"\x02", len(leaves).to_bytes(8, "big"), top(nodes) if nodes else bytes(32))


def numbered(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


def test_small_trees_by_hand() -> None:
    a, b, c = (digest(b"\x00", leaf) for leaf in (b"a", b"b", b"c"))
    count = [number.to_bytes(8, "big") for number in range(4)]
    assert merkle_root([]) == digest(b"\x02", count[0], bytes(32))
    assert merkle_root([b"a"]) == digest(b"\x02", count[1], a)
    assert merkle_root([b"a", b"b"]) == digest(b"\x02", count[2], digest(b"\x01", a, b))
    pair = digest(b"\x01", a, b)
    assert merkle_root([b"a", b"b", b"c"]) == digest(b"\x02", count[3], digest(b"\x01", pair, c))
    assert merkle_path([b"a", b"b", b"c"], 1) == (a, c)
    assert merkle_path([b"a", b"b", b"c"], 2) == (pair,)


def test_byte_vectors() -> None:
    """Fixed for good: stored roots and other people's verifiers depend on them."""
    roots = {count: merkle_root(numbered(count)).hex() for count in VECTORS}
    assert roots == VECTORS


@given(leaf_lists)
def test_roots_are_those_of_the_reference(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == reference_root(leaves)


@given(leaf_lists, st.data())
def test_every_path_verifies_its_leaf_and_no_other(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.binary(max_size=40))
    root, path = merkle_root(leaves), merkle_path(leaves, index)
    assert verify_path(root, leaves[index], index, len(leaves), path)
    assert verify_path(root, other, index, len(leaves), path) == (other == leaves[index])


@pytest.mark.parametrize("count", COUNTS)
def test_any_other_index_is_refused(count: int) -> None:
    leaves = numbered(count)
    root = merkle_root(leaves)
    for index in range(count):
        path = merkle_path(leaves, index)
        accepted = [
            i for i in range(-1, count + 2) if verify_path(root, leaves[index], i, count, path)
        ]
        assert accepted == [index]


@pytest.mark.parametrize("count", COUNTS)
def test_any_other_count_is_refused(count: int) -> None:
    leaves = numbered(count)
    root = merkle_root(leaves)
    for index in range(count):
        path = merkle_path(leaves, index)
        claims = [*range(-1, 70), 2**64 - 1, 2**64, 2**200]
        accepted = [c for c in claims if verify_path(root, leaves[index], index, c, path)]
        assert accepted == [count]


@pytest.mark.parametrize("count", COUNTS)
def test_any_change_to_the_siblings_is_refused(count: int) -> None:
    leaves = numbered(count)
    root = merkle_root(leaves)
    for index in range(count):
        path = merkle_path(leaves, index)
        bent = [(*path, bytes(32)), (bytes(32), *path)]
        for place, sibling in enumerate(path):
            before, after = path[:place], path[place + 1 :]
            flipped = bytes([sibling[0] ^ 1]) + sibling[1:]
            bent += [
                before + after,
                (*before, flipped, *after),
                (*before, sibling[:-1], *after),
                (*before, sibling + b"\x00", *after),
                (*before, sibling, sibling, *after),
            ]
        for changed in bent:
            assert not verify_path(root, leaves[index], index, count, changed)


def test_a_node_does_not_pass_as_a_leaf() -> None:
    leaves = numbered(4)
    left, right = (digest(b"\x00", leaf) for leaf in leaves[:2])
    other = merkle_path(leaves, 0)[1]
    assert not verify_path(merkle_root(leaves), left + right, 0, 2, (other,))
    assert not verify_path(merkle_root(leaves), b"\x01" + left + right, 0, 2, (other,))


def test_bytes_may_not_move_between_siblings() -> None:
    leaves = numbered(8)
    first, second, third = merkle_path(leaves, 0)
    moved = (first + second[:1], second[1:], third)
    assert not verify_path(merkle_root(leaves), leaves[0], 0, 8, moved)


def test_a_root_that_was_built_wrong_does_not_help() -> None:
    """Siblings have 32 bytes, and counts 64 bits, even where the hashes would fit."""
    count, sibling = (2).to_bytes(8, "big"), b"not a digest"
    root = digest(b"\x02", count, digest(b"\x01", digest(b"\x00", b"leaf"), sibling))
    assert not verify_path(root, b"leaf", 0, 2, (sibling,))
    assert not verify_path(root, b"leaf", 0, 2**64, (bytes(32),) * 64)


def test_another_root_is_refused() -> None:
    leaves = numbered(5)
    path = merkle_path(leaves, 3)
    assert not verify_path(merkle_root(numbered(6)), leaves[3], 3, 5, path)
    assert not verify_path(b"", leaves[3], 3, 5, path)


@pytest.mark.parametrize(("count", "index"), [(0, 0), (3, 3), (3, -1)])
def test_there_is_no_path_to_a_leaf_that_is_not_there(count: int, index: int) -> None:
    with pytest.raises(IndexError):
        merkle_path(numbered(count), index)
