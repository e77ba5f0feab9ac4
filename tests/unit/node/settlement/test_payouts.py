from typing import Any

import pytest

from node.settlement import payouts as payouts_module
from node.settlement.entries import digest, move
from node.settlement.parameters import SettlementParameters
from storage.merkle import merkle_path, merkle_root, verify_path
from storage.store import Batch

CPC = 10**18
FEE = 21_000_000


async def test_nobody_is_paid_before_the_interval_is_over(shop: Any) -> None:
    shop.sell(at_ms=1_000)
    shop.sell(at_ms=9_000)
    assert shop.stage_due(10_999) == 0
    assert shop.stage_due(11_000) == 4
    assert shop.stage_due(11_000) == 0
    assert shop.outbox()[f"{shop.worker()}:3"] == 2 * CPC // 4 + FEE
    assert shop.market.ledger.balance("fees") == 2 * 10**9 - 4 * FEE
    assert shop.market.ledger.audit().ok


async def test_what_is_earned_later_is_the_next_payout(shop: Any) -> None:
    shop.sell(at_ms=0)
    shop.stage_due(10_000)
    shop.sell(at_ms=10_001)
    shop.confirm()
    assert shop.stage_due(20_000) == 0
    assert shop.stage_due(20_001) == 4
    [second] = [cause for cause in shop.outbox() if "worker" in cause]
    assert second == f"{shop.worker()}:11"
    payout = shop.market.settlement.payouts.find(f"payout:{second}")
    assert (payout.first, payout.last, payout.entries) == (11, 11, 1)
    assert payout.amount == CPC // 4


async def test_what_is_earned_while_a_payout_is_under_way_waits_for_it(shop: Any) -> None:
    """Two payouts to one payee would be in the same block; together they cost half."""
    shop.sell(at_ms=0)
    assert shop.stage_due(10_000) == 4
    for at_ms in range(10_001, 10_006):
        shop.sell(at_ms=at_ms)
        shop.sell(at_ms=at_ms, worker=22)
    assert shop.stage_due(60_000) == 1  # the other worker: nothing of its is under way
    assert not list(shop.market.settlement.payouts.patient(60_000))
    shop.confirm()
    assert shop.stage_due(60_000) == 4
    payouts = shop.market.settlement.payouts
    entries = [payouts.find(f"payout:{cause}").entries for cause in shop.outbox()]
    assert sorted(entries) == [5, 10, 10, 10]
    assert shop.market.ledger.audit().ok


async def test_a_lost_payout_holds_up_nothing(shop: Any) -> None:
    shop.sell(at_ms=0)
    shop.stage_due(10_000)
    shop.sell(at_ms=10_001)
    assert shop.stage_due(60_000) == 0
    shop.confirm(lost=True)
    assert shop.stage_due(60_000) == 4


async def test_the_root_lets_a_payee_check_an_entry(shop: Any) -> None:
    for _ in range(5):
        shop.sell(at_ms=0)
    shop.stage_due(10_000)
    payouts = shop.market.settlement.payouts
    payout = payouts.find("payout:burn:3")
    entries = list(payouts.entries(payout))
    leaves = [digest("cpc-devnet-1", entry) for entry in entries]
    assert [entry.cause for entry in entries] == [f"mature:task-{number}" for number in range(5)]
    assert payout.amount == sum(entry.amount("burn") for entry in entries) == 5 * CPC * 6 // 10
    assert payout.root == merkle_root(leaves).hex()
    root, path = bytes.fromhex(payout.root), merkle_path(leaves, 3)
    assert verify_path(root, leaves[3], 3, payout.entries, path)
    tx = shop.market.sender.find(payout.cause).transaction
    assert tx.payload == {"tmnode": "burn", "entries": 5, "root": payout.root}
    assert (tx.to_address, tx.amount) == (SettlementParameters().burn_address, payout.amount)


async def test_many_entries_or_much_money_are_paid_at_once(shop: Any, market: Any) -> None:
    shop.market = market.under(payout_entries=3)
    shop.sell(at_ms=0)
    shop.sell(at_ms=0, worker=22)
    assert shop.stage_due(1) == 0
    shop.sell(at_ms=0, worker=22)
    assert shop.stage_due(1) == 3  # burn, treasury, validator; no worker has three
    shop.market = market.under(payout_threshold=CPC // 2)
    assert shop.stage_due(2) == 1
    assert f"{shop.worker(22)}:7" in shop.outbox()


async def test_less_than_the_least_payout_waits_for_more(shop: Any) -> None:
    least = SettlementParameters().min_payout
    shop.sell(at_ms=0, reward=4 * least - 4)
    assert shop.stage_due(10**8) == 1  # burn only
    payouts, ledger = shop.market.settlement.payouts, shop.market.ledger
    waiting = {name: units for name, units in ledger.holdings() if units < least}
    assert sorted(payouts.patient(10**8)) == sorted(
        waiting[name] for name in waiting if name.startswith(("worker:", "validator:", "treasury"))
    )
    assert len(list(payouts.patient(10**8))) == 2
    shop.sell(at_ms=10**8, reward=4)
    assert shop.stage_due(10**8) == 1
    assert shop.outbox()[f"{shop.worker()}:3"] == least + FEE


async def test_without_fees_the_oldest_are_paid_first_and_the_rest_waits(
    shop: Any, market: Any, caplog: pytest.LogCaptureFixture
) -> None:
    batch = Batch()
    shop.sell(at_ms=0, worker=22)
    shop.sell(at_ms=5_000)
    market.ledger.post(
        batch, cause="x", kind="x", at_ms=0, postings=move("fees", "l1", 2 * 10**9 - 3 * FEE)
    )
    market.db.stage(batch)
    assert shop.stage_due(20_000) == 3
    assert market.settlement.payouts.short_of_fees
    assert sorted(shop.outbox()) == sorted(
        ["burn:3", "treasury:3", f"validator:{shop.key(21).address}:3"]
    )
    assert shop.stage_due(20_001) == 0
    assert len(caplog.records) == 1
    batch = Batch()
    market.ledger.post(batch, cause="y", kind="x", at_ms=0, postings=move("l1", "fees", 10**9))
    market.db.stage(batch)
    assert shop.stage_due(20_002) == 2
    assert not market.settlement.payouts.short_of_fees


async def test_a_payee_with_very_many_entries_is_paid_in_parts(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts_module, "MAX_ENTRIES", 3)
    for number in range(7):
        shop.sell(at_ms=number)
    payouts, parts = shop.market.settlement.payouts, []
    for _ in range(3):
        shop.stage_due(10_003)
        parts = [cause for cause in shop.outbox() if cause.startswith("burn")]
    found = sorted((payouts.find(f"payout:{cause}") for cause in parts), key=lambda one: one.first)
    # The last part became owed at 6 ms, and is not full: it waits for those before it.
    assert [payout.entries for payout in found] == [3, 3]
    assert shop.stage_due(10_006) == 0
    shop.confirm()
    shop.stage_due(10_006)
    assert payouts.find(f"payout:burn:{found[1].last + 4}").entries == 1
    assert shop.market.ledger.balance("burn") == 0
    assert shop.market.ledger.audit().ok


async def test_a_part_is_never_worth_less_than_the_least_payout(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts_module, "MAX_ENTRIES", 2)
    least = SettlementParameters().min_payout
    for _ in range(8):
        shop.sell(at_ms=0, reward=least)
    shop.sell(at_ms=0, reward=10**11)
    shop.stage_due(10_000)
    payout = shop.market.settlement.payouts.find(f"payout:{shop.worker()}:3")
    assert payout.entries == 4
    assert payout.amount == least


async def test_many_payees_are_paid_in_several_rounds(shop: Any) -> None:
    for number in range(70):
        shop.sell(at_ms=number, worker=100 + number)
    assert shop.stage_due(20_000) == 64
    assert shop.stage_due(20_000) == 9
    assert shop.stage_due(20_000) == 0


async def test_what_the_market_s_own_account_earns_needs_no_transaction(
    shop: Any, market: Any
) -> None:
    shop.sell(at_ms=0, worker=1)
    held = market.ledger.balance("l1")
    assert shop.stage_due(10_000) == 4
    assert f"{shop.worker(1)}:3" not in shop.outbox()
    assert market.ledger.balance(shop.worker(1)) == 0
    assert market.ledger.balance("l1") == held + CPC // 4
    assert market.sender.find(f"payout:{shop.worker(1)}:3") is None
    assert market.ledger.audit().ok
