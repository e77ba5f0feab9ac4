"""Validators that do not do their part, or say always the same.

Who is silent is replaced while there is somebody to draw; the quorum decides, not one of it.
"""

import pytest

from node.errors import NodeError
from node.verification.receipt import ReceiptInvalid

pytestmark = pytest.mark.system

HABITS = ["never_commits", "never_reveals"]


def one_is_silent(altered, habit: str) -> None:
    """Tasks are bought until the validator has kept silent in the seat of a checker.

    (In the seat of an orchestrator it keeps silent towards itself, and the other two decide.)
    """
    net, silent = altered.net, altered.net.validators[0]
    with altered.altered(silent, **{habit: True}):
        posted = altered.buy_until(lambda: kept_silent(altered, silent))
    met = {note["task_id"] for note in altered.notes(silent)}
    for task_id in posted:
        assert net.attempt(task_id) == (1, 1)
    for task_id in met:
        assert silent not in net.signers(task_id)
        if net.orchestrator(task_id) != silent:
            assert net.signers(task_id) == set(net.validators) - {silent}, "it is replaced"


def kept_silent(altered, silent: str) -> bool:
    met = {note["task_id"] for note in altered.notes(silent)}
    return any(altered.net.orchestrator(task_id) != silent for task_id in met)


def one_finds_everything_invalid(altered) -> None:
    net, bad = altered.net, altered.net.validators[0]
    with altered.altered(bad, signs="invalid"):
        posted = altered.buy_until(lambda: altered.notes(bad, found="valid"))
    for task_id in posted:
        assert net.attempt(task_id) == (1, 1)


def one_finds_everything_valid(altered) -> None:
    """Every first attempt is a lie; the others find it."""
    net, bad = altered.net, altered.net.validators[0]
    with altered.altered(*net.workers, first_lie="middle"), altered.altered(bad, signs="valid"):
        posted = altered.buy_until(lambda: altered.notes(bad, found="invalid"))
    for task_id in posted:
        assert net.attempt(task_id) == (1, 2), "no lie is paid"


@pytest.mark.parametrize("habit", HABITS)
def test_one_that_is_silent_is_replaced(altered, habit: str) -> None:
    one_is_silent(altered, habit)
    altered.net.check_payments()


def test_one_that_finds_everything_invalid(altered) -> None:
    one_finds_everything_invalid(altered)
    altered.net.check_payments()


def test_one_that_finds_everything_valid(altered) -> None:
    one_finds_everything_valid(altered)
    altered.net.check_payments()


@pytest.mark.full
@pytest.mark.parametrize("habit", HABITS)
def test_without_new_draws_nobody_is_replaced(altered, habit: str) -> None:
    with altered.without(*altered.net.validators[1:], no_redraw=True, match="it is replaced"):
        one_is_silent(altered, habit)


@pytest.mark.full
@pytest.mark.parametrize("habit", HABITS)
def test_if_all_were_needed_one_would_hold_them_up(altered, habit: str) -> None:
    with altered.without(
        *altered.net.validators[1:],
        no_redraw=True,
        needs_everybody=True,
        fails=(AssertionError, NodeError),
    ):
        one_is_silent(altered, habit)


@pytest.mark.full
def test_if_one_invalid_decided(altered) -> None:
    with altered.without(
        "market",
        *altered.net.validators,
        one_invalid_decides=True,
        fails=(AssertionError, NodeError),
    ):
        one_finds_everything_invalid(altered)


@pytest.mark.full
def test_if_one_valid_decided(spoiled) -> None:
    """The market's receipt for the lie would still be refused: two verdicts are missing there."""
    with spoiled.without(
        "market",
        *spoiled.net.validators,
        one_valid_decides=True,
        fails=(AssertionError, ReceiptInvalid),
    ):
        one_finds_everything_valid(spoiled)
