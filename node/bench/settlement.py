"""`tmnode bench settlement`: what it takes to put results and their pay on the L1, and the ledger.

The peer is the plain way: a SUBMIT_RESULT and a TRANSFER for each result. Where the chain holds the
money each task has an escrow of its own, which is opened and settled, with others in a transaction.
"""

import os
import time

import msgspec
import trio
import trio.testing

from node.bench.report import Report, Row, report, row
from node.bench.settlement_chain import Plan, Spent, open_run
from node.bench.settlement_ledger import audit_rows, rate_rows
from node.config import NetworkConfig, load_network
from node.l1.transactions import GAS

PER_SECOND = 40.0
"""Results that the network of `bench tasks` completes in a second."""
PEER = "one SUBMIT_RESULT and one TRANSFER each"
TARGET = 10.0
HELD = "in escrows"


def bench_settlement(results: int, entries: int, seconds: float, runs: int) -> Report:
    """Settle and pay so many results, write entries for some seconds, audit so many."""
    rows = [row("load of the machine, one minute", os.getloadavg()[0], "")]
    for name, config in networks().items():
        rows += chain_rows(name, Plan(config, results, PER_SECOND))
    rows += rate_rows(seconds, runs)
    rows += audit_rows(entries, runs)
    return report("settlement", rows)


def networks() -> dict[str, NetworkConfig]:
    """The devnet, and the same with the testnet's pace, each with both settlements."""
    devnet = load_network()
    replace = msgspec.structs.replace
    patient = replace(
        devnet,
        protocol=replace(devnet.protocol, result_batch_s=5.0, result_batch_longest_s=60.0),
        economics=replace(devnet.economics, payout_interval_s=60, escrow_batch_s=30.0),
    )
    paces = {"devnet": devnet, "testnet's pace": patient}
    held = {
        f"{name}, {HELD}": replace(pace, economics=replace(pace.economics, settlement="escrow"))
        for name, pace in paces.items()
    }
    return paces | held


def chain_rows(name: str, plan: Plan) -> list[Row]:
    """What one run of the plan takes, beside the plain way."""
    cpu = time.process_time()
    spent = trio.run(_run, plan, clock=trio.testing.MockClock(autojump_threshold=0))
    cpu_s = time.process_time() - cpu
    plain_gas = plan.results * (GAS["SUBMIT_RESULT"] + GAS["TRANSFER"])
    by_type = sorted(spent.transactions.items())
    return [
        _beside(name, "transactions", spent.transactions.total(), 2 * plan.results, plan),
        *(row(f"  of them {kind}, {name}", count, "") for kind, count in by_type),
        _beside(name, "gas", spent.gas, plain_gas, plan),
        row(f"CPU a result, {name}, the chain's included", 1000 * cpu_s / plan.results, "ms"),
        row(f"until all is paid, {name}, virtual time", spent.seconds, "s"),
    ]


def _beside(name: str, what: str, ours: int, plain: int, plan: Plan) -> Row:
    return Row(
        metric=f"{what} for {plan.results:,} results, {name}",
        value=ours,
        unit=what if what == "gas" else "tx",
        runs=1,
        peer=PEER,
        peer_value=plain,
        ratio=plain / ours,
        target=TARGET,
    )


async def _run(plan: Plan) -> Spent:
    async with open_run(plan) as run:
        return await run.spent()
