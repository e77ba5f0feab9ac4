"""Snapshots one after the other, over restarts, with those kept that a draw names."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from node.market.snapshots import SnapshotLog, SnapshotRecord, candidates_of
from node.verification.snapshots import (
    MAX_CANDIDATES,
    Candidate,
    check_snapshot,
    snapshot_digest,
)
from p2p.identity import Identity
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table

CHAIN = "cpc-devnet-1"
MARKET = Identity.from_seed(b"\1" * 32)
START_MS = 1_700_000_000_000


def candidate(number: int, kind: str = "synthetic") -> Candidate:
    return Candidate(number.to_bytes(32, "big"), f"cpc1{number}", 1, (kind,))


def log_over(db) -> SnapshotLog:
    return SnapshotLog(db, MARKET, CHAIN, lambda: START_MS)


async def test_a_restored_market_signs_no_number_twice() -> None:
    """What it forgot by going back to a backup is behind its clock."""
    taken = []
    for at_ms in (START_MS, START_MS + 60_000):
        async with open_database(MemoryStore()) as db:
            log = SnapshotLog(db, MARKET, CHAIN, lambda now_ms=at_ms: now_ms)
            taken += [log.take([candidate(number)]) for number in (1, 2, 3)]
    assert len({one.number for one in taken}) == len(taken)


async def test_the_first_validator_makes_the_first_snapshot() -> None:
    async with open_database(MemoryStore()) as db:
        log = log_over(db)
        assert (log.take([]), log.newest) == (None, None)
        taken = log.take([candidate(2), candidate(1)])
        check_snapshot(taken, CHAIN)
        assert (taken.number, taken.previous) == (START_MS, bytes(32))
        assert [one.address for one in taken.candidates] == ["cpc11", "cpc12"]


async def test_nothing_is_taken_while_nothing_changes() -> None:
    async with open_database(MemoryStore()) as db:
        log = log_over(db)
        first = log.take([candidate(1)])
        changed = log.changed
        assert log.take([candidate(1)]) is None
        assert not changed.is_set()
        again = log.take([candidate(1, "rendering")])
        assert changed.is_set()
        assert (again.number, again.previous) == (START_MS + 1, snapshot_digest(first, CHAIN))
        assert log.take([]).candidates == ()


SETS = st.sets(st.integers(1, 6))
STEPS = st.lists(st.tuples(SETS, st.booleans(), st.booleans()), max_size=12)


@settings(max_examples=60)
@given(steps=STEPS)
async def test_the_chain_goes_on_over_restarts(steps) -> None:
    """The numbers rise by one, each names the one before, and exactly the newest and those that a
    draw named are kept."""
    async with open_database(MemoryStore()) as db:
        log, taken, named = log_over(db), [], set()
        for numbers, restarts, names in steps:
            one = log.take(map(candidate, numbers))
            if one is not None:
                check_snapshot(one, CHAIN)
                taken.append(one)
            if names and taken:
                batch = Batch()
                log.name(batch, taken[-1])
                db.stage(batch)
                named.add(len(taken) - 1)
            if restarts:
                log = log_over(db)
        assert [one.number for one in taken] == [START_MS + count for count in range(len(taken))]
        digests = [snapshot_digest(one, CHAIN) for one in taken]
        assert [one.previous for one in taken] == [bytes(32), *digests][: len(taken)]
        for one, digest in zip(taken, digests, strict=True):
            is_kept = one.number - START_MS in named or one is taken[-1]
            assert log.find(digest) == (one if is_kept else None)
        stored = list(Table(db, "snapshots", SnapshotRecord).items())
        assert len(stored) == len(named | ({len(taken) - 1} if taken else set()))


def test_newcomers_drive_nobody_out() -> None:
    known = [candidate(number) for number in range(1000, 1000 + MAX_CANDIDATES)]
    crowd = [candidate(number) for number in range(1, 600)]
    assert candidates_of([*crowd, *known], known) == known
    fewer = candidates_of([*crowd, *known[:100]], known)
    assert len(fewer) == MAX_CANDIDATES
    assert set(known[:100]) <= set(fewer)
    assert fewer == sorted(fewer, key=lambda one: one.key)


def test_whoever_changed_is_as_it_is_now() -> None:
    before = [candidate(1)]
    moved = msgspec.structs.replace(candidate(1), address="cpc1new")
    assert candidates_of([moved], before) == [moved]
