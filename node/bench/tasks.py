"""`tmnode bench tasks`: latency and throughput of tiny tasks over a network of real processes."""

import json
import tempfile
from pathlib import Path

import trio

from node.bench.load import post_all, task_bodies
from node.bench.processes import resident_mib, tree_cpu_s
from node.bench.report import Report, Row, median, quantile, report, row
from node.client import AsyncClient
from node.devnet.network import Devnet, DevnetOptions, open_devnet
from node.settlement.ledger import Ledger
from storage.database import open_database
from storage.leveldb import open_leveldb

SIZE, ITERATIONS = 64, 2
REWARD = "1.0"
CLIENTS = 32
POLL_S = 0.1


async def bench_tasks(tasks: int, singles: int) -> Report:
    """Measure a fresh network: `singles` tasks one after the other, then `tasks` at once."""
    with tempfile.TemporaryDirectory(prefix="tmnode-bench-") as folder:
        began = trio.current_time()
        async with open_devnet(Path(folder), DevnetOptions(api_port=0)) as devnet:
            started_s = trio.current_time() - began
            idle = {name: resident_mib(one.pid) for name, one in devnet.nodes.items()}
            alone = await _one_by_one(devnet, singles)
            rows = [*_latency_rows(alone), *await _many(devnet, tasks)]
            market_db = devnet.layout.market.directory / "db"
        rows.append(await _ledger_row(market_db))
    rows.append(row("network of 8 processes, start to funded", started_s, "s"))
    rows.append(row("idle memory, largest node", max(idle.values()), "MiB", len(idle)))
    return report("tasks", rows)


async def _one_by_one(devnet: Devnet, count: int) -> list[float]:
    """Seconds from POST to completed for tasks that have the network to themselves."""
    seconds = []
    async with AsyncClient(devnet.layout.market.api_url) as client:
        for number in range(count):
            began = trio.current_time()
            payload = {"seed": f"one/{number}", "matrix_size": SIZE, "iterations": ITERATIONS}
            task = await client.submit("synthetic", payload, REWARD)
            async for _ in client.follow(task.task_id, until="completed"):
                pass
            seconds.append(trio.current_time() - began)
    return seconds


async def _many(devnet: Devnet, count: int) -> list[Row]:
    """Post `count` tasks from many clients and wait until all are completed."""
    url = devnet.layout.market.api_url
    before = _cpu(devnet)
    began = trio.current_time()
    bodies = task_bodies(count, "many", SIZE, ITERATIONS, REWARD)
    _, answers = await post_all(url, "/tasks", bodies, clients=CLIENTS)
    posted_s = trio.current_time() - began
    wanted = len({json.loads(answer)["task_id"] for answer in answers})
    async with AsyncClient(url) as client:
        while await _completed(client) < wanted:
            await trio.sleep(POLL_S)
    elapsed_s = trio.current_time() - began
    after = _cpu(devnet)
    rows = [
        row("tasks posted and completed", wanted, "tasks"),
        row("throughput, POST to completed", wanted / elapsed_s, "tasks/s", wanted),
        row("POST /tasks meanwhile", wanted / posted_s, "requests/s", wanted),
    ]
    total = sum(after.values()) - sum(before.values())
    rows.append(row("CPU a task, all nodes", 1000 * total / wanted, "ms", wanted))
    for role in ("market", "validator", "worker", "l1"):
        spent = sum(after[name] - before[name] for name in after if name.startswith(role))
        rows.append(row(f"  of it {role}", 1000 * spent / wanted, "ms", wanted))
    return rows


async def _completed(client: AsyncClient) -> int:
    """How many of the many are completed: the single ones were before them."""
    page = await client.tasks(status="completed", limit=1)
    failed = await client.tasks(status="failed", limit=1)
    if failed.total:
        raise RuntimeError(f"{failed.total} tasks failed")
    return page.total


def _cpu(devnet: Devnet) -> dict[str, float]:
    programs = {**devnet.nodes, "l1": devnet.chain}
    return {name: tree_cpu_s(program.pid) for name, program in programs.items()}


async def _ledger_row(path: Path) -> Row:
    """Recompute the stopped market's ledger: the difference must be nothing at all."""
    with open_leveldb(path) as store:
        async with open_database(store) as db:
            audit = Ledger(db).audit()
    return row("ledger entries audited, all balanced", audit.entries if audit.ok else -1, "")


def _latency_rows(seconds: list[float]) -> list[Row]:
    return [
        row("POST to completed, median", median(seconds), "s", len(seconds)),
        row("POST to completed, p95", quantile(seconds, 0.95), "s", len(seconds)),
    ]
