"""The market and all validators cannot reach each other, while tasks are in hand and others come.

Leases end, and go out again when the way is free; a result that was ready meanwhile is late.
"""

import pytest

from node.errors import Unavailable

pytestmark = pytest.mark.system

TASKS = 4
SOON_S = 30.0


def a_partition(altered, *, quietly: bool) -> None:
    """It lasts until all work in hand is done, and cannot be reported, and a lease is over."""
    net = altered.net
    posted = [net.post(size=1500, iterations=12) for _ in range(TASKS)]
    net.until(lambda: net.busy(net.workers), "a worker has a job")
    with altered.cut(quietly=quietly):
        began = leases_begun(net, posted)
        assert net.count("market", "tasks_leased"), "there is something that cannot be reported"
        later = [net.post() for _ in range(TASKS)]
        net.until(lambda: net.busy(net.workers) is None, "the work is done")
        net.until(lambda: net.busy(net.validators, "checks_in_hand") is None, "it is checked")
        if quietly:
            again = "a lease ran out, and there is another"
            net.until(lambda: leases_begun(net, posted) > began, again)
        else:
            net.until(lambda: net.connected("market").isdisjoint(net.validators), "it is noticed")
            net.until(lambda: net.status("market").obstacles, "the market says so")
    net.heal()
    for task_id in (*posted, *later):
        net.completed(task_id, SOON_S)


def leases_begun(net, tasks: list[str]) -> int:
    lines = [line for line in net.log("market").splitlines() if "the task is leased" in line]
    return sum(any(task in line for task in tasks) for line in lines)


def test_nothing_is_lost_or_paid_twice(altered) -> None:
    a_partition(altered, quietly=False)
    altered.net.check_payments()


@pytest.mark.full
def test_nor_if_nobody_notices(altered) -> None:
    """Connections stand, and what is sent arrives when the way is free again."""
    a_partition(altered, quietly=True)
    altered.net.check_payments()


@pytest.mark.full
def test_if_results_were_told_once_and_leases_did_not_end(spoiled) -> None:
    """Either is enough: a result is reported until it is taken, or somebody else makes another."""
    off = {"keeps_lost_leases": True, "no_deadlines": True, "reports_once": True}
    nodes = ("market", *spoiled.net.validators)
    with spoiled.without(*nodes, **off, fails=Unavailable, match="time is up"):
        a_partition(spoiled, quietly=False)
