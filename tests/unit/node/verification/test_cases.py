"""Who may sit in a jury, and what its decision means, as markets and validators work it out."""

from typing import Any

import msgspec
import pytest

from node.verification.acts import acts_of
from node.verification.cases import (
    Findings,
    Parties,
    check_about,
    check_excluded,
    check_strangers,
    findings_of,
    parties_of,
)
from node.verification.claims import StatementInvalid
from node.verification.rulings import Decision
from node.verification.statements import Judgement

CUSTOMER, CREDITED = "cpc1customer", "cpc1credited"


@pytest.fixture
def jurors(make_author) -> list[Any]:
    return [make_author(number) for number in (11, 12, 13, 14)]


def test_all_who_sat_or_were_passed_over_have_to_do_with_it(cast) -> None:
    draw = cast.draw()
    found = parties_of([draw], ["cpc1worker"])
    assert found.keys == {seat.key for seat in draw.seats}
    assert found.addresses == {seat.address for seat in draw.seats} | {"cpc1worker"}


def test_a_jury_is_about_these_results_and_no_others(cast, jurors) -> None:
    draw, jury = cast.draw(), cast.jury(*jurors)
    result = cast.result(draw)
    check_about(jury, draw, [result])
    for changed in ({"nonce": result.nonce + 1}, {"worker_address": "cpc1other"}):
        with pytest.raises(StatementInvalid, match="other results"):
            check_about(jury, draw, [msgspec.structs.replace(result, **changed)])
    with pytest.raises(StatementInvalid, match="other results"):
        check_about(jury, draw, [result, result])
    for changed in ({"epoch": 9}, {"task_id": "x"}, {"parameters": b""}, {"market_key": b""}):
        with pytest.raises(StatementInvalid, match="another task"):
            check_about(jury, msgspec.structs.replace(draw, **changed), [result])


def test_no_juror_had_to_do_with_it(cast, jurors) -> None:
    jury = cast.jury(*jurors)
    check_strangers(jury, Parties(frozenset(), frozenset()))
    seat = jury.seats[0]
    for party in (
        Parties(frozenset({seat.key}), frozenset()),
        Parties(frozenset(), frozenset({seat.address})),
    ):
        with pytest.raises(StatementInvalid, match="had to do with the result"):
            check_strangers(jury, party)


def excluding(cast, jurors, *who: Any) -> Any:
    keys = tuple(sorted(one.identity.public_key for one in who))
    return msgspec.structs.replace(cast.jury(*jurors), excluded=keys)


def test_the_parties_are_excluded_and_one_account_more_may_be(cast, jurors) -> None:
    """The customer's, which nobody but the market knows of a task on credit."""
    first, second, third, _ = jurors
    snapshot = cast.snapshot(*jurors)
    party = Parties(frozenset({first.identity.public_key}), frozenset({second.address}))
    check_excluded(excluding(cast, jurors, first, second), snapshot, party, CUSTOMER)
    check_excluded(excluding(cast, jurors, first, second, third), snapshot, party, CUSTOMER)
    check_excluded(excluding(cast, jurors, first, second, third), snapshot, party, third.address)
    cases = {
        "may be drawn": [(first,), (second,), ()],
        "not only those": [tuple(jurors)],
    }
    for why, sets in cases.items():
        for who in sets:
            with pytest.raises(StatementInvalid, match=why):
                check_excluded(excluding(cast, jurors, *who), snapshot, party, CUSTOMER)
    missing = excluding(cast, jurors, first, second)
    with pytest.raises(StatementInvalid, match="may be drawn"):
        check_excluded(missing, snapshot, party, third.address)


def test_whoever_is_no_candidate_is_not_excluded(cast, jurors, make_author) -> None:
    snapshot, nobody = cast.snapshot(*jurors), Parties(frozenset(), frozenset())
    with pytest.raises(StatementInvalid, match="not only those"):
        check_excluded(excluding(cast, jurors, make_author(40)), snapshot, nobody, CUSTOMER)


def judgement(cast) -> Judgement:
    draw = cast.draw()
    result = cast.result(draw)
    verdicts = tuple(cast.verdict(draw, result, one) for one in cast.validators[:2])
    return Judgement(draw, result, cast.manifest(), verdicts)


def test_what_a_decision_means(cast, jurors) -> None:
    jury, one = cast.jury(*jurors), judgement(cast)
    agreeing = tuple(seat.key for seat in jury.seats[:2])
    paid = tuple(sorted(seat.address for seat in jury.seats[:2]))
    upheld = findings_of(Decision("upheld", (), agreeing), jury, [one])
    assert upheld == Findings("upheld", paid, (), ())
    nothing = findings_of(Decision("inconclusive"), jury, [one])
    assert nothing == Findings("inconclusive", (), (), ())
    found = findings_of(Decision("overturned", (0,), agreeing), jury, [one])
    signers = {author.address for author in cast.validators[:2]}
    culprits = tuple(sorted({one.result.worker_address} | signers))
    assert found == Findings("overturned", paid, (one.result.result_hash,), acts_of([one]))
    assert found.culprits == culprits
