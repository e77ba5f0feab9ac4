"""Errors of the storage package.

StorageError
├── StorageFailed          the store refused a read or write: fatal, restart from what is durable
├── StoreLocked            another process (or an earlier open) owns the directory
├── StoreUnusable          the directory cannot be opened as a store
├── TargetExists           neither a backup nor a restored store overwrites anything
├── RepairFailed           not even LevelDB's repair makes the directory a store
├── BackupError
│   ├── BackupFailed       the disk refused to write or read a copy: not fatal
│   └── BackupDamaged      the copy is not what its manifest says
├── RecordError
│   ├── CorruptRecord      stored bytes do not decode
│   └── UnknownVersion     stored by a newer (or much older) release
└── ArtifactError
    ├── BadArtifactName    not 64 hex digits
    ├── ArtifactMissing    no such file
    ├── ArtifactMismatch   the file is not what its reference says
    └── ArtifactFailed     the disk refused to write or read an artifact: not fatal
"""

from pathlib import Path


class StorageError(Exception):
    """Base of everything this package raises on purpose."""


class StorageFailed(StorageError):
    """The store refused a read or a write; nothing later is accepted, so that order is kept."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"storage failed: {reason}")
        self.reason = reason


class StoreLocked(StorageError):
    """The directory is in use; two writers would destroy each other's state."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(
            f"{path} is in use by process {owner}: stop that node, or give this one a data"
            " directory of its own"
        )
        self.path = path
        self.owner = owner


class StoreUnusable(StorageError):
    """The directory cannot be opened as a store."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be opened as a store ({reason}): check that it is a directory this"
            " user may write, on a disk with room; if its files are damaged, restore it from a"
            " backup, or repair it if there is none"
        )
        self.path = path
        self.reason = reason


class TargetExists(StorageError):
    """Neither a backup, nor a restored store, nor what a repair sets aside overwrites anything."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already: name a directory that does not, or move it away")
        self.path = path


class RepairFailed(StorageError):
    """The directory could not be repaired."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be repaired ({reason}): restore it from a backup")
        self.path = path
        self.reason = reason


class BackupError(StorageError):
    """A backup could not be made or restored; the store it concerns is as it was."""


class BackupFailed(BackupError):
    """The disk refused to write or read a copy; nothing remains under its name."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}: check that the disk has room and that this user may write there"
        )
        self.path = path
        self.reason = reason


class BackupDamaged(BackupError):
    """The copy is not what its manifest says, so it is not restored."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"the backup {path} is damaged ({problem}): use another one")
        self.path = path
        self.problem = problem


class RecordError(StorageError):
    """A stored record cannot be read."""


class CorruptRecord(RecordError):
    """The stored bytes do not decode as the table's record."""

    def __init__(self, table: str, key: bytes, problem: str) -> None:
        super().__init__(f"table {table!r}, key {key!r}: {problem}")
        self.table = table
        self.key = key
        self.problem = problem


class UnknownVersion(RecordError):
    """The record was stored under a version that this release does not read."""

    def __init__(self, table: str, key: bytes, version: int, oldest: int, known: int) -> None:
        reads = f"version {known}" if oldest == known else f"versions {oldest} to {known}"
        super().__init__(
            f"table {table!r}, key {key!r}: version {version}, but this release reads {reads}:"
            " run the release that wrote it"
        )
        self.table = table
        self.key = key
        self.version = version
        self.oldest = oldest
        self.known = known


class ArtifactError(StorageError):
    """Something is wrong with one artifact; the rest of the store is fine."""


class BadArtifactName(ArtifactError):
    """An artifact's name is the 64 hex digits of its SHA-256, nothing else."""

    def __init__(self, name: str) -> None:
        super().__init__(f"an artifact's name is 64 hex digits, not {name[:80]!r}")
        self.name = name


class ArtifactMissing(ArtifactError):
    """There is no artifact of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no artifact {name}")
        self.name = name


class ArtifactMismatch(ArtifactError):
    """The file is not what its reference says: it was cut, changed or damaged."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"artifact {name}: {problem}")
        self.name = name
        self.problem = problem


class ArtifactFailed(ArtifactError):
    """The disk refused to write or read an artifact, for instance because it is full."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"artifact file {path}: {reason}")
        self.path = path
        self.reason = reason
