"""Draws: seats that follow from a snapshot, and those passed over with their reasons."""

import msgspec
import pytest

from node.verification.claims import StatementInvalid
from node.verification.draws import (
    MAX_PASSED,
    MAX_REFUSAL,
    Pass,
    Refusal,
    Seat,
    check_draw,
    check_pass,
    check_seats,
    passed_keys,
    seat_of,
    sign_refusal,
)
from node.verification.snapshots import snapshot_digest

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"
SIZE = 3


def refusal_of(cast, place: int = 0, **changes: object) -> Refusal:
    fields = {"task_id": TASK, "epoch": 1, "duty": "check", "reason": "busy", "at_ms": 5}
    refusal = Refusal(**{**fields, **changes}, validator_key=b"")
    return sign_refusal(refusal, CHAIN, cast.validators[place].identity)


def pass_of(cast, place: int = 0, reason: str = "refused", **changes: object) -> Pass:
    key = cast.validators[place].identity.public_key
    refusal = refusal_of(cast, place) if reason == "refused" else None
    return msgspec.structs.replace(Pass(1, key, "check", reason, 5, refusal), **changes)


@pytest.mark.parametrize("reason", ["refused", "unreachable", "no_commitment", "no_reveal"])
def test_a_pass_has_its_reason(cast, reason: str) -> None:
    check_pass(pass_of(cast, reason=reason), TASK, CHAIN)


def test_a_refusal_is_its_validator_s_own_and_about_this(cast) -> None:
    refusal = refusal_of(cast)
    others = [
        None,
        refusal_of(cast, 1),
        refusal_of(cast, task_id="another"),
        refusal_of(cast, epoch=2),
        refusal_of(cast, duty="orchestrate"),
        refusal_of(cast, reason="x" * (MAX_REFUSAL + 1)),
        msgspec.structs.replace(refusal, reason="tired"),
        msgspec.structs.replace(refusal, at_ms=6),
        msgspec.structs.replace(refusal, signature=bytes(64)),
    ]
    for other in others:
        with pytest.raises(StatementInvalid):
            check_pass(pass_of(cast, refusal=other), TASK, CHAIN)
    with pytest.raises(StatementInvalid):
        check_pass(pass_of(cast, reason="no_reveal", refusal=refusal), TASK, CHAIN)
    with pytest.raises(StatementInvalid):
        check_pass(pass_of(cast), TASK, "another")


def test_only_this_epochs_checkers_are_drawn_without(cast) -> None:
    passed = [
        pass_of(cast, 0),
        pass_of(cast, 1, "no_reveal", epoch=2),
        pass_of(cast, 2, "unreachable", duty="orchestrate"),
    ]
    assert passed_keys(passed, 1) == {cast.validators[0].identity.public_key}


def test_seats_follow_from_the_snapshot(cast, make_author) -> None:
    draw, snapshot = cast.draw(), cast.snapshot()
    check_draw(draw, CHAIN)
    check_seats(draw, snapshot, SIZE, CHAIN)
    turned = cast.draw(seats=draw.seats[::-1])
    check_seats(turned, snapshot, SIZE, CHAIN)  # who orchestrates is the market's choice
    assert seat_of(draw, draw.seats[1].key) == draw.seats[1]
    with pytest.raises(StatementInvalid):
        seat_of(draw, bytes(32))


def test_seats_of_somebody_s_choice_are_refused(cast, make_author) -> None:
    seats = cast.draw().seats
    elsewhere = Seat(seats[0].key, cast.worker.address)
    stranger = Seat(make_author(9).identity.public_key, make_author(9).address)
    for chosen in (seats[:2], (elsewhere, *seats[1:]), (stranger, *seats[1:])):
        with pytest.raises(StatementInvalid, match="do not follow"):
            check_seats(cast.draw(seats=chosen), cast.snapshot(), SIZE, CHAIN)


def test_a_draw_is_from_its_own_snapshot(cast) -> None:
    draw = cast.draw()
    with pytest.raises(StatementInvalid, match="another snapshot"):
        check_seats(draw, cast.snapshot(number=8), SIZE, CHAIN)
    foreign = msgspec.structs.replace(cast.snapshot(), market_key=bytes(32))
    stolen = cast.draw(snapshot=snapshot_digest(foreign, CHAIN))
    with pytest.raises(StatementInvalid, match="another market"):
        check_seats(stolen, foreign, SIZE, CHAIN)


def test_a_seat_filled_anew(cast, make_author) -> None:
    fourth = make_author(11)
    snapshot = cast.snapshot(fourth)
    everybody = {one.identity.public_key: one for one in (*cast.validators, fourth)}
    gone = cast.validators[0].identity.public_key
    left = [Seat(key, one.address) for key, one in everybody.items() if key != gone]
    named = {"snapshot": snapshot_digest(snapshot, CHAIN), "seats": tuple(left), "redraw": 1}
    check_seats(cast.draw(**named, passed=(pass_of(cast),)), snapshot, SIZE, CHAIN)
    unsigned = msgspec.structs.replace(refusal_of(cast), signature=bytes(64))
    for passed in ((), (pass_of(cast, epoch=2),), (pass_of(cast, refusal=unsigned),)):
        with pytest.raises(StatementInvalid):
            check_seats(cast.draw(**named, passed=passed), snapshot, SIZE, CHAIN)


def test_the_log_of_a_draw_is_signed_and_bounded(cast) -> None:
    draw = cast.draw(passed=(pass_of(cast, 0, "no_reveal"),))
    check_draw(draw, CHAIN)
    other = msgspec.structs.replace(draw, passed=(pass_of(cast, 0, "unreachable"),))
    for changed in (other, msgspec.structs.replace(draw, passed=())):
        with pytest.raises(StatementInvalid, match="did not sign"):
            check_draw(changed, CHAIN)
    check_draw(cast.draw(passed=(pass_of(cast),) * MAX_PASSED), CHAIN)
    with pytest.raises(StatementInvalid, match="too many"):
        check_draw(cast.draw(passed=(pass_of(cast),) * (MAX_PASSED + 1)), CHAIN)


def test_a_draw_names_a_whole_digest(cast) -> None:
    with pytest.raises(StatementInvalid, match="no snapshot"):
        check_draw(cast.draw(snapshot=b"short"), CHAIN)
