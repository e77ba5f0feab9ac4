"""Workers that die, and workers that lie."""

import pytest

pytestmark = pytest.mark.system

NOTICED_S = 10.0
TASKS_FOR_LIAR = 24
"""So many that the honest worker is full, and the other one gets some as well."""


def test_the_job_of_a_killed_worker_is_finished_by_another(net) -> None:
    """The orchestrator notices the lost connection and begins a second attempt in its epoch.

    Without that, the job's lease would run out half a minute later, or the market's lease of the
    task, which would show as another epoch; without either it would never be completed.
    """
    task_id = net.post(size=1500, iterations=20)
    victim = net.until(lambda: net.busy(net.workers), "a worker has the job")
    assert net.client.task(task_id).status == "in_progress"
    others = [name for name in net.workers if name != victim]
    net.kill(victim)
    net.until(lambda: net.busy(others), "another has the job", NOTICED_S)
    done = net.completed(task_id)
    assert done.result.worker_address != net.address(victim)
    assert net.attempt(task_id) == (1, 2)
    net.check_payments()


def lies_are_told(altered) -> None:
    """Of every four jobs of the liar's one is honest, so that nothing else can be why it is not
    paid for the others: its digests agree with its lies, only the check of the steps finds them.
    """
    net, liar = altered.net, altered.net.workers[-1]
    with altered.altered(liar, lies=["none", "last", "middle", "another-task"]):
        tasks = [net.post(size=96, iterations=6) for _ in range(TASKS_FOR_LIAR)]
        for task_id in tasks:
            net.completed(task_id)
        told = {(note["task_id"], note["nonce"]): note["lie"] for note in altered.notes(liar)}
    results = {(task_id, net.receipt(task_id).results[0].nonce) for task_id in tasks}
    assert len(set(told.values())) > 1
    assert {told[job] for job in told.keys() & results} == {"none"}, "no lie is paid"


def test_a_lie_is_found_and_not_paid(altered) -> None:
    lies_are_told(altered)
    altered.net.check_payments()


@pytest.mark.full
def test_validators_that_do_not_look(altered) -> None:
    with altered.without(*altered.net.validators, signs="valid", match="no lie is paid"):
        lies_are_told(altered)
