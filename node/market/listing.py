"""The order in which tasks are listed: newest first, by status and kind, one page at a time.

For each status, each kind, each pair of both and for all tasks there is a sorted list of sequence
numbers, kept up at each change: a page is a slice of one of them, however many tasks there are.
Most changes are near a list's end, where inserting is cheap; elsewhere it moves 8 bytes a task.
"""

import base64
import binascii
from bisect import bisect_left
from collections import Counter
from typing import NamedTuple

import msgspec

from node.errors import InvalidInput

_Key = tuple[str | None, str | None]
_CURSOR_BYTES = 8


class Line(msgspec.Struct, frozen=True):
    """What the index keeps of a task."""

    task_id: str
    kind: str
    status: str
    phase: str


class ListedPage(NamedTuple):
    """Ids of a page's tasks, how many match in all, and where the next page begins."""

    task_ids: list[str]
    total: int
    cursor: str | None


class TaskIndex:
    """All tasks by their sequence numbers."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._ordered: dict[_Key, list[int]] = {}
        self._phases: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, sequence: int) -> Line | None:
        """The task of this number."""
        return self._lines.get(sequence)

    def put(self, sequence: int, line: Line) -> None:
        """Add a task, or move it to where it belongs now."""
        known = self._lines.get(sequence)
        self._lines[sequence] = line
        self._phases[line.phase] += 1
        if known is not None:
            self._phases[known.phase] -= 1
        before, after = _keys(known), _keys(line)
        for key in before - after:
            ordered = self._ordered[key]
            del ordered[bisect_left(ordered, sequence)]
        for key in after - before:
            _insert(self._ordered.setdefault(key, []), sequence)

    def page(
        self, *, status: str | None, kind: str | None, limit: int, offset: int, cursor: str | None
    ) -> ListedPage:
        """A page of matching tasks: from the cursor on, or skipping `offset`.

        Raises:
            InvalidInput: it is no cursor.
        """
        ordered = self._ordered.get((status, kind), [])
        end = len(ordered) if cursor is None else bisect_left(ordered, _sequence(cursor))
        end = max(0, end - offset)
        start = max(0, end - limit)
        found = [self._lines[sequence].task_id for sequence in reversed(ordered[start:end])]
        more = _cursor(ordered[start]) if 0 < start < end else None
        return ListedPage(found, len(ordered), more)

    def counts(self) -> Counter[str]:
        """How many tasks are in each phase that has any."""
        return +self._phases


def _keys(line: Line | None) -> set[_Key]:
    if line is None:
        return set()
    return {(status, kind) for status in (None, line.status) for kind in (None, line.kind)}


def _insert(ordered: list[int], sequence: int) -> None:
    if not ordered or ordered[-1] < sequence:
        ordered.append(sequence)
    else:
        ordered.insert(bisect_left(ordered, sequence), sequence)


def _cursor(sequence: int) -> str:
    """A place in the order: all tasks older than this one."""
    return base64.urlsafe_b64encode(sequence.to_bytes(_CURSOR_BYTES, "big")).decode().rstrip("=")


def _sequence(cursor: str) -> int:
    try:
        raw = base64.b64decode(cursor.encode() + b"=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    sequence = int.from_bytes(raw, "big")
    if len(raw) != _CURSOR_BYTES or _cursor(sequence) != cursor:
        raise InvalidInput(
            "is none that this market gave", field="cursor", remedy="send it back as it was given"
        )
    return sequence
