"""What a worker and a validator say is overdue, of records that are as old as a test makes them."""

from typing import Any, cast

import pytest
import trio

from node.amounts import Amount
from node.chainwatch import ChainWatch
from node.l1.client import L1Client
from node.l1.keys import AccountKey
from node.l1.sender import Sender
from node.roles.jobstore import Committed, JobRecord
from node.roles.overdue import late_attempts, late_leases, late_results
from node.roles.submitter import SealedBatch, SealedSince
from node.verification.draws import Draw
from node.verification.statements import ComputeResult, Manifest
from p2p.identity import Identity
from storage.database import open_database
from storage.memory import MemoryStore

MARKET = Identity.from_seed(bytes(32))
EXPIRES_MS = 100_000
DRAW = Draw("t", 1, 0, "k", b"", Amount(1), bytes(32), (), (), 2, EXPIRES_MS, MARKET.public_key)
RESULT = ComputeResult("batch", "w", "", "", 1)
DONE = Committed(RESULT, Manifest("k", b"", (), b"", b""), ())


def test_a_lease_is_late_five_seconds_after_its_end() -> None:
    assert list(late_leases([DRAW], EXPIRES_MS + 5_000)) == []
    (one,) = late_leases([DRAW], EXPIRES_MS + 6_000)
    assert (one.what, one.about, one.overdue_s) == ("lease", "t", 1.0)
    assert MARKET.peer_id in one.reason


@pytest.mark.parametrize(
    ("committed", "now_ms", "reason"),
    [
        (None, 55_000, None),
        (None, 56_000, "it was not stopped in time"),
        (DONE, 56_000, None),
        (DONE, EXPIRES_MS + 125_000, None),
        (DONE, EXPIRES_MS + 126_000, "it is over and was not forgotten"),
    ],
)
def test_a_worker_s_attempt(committed: Committed | None, now_ms: int, reason: str | None) -> None:
    record = JobRecord(DRAW, 1, "peer", (), 50_000, committed)
    found = list(late_attempts([("t/1", record)], now_ms))
    assert [(one.about, one.overdue_s, one.reason) for one in found] == (
        [] if reason is None else [("t/1", 1.0, reason)]
    )


async def test_results_that_no_block_holds_or_no_market_hears_of(
    autojump_clock: trio.abc.Clock,
) -> None:
    client = cast("L1Client", object())
    async with open_database(MemoryStore()) as db:
        sender, chain = Sender(AccountKey(bytes([7]) * 32), db, client), ChainWatch(client)

        def found(height: int) -> list[Any]:
            sealed = SealedBatch(RESULT, ("t",), (b"",), ("12D3market",), height)
            return list(late_results([SealedSince("b", sealed, began)], sender, chain))

        began = trio.current_time()
        await trio.sleep(120)
        assert found(-1) == found(5) == []
        await trio.sleep(1)
        assert [(one.about, one.reason) for one in found(-1)] == [
            ("b", "no confirmed block holds it")
        ]
        sender.blocked = "insufficient balance"
        assert [one.reason for one in found(-1)] == ["insufficient balance"]
        assert [one.reason for one in found(5)] == ["market 12D3market was not reached"]
