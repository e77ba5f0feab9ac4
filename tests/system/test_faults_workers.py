"""Workers that die, and workers that lie."""

import json

import pytest

pytestmark = pytest.mark.system

NOTICED_S = 10.0
TASKS_FOR_LIAR = 36
"""So many that the honest worker is full, and even a worker known to have lied gets some."""


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


def test_a_lie_is_found_and_not_paid(net) -> None:
    """A byte of the last iterate, a byte of a middle one, the result of another task.

    The liar's digests agree with its lies, so that only the check of the steps finds them; its
    honest results in between are taken and paid, so that nothing else can be why lies are not.
    """
    liar = net.workers[-1]
    with net.lying(liar) as notes:
        tasks = [net.post(size=96, iterations=6) for _ in range(TASKS_FOR_LIAR)]
        for task_id in tasks:
            net.completed(task_id)
        results = {(task_id, net.receipt(task_id).result.nonce): task_id for task_id in tasks}
        jobs = [json.loads(line) for line in notes.read_text().splitlines()]
        told = {(job["task_id"], job["nonce"]): job["lie"] for job in jobs}
        assert set(told.values()) == {"none", "last", "middle", "another"}
        accepted = [lie for job, lie in told.items() if job in results]
        assert set(accepted) == {"none"}
        paid_to_liar = [
            t for t in tasks if net.receipt(t).result.worker_address == net.address(liar)
        ]
        assert len(paid_to_liar) == len(accepted)
        rejections = sum(net.log(name).count("found the result invalid") for name in net.validators)
        assert rejections == sum(lie != "none" for lie in told.values())
        net.check_payments()
