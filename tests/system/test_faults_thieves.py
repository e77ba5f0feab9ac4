"""Workers that open what is not theirs, or nothing, and orchestrators that say so of honest ones.

Whatever a thief hands in is unpaid, and another does the task.
"""

import pytest

pytestmark = pytest.mark.system

OPENINGS = ["stolen-trace", "stolen-output", "nothing"]
UNPROTECTED = {
    "stolen-trace": {"signs": "valid"},
    "stolen-output": {"takes_any_output": True},
    "nothing": {"signs": "valid"},
}
"""What lets each of them pass: validators that do not look, a door that takes any output."""


def workers_open_falsely(altered, how: str) -> None:
    """At first attempts, and honestly at second ones: whoever does the second one is paid."""
    net = altered.net
    with altered.altered(*net.workers, opens=how):
        altered.buy_until(lambda: robbed(altered))
        thieves = robbed(altered)
    check_unpaid(net, thieves)


def workers_steal(altered, whose: str) -> None:
    """At first attempts they commit to another's result as if it were their own, and open it."""
    net, (one, other) = altered.net, altered.net.workers
    lies = {one: net.address(other), other: net.address(one)}
    if whose == "another-task":
        lies = dict.fromkeys(lies, whose)
    with (
        altered.altered(one, first_lie=lies[one]),
        altered.altered(other, first_lie=lies[other]),
    ):
        altered.buy_until(lambda: robbed(altered))
        thieves = robbed(altered)
    check_unpaid(net, thieves)


def robbed(altered) -> dict[str, str]:
    """The tasks with a theft, and the thief of each."""
    net = altered.net
    return {note["task_id"]: name for name in net.workers for note in altered.notes(name)}


def check_unpaid(net, thieves: dict[str, str]) -> None:
    for task_id, thief in thieves.items():
        assert net.worker(task_id) != thief, "the thief is paid"
        assert net.attempt(task_id)[1] == 2


def an_orchestrator_frames_a_worker(altered) -> None:
    """It shows the validators a trace that the worker has not committed to; they ask the worker."""
    net, framer = altered.net, altered.net.validators[0]
    with altered.altered(framer, frames=True):
        altered.buy_until(lambda: altered.notes(framer))
        framed = {note["task_id"] for note in altered.notes(framer)}
    for task_id in framed:
        assert net.attempt(task_id) == (1, 1), "the worker is framed"


@pytest.mark.parametrize("how", OPENINGS)
def test_what_is_opened_falsely_is_not_paid(altered, how: str) -> None:
    workers_open_falsely(altered, how)
    altered.net.check_payments()


@pytest.mark.parametrize("whose", ["another-task", "another-worker"])
def test_what_is_stolen_is_not_paid(altered, whose: str) -> None:
    workers_steal(altered, whose)
    altered.net.check_payments()


def test_nobody_is_framed(altered) -> None:
    an_orchestrator_frames_a_worker(altered)
    altered.net.check_payments()


@pytest.mark.full
@pytest.mark.parametrize("how", OPENINGS)
def test_unprotected_it_is_paid(altered, how: str) -> None:
    with altered.without(
        "market", *altered.net.validators, **UNPROTECTED[how], match="the thief is paid"
    ):
        workers_open_falsely(altered, how)


@pytest.mark.full
@pytest.mark.parametrize("whose", ["another-task", "another-worker"])
def test_unchecked_it_is_paid(altered, whose: str) -> None:
    with altered.without(*altered.net.validators, signs="valid", match="the thief is paid"):
        workers_steal(altered, whose)


@pytest.mark.full
def test_if_nobody_asked_the_worker(altered) -> None:
    with altered.without(
        *altered.net.validators, trusts_orchestrators=True, match="the worker is framed"
    ):
        an_orchestrator_frames_a_worker(altered)
