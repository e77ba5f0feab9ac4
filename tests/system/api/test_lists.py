"""Lists of a real market with 100,000 tasks, while tasks are bought."""

import sys
import time
from collections.abc import AsyncIterator
from statistics import median, quantiles
from typing import NamedTuple

import msgspec
import pytest
import trio

from node.amounts import Amount
from node.api.answers import ListAnswer
from node.client import AsyncClient
from node.devnet.layout import Layout, write_layout
from node.devnet.network import Devnet, DevnetOptions
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.tasks import TaskRecord
from storage.database import open_database
from storage.leveldb import open_leveldb
from storage.store import Batch

pytestmark = pytest.mark.system

TASKS = 100_000
LIMIT_S = 0.050
KINDS = ("synthetic", "training")
PHASES = ("settled", "refunded")
BATCH = 2_000
PAYLOAD = {"seed": "hello", "matrix_size": 64, "iterations": 2}
WRITERS = 4


def old_task(number: int) -> TaskRecord:
    task = TaskRecord(
        task_id=f"{number:08x}-0000-0000-0000-000000000000",
        sequence=number,
        account="cpc1we7t3vhwcgxkelznr06du3tvzurh3cnpf2ee7g",
        kind=KINDS[number % 2],
        parameters=b"",
        payload=msgspec.json.encode(PAYLOAD),
        reward=Amount(10**18),
        created_ms=number,
        deadline_ms=number + 1,
    )
    return msgspec.structs.replace(task, phase=PHASES[number // 2 % 2])


async def fill(layout: Layout) -> None:
    """What a market has after a long time."""
    with open_leveldb(layout.market.directory / "db") as store:
        async with open_database(store) as db:
            board = TaskBoard(db, ChangeLog(lambda: 0))
            for start in range(0, TASKS, BATCH):
                batch = Batch()
                for number in range(start, start + BATCH):
                    board.put(batch, old_task(number))
                await db.commit(batch)


@pytest.fixture
async def market(tmp_path) -> AsyncIterator[str]:
    layout = write_layout(tmp_path, validators=0, workers=0, api_port=0)
    await fill(layout)
    devnet = Devnet(layout, DevnetOptions())
    try:
        await devnet.chain.start()
        await devnet.nodes["market"].start()
        await devnet.fund_customer()
        yield layout.market.api_url
    finally:
        with trio.CancelScope(shield=True):
            codes = await devnet.stop()
    assert set(codes.values()) == {0}, layout.market.log.read_text()[-2000:]


class Timed(NamedTuple):
    page: ListAnswer
    seconds: float


async def timed(client: AsyncClient, **query: object) -> Timed:
    began = time.perf_counter()
    page = await client.tasks(**query)
    return Timed(page, time.perf_counter() - began)


async def buy(url: str, bought: list[str], enough: trio.Event) -> None:
    """One customer that buys and buys, and leaves no request half sent."""
    async with AsyncClient(url) as client:
        while not enough.is_set():
            bought.append((await client.submit("synthetic", PAYLOAD, "0.01")).task_id)


QUERIES: list[dict[str, object]] = [
    {},
    {"status": "completed"},
    {"status": "failed", "challenge_type": "training"},
    {"status": "pending"},
    {"challenge_type": "synthetic", "offset": 40_000},
    {"status": "completed", "challenge_type": "synthetic", "offset": 24_000, "limit": 200},
]


async def test_lists_are_quick_and_right_while_tasks_are_bought(market: str) -> None:
    bought: list[str] = []
    took: list[float] = []
    enough = trio.Event()
    async with AsyncClient(market) as client, trio.open_nursery() as nursery:
        for _ in range(WRITERS):
            nursery.start_soon(buy, market, bought, enough)
        while len(bought) < WRITERS:  # all are at it, and this client is connected
            await client.tasks(limit=1)
        for _ in range(15):
            for query in QUERIES:
                page, seconds = await timed(client, **{"limit": 50, **query})
                took.append(seconds)
                check(page, query)
        walked, walk_took = await walk(client)
        enough.set()
    assert walked == sorted((old_task(n).task_id for n in range(TASKS)), reverse=True)[:2_000]
    assert len(bought) > 2 * WRITERS, "it was under writes"
    took += walk_took
    p99 = quantiles(took, n=100)[98]
    sys.stdout.write(
        f"{len(took)} lists: median {median(took) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms,"
        f" while {len(bought)} tasks were bought\n"
    )
    # Not the median: what else runs on the machine must not decide. Without the index each list
    # takes a second of the market's own time, however idle the machine is.
    assert quantiles(took, n=4)[0] <= LIMIT_S


def check(page: ListAnswer, query: dict[str, object]) -> None:
    status, kind = query.get("status"), query.get("challenge_type")
    assert len(page.tasks) == query.get("limit", 50) or status == "pending"
    assert all(status in (None, task.status) for task in page.tasks)
    assert all(kind in (None, task.challenge_type) for task in page.tasks)
    ages = [task.created_at for task in page.tasks]
    assert ages == sorted(ages, reverse=True)
    old = {None: TASKS, "pending": 0}.get(status, TASKS // 2)
    assert page.total >= (old if kind is None else old // 2)


async def walk(client: AsyncClient) -> tuple[list[str], list[float]]:
    """The first 2,000 of the tasks that do not change, page by page, and the seconds of each."""
    found: list[str] = []
    took: list[float] = []
    cursor = None
    skipped = (await client.tasks(status="pending", limit=1)).total
    while len(found) < 2_000:
        place = {"offset": skipped} if cursor is None else {"cursor": cursor}
        page, seconds = await timed(client, limit=100, **place)
        took.append(seconds)
        found += [task.task_id for task in page.tasks if task.status != "pending"]
        cursor = page.cursor
    return found[:2_000], took
