"""The market's disk is full: it stops and says so, and has all that it answered for afterwards."""

import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from node.client import Client
from node.errors import NodeError

pytestmark = pytest.mark.system

ROOM_BYTES = 128 << 10
SHOPPERS = 8
MOST_TASKS = 400
"""Each shopper's; more than there is room for."""
PAYLOAD = {"seed": "s", "matrix_size": 16, "iterations": 1}


def the_disk_fills(net) -> None:
    """Eight customers buy until the market is gone, or has taken more than it can have stored."""
    before = {task.task_id for task in net.tasks()}
    limit_files(net)
    with ThreadPoolExecutor(SHOPPERS) as customers:
        shopping = [customers.submit(shop, net.layout.market.api_url) for _ in range(SHOPPERS)]
    answered = {task_id for done in shopping for task_id in done.result()}
    assert len(answered) > SHOPPERS
    if len(answered) < SHOPPERS * MOST_TASKS:
        net.until(lambda: "market" not in net.running, "the market has stopped by itself")
    net.kill("market")
    report, _ = net.audit()
    assert report.ok, report.findings
    net.heal()
    there = {task.task_id for task in net.tasks()}
    assert answered <= there, f"{len(answered - there)} of {len(answered)} are lost"
    assert before <= there
    for task_id in there:
        net.completed(task_id)


def limit_files(net) -> None:
    """Let no file of the market's grow by much more: writing beyond fails as on a full disk."""
    folder = net.layout.market.directory
    sizes = [path.stat().st_size for path in (*folder.rglob("*.log"), folder / "log")]
    room = max(sizes) + ROOM_BYTES
    resource.prlimit(net.programs["market"].pid, resource.RLIMIT_FSIZE, (room, room))


def shop(url: str) -> list[str]:
    """Buy until the market does not answer any more."""
    answered: list[str] = []
    with Client(url) as client, suppress(NodeError):
        while len(answered) < MOST_TASKS:
            answered.append(client.submit("synthetic", PAYLOAD, "0.01").task_id)
    return answered


def test_the_market_stops_and_loses_nothing(altered) -> None:
    net = altered.net
    seen = len(net.log("market"))
    the_disk_fills(net)
    said = net.log("market")[seen:]
    assert "storage failed" in said
    assert "make room on its disk and start again" in said
    net.complaints()  # they are about the disk, and expected
    net.check_payments()


@pytest.mark.full
def test_if_a_failed_write_counted_as_done(spoiled) -> None:
    with spoiled.without("market", ignores_failed_writes=True, match="are lost"):
        the_disk_fills(spoiled.net)
