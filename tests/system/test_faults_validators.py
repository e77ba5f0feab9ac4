"""Validators that die: a quorum of two goes on, and whoever comes back belongs to it again."""

import pytest

pytestmark = pytest.mark.system

RELEASED_S = 15.0


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


def test_a_task_survives_the_kill_of_its_orchestrator(net) -> None:
    """The market takes the lease back and draws again, with another validator in the first seat.

    Without that the lease would run out after more than 20 s; without leases that end the task
    would hang for ever.
    """
    task_id = net.post(size=1500, iterations=12)
    net.until(lambda: net.busy(net.workers), "a worker has the job")
    victim = net.busy(net.validators, "leases_held")
    others = [name for name in net.validators if name != victim]
    net.kill(victim)
    net.until(lambda: net.busy(others, "leases_held"), "another has the lease", RELEASED_S)
    net.completed(task_id)
    assert net.attempt(task_id)[0] == 2
    assert net.orchestrator(task_id) != victim
    check_joins_again(net, victim)


def check_joins_again(net, victim: str) -> None:
    """The restarted validator checks tasks again."""
    net.heal()

    def signs() -> bool:
        task = net.completed(net.post())
        return net.address(victim) in task.result.validators

    net.until(signs, f"{victim} signs verdicts again")
