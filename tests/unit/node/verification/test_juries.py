"""Juries: who computes a disputed task again follows from what anybody can look up."""

import msgspec
import pytest

from node.amounts import Amount
from node.verification.claims import StatementInvalid
from node.verification.draws import Seat
from node.verification.juries import (
    JuryJob,
    check_jurors,
    check_jury,
    draw_jury,
    involved,
    jury_digest,
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
    digest = jury_digest(cast.jury(*jurors), CHAIN)
    assert digest.hex() == "00fc177e75c34f1769c1f41d44ccc1c5c5bae8879be0b3b325ce35ce28d2320c"


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
