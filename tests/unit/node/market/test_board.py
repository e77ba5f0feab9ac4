"""Listing against a plain model, and the index against what a restart makes of the records."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import Amount
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.tasks import TaskRecord
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

PHASES = ("queued", "leased", "verified", "anchored", "settled", "refunded")
KINDS = ("synthetic", "rendering")


def record(sequence: int, kind: str, phase: str) -> TaskRecord:
    return TaskRecord(
        task_id=f"task-{sequence}",
        sequence=sequence,
        account="cpc1customer",
        kind=kind,
        parameters=b"",
        payload=b"{}",
        reward=Amount(1),
        created_ms=0,
        deadline_ms=1,
        phase=phase,
        epoch=1,
        orchestrator="" if phase == "queued" else f"peer-{sequence % 3}",
    )


def put(db, board: TaskBoard, task: TaskRecord) -> None:
    batch = Batch()
    board.put(batch, task)
    db.stage(batch)
    board.announce(task.task_id)


def state(board: TaskBoard) -> tuple:
    """All that the index answers."""
    leased = {task.task_id: task for task in board.leased_tasks()}
    queued = {task.task_id: task for task in board.queued_tasks()}
    pages = [
        board.page(status=status, kind=kind, limit=99, offset=0)
        for status in (None, "pending", "completed")
        for kind in (None, *KINDS)
    ]
    holders = [board.leases_of(f"peer-{number}") for number in range(3)]
    return leased, queued, pages, holders, board.counts(), board.next_sequence, board.open_count


@settings(max_examples=50)
@given(
    tasks=st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(PHASES)), max_size=25),
    status=st.sampled_from([None, "pending", "in_progress", "completed", "failed"]),
    kind=st.sampled_from([None, *KINDS]),
    limit=st.integers(0, 10),
    offset=st.integers(0, 30),
)
async def test_pages_are_those_of_a_list(tasks, status, kind, limit: int, offset: int) -> None:
    async with open_database(MemoryStore()) as db:
        board = TaskBoard(db, ChangeLog(lambda: 0))
        records = [record(number, *task) for number, task in enumerate(tasks)]
        for task in records:
            put(db, board, task)
        model = [
            task
            for task in reversed(records)
            if status in (None, task.status) and kind in (None, task.kind)
        ]
        page, total, _ = board.page(status=status, kind=kind, limit=limit, offset=offset)
        assert (page, total) == (model[offset : offset + limit], len(model))


@settings(max_examples=50)
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(KINDS), st.sampled_from(PHASES)), max_size=30
    )
)
async def test_a_restart_changes_nothing(moves) -> None:
    async with open_database(MemoryStore()) as db:
        board = TaskBoard(db, ChangeLog(lambda: 0))
        known: dict[int, TaskRecord] = {}
        for place, kind, phase in moves:
            sequence = min(place, board.next_sequence)
            task = known.get(sequence, record(sequence, kind, phase))
            known[sequence] = msgspec.structs.replace(task, phase=phase, epoch=task.epoch + 1)
            put(db, board, known[sequence])
        assert board.next_sequence == len(known)
        assert board.open_count == sum(
            task.phase in ("queued", "leased") for task in known.values()
        )
        again = TaskBoard(db, ChangeLog(lambda: 0))
        assert state(again) == state(board)
        for task in known.values():
            leased = task.phase == "leased"
            assert again.is_leased(task.task_id, task.epoch) == leased
            assert not again.is_leased(task.task_id, task.epoch + 1)
