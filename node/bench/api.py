"""`tmnode bench api`: durable `POST /tasks` at a real market that nobody takes tasks from."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from node.bench.load import post_all, task_bodies
from node.bench.processes import resident_mib
from node.bench.report import Report, Row, median, quantile, report
from node.devnet.network import DevnetOptions, open_devnet

CLIENTS = 32
REWARD = "1.0"


async def bench_api(requests: int) -> Report:
    """Measure one market and one chain."""
    with tempfile.TemporaryDirectory(prefix="tmnode-bench-") as folder:
        options = DevnetOptions(validators=0, workers=0, api_port=0)
        began = trio.current_time()
        async with open_devnet(Path(folder), options) as devnet:
            started_s = trio.current_time() - began
            idle = resident_mib(devnet.nodes["market"].pid)
            url = devnet.layout.market.api_url
            warm = task_bodies(200, "warm", 64, 2, REWARD)
            await post_all(url, "/tasks", warm, clients=CLIENTS)
            began = trio.current_time()
            bodies = task_bodies(requests, "api", 64, 2, REWARD)
            seconds, _ = await post_all(url, "/tasks", bodies, clients=CLIENTS)
            elapsed_s = trio.current_time() - began
    help_s = [_help_s() for _ in range(5)]
    rows = [
        _row(
            f"durable POST /tasks, {CLIENTS} clients", requests / elapsed_s, "requests/s", requests
        ),
        _row("POST /tasks, median", 1000 * median(seconds), "ms", requests),
        _row("POST /tasks, p99", 1000 * quantile(seconds, 0.99), "ms", requests),
        _row("market and chain, start to funded", started_s, "s"),
        _row("idle memory of the market", idle, "MiB"),
        _row("tmnode --help", median(help_s), "s", len(help_s)),
    ]
    return report("api", rows)


def _help_s() -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "node.cli", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _row(metric: str, value: float, unit: str, runs: int = 1) -> Row:
    return Row(metric=metric, value=value, unit=unit, runs=runs)
