"""A table that can also be read through a batch that is still being built."""

from typing import TypeVar

import msgspec

from storage.store import Batch
from storage.tables import Table

T = TypeVar("T", bound=msgspec.Struct)


class StagedTable(Table[T]):
    """A table whose readers see what the batch they write into will make of it."""

    def through(self, batch: Batch, key: bytes) -> T | None:
        """The record as it will be once the batch is staged; raises what `get` does."""
        full_key = self._prefix + key
        if full_key not in batch.changes:
            return self.get(key)
        value = batch.changes[full_key]
        return None if value is None else self._decoded(key, value)
