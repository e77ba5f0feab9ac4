"""Snapshots: signed as they are, and drawn from so that nobody chooses."""

from collections import Counter
from math import log2

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.verification import snapshots as module
from node.verification.claims import StatementInvalid
from node.verification.snapshots import (
    MAX_CANDIDATES,
    MAX_KINDS,
    Candidate,
    Snapshot,
    check_snapshot,
    draw_from,
    sign_snapshot,
    snapshot_digest,
)

CHAIN = "cpc-devnet-1"
ASKED = {"task_id": "550e8400-e29b-41d4-a716-446655440000", "epoch": 1, "kind": "synthetic"}


def candidates(count: int, weights: dict[int, int] | None = None) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(bytes([n]) * 32, f"cpc1{n}", (weights or {}).get(n, 1), ("synthetic",))
        for n in range(count)
    )


def snapshot(*some: Candidate) -> Snapshot:
    return Snapshot(0, bytes(32), 5, some, b"m" * 32)


def test_a_market_signs_its_snapshot(cast) -> None:
    one = cast.snapshot()
    check_snapshot(one, CHAIN)
    with pytest.raises(StatementInvalid):
        check_snapshot(one, "another")
    changes = {"number": 8, "previous": b"p" * 32, "taken_ms": 1, "signature": bytes(64)}
    changes |= {"candidates": one.candidates[:2], "market_key": cast.worker.identity.public_key}
    digests = {snapshot_digest(one, CHAIN)}
    for field, value in changes.items():
        changed = msgspec.structs.replace(one, **{field: value})
        digests.add(snapshot_digest(changed, CHAIN))
        with pytest.raises(StatementInvalid):
            check_snapshot(changed, CHAIN)
    assert len(digests) == len(changes)  # the signature is no part of it


@pytest.mark.parametrize(
    ("field", "value"), [("address", "cpc1other"), ("weight", 2), ("kinds", ("rendering",))]
)
def test_every_part_of_a_candidate_is_signed(cast, field: str, value: object) -> None:
    one = cast.snapshot()
    changed = msgspec.structs.replace(one.candidates[0], **{field: value})
    with pytest.raises(StatementInvalid):
        check_snapshot(
            msgspec.structs.replace(one, candidates=(changed, *one.candidates[1:])), CHAIN
        )


def unsound(cast) -> list[Snapshot]:
    one, many = cast.snapshot(), candidates(3)
    crowd = tuple(
        Candidate(n.to_bytes(32, "big"), "cpc1", 1, ()) for n in range(MAX_CANDIDATES + 1)
    )
    short = Candidate(b"k", "cpc1", 1, ())
    versatile = Candidate(bytes(32), "cpc1", 1, ("kind",) * (MAX_KINDS + 1))
    lists = ((many[1], many[0]), (many[0], many[0]), crowd, (short,), (versatile,))
    changed = [msgspec.structs.replace(one, candidates=some) for some in lists]
    return [*changed, msgspec.structs.replace(one, previous=b"short")]


def test_what_is_unsound_is_refused_whoever_signed_it(cast) -> None:
    for one in unsound(cast):
        with pytest.raises(StatementInvalid):
            check_snapshot(sign_snapshot(one, CHAIN, cast.market.identity), CHAIN)


@given(order=st.permutations(candidates(6)), epoch=st.integers(1, 99))
def test_nobody_chooses(order: list[Candidate], epoch: int) -> None:
    asked = {**ASKED, "epoch": epoch}
    drawn = draw_from(snapshot(*order), size=3, **asked)
    assert drawn == draw_from(snapshot(*candidates(6)), size=3, **asked)
    assert len(set(drawn)) == 3


@given(gone=st.integers(0, 5), epoch=st.integers(1, 99))
def test_whoever_leaves_moves_only_its_own_seat(gone: int, epoch: int) -> None:
    asked, everybody = {**ASKED, "epoch": epoch}, candidates(6)
    before = draw_from(snapshot(*everybody), size=3, **asked)
    without = tuple(one for one in everybody if one is not everybody[gone])
    after = draw_from(snapshot(*without), size=3, **asked)
    assert set(before) - {everybody[gone]} <= set(after)
    passed = draw_from(snapshot(*everybody), size=3, passed=[everybody[gone].key], **asked)
    assert passed == after


def test_only_who_checks_the_kind_is_drawn() -> None:
    other = msgspec.structs.replace(candidates(1)[0], kinds=("rendering",))
    assert draw_from(snapshot(other), size=3, **ASKED) == ()


def test_seats_are_spread_by_weight() -> None:
    some = candidates(4, {0: 3})
    firsts = Counter(
        draw_from(snapshot(*some), size=1, **{**ASKED, "task_id": f"task-{n}"})[0].address
        for n in range(3000)
    )
    assert 1400 < firsts["cpc10"] < 1600
    assert all(420 < firsts[f"cpc1{n}"] < 580 for n in (1, 2, 3))


@given(digest=st.integers(1, 2**256 - 1))
def test_the_logarithm_is_right(digest: int) -> None:
    exact = 256 - log2(digest)
    assert abs(module._cost(digest) / 2**module.LOG_BITS - exact) < 1e-9


def test_the_ends_of_the_logarithm() -> None:
    assert module._cost(0) == module._cost(1) == 256 << module.LOG_BITS
    assert module._cost(2**255) == 1 << module.LOG_BITS
    assert module._cost(2**256 - 1) <= 1
