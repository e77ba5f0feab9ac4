"""`kill -9` of the market: nothing that it answered for is lost, nothing is paid twice.

Each test would fail without its protection: an answer before the batch is durable loses tasks, a
lease that is not stored leaves a task hanging, a settlement apart from the outcome or a TRANSFER
signed anew after the crash shows as units too many or too few in the chain's blocks.
"""

import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from node.client import Client
from node.errors import Unavailable

pytestmark = pytest.mark.system

TASKS = 40
KILLS = 3
SEED = 2931
PAYLOAD = {"seed": "s", "matrix_size": 64, "iterations": 2}


def at_the_answer(net) -> list[str]:
    """Eight customers buy as fast as they can until the market is gone under them.

    What it answered last was written to the disk a moment before, or not at all.
    """
    answered: list[str] = []

    def shop() -> None:
        with Client(net.layout.market.api_url) as client, suppress(Unavailable):
            while True:
                answered.append(client.submit("synthetic", PAYLOAD, "10.0").task_id)

    with ThreadPoolExecutor(8) as customers:
        shopping = [customers.submit(shop) for _ in range(8)]
        net.until(lambda: len(answered) >= TASKS, "the market has answered")
        net.kill("market")
    for done in shopping:
        done.result()
    return answered


def while_leased(net) -> list[str]:
    posted = [net.post(size=1000, iterations=10) for _ in range(3)]
    net.until(lambda: net.busy(net.workers), "a worker has a job")
    assert net.count("market", "tasks_leased") == 3
    return posted


def before_anchoring(net) -> list[str]:
    posted = [net.post() for _ in range(3)]
    for task_id in posted:
        net.completed(task_id)
    assert "verified" in {net.client.task(task_id).phase for task_id in posted}
    return posted


def during_payouts(net) -> list[str]:
    posted: list[str] = []

    def seen() -> bool:
        """A TRANSFER waits for a second at most: pay has to be due again and again."""
        if len(posted) < TASKS:
            posted.append(net.post())
        return net.transfers_waiting()

    net.until(seen, "a TRANSFER of the market's waits for its block")
    return posted


MOMENTS = [at_the_answer, while_leased, before_anchoring, during_payouts]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_nothing_is_lost_or_paid_twice(net, moment: Callable[..., list[str]]) -> None:
    posted = moment(net)
    net.kill("market")
    report, _ = net.audit()
    assert report.ok, report.findings
    net.heal()
    for task_id in posted:
        net.completed(task_id)
    net.check_payments()


def test_a_running_attempt_outlives_the_market(net) -> None:
    """The lease is stored, and its holder is given time to come back: no work is done twice."""
    task_id = net.post(size=1500, iterations=12)
    net.until(lambda: net.busy(net.workers), "a worker has the job")
    net.kill("market")
    net.heal()
    net.completed(task_id)
    assert net.attempt(task_id) == (1, 1)


def test_random_kills_lose_nothing(net) -> None:
    """Kills at seeded random points of the progress of 40 tasks, bought with keys by a customer
    who asks again until there is an answer.

    Without idempotency keys that are stored with the task, a lost answer would buy it twice.
    """
    before = len(net.tasks())
    keys = [f"{uuid.uuid4()}" for _ in range(TASKS)]
    bought: dict[str, str] = {}
    with ThreadPoolExecutor(1) as customer:
        shopping = customer.submit(lambda: bought.update((key, buy(net, key)) for key in keys))
        for moment in sorted(random.Random(SEED).sample(range(1, 3 * TASKS), KILLS)):
            net.until(lambda moment=moment: progress(net, before) >= moment, f"step {moment}")
            net.kill("market")
            report, _ = net.audit()
            assert report.ok, report.findings
            net.start("market")
        shopping.result()
    for task_id in bought.values():
        net.completed(task_id)
    assert {key: buy(net, key) for key in keys} == bought
    assert len(net.tasks()) == before + len(set(bought.values())) == before + TASKS
    net.check_payments()
    net.check_books()


def buy(net, key: str) -> str:
    """The task that the key stands for, asked for until the market answers."""
    payload = {"seed": key, "matrix_size": 96, "iterations": 4}

    def ask() -> str | None:
        try:
            return client.submit("synthetic", payload, "10.0", idempotency_key=key).task_id
        except Unavailable:
            return None

    with Client(net.layout.market.api_url) as client:
        return net.until(ask, "the market answers")


def progress(net, before: int) -> int:
    """Three steps for each task since `before`: taken, completed, anchored."""
    counts = net.status("market").counts
    anchored = counts.get("tasks_anchored", 0) + counts.get("tasks_settled", 0) - before
    completed = anchored + counts.get("tasks_verified", 0)
    taken = sum(count for name, count in counts.items() if name.startswith("tasks_")) - before
    return taken + completed + anchored
