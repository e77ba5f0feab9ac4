"""Verified results settled and paid on the development chain: its transactions and their gas.

Chain, submitters, settlement and senders are the real ones, on stores in memory and under a virtual
clock, so that minutes of a network take seconds. What is left out is the work: results are signed
and their tasks reserved and settled at a steady rate, as if a quorum had just found each valid.
Afterwards every transaction is counted in the chain's blocks, the books are audited, and the
chain's balance of the market is compared with what they say.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import trio

from node.amounts import UNITS_PER_CPC
from node.bench.settlement_network import (
    CUSTOMER,
    FUNDS,
    MARKET,
    VALIDATORS,
    WORKERS,
    chain_of,
    market_of,
    run_validator,
)
from node.bench.settlement_results import LASTS_MS, NEEDED, Results
from node.config import NetworkConfig
from node.l1.blocks import Block
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.heldviews import market_view
from node.l1.devchain.node import DevChain
from node.l1.escrow import deposit, sign_claim, sign_claims
from node.l1.transactions import transfer
from node.roles.submitter import Submitter
from node.settlement.escrow import EscrowSettlement
from node.settlement.interface import Releasers
from node.settlement.transfer import TransferSettlement
from node.wire.leases import BatchAnchored
from node.wire.presence import Ack
from p2p.memory import MemoryHub, virtual_clock_ms
from storage.database import Database, open_database
from storage.memory import MemoryStore
from storage.store import Batch

REWARD = UNITS_PER_CPC
SET = {one.identity.public_key: one.account.address for one in VALIDATORS}
LOOK_S = 0.5
"""Between a market's looks for pay that is due."""


class Plan(NamedTuple):
    """What is to happen, and under which rules."""

    config: NetworkConfig
    results: int
    per_second: float


class Spent(NamedTuple):
    """What the chain has of it."""

    transactions: Counter[str]
    """By type, without how the customer pays in."""
    gas: int
    seconds: float
    """Virtual ones, from the first result until everything is paid."""


class Run:
    """One run; made by `open_run`."""

    def __init__(
        self,
        plan: Plan,
        chain: DevChain,
        market: TransferSettlement | EscrowSettlement,
        db: Database,
    ) -> None:
        self._plan = plan
        self._chain = chain
        self._market = market
        self._db = db
        self._anchored = 0
        self._results = Results(plan.config.network.chain_id, MARKET, VALIDATORS, WORKERS, REWARD)
        self.submitters: list[tuple[Submitter, Database]] = []

    async def on_anchored(self, _sender: str, message: BatchAnchored) -> Ack:
        """A validator tells that a batch is in a block."""
        self._anchored += len(message.leaves)
        return Ack()

    async def spent(self) -> Spent:
        """Let all of it happen; returns what it took once everything is anchored and paid."""
        pay_in = deposit if isinstance(self._market, EscrowSettlement) else transfer
        paid_in = pay_in(MARKET.account.address, FUNDS // 2).signed(CUSTOMER.account, 0)
        self._chain.submit(paid_in)
        while not list(self._market.ledger.holdings("customer:")):
            await trio.sleep(LOOK_S)
        began = trio.current_time()
        for number in range(self._plan.results):
            self._settle(number)
            await trio.sleep(1 / self._plan.per_second)
        while self._anchored < self._plan.results or self._unpaid():
            await trio.sleep(LOOK_S)
        seconds = trio.current_time() - began
        self._check()
        return self._counted(seconds)

    async def mature(self) -> None:
        """What a market does all the time."""
        while True:
            for task_id in list(self._market.rewards.due(virtual_clock_ms())):
                batch = Batch()
                self._market.rewards.mature(batch, task_id, virtual_clock_ms())
                self._db.stage(batch)
            await trio.sleep(LOOK_S)

    async def approve(self) -> None:
        """What the validators of an escrow do all the time: sign the claims."""
        if not isinstance(self._market, EscrowSettlement):
            return
        rewards, closings = self._market.rewards, self._market.closings
        chain_id = self._plan.config.network.chain_id
        while True:
            batch = Batch()
            for record in rewards.unapproved():
                assert record.claim is not None, "every task here is completed"
                for keys in VALIDATORS[:NEEDED]:
                    approval = sign_claim(keys.identity, chain_id, record.escrow_id, record.claim)
                    rewards.approve(batch, record, approval)
            for bundle in closings.unsigned():
                for keys in VALIDATORS[:NEEDED]:
                    approval = sign_claims(keys.identity, chain_id, bundle.claims)
                    closings.approve(batch, bundle, approval)
            if batch:
                self._db.stage(batch)
            await trio.sleep(LOOK_S)

    def _settle(self, number: int) -> None:
        """A quorum has found a task's result valid: its market and its orchestrator know."""
        batch, now_ms, rewards = Batch(), virtual_clock_ms(), self._market.rewards
        one = self._results.make(number, now_ms)
        rewards.reserve(batch, one.task_id, CUSTOMER.account.address, REWARD, now_ms)
        rewards.open(batch, one.task_id, lambda: Releasers(SET, NEEDED, now_ms + LASTS_MS))
        rewards.settle(batch, one.task_id, one.payees, now_ms, results=(one.leaf,))
        self._db.stage(batch)
        submitter, db = self.submitters[number % len(self.submitters)]
        batch = Batch()
        submitter.add(batch, one.report, MARKET.identity.peer_id)
        db.stage(batch)

    def _unpaid(self) -> bool:
        """Whether anything is held that is neither the customer's nor for fees."""
        resting = ("l1", "fees", "customer:")
        return any(not name.startswith(resting) for name, _ in self._market.ledger.holdings())

    def _check(self) -> None:
        report = self._market.ledger.audit()
        assert report.ok, report.findings
        assert self._held() == report.held

    def _held(self) -> int:
        """Units that the market has on the chain for others."""
        if isinstance(self._market, EscrowSettlement):
            held = market_view(self._chain)
            return held.deposits + held.escrows
        return self._chain.account(MARKET.account.address).balance

    def _counted(self, seconds: float) -> Spent:
        transactions: Counter[str] = Counter()
        gas = 0
        for height in range(self._chain.tip.height + 1):
            block = msgspec.json.decode(self._chain.block(height) or b"", type=Block)
            ours = [tx for tx in block.txs if tx.from_address != CUSTOMER.account.address]
            transactions.update(tx.tx_type for tx in ours)
            gas += sum(tx.gas_limit for tx in ours)
        return Spent(transactions, gas, seconds)


@asynccontextmanager
async def open_run(plan: Plan) -> AsyncIterator[Run]:
    """A chain, a market and three validators."""
    chain_id, hub = plan.config.network.chain_id, MemoryHub()
    async with (
        open_database(MemoryStore()) as chain_db,
        open_database(MemoryStore()) as db,
        hub.open_network(MARKET.identity, chain_id) as network,
        trio.open_nursery() as nursery,
    ):
        chain = await chain_of(chain_db, plan.config)
        await nursery.start(chain.run)
        client = DirectClient(chain)
        sender, deposits, market = market_of(plan.config, db, client)
        run = Run(plan, chain, market, db)
        network.serve(BatchAnchored, run.on_anchored)
        for part in (sender.run, deposits.run, market.run):
            await nursery.start(part)
        nursery.start_soon(run.mature)
        nursery.start_soon(run.approve)
        for keys in VALIDATORS:
            run.submitters.append(
                await nursery.start(run_validator, plan.config, keys, hub, client)
            )
        yield run
        nursery.cancel_scope.cancel()
