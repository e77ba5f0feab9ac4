import logging

import msgspec

from node.amounts import Amount
from node.market.board import TaskBoard
from node.market.changes import QUEUE, ChangeLog
from node.market.tasks import TaskRecord
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

START_MS = 1_700_000_000_000
FIRST = START_MS * 1000


def numbers(changes) -> list[int]:
    return [change.sequence - FIRST for change in changes]


def filled(count: int, *, kept: int = 4) -> ChangeLog:
    log = ChangeLog(lambda: START_MS, kept=kept)
    for number in range(count):
        log.add("even" if number % 2 else "odd", "pending", "queued")
    return log


def test_changes_are_numbered_from_the_time_of_the_start() -> None:
    log = filled(3)
    assert log.last == FIRST + 3
    (change,) = log.since(FIRST + 2, None)
    assert (change.sequence, change.task_id, change.at_ms) == (FIRST + 3, "odd", START_MS)


def test_what_followed_a_number_is_given_while_all_of_it_is_kept() -> None:
    log = filled(6)
    assert numbers(log.since(FIRST + 2, None)) == [3, 4, 5, 6]
    assert numbers(log.since(FIRST + 2, "even")) == [4, 6]
    assert log.since(FIRST + 6, None) == ()
    assert log.since(FIRST + 1, None) is None
    assert log.since(FIRST + 7, None) is None
    assert log.since(0, None) is None


def test_a_new_log_knows_only_its_beginning() -> None:
    log = filled(0)
    assert log.since(FIRST, None) == ()
    assert log.since(FIRST - 1, None) is None


async def test_followers_get_what_they_follow_from_now_on() -> None:
    log = filled(2)
    with log.follow("odd") as odd, log.follow(None) as every:
        log.add("odd", "in_progress", "leased")
        log.add("even", "in_progress", "leased")
        assert (await odd.receive()).sequence == FIRST + 3
        assert numbers([await every.receive(), await every.receive()]) == [3, 4]
        assert odd.statistics().current_buffer_used == 0
    log.add("odd", "completed", "verified")


async def test_a_follower_that_is_too_slow_is_cut_off_and_the_others_are_not() -> None:
    log = ChangeLog(lambda: START_MS)
    with log.follow(None) as slow, log.follow("task") as quick:
        for _ in range(QUEUE + 2):
            log.add("task", "pending", "queued")
            await quick.receive()
        seen = [change async for change in slow]
        assert numbers(seen) == list(range(1, QUEUE + 1))
        log.add("task", "pending", "queued")
        assert (await quick.receive()).sequence == log.last
    assert numbers(log.since(seen[-1].sequence, None)) == [QUEUE + 1, QUEUE + 2, QUEUE + 3]


async def test_whoever_stops_following_is_forgotten() -> None:
    log = filled(0)
    with log.follow("task") as left:
        pass
    log.add("task", "pending", "queued")
    assert left.statistics().open_send_channels == 0
    with log.follow("task") as again:
        assert again.statistics().current_buffer_used == 0


async def test_the_board_tells_of_each_new_phase_once_it_is_announced(caplog) -> None:
    task = TaskRecord(
        task_id="task",
        sequence=0,
        account="cpc1x",
        kind="synthetic",
        parameters=b"",
        payload=b"{}",
        reward=Amount(1),
        created_ms=0,
        deadline_ms=1,
    )
    async with open_database(MemoryStore()) as db:
        board = TaskBoard(db, ChangeLog(lambda: START_MS))
        caplog.set_level(logging.INFO, "node.market.board")
        with board.changes.follow("task") as told:
            for phase, epoch in (("queued", 0), ("leased", 1), ("leased", 2), ("verified", 2)):
                batch = Batch()
                board.put(batch, msgspec.structs.replace(task, phase=phase, epoch=epoch))
                db.stage(batch)
                board.announce("task")
            board.announce("task")
            assert told.statistics().current_buffer_used == 3
        changes = board.changes.since(FIRST, "task")
        assert [(change.status, change.phase) for change in changes] == [
            ("pending", "queued"),
            ("in_progress", "leased"),
            ("completed", "verified"),
        ]
        again = TaskBoard(db, ChangeLog(lambda: START_MS))
        assert again.changes.since(FIRST, None) == ()
    said = [(record.getMessage(), record.task) for record in caplog.records]
    assert said == [(f"the task is {phase}", "task") for phase in ("queued", "leased", "verified")]
