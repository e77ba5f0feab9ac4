"""SIGSTOP until another has taken over, then SIGCONT: what comes late counts for nothing.

Both the first and whoever takes over are stopped at the worst moment, with a result in hand, so
that the late one speaks while the other one has the lease, and is refused for nothing else.
"""

import pytest

pytestmark = pytest.mark.system


def two_freeze(altered, names: list[str], **moment: bool) -> tuple[str, str, str]:
    """Who is stopped first, who is stopped second, and the task that both worked on."""
    net = altered.net
    with altered.altered(*names, **moment):
        task_id = net.post()
        first = net.until(lambda: stopped(altered, names, task_id), "one is stopped")
        others = [name for name in names if name != first]
        second = net.until(lambda: stopped(altered, others, task_id), "another has taken over")
    return first, second, task_id


def stopped(altered, names: list[str], task_id: str) -> str | None:
    stops = {"task_id": task_id, "stopped": True}
    return next((name for name in names if altered.notes(name, **stops)), None)


def late_then_right(altered, late: str, right: str) -> tuple[str, str]:
    """How each is answered, the one that is superseded first."""
    answers = []
    for name in (late, right):
        altered.net.thaw(name)
        said = altered.net.until(
            lambda name=name: [note for note in altered.notes(name) if "refused" in note],
            f"{name} has its answer",
        )
        answers.append(said[0]["refused"])
    return answers[0], answers[1]


def an_orchestrator_freezes(altered) -> None:
    net = altered.net
    late, right, task_id = two_freeze(altered, net.validators, stops_before_report=True)
    refused, taken = late_then_right(altered, late, right)
    assert "superseded" in refused, "what comes late is refused"
    assert taken == ""
    net.completed(task_id)
    assert net.attempt(task_id)[0] == 2
    assert net.orchestrator(task_id) == right


def a_worker_freezes(altered) -> None:
    net = altered.net
    late, right, task_id = two_freeze(altered, net.workers, stops_before_commit=True)
    refused, taken = late_then_right(altered, late, right)
    assert "superseded" in refused, "what comes late is refused"
    assert taken == ""
    net.completed(task_id)
    assert net.attempt(task_id) == (1, 2)
    assert net.worker(task_id) == right


def test_an_orchestrator_that_freezes(altered) -> None:
    an_orchestrator_freezes(altered)
    altered.net.check_payments()


def test_a_worker_that_freezes(altered) -> None:
    a_worker_freezes(altered)
    altered.net.check_payments()


@pytest.mark.full
def test_if_the_market_took_any_epoch(spoiled) -> None:
    with spoiled.without("market", takes_superseded=True, match="what comes late is refused"):
        an_orchestrator_freezes(spoiled)


@pytest.mark.full
def test_if_orchestrators_took_any_attempt(altered) -> None:
    with altered.without(
        *altered.net.validators, takes_superseded=True, match="what comes late is refused"
    ):
        a_worker_freezes(altered)
