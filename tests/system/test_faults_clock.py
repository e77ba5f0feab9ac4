"""One node's clock is a minute wrong, from one moment to the next, and then right again.

A market leases until a moment by its clock, and ten seconds of difference are tolerated: for
whoever is a minute ahead of it a lease is over before it begins, and is refused.
"""

from functools import partial

import pytest

pytestmark = pytest.mark.system

MINUTE_S = 60
TASKS = 6
SOON_S = 30.0
REFUSED = "the draw is over, or ends too late"


def tasks_go_on(altered, who: str, ahead_s: int) -> list[str]:
    """Whoever can work does; the payments are on time by the market's clock."""
    net = altered.net
    with altered.altered(who, clock=ahead_s):
        posted = [net.post() for _ in range(TASKS)]
        for task_id in posted:
            net.completed(task_id, SOON_S)
        net.check_payments()
    return posted


def test_a_market_ahead(altered) -> None:
    """Its leases seem longer to the others than they are."""
    tasks_go_on(altered, "market", MINUTE_S)


def test_a_market_behind(altered) -> None:
    """Nobody takes its leases; tasks wait until the clock is right, or for their deadline.

    Each is offered again and again, and is nobody's as soon as it is refused.
    """
    net = altered.net
    with altered.altered("market", clock=-MINUTE_S):
        posted = [net.post() for _ in range(TASKS)]
        net.until(lambda: net.log("market").count(REFUSED) >= TASKS, "the market logs why")
        for task_id in posted:
            net.until(partial(is_pending, net, task_id), f"{task_id} waits")
    for task_id in posted:
        net.completed(task_id, SOON_S)
    net.check_payments()


def is_pending(net, task_id: str) -> bool:
    return net.client.task(task_id).status == "pending"


def a_validator_ahead(altered) -> None:
    """It takes no lease and no seat; the others do."""
    net, who = altered.net, altered.net.validators[0]
    for task_id in tasks_go_on(altered, who, MINUTE_S):
        assert who not in net.signers(task_id), "it refuses what is over"


def test_a_validator_ahead(altered) -> None:
    a_validator_ahead(altered)


def test_a_validator_behind(altered) -> None:
    tasks_go_on(altered, altered.net.validators[0], -MINUTE_S)


def test_a_worker_ahead(altered) -> None:
    """It refuses jobs, and its orchestrators say why."""
    net, who = altered.net, altered.net.workers[0]
    before = [len(net.log(name)) for name in net.validators]
    for task_id in tasks_go_on(altered, who, MINUTE_S):
        assert net.worker(task_id) != who
    said = [net.log(name)[start:] for name, start in zip(net.validators, before, strict=True)]
    assert any(REFUSED in text for text in said)


def test_a_worker_behind(altered) -> None:
    tasks_go_on(altered, altered.net.workers[0], -MINUTE_S)


@pytest.mark.full
def test_a_validator_ahead_that_acts_on_draws_of_any_time(altered) -> None:
    """It takes leases for which it has no time, and holds up their tasks until they are over."""
    who, broken = altered.net.validators[0], "it refuses what is over"
    with altered.without(who, draws_of_any_time=True, match=broken):
        a_validator_ahead(altered)
