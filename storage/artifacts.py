"""Artifacts: bytes kept as a file named by their SHA-256.

A file appears under its name only when it is whole and durable: it is written beside it, synced,
renamed, and the directory synced. `chunk_root`, the Merkle root of the SHA-256 digests of its
1 MiB chunks, lets anybody check one piece without the rest.

Everything here blocks on the disk: call it from a thread, except for small reads.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from storage.errors import ArtifactFailed, ArtifactMismatch, ArtifactMissing, BadArtifactName
from storage.files import make_directory, sync_directory
from storage.merkle import merkle_root

CHUNK_BYTES = 1 << 20
_UNFINISHED = ".unfinished-"
_NAME = re.compile(r"[0-9a-f]{64}")


class ArtifactRef(msgspec.Struct, frozen=True):
    """What names an artifact and suffices to check it."""

    sha256: bytes  # 32 bytes
    size: int  # bytes
    chunk_root: bytes  # merkle_root of the chunks' SHA-256 digests; no chunks if size is 0

    @property
    def name(self) -> str:
        """The name under which a store keeps it: its SHA-256 in hex."""
        return self.sha256.hex()


class ArtifactHasher:
    """Computes a reference piece by piece, in memory that grows by 32 bytes a MiB."""

    def __init__(self) -> None:
        self._whole = sha256()
        self._size = 0
        self._chunk = sha256()
        self._chunk_digests: list[bytes] = []

    def update(self, data: bytes) -> None:
        self._whole.update(data)
        rest = memoryview(data)
        while rest:
            part = rest[: CHUNK_BYTES - self._size % CHUNK_BYTES]
            self._chunk.update(part)
            self._size += len(part)
            if self._size % CHUNK_BYTES == 0:
                self._chunk_digests.append(self._chunk.digest())
                self._chunk = sha256()
            rest = rest[len(part) :]

    def ref(self) -> ArtifactRef:
        """The reference of everything so far."""
        partial = [self._chunk.digest()] if self._size % CHUNK_BYTES else []
        root = merkle_root(self._chunk_digests + partial)
        return ArtifactRef(self._whole.digest(), self._size, root)


class ArtifactSink:
    """An artifact being written, by one thread at a time; made by `ArtifactStore.open_sink`."""

    def __init__(self, directory: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=directory)
        self._file = os.fdopen(descriptor, "wb")
        self._path = Path(name)
        self._hasher = ArtifactHasher()

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            ArtifactFailed: the disk refuses them.
        """
        with _disk(self._path):
            self._file.write(data)
        self._hasher.update(data)

    def ref(self) -> ArtifactRef:
        """The reference of everything written so far."""
        return self._hasher.ref()

    def commit(self) -> ArtifactRef:
        """Make the artifact durable under its name: the last call to a sink.

        Raises:
            ArtifactFailed: the disk refuses, and the artifact may be absent after a crash.
        """
        ref = self.ref()
        with _disk(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.rename(self._path.with_name(ref.name))
            sync_directory(self._path.parent)
        return ref

    def close(self) -> None:
        """Remove what was not committed."""
        with suppress(OSError):  # bytes that a full disk refuses are not wanted any more
            self._file.close()
        self._path.unlink(missing_ok=True)


class ArtifactStore:
    """The artifacts in one directory, which this object owns; any thread may call it.

    Names come from strangers too: every method refuses one that is not 64 hex digits with
    `BadArtifactName`, before it touches the disk.
    """

    def __init__(self, directory: Path) -> None:
        """Create the directory if need be, and remove what a crash left unfinished in it."""
        make_directory(directory)
        for leftover in directory.glob(_UNFINISHED + "*"):
            leftover.unlink()
        self._directory = directory

    def put(self, data: bytes) -> ArtifactRef:
        """Store bytes that fit in memory, durably.

        Raises:
            ArtifactFailed: the disk refuses them.
        """
        with self.open_sink() as sink:
            sink.write(data)
            return sink.commit()

    @contextmanager
    def open_sink(self) -> Iterator[ArtifactSink]:
        """Store bytes as they come: `write` them, then `commit`; without it nothing remains.

        Raises:
            ArtifactFailed: the disk refuses a file.
        """
        with _disk(self._directory):
            sink = ArtifactSink(self._directory)
        try:
            yield sink
        finally:
            sink.close()

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def path(self, name: str) -> Path:
        """Where the file is, or would be; nobody may write to it there."""
        digest = name.lower()
        if not _NAME.fullmatch(digest):
            raise BadArtifactName(name)
        return self._directory / digest

    def size(self, name: str) -> int:
        """Size in bytes.

        Raises:
            ArtifactMissing: there is no such artifact.
        """
        path = self.path(name)
        with _stored(path):
            return path.stat().st_size

    def read(self, ref: ArtifactRef, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes [offset : offset + length], cut at the end like a slice; None: all the rest.

        The size is compared with the reference each time, the SHA-256 when all is read.

        Raises:
            ArtifactMissing: there is no such artifact.
            ArtifactMismatch: the file is not what the reference says.
            ArtifactFailed: the disk refuses.
            ValueError: offset or length is negative.
        """
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"offset {offset} and length {length} may not be negative")
        stop = ref.size if length is None else min(offset + length, ref.size)
        data = self._read(ref, offset, max(stop - offset, 0))
        if len(data) == ref.size and sha256(data).digest() != ref.sha256:
            raise ArtifactMismatch(ref.name, "its bytes have another SHA-256")
        return data

    def delete(self, name: str) -> None:
        """Remove an artifact; one that is not there is no error.

        Not synced: after a loss of power the artifact may be back.
        """
        path = self.path(name)
        with _disk(path):
            path.unlink(missing_ok=True)

    def _read(self, ref: ArtifactRef, offset: int, length: int) -> bytes:
        path = self.path(ref.name)
        with _stored(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != ref.size:
                raise ArtifactMismatch(ref.name, f"{size} bytes instead of {ref.size}")
            file.seek(offset)
            return file.read(length)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactFailed(path, error.strerror or str(error)) from error


@contextmanager
def _stored(path: Path) -> Iterator[None]:
    with _disk(path):
        try:
            yield
        except FileNotFoundError:
            raise ArtifactMissing(path.name) from None
