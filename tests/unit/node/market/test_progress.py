"""How far jobs are, as orchestrators say: told once, and only by whoever holds the lease."""

import msgspec
import pytest

from node.errors import Conflict, NotFound
from node.market.changes import JobChange
from node.market.progress import MAX_CHANGES, JobProgressBook
from node.verification.claims import StatementInvalid
from node.wire.leases import JobState, TaskProgress


@pytest.fixture
def book(shop) -> JobProgressBook:
    return JobProgressBook(shop.board, shop.board.changes, {"peer": "cpc1worker"}.get)


def progress(draw, *jobs: JobState) -> TaskProgress:
    return TaskProgress(draw.task_id, draw.epoch, jobs)


def told(shop) -> list[JobChange]:
    log = shop.board.changes
    return [one.job for one in log.since(log.last - len(log._kept), None) if one.job]


async def test_followers_hear_of_each_state_once(shop, book) -> None:
    draw = await shop.leased(chains=2)
    computing, checking = JobState(0, "computing", 1, "peer"), JobState(0, "checking", 1, "peer")
    other = JobState(1, "computing", 1, "peer")
    for jobs in ((computing, other), (computing,), (checking, other)):
        book.note(progress(draw, *jobs), shop.holder(draw))
    assert told(shop) == [
        JobChange(0, "computing", 1, "cpc1worker"),
        JobChange(1, "computing", 1, "cpc1worker"),
        JobChange(0, "checking", 1, "cpc1worker"),
    ]
    assert shop.record(draw.task_id).phase == "leased"


async def test_only_the_holder_of_the_lease_is_heard(shop, book) -> None:
    draw = await shop.leased()
    state = JobState(0, "computing", 1, "peer")
    another = shop.seated(draw)[1].identity.peer_id
    late = msgspec.structs.replace(progress(draw, state), epoch=draw.epoch + 1)
    for wrong, by, error in (
        (progress(draw, state), another, Conflict),
        (late, shop.holder(draw), Conflict),
        (progress(draw, JobState(1, "computing", 1, "peer")), shop.holder(draw), StatementInvalid),
        (TaskProgress("nobody's", 1, (state,)), shop.holder(draw), NotFound),
    ):
        with pytest.raises(error):
            book.note(wrong, by)
        book.note_all((wrong,), by)
    assert told(shop) == []


async def test_one_that_talks_too_much_is_not_listened_to(shop, book) -> None:
    draw = await shop.leased()
    for attempt in range(2 * MAX_CHANGES):
        book.note(progress(draw, JobState(0, "computing", attempt, "peer")), shop.holder(draw))
    assert len(told(shop)) == MAX_CHANGES
