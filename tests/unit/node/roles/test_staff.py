"""Who gets which worker, and who waits."""

import pytest
import trio

from node.directory import Directory
from node.roles.staff import BUSY_PAUSES_S, JOBS_PER_SLOT, RETRY_PAUSE_S, Search, Staff
from node.roles.standings import MAX_STANDINGS, StandingBook
from node.verification.standing import HALF_LIFE_MS
from node.wire.presence import Presence
from p2p.memory import virtual_clock_ms
from storage.database import open_database
from storage.memory import MemoryStore

CHAIN = "cpc-devnet-1"
BAR_S = 600.0


class Market:
    """A directory of workers, who come and go."""

    def __init__(self, db, make_author) -> None:
        self.directory = Directory(CHAIN, virtual_clock_ms, 10**6)
        self.standings = StandingBook(db, BAR_S, virtual_clock_ms)
        self.staff = Staff(self.directory, self.standings)
        self._make_author = make_author
        self.hired: list[tuple[str, str]] = []

    def come(self, number: int, slots: int = 1) -> str:
        author = self._make_author(number)
        peer_id = author.identity.peer_id
        presence = Presence(author.binding, ("worker",), ("synthetic",), (), slots)
        self.directory.learn(peer_id, presence)
        self.directory.connection(peer_id, connected=True)
        return peer_id

    async def hire(self, job: str) -> None:
        worker = await self.staff.hire(Search("synthetic", job))
        self.hired.append((job, worker))


@pytest.fixture
async def market(make_author, autojump_clock):
    async with open_database(MemoryStore()) as db, trio.open_nursery() as nursery:
        market = Market(db, make_author)
        nursery.start_soon(market.staff.run)
        yield market
        nursery.cancel_scope.cancel()


async def test_jobs_are_spread_over_the_slots(market, autojump_clock) -> None:
    one, two = market.come(5), market.come(6, slots=3)
    for number in range(8):
        await market.hire(f"job {number}")
    workers = [worker for _, worker in market.hired]
    assert (workers.count(one), workers.count(two)) == (2, 6)


async def test_whoever_waits_longest_gets_what_becomes_free(market, autojump_clock) -> None:
    worker = market.come(5)
    async with trio.open_nursery() as nursery:
        for number in range(JOBS_PER_SLOT + 3):
            nursery.start_soon(market.hire, f"{number}")
            await trio.testing.wait_all_tasks_blocked()
        assert market.staff.waiting == 3
        for left in (2, 1, 0):
            market.staff.leave(worker)
            await trio.testing.wait_all_tasks_blocked()
            assert market.staff.waiting == left
    assert [job for job, _ in market.hired] == [f"{n}" for n in range(JOBS_PER_SLOT + 3)]


async def test_a_worker_that_turns_up_is_taken_at_once(market, autojump_clock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.hire, "job")
        await trio.sleep(5)
        worker, came = market.come(5), trio.current_time()
    assert market.hired == [("job", worker)]
    assert trio.current_time() == came


async def test_one_that_failed_the_job_gets_it_after_a_pause_if_nobody_else_does(
    market, autojump_clock
) -> None:
    one, search = market.come(5), Search("synthetic", "job")
    assert await market.staff.hire(search) == one
    market.staff.leave(one)
    search.failed_by(one)
    began = trio.current_time()
    assert await market.staff.hire(search) == one
    assert trio.current_time() - began == pytest.approx(RETRY_PAUSE_S)
    market.staff.leave(one)
    two = market.come(6)
    search.failed_by(one)
    assert await market.staff.hire(search) == two


async def test_a_full_worker_is_asked_less_and_less_often(market, autojump_clock) -> None:
    one, search, pauses = market.come(5), Search("synthetic", "job"), []
    for _ in range(8):
        began = trio.current_time()
        assert await market.staff.hire(search) == one
        pauses.append(trio.current_time() - began)
        market.staff.leave(one)
        search.full(one)
    shortest, longest = BUSY_PAUSES_S
    doubled = [min(longest, shortest * 2**n) for n in range(7)]
    assert pauses == [0.0, *map(pytest.approx, doubled)]


async def test_a_job_that_is_called_off_gives_its_place_back(market, autojump_clock) -> None:
    worker = market.come(5)
    async with trio.open_nursery() as nursery:
        for number in range(JOBS_PER_SLOT + 1):
            nursery.start_soon(market.hire, f"{number}")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        market.staff.leave(worker)  # goes to the waiting one, which is just being called off
    assert market.staff.waiting == 0
    for _ in range(JOBS_PER_SLOT - 1):
        market.staff.leave(worker)
    assert not market.staff._load


async def test_a_barred_worker_gets_nothing_until_its_time_is_over(market, autojump_clock) -> None:
    worker = market.come(5)
    market.standings.note(worker, "invalid")
    assert market.standings.barred() == 1
    with trio.move_on_after(BAR_S - 1) as early:
        await market.hire("job")
    assert early.cancelled_caught
    await trio.sleep(1)
    await market.hire("job")
    assert market.hired == [("job", worker)]


async def test_strikes_fade(market, autojump_clock) -> None:
    struck, other = market.come(5), market.come(6)
    market.standings.note(struck, "failed")
    market.standings.note(other, "nobody")
    await market.hire("0")
    await market.hire("1")
    assert {worker for _, worker in market.hired} == {other, struck}  # the second is its turn
    assert market.hired[0] == ("0", other)
    await trio.sleep(5 * HALF_LIFE_MS / 1000)
    assert market.standings.strikes(struck) == 0


async def test_a_standing_is_the_same_after_a_restart(market, autojump_clock) -> None:
    store = MemoryStore()
    async with open_database(store) as db:
        book = StandingBook(db, BAR_S, virtual_clock_ms)
        book.note("liar", "invalid")
        book.note("late", "failed")
    async with open_database(store) as db:
        book = StandingBook(db, BAR_S, virtual_clock_ms)
        assert (book.is_barred("liar"), book.is_barred("late")) == (True, False)
        assert book.strikes("late") == pytest.approx(1, abs=0.01)
        for _ in range(3):
            book.note("shy", "withheld")
        assert book.is_barred("shy")
        await trio.sleep(2 * 3600)
        book.note("new", "failed")
        assert [key for key, _ in book._table.items()] == [b"new"]


async def test_the_book_is_bounded(market, monkeypatch, autojump_clock) -> None:
    monkeypatch.setattr("node.roles.standings.MAX_STANDINGS", 3)
    for number in range(6):
        market.standings.note(f"worker {number}", "invalid")
    assert market.standings.barred() == 3
    assert market.standings.is_barred("worker 5")
    assert MAX_STANDINGS > 1000
