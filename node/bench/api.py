"""`tmnode bench api`: durable `POST /tasks` at a real market that nobody takes tasks from."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from node.bench.load import get, post_all, task_bodies
from node.bench.processes import cpu_s, resident_mib
from node.bench.report import Report, Row, median, quantile, report, row
from node.devnet.network import Devnet, DevnetOptions, open_devnet
from node.devnet.processes import Program

CLIENTS = 32
REWARD = "1.0"
SLOW_MS = 5


class SlowNode(Program):
    """`tmnode` on a disk whose syncs take longer."""

    COMMAND = (sys.executable, "-m", "node.bench.slow_disk", str(SLOW_MS))


async def bench_api(requests: int) -> Report:
    """Measure one market and one chain, then the market again on a slower disk."""
    with tempfile.TemporaryDirectory(prefix="tmnode-bench-") as folder:
        options = DevnetOptions(validators=0, workers=0, api_port=0)
        began = trio.current_time()
        async with open_devnet(Path(folder), options) as devnet:
            started_s = trio.current_time() - began
            idle = resident_mib(devnet.nodes["market"].pid)
            rows = await _post_rows(devnet, requests, "")
            await _slow_down(devnet)
            rows += await _post_rows(devnet, requests // 3, f", {SLOW_MS} ms added per sync")
    help_s = [_help_s() for _ in range(5)]
    rows += [
        row("market and chain, start to funded", started_s, "s"),
        row("idle memory of the market", idle, "MiB"),
        row("tmnode --help", median(help_s), "s", len(help_s)),
    ]
    return report("api", rows)


async def _post_rows(devnet: Devnet, requests: int, disk: str) -> list[Row]:
    """Post after a warm-up; rate, latency, CPU and syncs."""
    url, market = devnet.layout.market.api_url, devnet.nodes["market"].pid
    warm = task_bodies(200, f"warm{disk}", 64, 2, REWARD)
    await post_all(url, "/tasks", warm, clients=CLIENTS)
    bodies = task_bodies(requests, f"api{disk}", 64, 2, REWARD)
    syncs, spent_s, began = await _syncs(url), cpu_s(market), trio.current_time()
    seconds, _ = await post_all(url, "/tasks", bodies, clients=CLIENTS)
    elapsed_s = trio.current_time() - began
    spent_s, syncs = cpu_s(market) - spent_s, await _syncs(url) - syncs
    name = f"durable POST /tasks, {CLIENTS} clients{disk}"
    return [
        row(name, requests / elapsed_s, "requests/s", requests),
        row("  median", 1000 * median(seconds), "ms", requests),
        row("  p99", 1000 * quantile(seconds, 0.99), "ms", requests),
        row("  CPU of the market", 1000 * spent_s / requests, "ms", requests),
        row("  syncs per 1,000 requests", 1000 * syncs / requests, "syncs", requests),
    ]


async def _slow_down(devnet: Devnet) -> None:
    """Start the market again on a disk whose syncs take longer."""
    seat = devnet.layout.market
    await devnet.nodes["market"].stop()
    devnet.nodes["market"] = SlowNode(seat.name, [str(seat.config)], seat.log)
    await devnet.nodes["market"].start()


async def _syncs(url: str) -> float:
    """The market's own count of synced writes."""
    text = (await get(url, "/metrics")).decode()
    return float(text.partition("\ntmnode_database_syncs_total ")[2].partition("\n")[0])


def _help_s() -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "node.cli", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
