"""Every state has an end: the states are found in the code, and each must be in the table."""

import ast
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from node.deadlines import END, OWN, STATES
from node.l1.outbound import OutboundRecord
from node.market.phases import ENDS, STATUS_OF, Phase
from node.roles.rescue import ANCHORED_WITHIN_S
from node.settlement import accounts
from node.settlement.dispute import DisputeStage, DisputeState
from node.settlement.escrows import Stage
from node.settlement.withdrawals import State
from node.wire.leases import JobPhase

NODE = Path(__file__).resolve().parents[3] / "node"
STAYING = {"customer", "credit", "fees", "unclaimed"}
"""Accounts whose money waits for a person, or for nothing."""


def account_kinds() -> set[str]:
    """From the expression by which the ledger knows its accounts."""
    return set(re.findall(r"[a-z0-9]+", accounts._NAME.pattern.partition("[!-~]")[0]))


FOUND = {
    "task": set(get_args(Phase)),
    "job": set(get_args(JobPhase)),
    "transaction": set(get_args(get_type_hints(OutboundRecord)["state"])),
    "withdrawal": set(get_args(State)),
    "escrow": set(get_args(Stage)),
    "dispute": set(get_args(DisputeState)),
    "money": account_kinds(),
}


@pytest.mark.parametrize("thing", FOUND)
def test_every_state_in_the_code_has_a_limit(thing: str) -> None:
    assert FOUND[thing] == set(STATES[thing])


def test_there_is_nothing_else_with_states() -> None:
    """A literal type that names states is in the table; the states of the others have no type."""
    assert set(STATES) == {*FOUND, "deposit", "challenge", "notice", "signature"}
    words = re.compile(r"(State|Phase|Status|Stage)$")
    named = {
        (path.relative_to(NODE).as_posix(), target.id)
        for path in NODE.rglob("*.py")
        for item in ast.parse(path.read_text()).body
        if isinstance(item, ast.Assign)
        and isinstance(item.value, ast.Subscript)
        and ast.unparse(item.value.value) == "Literal"
        for target in item.targets
        if isinstance(target, ast.Name) and words.search(target.id)
    }
    assert named == {
        ("market/phases.py", "Phase"),
        ("market/phases.py", "Status"),  # what customers see of the phase
        ("api/params.py", "Status"),
        ("wire/leases.py", "JobPhase"),
        ("settlement/withdrawals.py", "State"),
        ("settlement/escrows.py", "State"),  # of which `Stage` is made
        ("settlement/escrows.py", "Stage"),
        ("settlement/dispute.py", "DisputeState"),
        ("settlement/dispute.py", "DisputeStage"),  # of `Stage`
    }
    assert set(get_args(DisputeStage)) <= FOUND["escrow"]
    assert set(STATUS_OF) == FOUND["task"]


def test_the_ends_of_a_task_are_those_in_which_it_stays() -> None:
    assert {state for state, limit in STATES["task"].items() if limit == END} == set(ENDS)


def test_only_an_end_or_somebody_s_own_money_stays() -> None:
    for thing, states in STATES.items():
        for state, limit in states.items():
            stays = limit in (END, OWN) or (thing == "money" and state in STAYING)
            assert (limit.after == "–") == stays, (thing, state)
            assert limit.then


def test_what_money_becomes_is_money() -> None:
    kinds = account_kinds()
    for state, limit in STATES["money"].items():
        if limit.after != "–":
            assert set(limit.then.split(", ")) <= kinds, state


def test_the_figures_are_those_of_the_code() -> None:
    assert f"{ANCHORED_WITHIN_S:.0f} s" in STATES["task"]["verified"].after
