"""Validators that die: a quorum of two goes on, and whoever comes back belongs to it again."""

import pytest

pytestmark = pytest.mark.system

RELEASED_S = 15.0
HURRIED_S = 5.0
"""Sooner than a lease of such a task can run out."""


def test_a_task_survives_the_kill_of_a_checker(net) -> None:
    """Two of three verdicts decide; a quorum of three of three would never be reached here."""
    task_id = net.post(size=1500, iterations=8)
    net.until(lambda: net.busy(net.workers), "a worker has the job")
    orchestrator = net.busy(net.validators, "leases_held")
    victim = next(name for name in net.validators if name != orchestrator)
    net.kill(victim)
    done = net.completed(task_id)
    assert net.address(victim) not in done.result.validators
    assert net.attempt(task_id) == (1, 1)
    assert net.orchestrator(task_id) == orchestrator
    check_joins_again(net, victim)


def an_orchestrator_dies(net, released_s: float) -> str:
    """The market takes the lease back and draws again, with another validator in the first seat."""
    task_id = net.post(size=1500, iterations=12)
    net.until(lambda: net.busy(net.workers), "a worker has the job")
    victim = net.busy(net.validators, "leases_held")
    others = [name for name in net.validators if name != victim]
    net.kill(victim)
    net.until(lambda: net.busy(others, "leases_held"), "another has the lease", released_s)
    net.completed(task_id)
    assert net.attempt(task_id)[0] == 2
    assert net.orchestrator(task_id) != victim
    return victim


def test_a_task_survives_the_kill_of_its_orchestrator(net) -> None:
    victim = an_orchestrator_dies(net, RELEASED_S)
    check_joins_again(net, victim)
    net.check_payments()


@pytest.mark.full
def test_a_lost_lease_that_is_kept(altered) -> None:
    """It runs out after half a minute at the latest; without leases that end, never."""
    with altered.without("market", keeps_lost_leases=True, match="another has the lease"):
        an_orchestrator_dies(altered.net, HURRIED_S)


def check_joins_again(net, victim: str) -> None:
    """The restarted validator checks tasks again."""
    net.heal()

    def signs() -> bool:
        task = net.completed(net.post())
        return net.address(victim) in task.result.validators

    net.until(signs, f"{victim} signs verdicts again")
