"""A market's money on a development chain, all in memory and under trio's clock.

The market can be killed at any write of its store and started again; the chain can forget what
waits for a block, as the real one does when it restarts.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from math import inf
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.l1.blocks import Block
from node.l1.client import HttpL1Client, L1Client
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.faults import Faults
from node.l1.devchain.holdings import Deposit, bond_key, deposit_key
from node.l1.devchain.node import DevChain, open_chain
from node.l1.devchain.profiles import UPSTREAM
from node.l1.devchain.server import build_app
from node.l1.escrow import Approval, Bond, MarketParameters, deposit, sign_claims
from node.l1.follower import Follower
from node.l1.keys import AccountKey
from node.l1.outbound import OutboundBook
from node.l1.sender import Sender
from node.l1.transactions import Draft, Transaction, transfer
from node.settlement.entries import move
from node.settlement.escrow import EscrowSettlement
from node.settlement.escrow_rewards import ending_message
from node.settlement.interface import Releasers
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from node.settlement.transfer import TransferSettlement
from node.split import Payees
from node.verification.onchain import MarketProfile
from p2p.identity import Identity
from storage.database import Database, open_database
from storage.errors import StorageFailed
from storage.memory import MemoryStore
from storage.store import Batch
from tests.unit.node.settlement.support.juries import sign_awards

CHAIN_ID = "cpc-devnet-1"
GENESIS_TIME = 1_700_000_000
FUNDS = 10**9 * UNITS_PER_CPC
WINDOW_S = 2.0
NO_FAULTS = Faults()
MEMBERS = tuple(Identity.from_seed(bytes([number]) * 32) for number in (41, 42, 43))
"""Validators who may release an escrow."""
LOOK_S = 0.5
"""Between looks of the market at the pay that is due."""
PARAMETERS = SettlementParameters(
    payout_interval_s=10,
    payout_threshold=Amount(10**30),
    treasury_address="cpc1treasure",
    dispute_window_s=WINDOW_S,
    unbonding_s=20.0,
    appeal_s=20.0,
)


@lru_cache(maxsize=256)
def key_of(number: int) -> AccountKey:
    """The same key for the same number: 1 the market, from 10 customers, from 20 payees."""
    return AccountKey(number.to_bytes(32, "big"))


class CrashingStore(MemoryStore):
    """Fails at a chosen write, which is then lost or, with `keep`, has reached the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse: int | None = None  # writes until it fails
        self.keep = False
        self.writes = 0

    def write(self, batch: Batch, *, sync: bool) -> None:
        self.writes += 1
        if self.fuse is None:
            super().write(batch, sync=sync)
        elif self.fuse > 0:
            self.fuse -= 1
            super().write(batch, sync=sync)
        else:
            self.fuse = None
            if self.keep:
                super().write(batch, sync=sync)
            raise StorageFailed("killed")


def over_http(chain: DevChain) -> HttpL1Client:
    """The chain through its own web application, without sockets."""
    transport = httpx.ASGITransport(app=build_app(chain))
    return HttpL1Client("http://l1", httpx.AsyncClient(transport=transport, base_url="http://l1"))


class Market:
    """One life of the market, between start and crash."""

    def __init__(
        self,
        db: Database,
        client: L1Client,
        parameters: SettlementParameters,
        key: AccountKey,
        back_end: Callable[..., Any] = TransferSettlement,
    ) -> None:
        self.db = db
        self._rest = client, parameters, key
        self.sender = Sender(key, db, client, confirmations=parameters.confirmations)
        self.settlement: Any = back_end(
            db,
            self.sender,
            parameters,
            chain_id=CHAIN_ID,
            address=key.address,
            clock_ms=self.now_ms,
        )
        self.sender.on_confirmed = self.settlement.outbox.on_confirmed
        self.sender.on_lost = self.settlement.outbox.on_lost
        self.follower = Follower(
            client,
            db,
            self.settlement.deposits.handle,
            name="deposits",
            confirmations=parameters.confirmations,
        )

    def under(self, **changes: object) -> "Market":
        """The same market, restarted with other parameters."""
        client, parameters, key = self._rest
        return Market(self.db, client, msgspec.structs.replace(parameters, **changes), key)

    @property
    def ledger(self) -> Ledger:
        return self.settlement.ledger

    async def follow(self) -> None:
        await self.settlement.can_book()
        await self.follower.run()

    async def mature(self) -> None:
        """What a market does all the time: pay what is due, and give bonds back."""
        while True:
            for task_id in list(self.settlement.rewards.due(self.now_ms())):
                batch = Batch()
                assert self.settlement.rewards.mature(batch, task_id, self.now_ms())
                assert not self.settlement.rewards.mature(batch, task_id, self.now_ms())
                self.db.stage(batch)
            for address in list(self.settlement.bonds.due(self.now_ms())):
                batch = Batch()
                assert self.settlement.bonds.release(batch, address, self.now_ms())
                self.db.stage(batch)
            await trio.sleep(LOOK_S)

    async def approve(self, see_the_chain: Callable[[], bool]) -> None:
        """What validators do: sign whatever is asked for, here without being asked, while they see
        on the chain that it holds the escrow."""
        while True:
            for record in list(self.settlement.rewards.unapproved()) if see_the_chain() else ():
                message = ending_message(record, CHAIN_ID)
                for identity in MEMBERS[: record.needed]:
                    batch = Batch()
                    signature = identity.sign(message).hex()
                    approval = Approval(public_key=identity.public_key.hex(), signature=signature)
                    self.settlement.rewards.approve(batch, record, approval)
                    if batch:
                        self.db.stage(batch)
            for bundle in list(self.settlement.closings.unsigned()) if see_the_chain() else ():
                for identity in MEMBERS[: bundle.needed]:
                    batch = Batch()
                    approval = sign_claims(identity, CHAIN_ID, bundle.claims)
                    self.settlement.closings.approve(batch, bundle, approval)
                    if batch:
                        self.db.stage(batch)
            sign_awards(self, MEMBERS)
            await trio.sleep(LOOK_S)

    @staticmethod
    def now_ms() -> int:
        """Trio's clock, from the chain's genesis on."""
        return GENESIS_TIME * 1000 + int(trio.current_time() * 1000)


class World:
    """The chain, the market's disk, and everybody's keys."""

    chain: DevChain
    client: L1Client
    terms = MarketParameters(unbonding_blocks=10)
    """The chain's, of money that it holds."""

    def __init__(
        self,
        parameters: SettlementParameters = PARAMETERS,
        faults: Faults = NO_FAULTS,
        back_end: str = "transfer",
    ) -> None:
        self.parameters = parameters
        self.faults = faults
        self.back_end = back_end
        self.approving = True
        """Whether validators sign."""
        self.validators_see: Callable[[], bool] = lambda: True
        """Whether they see the chain now."""
        self.key = key_of(1)
        self.store = CrashingStore()

    @property
    def holds(self) -> bool:
        """Whether the chain holds the money."""
        return self.back_end == "escrow"

    @asynccontextmanager
    async def running(self, *, http: bool = False) -> AsyncIterator[None]:
        """Run the chain, spoken to through its HTTP interface or directly."""
        alloc = {key_of(number).address: FUNDS for number in range(10, 18)}
        if self.holds:
            alloc[self.key.address] = FUNDS
        config = DevChainConfig(
            proposer=key_of(99),
            genesis=Genesis(
                alloc=alloc,
                genesis_time=GENESIS_TIME,
                market=self.terms,
            ),
            data_dir=Path("unused"),
            faults=self.faults,
            profile=MarketProfile(CHAIN_ID) if self.holds else UPSTREAM,
        )
        async with open_database(MemoryStore()) as db, trio.open_nursery() as nursery:
            self.chain = await open_chain(config, db, lambda: GENESIS_TIME + trio.current_time())
            await nursery.start(self.chain.run)
            self.client = over_http(self.chain) if http else DirectClient(self.chain)
            yield
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def market(self) -> AsyncIterator[Market]:
        """Start the market on its disk; raises (groups of) StorageFailed when it is killed."""
        async with open_database(self.store) as db, trio.open_nursery() as nursery:
            held = partial(EscrowSettlement, chain=self.client)
            back_end = held if self.holds else TransferSettlement
            market = Market(db, self.client, self.parameters, self.key, back_end)
            nursery.start_soon(market.sender.run)
            nursery.start_soon(market.follow)
            nursery.start_soon(market.mature)
            if self.holds and self.approving:
                nursery.start_soon(market.approve, self.validators_see)
            await nursery.start(market.settlement.run)
            yield market
            nursery.cancel_scope.cancel()

    def balance(self, address: str) -> int:
        return self.chain.account(address).balance

    @staticmethod
    def releasers(deadline_ms: int) -> Releasers:
        """The set of every escrow here: two of three."""
        members = {
            identity.public_key: key_of(40 + number).address
            for number, identity in enumerate(MEMBERS)
        }
        return Releasers(members, 2, deadline_ms)

    def deposit(self, key: AccountKey, amount: int) -> None:
        pay_in = deposit if self.holds else transfer
        self.submit(key, pay_in(self.key.address, amount))

    def submit(self, key: AccountKey, draft: Draft) -> None:
        nonce = self.chain.first_free_nonce(key.address)
        _, problem = self.chain.submit(draft.signed(key, nonce))
        assert not problem, problem

    def held(self, customer: str) -> int:
        """What the chain holds of a customer's at the market, escrows left out."""
        record = self.chain.holdings.records.get(deposit_key(self.key.address, customer))
        return record.units if isinstance(record, Deposit) else 0

    def bonded(self, address: str) -> int:
        """What the chain holds of an account's bond at the market, unbonding included."""
        record = self.chain.holdings.records.get(bond_key(self.key.address, address))
        return record.total if isinstance(record, Bond) else 0

    def fees_of(self, address: str) -> int:
        """What the chain has taken from an account for its transactions."""
        return sum(tx.fee for tx in self.transactions() if tx.from_address == address)

    def transactions(self) -> list[Transaction]:
        """All of the chain's, in order."""
        blocks = (self.chain.block(height) for height in range(self.chain.tip.height + 1))
        found = (msgspec.json.decode(block, type=Block) for block in blocks if block)
        return [tx for block in found for tx in block.txs]

    def forget(self) -> None:
        """Lose the transactions that wait for a block."""
        self.chain.mempool.expire(inf)


class Shop:
    """Sells tasks at a market where pay matures at once, and looks at what is staged."""

    def __init__(self, market: Any, key: Callable[[int], AccountKey]) -> None:
        self.market = market
        self.key = key
        self.tasks = 0

    def sell(
        self, *, at_ms: int, reward: int = UNITS_PER_CPC, worker: int = 20, validator: int = 21
    ) -> None:
        batch, task = Batch(), f"task-{self.tasks}"
        self.tasks += 1
        customer = self.key(10).address
        self.market.ledger.post(
            batch,
            cause=f"deposit:{task}",
            kind="deposit",
            postings=move("l1", f"customer:{customer}", reward),
            at_ms=at_ms,
        )
        rewards = self.market.settlement.rewards
        rewards.reserve(batch, task, customer, reward, at_ms)
        checker = self.key(validator).address
        rewards.settle(
            batch, task, Payees({self.key(worker).address: 1}, {checker: 1}, checker), at_ms
        )
        rewards.mature(batch, task, at_ms)
        self.market.db.stage(batch)

    def stage_due(self, at_ms: int) -> int:
        return self.market.settlement.payouts.stage_due(at_ms)

    def confirm(self, *, lost: bool = False) -> None:
        """Every payment that is under way is in a block now, or lost."""
        batch, market = Batch(), self.market
        outbox = market.settlement.outbox
        settle = outbox.on_lost if lost else outbox.on_confirmed
        for account, _ in list(market.ledger.holdings("outbox:")):
            record = market.sender.find(account.removeprefix("outbox:"))
            settle(batch, record)
        market.db.stage(batch)

    def worker(self, number: int = 20) -> str:
        return f"worker:{self.key(number).address}"

    def outbox(self) -> dict[str, int]:
        held = self.market.ledger.holdings("outbox:payout:")
        return {account.removeprefix("outbox:payout:"): units for account, units in held}


@pytest.fixture
def shop(market: Any, key: Callable[[int], AccountKey]) -> Shop:
    return Shop(market, key)


@pytest.fixture(scope="session")
def key() -> Callable[[int], AccountKey]:
    return key_of


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    return World


@pytest.fixture
def world() -> World:
    """One whose chain holds the money."""
    return World(back_end="escrow")


class MarketMaker:
    """A market whose pay matures at once, over an open database."""

    key = key_of(1)

    def __call__(self, db: Database, client: L1Client) -> Market:
        parameters = msgspec.structs.replace(PARAMETERS, dispute_window_s=0.0)
        return Market(db, client, parameters, self.key)


@pytest.fixture(scope="session")
def make_market() -> MarketMaker:
    return MarketMaker()


@pytest.fixture(scope="session")
def crashing_store() -> type[CrashingStore]:
    return CrashingStore


@pytest.fixture
async def db() -> AsyncIterator[Database]:
    async with open_database(MemoryStore()) as database:
        yield database


@pytest.fixture
def ledger(db: Database) -> Ledger:
    return Ledger(db)


@pytest.fixture
async def market(db: Database) -> Market:
    """A market that knows its nonce and hears nothing: for what is staged, not what is sent.

    Its pay matures at once.
    """
    batch = Batch()
    OutboundBook(db, key_of(1).address).set_next_nonce(batch, 0)
    db.stage(batch)
    nowhere = HttpL1Client("http://nowhere", httpx.AsyncClient(verify=False))
    return MarketMaker()(db, nowhere)
