"""Typed records in a database.

A table's keys begin with its name, length first (`u8 length || name`), so that no table's keys
can lie inside another's. A value is one version byte and the record as MessagePack. A field may
have a type of its own if that has `to_wire()` and a class method `from_wire(value)`.

An incompatible change of a record raises the table's version and brings a *migration*: a pure
function from the old version's fields to the next one's. Records stay on the disk as they were
stored; a read takes them through the chain of migrations, and the next put writes the new form.
So a new release opens an old store at once, and an older release never misreads a newer record.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec

from storage.database import Database
from storage.errors import CorruptRecord, UnknownVersion
from storage.store import Batch

MAX_NAME_BYTES = 255
MAX_VERSION = 255

T = TypeVar("T", bound=msgspec.Struct)
Fields = dict[str, Any]
"""A record as MessagePack's own types: None, bool, int, float, str, bytes, list, dict."""
Migration = Callable[[Fields], Fields]
_FIELD_AMISS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a migration raises when a field is missing or of another type."""


class _MigrationFailed(Exception):
    """A migration found fields that it does not know."""


class Table(Generic[T]):
    """Records of one frozen struct under byte keys.

    `version` (1 to 255) counts the incompatible changes of `record`; a field added with a default
    is compatible and needs no new one. `migrations[n]` turns the fields of version n into those
    of n + 1; they run without a gap from the oldest version that is still read to the one before
    `version`. A migration may change and return its argument; a value that it returns may be of
    any type that the record's fields may have.
    """

    def __init__(
        self,
        db: Database,
        name: str,
        record: type[T],
        *,
        version: int = 1,
        migrations: Mapping[int, Migration] = MappingProxyType({}),
    ) -> None:
        if not 1 <= version <= MAX_VERSION:
            raise ValueError(f"a table version is 1 to {MAX_VERSION}, not {version}")
        self._oldest = version - len(migrations)
        if set(migrations) != set(range(max(self._oldest, 1), version)):
            raise ValueError(
                f"migrations to version {version} are from each version between the oldest and"
                f" {version - 1}, not from {sorted(migrations)}"
            )
        self._migrations = dict(migrations)
        self._db = db
        self._name = name
        self._prefix, self._end = _key_range(name)
        self._version = version
        self._header = version.to_bytes(1, "big")
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_to_wire)
        self._decoder = msgspec.msgpack.Decoder(record, dec_hook=_from_wire)

    def get(self, key: bytes, batch: Batch | None = None) -> T | None:
        """The record of a key, staged changes included, or None.

        With a batch that is still being built: as it will be once that is staged.

        Raises:
            UnknownVersion: a newer release stored it, or one older than the migrations.
            CorruptRecord: the stored bytes do not decode.
        """
        full_key = self._prefix + key
        if batch is not None and full_key in batch.changes:
            value = batch.changes[full_key]
        else:
            value = self._db.get(full_key)
        return None if value is None else self._decoded(key, value)

    def put(self, batch: Batch, key: bytes, value: T) -> None:
        """Add a record to a batch; it is stored, and seen, once the batch is staged."""
        batch.put(self._prefix + key, self._header + self._encoder.encode(value))

    def delete(self, batch: Batch, key: bytes) -> None:
        """Add the deletion of a record, which need not exist, to a batch."""
        batch.delete(self._prefix + key)

    def items(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, T]]:
        """The records with start <= key < stop (None: to the end), as of this call, in key order.

        Raises:
            UnknownVersion, CorruptRecord: while iterating, as in `get`.
        """
        end = self._end if stop is None else self._prefix + stop
        pairs = self._db.scan(self._prefix + start, end, reverse=reverse)
        return self._records(pairs)

    def _records(self, pairs: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, T]]:
        skip = len(self._prefix)
        for full_key, value in pairs:
            key = full_key[skip:]
            yield key, self._decoded(key, value)

    def _decoded(self, key: bytes, value: bytes) -> T:
        if not value:
            raise CorruptRecord(self._name, key, "no version byte")
        version, body = value[0], memoryview(value)[1:]
        if not self._oldest <= version <= self._version:
            raise UnknownVersion(self._name, key, version, self._oldest, self._version)
        try:
            if version < self._version:
                body = memoryview(self._migrated(version, body))
            return self._decoder.decode(body)
        except (msgspec.DecodeError, _MigrationFailed) as error:
            raise CorruptRecord(self._name, key, str(error)) from error

    def _migrated(self, version: int, body: memoryview) -> bytes:
        """An old body in the present form; encoded again, so that it is decoded as strictly."""
        fields = msgspec.msgpack.decode(body, type=Fields)
        for step in range(version, self._version):
            try:
                fields = self._migrations[step](fields)
            except _FIELD_AMISS as error:
                raise _MigrationFailed(f"migration from version {step}: {error!r}") from error
        return self._encoder.encode(fields)


def _to_wire(value: Any) -> Any:
    if not hasattr(value, "to_wire"):
        raise NotImplementedError(f"{type(value).__name__} has no form to be stored in")
    return value.to_wire()


def _from_wire(kind: Any, value: Any) -> Any:
    if not hasattr(kind, "from_wire"):
        raise NotImplementedError(f"{kind} cannot be read from what is stored")
    return kind.from_wire(value)


def _key_range(name: str) -> tuple[bytes, bytes]:
    """The prefix of a table's keys and the first key after them all."""
    encoded = name.encode()
    if not 1 <= len(encoded) <= MAX_NAME_BYTES:
        raise ValueError(f"a table name has 1 to {MAX_NAME_BYTES} bytes, not {len(encoded)}")
    prefix = len(encoded).to_bytes(1, "big") + encoded
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])  # UTF-8 has no byte 0xff: no carry
