"""Many escrows in one payload: each is as if it were alone, and there is one form of everything."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import Amount
from node.l1.errors import BadPayload
from node.l1.escrow import (
    Claim,
    Opening,
    Openings,
    Payee,
    Settlement,
    open_escrows,
    settle_escrows,
)
from node.l1.escrow.reading import read_parts
from node.l1.keys import address_of

Payload = dict[str, Any]
PEOPLE = sorted(address_of(bytes([number]) * 33) for number in range(6))
NAMES = [f"{number:064x}" for number in range(6)]


def payees(most: int, least: int = 0) -> st.SearchStrategy[tuple[Payee, ...]]:
    """Some of the people, in order."""
    chosen = st.sets(st.sampled_from(PEOPLE), min_size=least, max_size=most).map(sorted)
    weights = st.lists(st.integers(1, 2**63 - 1), min_size=most, max_size=most)
    return st.builds(
        lambda some, weigh: tuple(
            Payee(address=address, weight=weight)
            for address, weight in zip(some, weigh, strict=False)
        ),
        chosen,
        weights,
    )


CLAIMS = st.builds(
    Claim,
    workers=payees(4, least=1),
    validators=payees(4),
    orchestrator=st.sampled_from(PEOPLE),
    results=st.sampled_from(NAMES),
)
SETTLED = st.dictionaries(st.sampled_from(NAMES), CLAIMS, min_size=1)


@given(SETTLED)
def test_claims_come_back_as_they_were(claims: dict[str, Claim]) -> None:
    """By rising escrows, whatever their order was."""
    draft = settle_escrows(claims, [])
    form = read_parts("ESCROW_SETTLE", None, 0, draft.payload)
    assert isinstance(form, Settlement)
    assert form.each == claims
    assert list(form.each) == sorted(claims)
    backwards = dict(reversed(claims.items()))
    assert settle_escrows(backwards, []).payload == draft.payload


TASKS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(PEOPLE), st.integers(1, 10**36)),
    min_size=1,
    unique_by=lambda task: task[0],
)


@given(TASKS)
def test_openings_come_back_as_they_were(parties: Any, tasks: list[tuple[str, str, int]]) -> None:
    openings: list[Opening] = [
        parties.opening(task, customer=customer, amount=Amount(units), deadline=20 + units % 7)
        for task, customer, units in tasks
    ]
    payload = open_escrows(openings).payload
    form = read_parts("ESCROW_OPEN", None, 0, payload)
    assert isinstance(form, Openings)
    assert list(form.each) == sorted(openings, key=lambda one: one.task_id)
    assert open_escrows(reversed(openings)).payload == payload


def test_one_opening_has_one_set_of_terms(parties: Any) -> None:
    """Nobody's money is bound to another quorum than was meant."""
    for changes in (
        {"k": 2},
        {"grace": 6},
        {"fee_reserve": Amount(1)},
        {"validators": parties.opening().validators[:4]},
        {"burn_address": "cpc1burn"},
    ):
        with pytest.raises(BadPayload, match=r"^tasks: are not all under the same terms"):
            open_escrows([parties.opening(), parties.opening("other", **changes)])


def test_a_task_is_opened_once_in_a_transaction(parties: Any) -> None:
    twice = [parties.opening(), parties.opening(deadline=21)]
    with pytest.raises(BadPayload, match=r"^tasks: are not in strictly rising order"):
        open_escrows(twice)


@pytest.fixture(scope="module")
def payloads(parties: Any) -> dict[str, Payload]:
    """Two tasks of two customers opened, and two claims that pay the same six."""
    customers = (parties.customer.address, parties.worker.address)
    openings = [parties.opening(one, customer=one) for one in customers]
    claims = {parties.name_of(one): parties.claim() for one in openings}
    return {
        "ESCROW_OPEN": open_escrows(openings).payload,
        "ESCROW_SETTLE": settle_escrows(claims, []).payload,
    }


ROWS: list[tuple[str, str, int, Callable[[Payload], list[Any]]]] = [
    ("ESCROW_OPEN", "tasks[1]", 4, lambda payload: payload["tasks"][1]),
    ("ESCROW_SETTLE", "claims[1]", 5, lambda payload: payload["claims"][1]),
    ("ESCROW_SETTLE", "claims[0].workers[0]", 2, lambda payload: payload["claims"][0][1][0]),
    ("ESCROW_SETTLE", "claims[1].validators[2]", 2, lambda payload: payload["claims"][1][2][2]),
]


@pytest.mark.parametrize(("tx_type", "field", "length", "row"), ROWS)
@pytest.mark.parametrize("by", [1, -1])
def test_a_row_has_its_length(
    payloads: dict[str, Payload],
    tx_type: str,
    field: str,
    length: int,
    row: Callable[[Payload], list[Any]],
    by: int,
) -> None:
    payload = copy.deepcopy(payloads[tx_type])
    values = row(payload)
    values[:] = [*values, 1] if by == 1 else values[:-1]
    with pytest.raises(BadPayload) as caught:
        read_parts(tx_type, None, 0, payload)
    assert caught.value.field == field
    assert str(length) in caught.value.problem
    assert str(length + by) in caught.value.problem


def test_nothing_stands_in_a_list_in_vain(payloads: dict[str, Payload]) -> None:
    """Else one claim could be in many payloads, and anybody make another transaction of it."""
    for tx_type, name, what in (
        ("ESCROW_OPEN", "customers", "task"),
        ("ESCROW_SETTLE", "payees", "claim"),
    ):
        payload = copy.deepcopy(payloads[tx_type])
        before = len(payload[name])
        payload[name] = sorted([*payload[name], max(PEOPLE)])
        assert payload[name][-1] == max(PEOPLE), "no other place has moved"
        with pytest.raises(BadPayload) as caught:
            read_parts(tx_type, None, 0, payload)
        assert caught.value.problem == f"{name}[{before}]: is not that of a {what}"
