"""What `tmnode status` says, sentence by sentence."""

import os
from types import SimpleNamespace

import pytest

from node import waiting
from node.waiting import Queue

QUEUE = {"kind": "synthetic", "tasks": 3, "validators": 3, "needed": 2, "slots": 4, "leased": 8}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"validators": 0},
            "3 synthetic tasks wait for validators: none that takes synthetic is connected",
        ),
        (
            {"validators": 1, "tasks": 1},
            "1 synthetic task waits for a quorum: 1 of the 2 that must agree is connected",
        ),
        (
            {"slots": 0},
            "3 synthetic tasks wait for a worker: none that takes synthetic is connected",
        ),
        (
            {},
            "3 synthetic tasks wait for a free worker: 8 tasks are in hand, for 4 slots",
        ),
        (
            {"tasks": 1, "leased": 1, "slots": 1},
            "1 synthetic task waits for a free worker: 1 task is in hand, for 1 slot",
        ),
    ],
)
def test_why_tasks_wait(changes: dict[str, int], sentence: str) -> None:
    assert waiting.queue_sentence(Queue(**{**QUEUE, **changes})) == sentence


def test_money_results_and_jobs() -> None:
    assert waiting.payment_sentence(1, 10**17) == (
        "1 payment (0.1 CPC) waits for a block of the L1"
    )
    assert waiting.payment_sentence(12, 3 * 10**18) == (
        "12 payments (3.0 CPC) wait for a block of the L1"
    )
    assert waiting.escrow_sentence(1) == "1 escrow waits for a block of the L1"
    assert waiting.escrow_sentence(2) == "2 escrows wait for a block of the L1"
    assert waiting.unsigned_sentence(2) == "2 escrows wait for validators' signatures"
    assert waiting.result_sentence(2) == "2 verified results wait for a block of the L1"
    assert waiting.job_sentence(1, 0) == "1 job waits for a worker"
    assert waiting.job_sentence(2, 3) == "2 jobs wait for a worker; 3 workers get none for now"


def test_an_l1_that_is_silent_keeps_a_node_from_its_work() -> None:
    assert waiting.l1_obstacle(7, 10.0) == ()
    assert waiting.l1_obstacle(7, 10.1) == (
        "the L1 has not answered for 10 s; its last block was 7",
    )
    assert waiting.l1_obstacle(None, 0.0) == ("the L1 has not answered since the start, 0 s ago",)


def test_a_chain_that_is_not_read_keeps_a_market_from_its_work() -> None:
    assert waiting.behind_obstacle(80, 100) == ()
    assert waiting.behind_obstacle(79, 100) == ("deposits are read up to block 79 of 100",)
    assert waiting.behind_obstacle(None, 100) == waiting.behind_obstacle(5, None) == ()


@pytest.mark.parametrize(
    ("there", "roles", "obstacles"),
    [
        ({"validator": 2}, ["market"], ()),
        (
            {"validator": 1},
            ["market"],
            ("too few validators for a quorum: 1 of 2 is connected",),
        ),
        ({}, ["market"], ("too few validators for a quorum: 0 of 2 are connected",)),
        ({"market": 1, "worker": 1}, ["validator"], ()),
        ({}, ["validator"], ("no market is connected", "no worker is connected")),
        ({"market": 1}, ["worker"], ("no validator is connected",)),
        ({"validator": 1}, ["worker"], ()),
        ({}, [], ()),
    ],
)
def test_who_is_missing(there: dict[str, int], roles: list[str], obstacles) -> None:
    assert waiting.peer_obstacles(roles, lambda role: there.get(role, 0), 2) == obstacles


def test_a_chain_that_lets_bonds_go_too_soon() -> None:
    """Not a moment too soon is soon enough: a result must be beyond dispute before."""
    assert waiting.bond_obstacle(101, 2.0, 200.0) == ()
    (line,) = waiting.bond_obstacle(100, 2.0, 200.0)
    assert "gives a bond back after 100 blocks, about 200 s" in line
    assert "can be disputed for 200 s" in line


def test_a_disk_that_takes_nothing_more(tmp_path, monkeypatch) -> None:
    room, flag = 1 << 30, 0

    def look(_path: object) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=room >> 12, f_frsize=1 << 12, f_flag=flag)

    assert waiting.storage_obstacle(tmp_path) == (), "of this machine, as it is"
    monkeypatch.setattr(os, "statvfs", look)
    assert waiting.storage_obstacle(tmp_path) == ()
    room = 10 << 20
    (line,) = waiting.storage_obstacle(tmp_path)
    assert line == f"the disk of {tmp_path} has 10 MiB left, of 64 needed"
    flag = os.ST_RDONLY
    assert waiting.storage_obstacle(tmp_path) == (f"the disk of {tmp_path} is read-only",)
    monkeypatch.undo()
    (line,) = waiting.storage_obstacle(tmp_path / "gone")
    assert "cannot be looked at: No such file" in line
