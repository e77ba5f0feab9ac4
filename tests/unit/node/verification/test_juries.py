"""Juries: who computes a disputed task again follows from what anybody can look up."""

from hashlib import sha256

import msgspec
import pytest

from node.amounts import Amount
from node.verification.claims import StatementInvalid
from node.verification.draws import Pass, Refusal, Seat, sign_refusal
from node.verification.juries import (
    MAX_REPLACED,
    Jury,
    JuryJob,
    case_digest,
    check_jurors,
    check_jury,
    draw_jury,
    involved,
    jury_bytes,
    seats_of,
    sign_jury,
)
from node.verification.snapshots import draw_from, snapshot_digest

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"
SIZE = 3
NAMED = {"task_id": TASK, "epoch": 1, "kind": "synthetic", "size": SIZE}


@pytest.fixture
def jurors(make_author):
    return [make_author(number) for number in (11, 12, 13, 14)]


def passing(key: bytes, reason: str = "unreachable", **changes: object) -> Pass:
    return msgspec.structs.replace(Pass(1, key, "rule", reason, 1_000), **changes)


def replaced(cast, jurors, *places: int, **changes: object) -> Jury:
    """The jury after those at these places of its ranking were passed over, one by one."""
    jury, snapshot = cast.jury(*jurors), cast.snapshot(*jurors)
    ranked = draw_jury(snapshot, **NAMED, beacon=jury.beacon, excluded=jury.excluded)
    more = draw_jury(snapshot, **NAMED | {"size": 9}, beacon=jury.beacon, excluded=jury.excluded)
    assert more[:SIZE] == ranked
    changes.setdefault("passed", tuple(passing(more[place].key) for place in places))
    without = msgspec.structs.replace(jury, passed=changes["passed"])
    changes.setdefault("seats", seats_of(without, snapshot, SIZE))
    return cast.jury(*jurors, **changes)


def refused(call, *arguments) -> str:
    with pytest.raises(StatementInvalid) as error:
        call(*arguments)
    return str(error.value)


def test_a_jury_holds(cast, jurors) -> None:
    jury = cast.jury(*jurors)
    assert len(jury.seats) == SIZE
    check_jury(jury, CHAIN)
    check_jury(jury, CHAIN, [cast.market.identity.peer_id])
    check_jurors(jury, cast.snapshot(*jurors), SIZE, CHAIN)


def test_its_bytes_are_these(cast, jurors) -> None:
    """What other software has to sign the same."""
    jury = cast.jury(*jurors)
    assert (
        case_digest(jury, CHAIN).hex()
        == "f723743949e51b549ee1ed40db49f4d38e2d3a589b2f50e96b2a9dc5fcc43470"
    )
    signed = sha256(jury_bytes(jury, CHAIN)).hexdigest()
    assert signed == "6382ddfee5fa818da8d8e3a34db171753ad79f396a177078c194eba298a49559"
    later = replaced(cast, jurors, 0)
    signed = sha256(jury_bytes(later, CHAIN)).hexdigest()
    assert signed == "381c0be02d5c1acf34b40262c743a6905ad2ec3d1b0be9283f912e116d18d97c"


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": "another"},
        {"epoch": 2},
        {"kind": "rendering"},
        {"parameters": b"p"},
        {"jobs": (JuryJob(7, "cpc1w"),)},
        {"jobs": ()},
        {"fee": Amount(1)},
        {"beacon": bytes(32)},
        {"snapshot": bytes(32)},
        {"excluded": ()},
        {"seats": ()},
        {"needed": 1},
        {"expires_ms": 1},
        {"passed": (Pass(1, b"k" * 32, "rule", "no_ruling", 5),)},
        {"signature": bytes(64)},
    ],
)
def test_nothing_of_it_can_be_changed(cast, jurors, change) -> None:
    jury = msgspec.structs.replace(cast.jury(*jurors), **change)
    assert "did not sign" in refused(check_jury, jury, CHAIN)


def test_what_a_market_may_not_sign(cast, jurors) -> None:
    jury = cast.jury(*jurors)
    first, second = jury.seats[:2]
    for change, words in (
        ({"seats": (first, first), "needed": 2}, "distinct seats"),
        ({"needed": 4}, "distinct seats"),
        ({"needed": 0}, "distinct seats"),
        ({"seats": (Seat(b"short", "cpc1a"), second)}, "distinct seats"),
        ({"beacon": b""}, "32 bytes"),
        ({"snapshot": b""}, "32 bytes"),
        ({"excluded": jury.excluded[::-1]}, "rising keys"),
        ({"excluded": (jury.excluded[0],) * 2}, "rising keys"),
        ({"excluded": (b"short",)}, "rising keys"),
    ):
        assert words in refused(check_jury, cast.jury(*jurors, **change), CHAIN)
    assert "pins other" in refused(check_jury, jury, CHAIN, [cast.worker.identity.peer_id])
    assert "did not sign" in refused(check_jury, jury, "another")


def test_seats_follow_from_the_snapshot_and_who_is_excluded(cast, jurors) -> None:
    jury, snapshot = cast.jury(*jurors), cast.snapshot(*jurors)
    wrong = [
        cast.jury(*jurors, seats=jury.seats[:2]),
        cast.jury(*jurors, seats=jury.seats[::-1]),
        cast.jury(*jurors, excluded=tuple(sorted((*jury.excluded, jury.seats[0].key)))),
        cast.jury(*jurors, beacon=b"c" * 32),
        cast.jury(*jurors, excluded=jury.excluded[:1]),
    ]
    for one in wrong:
        check_jury(one, CHAIN)
        assert "do not follow" in refused(check_jurors, one, snapshot, SIZE, CHAIN)
    assert "another snapshot" in refused(check_jurors, jury, cast.snapshot(), SIZE, CHAIN)


def test_a_snapshot_of_another_market(cast, jurors) -> None:
    snapshot = cast.snapshot(*jurors)
    other = sign_jury(
        msgspec.structs.replace(cast.jury(*jurors), snapshot=snapshot_digest(snapshot, CHAIN)),
        CHAIN,
        jurors[0].identity,
    )
    check_jury(other, CHAIN)
    assert "another market's" in refused(check_jurors, other, snapshot, SIZE, CHAIN)


def test_whoever_has_to_do_with_it_is_excluded_by_key_and_by_address(cast, jurors) -> None:
    snapshot = cast.snapshot(*jurors)
    key, address = jurors[0].identity.public_key, jurors[1].address
    found = involved(snapshot, {key}, {address, "cpc1nobody"})
    assert found == tuple(sorted((key, jurors[1].identity.public_key)))
    drawn = draw_jury(snapshot, **NAMED, beacon=bytes(32), excluded=found)
    assert not {one.key for one in drawn} & set(found)


def test_nobody_knows_a_jury_before_its_block(cast, make_author) -> None:
    """Neither from the task's own draw nor from another block."""
    snapshot = cast.snapshot(*map(make_author, range(11, 31)))
    beacons = [bytes([number]) * 32 for number in range(20)]
    juries = {draw_jury(snapshot, **NAMED, beacon=one, excluded=()) for one in beacons}
    assert len(juries) == len(beacons)
    assert draw_from(snapshot, **NAMED) not in juries


def test_whoever_is_passed_over_lets_the_next_in_rank_in(cast, make_author) -> None:
    """One after the other, also one that came in so; what they compute stays the same."""
    jurors = [make_author(number) for number in range(11, 17)]
    snapshot, first = cast.snapshot(*jurors), cast.jury(*jurors)
    ranked = draw_jury(
        snapshot, **NAMED | {"size": 6}, beacon=first.beacon, excluded=first.excluded
    )
    keys = [one.key for one in ranked]
    for places, seated in (
        ((1,), (0, 2, 3)),
        ((1, 3), (0, 2, 4)),
        ((2, 0, 1), (3, 4, 5)),
        ((0, 3, 4), (1, 2, 5)),
    ):
        later = replaced(cast, jurors, *places)
        assert [seat.key for seat in later.seats] == [keys[one] for one in seated]
        check_jury(later, CHAIN)
        check_jurors(later, snapshot, SIZE, CHAIN)
        assert case_digest(later, CHAIN) == case_digest(first, CHAIN)
        assert jury_bytes(later, CHAIN) != jury_bytes(first, CHAIN)


def test_nobody_is_passed_over_who_had_no_seat(cast, make_author) -> None:
    """A market cannot reach whom it likes by skipping those before it, nor empty a seat."""
    jurors = [make_author(number) for number in range(11, 17)]
    snapshot, first = cast.snapshot(*jurors), cast.jury(*jurors)
    ranked = draw_jury(
        snapshot, **NAMED | {"size": 6}, beacon=first.beacon, excluded=first.excluded
    )
    keys = [one.key for one in ranked]
    for skipped in ((3,), (0, 4), (3, 0)):
        passed = tuple(passing(keys[one]) for one in skipped)
        left = [one for one in ranked if one.key not in {p.key for p in passed}][:SIZE]
        seats = tuple(Seat(one.key, one.address) for one in left)
        wrong = cast.jury(*jurors, passed=passed, seats=seats)
        check_jury(wrong, CHAIN)
        assert "had no seat" in refused(check_jurors, wrong, snapshot, SIZE, CHAIN)
    shrunk = replaced(cast, jurors, 0, 1, 2, 3)
    check_jury(shrunk, CHAIN)
    assert len(shrunk.seats) == SIZE - 1
    assert "nobody was there" in refused(check_jurors, shrunk, snapshot, SIZE, CHAIN)


def test_seats_that_are_not_those_of_the_next(cast, make_author) -> None:
    jurors = [make_author(number) for number in range(11, 17)]
    snapshot, good = cast.snapshot(*jurors), replaced(cast, jurors, 0)
    later = replaced(cast, jurors, 0, 1)
    for wrong in (
        cast.jury(*jurors, passed=good.passed),
        cast.jury(*jurors, passed=good.passed, seats=later.seats),
        cast.jury(*jurors, seats=good.seats),
        cast.jury(*jurors, passed=good.passed, seats=good.seats[:2]),
    ):
        check_jury(wrong, CHAIN)
        assert "do not follow" in refused(check_jurors, wrong, snapshot, SIZE, CHAIN)


def test_what_a_pass_has_to_be(cast, make_author) -> None:
    """Of a juror, in this task and epoch, once; a refusal its own word."""
    jurors = [make_author(number) for number in range(11, 17)]
    author = next(
        one for one in jurors if one.identity.public_key == cast.jury(*jurors).seats[0].key
    )
    key = author.identity.public_key

    def refusal(**changes: object) -> Refusal:
        plain = Refusal(TASK, 1, "rule", "busy", 1_000, b"")
        return sign_refusal(msgspec.structs.replace(plain, **changes), CHAIN, author.identity)

    good = passing(key, "refused", refusal=refusal())
    check_jury(cast.jury(*jurors, passed=(good,)), CHAIN)
    unsigned = msgspec.structs.replace(refusal(), signature=bytes(64))
    many = tuple(passing(bytes([number]) * 32) for number in range(MAX_REPLACED + 1))
    for passed, words in (
        ((good, good), "twice"),
        (many, "too many"),
        ((passing(key, epoch=2),), "another duty or epoch"),
        ((passing(key, duty="check"),), "another duty or epoch"),
        ((passing(key, "refused"),), "missing"),
        ((passing(key, "unreachable", refusal=refusal()),), "the reverse"),
        ((passing(key, "refused", refusal=unsigned),), "did not sign"),
        ((passing(key, "refused", refusal=refusal(task_id="another")),), "something else"),
        ((passing(key, "refused", refusal=refusal(duty="check")),), "something else"),
        ((passing(jurors[1].identity.public_key, "refused", refusal=refusal()),), "something"),
    ):
        assert words in refused(check_jury, cast.jury(*jurors, passed=passed), CHAIN)
