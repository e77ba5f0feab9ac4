"""Artifacts: references, what a reader may trust, and what a crash or a full disk leaves."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.artifacts import CHUNK_BYTES, ArtifactHasher, ArtifactRef, ArtifactStore
from storage.errors import (
    ArtifactFailed,
    ArtifactMismatch,
    ArtifactMissing,
    BadArtifactName,
)
from storage.merkle import merkle_path, merkle_root, verify_path

ABSENT = "0" * 64


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(directory: Path) -> ArtifactStore:
    return ArtifactStore(directory)


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """No file may grow beyond the limit: writes are refused as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def reference(data: bytes) -> ArtifactRef:
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    digests = [sha256(chunk).digest() for chunk in chunks]
    return ArtifactRef(sha256(data).digest(), len(data), merkle_root(digests))


def patterned(size: int) -> bytes:
    return (b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1)))[:size]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]
)
def test_what_was_put_is_read_back(store: ArtifactStore, directory: Path, size: int) -> None:
    data = patterned(size)
    ref = store.put(data)
    assert ref == reference(data)
    assert ref.name == sha256(data).hexdigest()
    assert store.read(ref) == data
    assert store.has(ref.name)
    assert store.size(ref.name) == size
    assert store.path(ref.name).read_bytes() == data
    assert files(directory) == [ref.name]


def test_a_reference_in_numbers() -> None:
    """Fixed for good; the digest is that of `printf hello | sha256sum`."""
    hasher = ArtifactHasher()
    hasher.update(b"hello")
    hello = bytes.fromhex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    top = sha256(b"\x00" + hello).digest()
    root = sha256(b"\x02" + bytes(7) + b"\x01" + top).digest()
    assert hasher.ref() == ArtifactRef(hello, 5, root)
    assert ArtifactHasher().ref().chunk_root == merkle_root([])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, CHUNK_BYTES + 9), max_size=4))
def test_pieces_of_any_size_make_the_same_reference(sizes: list[int]) -> None:
    data = patterned(sum(sizes))
    hasher = ArtifactHasher()
    at = 0
    for size in sizes:
        hasher.update(data[at : at + size])
        at += size
    assert hasher.ref() == reference(data)


def test_a_chunk_is_checked_without_the_rest() -> None:
    data = patterned(2 * CHUNK_BYTES + 5)
    ref = reference(data)
    digests = [
        sha256(data[at : at + CHUNK_BYTES]).digest() for at in range(0, len(data), CHUNK_BYTES)
    ]
    last = sha256(data[2 * CHUNK_BYTES :]).digest()
    assert verify_path(ref.chunk_root, last, 2, 3, merkle_path(digests, 2))


def test_a_sink_takes_pieces(store: ArtifactStore, directory: Path) -> None:
    with store.open_sink() as sink:
        for piece in (b"one ", b"", b"two ", b"three"):
            sink.write(piece)
        ref = sink.commit()
    assert ref == reference(b"one two three")
    assert files(directory) == [ref.name]


def test_nothing_shows_before_the_commit(store: ArtifactStore) -> None:
    ref = reference(b"data")
    with store.open_sink() as sink:
        sink.write(b"data")
        assert not store.has(ref.name)
        sink.commit()
        assert store.has(ref.name)


def test_a_commit_syncs_the_file_and_then_its_name(
    store: ArtifactStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, files(directory)))

    monkeypatch.setattr(os, "fsync", fsync)
    ref = store.put(b"data")
    (first, names_then), (second, names_at_last) = synced
    assert first == store.path(ref.name).stat().st_ino
    assert names_then != [ref.name]
    assert second == directory.stat().st_ino
    assert names_at_last == [ref.name]


def test_without_a_commit_nothing_remains(store: ArtifactStore, directory: Path) -> None:
    with store.open_sink() as sink:
        sink.write(b"data")
    assert files(directory) == []


def test_after_an_error_nothing_remains(store: ArtifactStore, directory: Path) -> None:
    def stumble() -> None:
        with store.open_sink() as sink:
            sink.write(b"data")
            raise KeyError

    with pytest.raises(KeyError):
        stumble()
    assert files(directory) == []


def test_the_same_bytes_twice_are_one_artifact(store: ArtifactStore, directory: Path) -> None:
    assert store.put(b"data") == store.put(b"data")
    assert len(files(directory)) == 1


def test_putting_again_heals_a_damaged_file(store: ArtifactStore) -> None:
    ref = store.put(b"data")
    store.path(ref.name).write_bytes(b"dat")
    store.put(b"data")
    assert store.read(ref) == b"data"


def test_what_a_crash_left_unfinished_is_removed(store: ArtifactStore, directory: Path) -> None:
    ref = store.put(b"whole")
    with store.open_sink() as sink:
        sink.write(b"unfinished")
        assert len(files(directory)) == 2
        again = ArtifactStore(directory)
        assert files(directory) == [ref.name]
    assert again.read(ref) == b"whole"


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 4, b"0123"),
        (3, 4, b"3456"),
        (8, 4, b"89"),
        (10, 1, b""),
        (99, 5, b""),
        (4, 0, b""),
        (4, None, b"456789"),
        (99, None, b""),
        (0, 99, b"0123456789"),
    ],
)
def test_ranges_are_cut_like_slices(
    store: ArtifactStore, offset: int, length: int | None, expected: bytes
) -> None:
    assert store.read(store.put(b"0123456789"), offset, length) == expected


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
def test_negative_ranges(store: ArtifactStore, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        store.read(store.put(b"0123456789"), offset, length)


@pytest.mark.parametrize("damaged", [b"", b"012345678", b"0123456789a"])
def test_a_file_of_another_size_is_not_read(store: ArtifactStore, damaged: bytes) -> None:
    ref = store.put(b"0123456789")
    store.path(ref.name).write_bytes(damaged)
    with pytest.raises(ArtifactMismatch, match="instead of 10") as error:
        store.read(ref, 2, 3)
    assert error.value.name == ref.name


def test_a_changed_file_of_the_same_size_is_noticed_when_read_whole(store: ArtifactStore) -> None:
    ref = store.put(b"0123456789")
    store.path(ref.name).write_bytes(b"0123456780")
    with pytest.raises(ArtifactMismatch, match="SHA-256"):
        store.read(ref)


def test_what_is_not_there(store: ArtifactStore) -> None:
    assert not store.has(ABSENT)
    store.delete(ABSENT)
    with pytest.raises(ArtifactMissing) as error:
        store.size(ABSENT)
    assert error.value.name == ABSENT
    with pytest.raises(ArtifactMissing):
        store.read(ArtifactRef(bytes(32), 1, bytes(32)))


def test_deleting(store: ArtifactStore, directory: Path) -> None:
    ref = store.put(b"data")
    store.delete(ref.name)
    assert not store.has(ref.name)
    assert files(directory) == []


BAD_NAMES = [
    "",
    "0" * 63,
    "0" * 65,
    "g" * 64,
    "../" + "0" * 61,
    "0" * 64 + "\n",
    "٠" * 64,
    "/etc/passwd",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_not_digests_are_refused(store: ArtifactStore, name: str) -> None:
    for method in (store.has, store.size, store.path, store.delete):
        with pytest.raises(BadArtifactName):
            method(name)
    with pytest.raises(BadArtifactName):
        store.read(ArtifactRef(bytes(31), 1, bytes(32)))


def test_upper_case_digits_are_the_same_name(store: ArtifactStore) -> None:
    ref = store.put(b"data")
    assert store.has(ref.name.upper())


def test_a_full_disk_leaves_nothing_and_is_not_fatal(store: ArtifactStore, directory: Path) -> None:
    with full_disk(CHUNK_BYTES), pytest.raises(ArtifactFailed) as error:
        store.put(bytes(2 * CHUNK_BYTES))
    assert error.value.path.parent == directory
    with full_disk(0), pytest.raises(ArtifactFailed):
        store.put(b"small enough to stay in the buffer until the commit")
    assert files(directory) == []
    store.put(b"and then there is room again")


def test_a_directory_that_went_away(store: ArtifactStore, directory: Path) -> None:
    directory.rmdir()
    with pytest.raises(ArtifactFailed):
        store.put(b"data")
