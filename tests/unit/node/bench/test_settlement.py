"""The bench of settlement, as small as it can be."""

import pytest

from node.bench import settlement
from node.bench.report import lines
from node.bench.settlement import bench_settlement
from node.bench.settlement_chain import Plan

RESULTS = 30


@pytest.fixture(scope="module")
def result():
    return bench_settlement(RESULTS, entries=100, seconds=0.01, runs=1)


def test_transactions_and_gas_stand_beside_one_of_each(result) -> None:
    rows = {row.metric: row for row in result.rows}
    for name in ("devnet", "testnet's pace"):
        sent, paid = (
            rows[f"  of them {kind}, {name}"].value for kind in ("SUBMIT_RESULT", "TRANSFER")
        )
        both = rows[f"transactions for {RESULTS} results, {name}"]
        assert (both.value, both.peer_value) == (sent + paid, 2 * RESULTS)
        assert both.ratio == both.peer_value / both.value
        gas = rows[f"gas for {RESULTS} results, {name}"]
        assert gas.value == 80_000 * sent + 21_000 * paid
        assert gas.peer_value == RESULTS * 101_000
        assert both.target == gas.target == 10


def test_the_ledger_is_measured_on_both_disks(result) -> None:
    rows = {row.metric: row for row in result.rows}
    assert rows["durable entries"].target == 5_000
    assert rows["durable entries, 5 ms added per sync"].target == 2_000
    assert rows["audit of 100 entries"].target == 5
    assert all(row.value > 0 for name, row in rows.items() if not name.startswith("load"))
    assert any("target 5000" in line for line in lines(result))


@pytest.mark.parametrize("pace", ["devnet", "testnet's pace"])
def test_what_the_chain_holds_takes_few_transactions_too(result, pace: str) -> None:
    rows = {row.metric: row for row in result.rows}
    sent, opened, settled = (
        rows[f"  of them {kind}, {pace}, in escrows"].value
        for kind in ("SUBMIT_RESULT", "ESCROW_OPEN", "ESCROW_SETTLE")
    )
    assert 0 < opened < RESULTS / 2
    assert 0 < settled < RESULTS / 2
    both = rows[f"transactions for {RESULTS} results, {pace}, in escrows"]
    assert (both.value, both.target) == (sent + opened + settled, 10)


@pytest.mark.full
@pytest.mark.parametrize("name", ["devnet", "testnet's pace", "testnet's pace, in escrows"])
def test_sharing_saves_ten_times_the_transactions_and_the_gas(name: str) -> None:
    """In escrows it is so at the testnet's pace; the devnet's saves transactions ten times."""
    plan = Plan(settlement.networks()[name], 2_000, settlement.PER_SECOND)
    ratios = [row.ratio for row in settlement.chain_rows(name, plan) if row.ratio is not None]
    assert len(ratios) == 2
    assert min(ratios) >= settlement.TARGET
