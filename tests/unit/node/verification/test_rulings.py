"""Rulings: equality decides, and a majority of equal ones."""

import itertools

import msgspec
import pytest

from node.verification.claims import StatementInvalid
from node.verification.draws import Pass
from node.verification.rulings import (
    Decision,
    Ruling,
    check_ruling,
    decide_appeal,
    ruling_bytes,
)

CHAIN = "cpc-devnet-1"
A, B, C = (bytes([letter]) * 32 for letter in b"abc")
JURORS = [bytes([number]) * 32 for number in range(5)]


def rulings(*hashes: bytes | None) -> list[Ruling]:
    """Of one job each; None says nothing."""
    pairs = zip(JURORS, hashes, strict=False)
    return [Ruling("t", 1, b"j", (one,), key) for key, one in pairs if one is not None]


TABLE = [
    ((), None),
    ((A,), None),
    ((B,), None),
    ((A, A), "upheld"),
    ((B, B), "overturned"),
    ((A, B), None),
    ((A, B, A), "upheld"),
    ((A, B, B), "overturned"),
    ((B, None, B), "overturned"),
    ((A, B, C), "inconclusive"),
    ((A, A, B), "upheld"),
    ((A, A, A), "upheld"),
]


@pytest.mark.parametrize(("said", "outcome"), TABLE)
def test_two_of_three_decide(said: tuple[bytes, ...], outcome: str | None) -> None:
    decision = decide_appeal(rulings(*said), [A], seats=3, needed=2)
    assert (decision.outcome if decision else None) == outcome
    if decision is not None:
        voted = [key for key, one in zip(JURORS, said, strict=False) if one]
        winner = {"upheld": A, "overturned": B, "inconclusive": None}[outcome or ""]
        pairs = zip(JURORS, said, strict=False)
        assert decision.agreeing == tuple(key for key, one in pairs if one == winner)
        assert set(decision.agreeing) <= set(voted)
        assert decision.wrong == ((0,) if outcome == "overturned" else ())


def test_a_seat_that_is_missing_decides_nothing() -> None:
    """Two seats of which two have to agree: one juror that says something else ends it."""
    assert decide_appeal(rulings(A), [A], seats=2, needed=2) is None
    assert decide_appeal(rulings(A, B), [A], seats=2, needed=2) == Decision("inconclusive")


def test_three_of_five_in_any_order() -> None:
    """The outcome does not depend on who spoke first, and no later ruling changes it."""
    for said in itertools.product((A, B, C), repeat=5):
        decisions = [
            decide_appeal(rulings(*said[:heard]), [A], seats=5, needed=3) for heard in range(6)
        ]
        first = next((one.outcome for one in decisions if one is not None), None)
        assert all(one is None or one.outcome == first for one in decisions)
        most = max(said.count(one) for one in (A, B, C))
        assert (first == "inconclusive") == (most < 3)
        assert (first == "upheld") == (said.count(A) >= 3)


def test_one_false_job_of_many() -> None:
    found = [Ruling("t", 1, b"j", (A, C, C), key) for key in JURORS[:2]]
    decision = decide_appeal(found, [A, B, C], seats=3, needed=2)
    assert decision == Decision("overturned", (1,), tuple(JURORS[:2]))


def test_jurors_that_differ_in_one_job_do_not_agree() -> None:
    found = [
        Ruling("t", 1, b"j", hashes, key)
        for key, hashes in zip(JURORS, [(A, B), (A, C), (C, B)], strict=False)
    ]
    assert decide_appeal(found, [A, A], seats=3, needed=2) == Decision("inconclusive")


def test_a_juror_counts_once() -> None:
    twice = [*rulings(B), *rulings(B)]
    assert decide_appeal(twice, [A], seats=3, needed=2) is None


def test_its_bytes_are_these(cast, make_author) -> None:
    jury = cast.jury(*map(make_author, (11, 12, 13)))
    ruling = cast.ruling(jury, make_author(11), A)
    fields = ruling_bytes(ruling, CHAIN)
    assert fields.startswith(b"\x00\x00\x00\x0dtmnode/ruling\x00\x02\x00\x00\x00\x0ccpc-devnet-1")
    assert fields.endswith((1).to_bytes(8, "big") + b"\x00\x00\x00\x20" + A)


def test_whose_ruling_counts(cast, make_author) -> None:
    """A juror's who is seated, about the case: whoever else lost a seat meanwhile."""
    jurors = [make_author(number) for number in (11, 12, 13)]
    jury, juror = cast.jury(*jurors), jurors[0]
    check_ruling(cast.ruling(jury, juror, A), jury, CHAIN)
    [silent] = [seat for seat in jury.seats if seat.key == jurors[1].identity.public_key]
    passed = (Pass(1, silent.key, "rule", "unreachable", 1_000),)
    later = cast.jury(*jurors, passed=passed, seats=tuple(s for s in jury.seats if s != silent))
    check_ruling(cast.ruling(jury, juror, A), later, CHAIN)
    with pytest.raises(StatementInvalid, match="not in this jury"):
        check_ruling(cast.ruling(jury, jurors[1], A), later, CHAIN)
    other = cast.jury(*jurors, expires_ms=5)
    wrong = [
        cast.ruling(jury, make_author(20), A),
        cast.ruling(jury, cast.validators[0], A),
        cast.ruling(other, juror, A),
        cast.ruling(jury, juror, A, epoch=2),
        cast.ruling(jury, juror, A, task_id="another"),
        cast.ruling(jury, juror, A, B),
        cast.ruling(jury, juror),
        cast.ruling(jury, juror, b"short"),
        msgspec.structs.replace(cast.ruling(jury, juror, A), hashes=(B,)),
        msgspec.structs.replace(
            cast.ruling(jury, juror, A), validator_key=jurors[1].identity.public_key
        ),
    ]
    for one in wrong:
        with pytest.raises(StatementInvalid):
            check_ruling(one, jury, CHAIN)
    with pytest.raises(StatementInvalid):
        check_ruling(cast.ruling(jury, juror, A), jury, "another")
