"""`kill -9` of so many validators that no quorum is left: tasks wait, say so, and end in time."""

import re
import time

import pytest

from node.amounts import parse_cpc
from tests.system.support.buying import REWARD

pytestmark = pytest.mark.system

SAID = re.compile(r"\d synthetic tasks? waits? for a quorum: 1 of the 2 that must agree")
DEADLINE_S = 3
ENDED_S = 30.0


def most_validators_die(net) -> None:
    """Two of three, and two must agree, while a task is in hand and others come.

    The one with a deadline is refunded then, the others wait for as long as it takes.
    """
    net.stop(net.validators[3])
    three = net.validators[:3]
    net.until(lambda: len(net.connected("market")) == 1 + 3 + len(net.workers), "three are there")
    in_hand = net.post(size=1000, iterations=10)
    victim = net.until(lambda: net.busy(three, "leases_held"), "the task is leased")
    net.kill(victim, *[name for name in three if name != victim][1:])
    before, patient = money(net), net.post()
    hasty = net.post(deadline=int(time.time()) + DEADLINE_S)
    net.until(lambda: any(map(SAID.search, net.status("market").waiting)), "the status says why")
    net.until(lambda: net.client.task(hasty).error, "the hasty task has ended", ENDED_S)
    assert net.client.task(hasty).error.code == "deadline_exceeded"
    assert money(net) == (before[0] - parse_cpc(REWARD), before[1] + parse_cpc(REWARD))
    for task_id in (in_hand, patient):
        assert net.client.task(task_id).status in ("pending", "in_progress")
    net.heal()
    for task_id in (in_hand, patient):
        net.completed(task_id)


def money(net) -> tuple[int, int]:
    """What the customer has at the market: available, reserved."""
    account = net.client.account(net.layout.customer.account.address)
    return parse_cpc(account.available_cpc), parse_cpc(account.reserved_cpc)


def test_tasks_wait_and_are_refunded_or_completed(altered) -> None:
    most_validators_die(altered.net)
    altered.net.check_payments()


@pytest.mark.full
def test_without_deadlines_it_would_hang(altered) -> None:
    with altered.without("market", no_deadlines=True, match="the hasty task has ended"):
        most_validators_die(altered.net)
