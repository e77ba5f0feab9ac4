"""The index against the plain way: look at every task, newest first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import Amount
from node.errors import InvalidInput
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.listing import Line, TaskIndex
from node.market.tasks import TaskRecord
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

STATUSES = ("pending", "in_progress", "completed", "failed")
KINDS = ("synthetic", "training")

changes = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(STATUSES), st.sampled_from(KINDS)), max_size=60
)
filters = st.tuples(
    st.none() | st.sampled_from(STATUSES), st.none() | st.sampled_from((*KINDS, "rendering"))
)


class Listed:
    """The index beside its model; a task's kind stays what it was."""

    def __init__(self) -> None:
        self.index = TaskIndex()
        self.model: dict[int, Line] = {}

    def change(self, number: int, status: str, kind: str) -> None:
        sequence = min(number, len(self.model))
        known = self.model.get(sequence)
        line = Line(f"task {sequence}", known.kind if known else kind, status, f"is {status}")
        self.model[sequence] = line
        self.index.put(sequence, line)

    def expected(self, status: str | None, kind: str | None) -> list[str]:
        return [
            line.task_id
            for _, line in sorted(self.model.items(), reverse=True)
            if status in (None, line.status) and kind in (None, line.kind)
        ]

    def page(self, status, kind, limit, *, offset=0, cursor=None):
        return self.index.page(status=status, kind=kind, limit=limit, offset=offset, cursor=cursor)


@given(changes, filters, st.integers(1, 8), st.integers(0, 20))
def test_pages_counts_and_totals_are_those_of_the_model(moves, wanted, limit, offset) -> None:
    listed = Listed()
    for move in moves:
        listed.change(*move)
    expected = listed.expected(*wanted)
    page = listed.page(*wanted, limit, offset=offset)
    assert page.task_ids == expected[offset : offset + limit]
    assert page.total == len(expected)
    assert (page.cursor is None) == (offset + limit >= len(expected))
    phases = [line.phase for line in listed.model.values()]
    assert listed.index.counts() == {phase: phases.count(phase) for phase in set(phases)}
    assert len(listed.index) == len(listed.model)


@given(changes, st.lists(changes, max_size=6), filters, st.integers(1, 4))
def test_a_walk_by_cursor_is_exact_and_stable_under_writes(
    moves, interruptions, wanted, limit
) -> None:
    listed = Listed()
    for move in moves:
        listed.change(*move)
    always = set(listed.expected(*wanted))
    ever = set(always)
    seen: list[str] = []
    page = listed.page(*wanted, limit)
    waiting = iter(interruptions)
    while True:
        seen += page.task_ids
        if page.cursor is None:
            break
        for move in next(waiting, ()):
            listed.change(*move)
            now = set(listed.expected(*wanted))
            always &= now
            ever |= now
        page = listed.page(*wanted, limit, cursor=page.cursor)
    numbers = [int(task_id.removeprefix("task ")) for task_id in seen]
    assert numbers == sorted(set(numbers), reverse=True), "each once, newest first"
    assert always <= set(seen) <= ever


@pytest.mark.parametrize(
    "text",
    ["", "5", "AAAAAAAAAG", "AAAAAAAAAGR", "AAAAAAAAAGQ=", "AAAAAAAA+GQ", "ü" * 11, " " * 11],
)
def test_what_is_no_cursor_is_refused(text) -> None:
    with pytest.raises(InvalidInput) as refused:
        Listed().page(None, None, 1, cursor=text)
    assert refused.value.field == "cursor"


def test_a_cursor_of_another_list_is_a_place_in_this_one() -> None:
    listed = Listed()
    for number in range(6):
        listed.change(number, STATUSES[number % 2], "synthetic")
    cursor = listed.page(None, None, 3).cursor
    assert listed.page("pending", None, 9, cursor=cursor).task_ids == ["task 2", "task 0"]


class CountingStore(MemoryStore):
    """Counts what is looked up."""

    looked_up = 0

    def get(self, key: bytes) -> bytes | None:
        self.looked_up += 1
        return super().get(key)


async def test_a_page_reads_the_records_of_its_tasks_and_no_others() -> None:
    store = CountingStore()
    async with open_database(store) as db:
        board = TaskBoard(db, ChangeLog(lambda: 0))
        batch = Batch()
        for number in range(300):
            task = TaskRecord(
                task_id=f"task {number}",
                sequence=number,
                account="cpc1x",
                kind=KINDS[number % 2],
                parameters=b"",
                payload=b"{}",
                reward=Amount(1),
                created_ms=0,
                deadline_ms=1,
            )
            board.put(batch, task)
        await db.commit(batch)
        before = store.looked_up
        page = board.page(status="pending", kind="training", limit=20, offset=100)
        assert [task.sequence for task in page.tasks] == list(range(99, 59, -2))
        assert store.looked_up - before == 20
