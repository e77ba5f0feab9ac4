"""Whole networks in one process under virtual time: real roles, rules, storage and chain.

Only this differs from a real node: the network and the store are the in-memory twins, the chain is
asked directly, and blocking work runs inline (a virtual clock jumps over threads), so that jobs run
without the sandbox.
Between a node's roles and its network stands a `Wire`, through which tests let nodes misbehave.
A test asks for `autojump_clock` by name beside its world: pytest-trio looks nowhere else.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest
import trio
from trio.testing import MockClock

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, RunReport
from node.amounts import UNITS_PER_CPC, Amount
from node.assembly import Assembly, Parts, assemble
from node.config import Config, NetworkConfig, NodeSection, WorkerSection, load_network
from node.keys import NodeKeys
from node.l1.client import MarketClient
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.mempool import Mempool
from node.l1.devchain.node import DevChain
from node.l1.devchain.profiles import UPSTREAM, Profile
from node.l1.devchain.run import open_chain
from node.l1.escrow import deposit
from node.l1.keys import AccountKey
from node.l1.transactions import transfer
from node.market.earlier import EarlierBook
from node.market.outcomes import OutcomeRecord
from node.market.tasks import TaskRecord
from node.market.views import NewTask, NodeStatus, TaskView
from node.offload import Inline
from node.roles.handover import HandedResult
from node.roles.jobstore import JobRecord
from node.roles.leases import JobProgress, LeaseRecord
from node.roles.submitter import PendingResult
from node.settlement.ledger import Ledger
from node.settlement.network import settlement_parameters
from node.split import Payees, split
from node.verification.draws import seat_of
from node.verification.onchain import MarketProfile
from node.verification.statements import Judgement, addresses_of, sign_verdict
from node.wire.checks import RequestVerdict, VerdictAnswer
from p2p.errors import RequestTimeout
from p2p.identity import Identity, public_key_of
from p2p.memory import MemoryHub, virtual_clock_ms
from p2p.messages import Message
from p2p.network import BulkHandler, BulkSource, Network
from storage.artifacts import ArtifactStore
from storage.database import Database, open_database
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table

CHAIN = "cpc-devnet-1"
DEPOSIT, REWARD = 1000, 10
"""CPC: what the customer pays in, and what a task offers."""
VALIDATOR_FUNDS = 100
ESCROW: Mapping[str, object] = {
    "settlement": "escrow",
    "escrow_grace_blocks": 20,
    "appeal_s": 5.0,  # an escrow's deadline leaves time for a dispute
}
LONGEST_S = 3600
"""Virtual seconds after which a test has failed."""


@pytest.fixture(scope="session", autouse=True)
def _known(known_signatures: None) -> None:
    """All networks here are in one process."""


def keys_of(number: int) -> NodeKeys:
    return NodeKeys(Identity.from_seed(bytes([number]) * 32), AccountKey(bytes([number + 99]) * 32))


Handler = Callable[[str, Any], Awaitable[Message]]
Answer = Callable[[str, Any, Handler], Awaitable[Message]]
"""What a test puts before a handler: `answer(sender, request, handler)`."""
Source = Callable[[str, bytes, BulkHandler], Awaitable[BulkSource]]
"""What a test puts before a bulk handler: `source(sender, argument, handler)`."""
Send = Callable[[str, Any], Awaitable[Message | None]]
"""What a test puts before a request: another message to send instead, or None to lose it."""


async def silence(*_: object) -> Message:
    """An answer that never comes."""
    await trio.sleep_forever()
    raise AssertionError


class Wire:
    """A member's network. `answers` and `sends` map types of requests to a test's own doing, and
    `sources` names of bulk transfers."""

    def __init__(self, network: Network, member: "Member") -> None:
        self._network = network
        self._member = member

    @property
    def past(self) -> Network:
        """The network itself, for requests that no test changes."""
        return self._network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def serve(self, request_type: type[Message], handler: Handler) -> None:
        async def handle(sender: str, message: Message) -> Message:
            self._member.heard[request_type] += 1
            answer = self._member.answers.get(request_type)
            if answer is None:
                return await handler(sender, message)
            return await answer(sender, message, handler)

        self._network.serve(request_type, handle)

    def serve_bulk(self, name: str, handler: BulkHandler) -> None:
        async def handle(sender: str, argument: bytes) -> BulkSource:
            source = self._member.sources.get(name)
            if source is None:
                return await handler(sender, argument)
            return await source(sender, argument, handler)

        self._network.serve_bulk(name, handle)

    async def request(self, peer_id: str, message: Message, *, timeout_s: float) -> Message:
        send = self._member.sends.get(type(message))
        changed = message if send is None else await send(peer_id, message)
        if changed is None:
            await trio.sleep(timeout_s)
            raise RequestTimeout(peer_id, timeout_s)
        return await self._network.request(peer_id, changed, timeout_s=timeout_s)


class Disk(MemoryStore):
    """A store that can be cut off, as a power cut does: what is not written then never is."""

    cut = False

    def write(self, batch: Batch, *, sync: bool) -> None:
        if not self.cut:
            super().write(batch, sync=sync)


class Run(NamedTuple):
    """A job that was computed, and what it left in its folder."""

    job: JobContext
    parameters: Any
    folder: Path
    report: RunReport


class InlineCompute:
    """Runs jobs in the test's own process. `spoil` may change what a run leaves behind."""

    def __init__(self) -> None:
        self.spoil: Callable[[Run], RunReport] | None = None
        self.gate: trio.Event | None = None
        self.started = trio.Event()
        self.running = 0
        """Jobs begun and neither finished nor stopped."""
        self.jobs: list[JobContext] = []

    async def run(
        self,
        kind: str,
        job: JobContext,
        parameters: bytes,
        scratch: Path,
        progress: Callable[[float], None],
    ) -> RunReport:
        self.started.set()
        self.jobs.append(job)
        self.running += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.running -= 1
        workload = WORKLOADS[kind]
        decoded = workload.from_canonical(parameters)
        report = workload.run(job, decoded, CpuBackend(), scratch, progress)
        return report if self.spoil is None else self.spoil(Run(job, decoded, scratch, report))


@dataclass
class Member:
    """One node of a world; it can be crashed and started again on the same store."""

    name: str
    keys: NodeKeys
    config: Config
    folder: Path
    store: Disk = field(default_factory=Disk)
    compute: InlineCompute = field(default_factory=InlineCompute)
    assembly: Assembly | None = None
    scope: trio.CancelScope | None = None
    ended: trio.Event = field(default_factory=trio.Event)
    db: Database | None = None
    network: Wire | None = None
    answers: dict[type[Message], Answer] = field(default_factory=dict)
    sends: dict[type[Message], Send] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    heard: Counter[type[Message]] = field(default_factory=Counter)
    """Requests that came in, by type."""

    @property
    def peer_id(self) -> str:
        return self.keys.identity.peer_id

    @property
    def address(self) -> str:
        return self.keys.account.address


def kept(member: Member, name: str, kind: type[msgspec.Struct], version: int) -> list[str]:
    """The records that a member has in one of its tables."""
    assert member.db is not None
    records = Table(member.db, name, kind, version=version).items()
    return [f"{member.name}: {name}" for _ in records]


class World:
    """A hub, a chain, and the nodes on them."""

    def __init__(
        self, nursery: trio.Nursery, folder: Path, chain: DevChain, network: NetworkConfig
    ) -> None:
        self._nursery = nursery
        self._folder = folder
        self.chain = chain
        self.hub = MemoryHub()
        self.l1: MarketClient = DirectClient(chain)
        self.customer = AccountKey(b"\x77" * 32)
        self.members: dict[str, Member] = {}
        self.network = network

    @property
    def escrowed(self) -> bool:
        """Whether the chain holds the money."""
        return self.network.economics.settlement == "escrow"

    def add(self, name: str, *roles: str) -> Member:
        number = len(self.members) + 1
        folder = self._folder / name
        (folder / "scratch").mkdir(parents=True)
        config = Config(
            network=self.network,
            node=NodeSection(roles=roles, data_dir=str(folder)),
            worker=WorkerSection(slots=1),
        )
        member = Member(name, keys_of(number), config, folder)
        self.members[name] = member
        return member

    async def start(self, member: Member) -> None:
        member.ended = trio.Event()
        await self._nursery.start(self._run, member)

    async def crash(self, member: Member) -> None:
        """End the node at once; what it had staged and not flushed is lost."""
        assert member.scope is not None
        member.store.cut = True
        member.scope.cancel()
        await member.ended.wait()
        member.store.cut = False

    async def restart(self, *members: Member) -> None:
        """Crash and start again, all of them at the same time."""
        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(self.crash, member)
        for member in members:
            await self.start(member)

    def forget(self) -> None:
        """Lose the transactions that wait for a block."""
        config = self.chain.config
        self.chain.mempool = Mempool(config.rules, config.tx_ttl_s, config.profile)

    async def _run(self, member: Member, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with trio.CancelScope() as member.scope:
                async with AsyncExitStack() as stack:
                    assembly = assemble(await self._parts(member, stack))
                    member.assembly = assembly
                    async with trio.open_nursery() as nursery:
                        for run in assembly.runs:
                            await nursery.start(run)
                        task_status.started()
                        await trio.sleep_forever()
        finally:
            member.assembly = None
            member.ended.set()

    async def _parts(self, member: Member, stack: AsyncExitStack) -> Parts:
        markets = [one for one in self.members.values() if "market" in one.config.node.roles]
        bootstrap = [f"/memory/{one.peer_id}" for one in markets if one is not member]
        db = await stack.enter_async_context(open_database(member.store))
        network = await stack.enter_async_context(
            self.hub.open_network(member.keys.identity, CHAIN, bootstrap=bootstrap)
        )
        member.db = db
        member.network = Wire(network, member)
        return Parts(
            config=member.config,
            keys=member.keys,
            db=db,
            network=member.network,
            l1=self.l1,
            places=[member.compute] if "worker" in member.config.node.roles else [],
            scratch=member.folder / "scratch",
            artifacts=ArtifactStore(member.folder / "artifacts"),
            offload=Inline(),
            now_ms=virtual_clock_ms,
        )

    async def deposit(self, cpc: int) -> None:
        market = self.members["market"]
        nonce = await self.l1.nonce(self.customer.address, pending=True)
        pay_in = deposit if self.escrowed else transfer
        draft = pay_in(market.address, cpc * UNITS_PER_CPC)
        await self.l1.send(draft.signed(self.customer, nonce))
        await self.holds(lambda: self.market.account(self.customer.address).available)

    async def meet(self) -> None:
        """Wait until everybody that runs knows everybody."""
        there = [one for one in self.members.values() if one.assembly is not None]
        await self.holds(
            lambda: all(one.assembly.info.status().peers == len(there) - 1 for one in there),
            every_s=0.25,
        )

    async def holds(self, condition: Callable[[], object], every_s: float = 0.05) -> None:
        """Wait, in virtual time, for something of which there is no event."""
        while not condition():  # noqa: ASYNC110
            await trio.sleep(every_s)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self._market_db)

    @property
    def _market_db(self) -> Database:
        db = self.members["market"].db
        assert db is not None
        return db

    def record(self, task_id: str) -> TaskRecord:
        found = Table(self._market_db, "tasks", TaskRecord, version=2).get(task_id.encode())
        assert found is not None
        return found

    def earlier(self, task_id: str) -> list[Judgement]:
        """Attempts of a task that were checked and not valid."""
        return EarlierBook(self._market_db).of(task_id)

    def outcomes(self) -> list[OutcomeRecord]:
        return [one for _, one in self._outcomes()]

    def judgements(self) -> list[Judgement]:
        """Of every job of every completed task."""
        return [job.judgement for outcome in self.outcomes() for job in outcome.jobs]

    def _outcomes(self) -> list[tuple[bytes, OutcomeRecord]]:
        return list(Table(self._market_db, "outcomes", OutcomeRecord, version=2).items())

    def earned(self) -> list[tuple[TaskRecord, Payees]]:
        """Every completed task, and who is to be paid for it."""
        found = []
        for key, outcome in self._outcomes():
            task = self.record(key.decode())
            assert task.draw is not None
            orchestrator = seat_of(task.draw, public_key_of(task.orchestrator)).address
            jobs = [job.judgement for job in outcome.jobs]
            checks, workers = Counter[str](), Counter(one.result.worker_address for one in jobs)
            for one in (*jobs, *EarlierBook(self._market_db).of(task.task_id)):
                checks.update(addresses_of(one.draw, one.verdicts))
            found.append((task, Payees(workers, checks, orchestrator)))
        return found

    def named(self, peer_id: str) -> Member:
        return next(one for one in self.members.values() if one.peer_id == peer_id)

    def team(self, role: str) -> list[Member]:
        return [one for one in self.members.values() if role in one.config.node.roles]

    def status(self) -> NodeStatus:
        assembly = self.members["market"].assembly
        assert assembly is not None
        return assembly.info.status()

    def artifacts(self, member: Member) -> int:
        return len(list((member.folder / "artifacts").iterdir()))

    def leftovers(self) -> list[str]:
        """What validators and workers keep of attempts, on disk and in their stores."""
        found = []
        for member in self.team("validator"):
            found += kept(member, "leases", LeaseRecord, 2)
            found += kept(member, "lease-jobs", JobProgress, 1)
            found += kept(member, "pending-results", PendingResult, 1)
            found += kept(member, "handed-results", HandedResult, 1)
            found += [f"{member.name}: artifact"] * self.artifacts(member)
        for member in self.team("worker"):
            found += kept(member, "jobs", JobRecord, 2)
            found += [f"{member.name}: {one}" for one in (member.folder / "scratch").iterdir()]
        return found

    async def orchestrator(self, task_id: str) -> Member:
        """Wait until the task is leased; who holds it."""
        await self.holds(lambda: self.record(task_id).orchestrator)
        return self.named(self.record(task_id).orchestrator)

    @property
    def market(self):
        assembly = self.members["market"].assembly
        assert assembly is not None
        assert assembly.market is not None
        return assembly.market

    async def buy(
        self, size: int = 16, iterations: int = 2, key: str | None = None, **changes: object
    ) -> TaskView:
        task = NewTask(
            challenge_type="synthetic",
            payload={"seed": "s", "matrix_size": size, "iterations": iterations},
            reward=Amount(REWARD * UNITS_PER_CPC),
        )
        asked = msgspec.structs.replace(task, **changes)
        return await self.market.submit(asked, self.customer.address, key)

    async def until(self, task_id: str, *phases: str) -> TaskView:
        """Wait for one of the phases."""
        view = self.market.task(task_id)
        while view.phase not in phases:
            view = await self.market.wait(task_id, seen=view.phase)
        return view


def _network_config(
    proposers: tuple[AccountKey, ...],
    markets: tuple[str, ...],
    profile: Profile,
    protocol: dict[str, Any],
    economics: Mapping[str, object],
) -> NetworkConfig:
    config = load_network()
    network = msgspec.structs.replace(
        config.network,
        proposer_keys=tuple(key.public_key.hex() for key in proposers),
        local_account=AccountKey(b"\x77" * 32).address,
        proofs_on_chain=profile is not UPSTREAM,
        market_keys=markets,
    )
    changed = msgspec.structs.replace(config.protocol, **protocol)
    money = msgspec.structs.replace(config.economics, **economics)
    return msgspec.structs.replace(config, network=network, protocol=changed, economics=money)


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    market: tuple[str, ...] = ("market",),
    validators: int = 3,
    workers: int = 2,
    alloc: int = 10**9,
    pinned: bool = True,
    pins_market: bool = False,
    profile: Profile = UPSTREAM,
    economics: Mapping[str, object] = MappingProxyType({}),
    **protocol: Any,
) -> AsyncIterator[World]:
    """A running world; `economics` changes that section of its network, and further arguments the
    protocol section."""
    proposer, customer = AccountKey(b"\x55" * 32), AccountKey(b"\x77" * 32)
    pinned_keys = (proposer,) if pinned else ()
    markets = (keys_of(1).identity.peer_id,) if pins_market else ()
    network = _network_config(pinned_keys, markets, profile, protocol, economics)
    funded = {customer.address: alloc * UNITS_PER_CPC}
    first = 1 if network.economics.settlement == "escrow" else 2  # its market pays fees, too
    for number in range(first, 2 + validators):
        funded[keys_of(number).account.address] = VALIDATOR_FUNDS * UNITS_PER_CPC
    config = DevChainConfig(
        proposer=proposer,
        genesis=Genesis(alloc=funded, genesis_time=virtual_clock_ms() // 1000),
        data_dir=folder / "l1",
        block_time_s=1.0,
        profile=profile,
    )
    async with (
        open_database(MemoryStore()) as db,
        trio.open_nursery() as nursery,
    ):
        chain = await open_chain(config, db, now=lambda: virtual_clock_ms() / 1000)
        await nursery.start(chain.run)
        world = World(nursery, folder, chain, network)
        world.add("market", *market)
        for role, count in (("validator", validators), ("worker", workers)):
            for number in range(1, 1 + count):
                world.add(f"{role}-{number}", role)
        for member in list(world.members.values()):
            await world.start(member)
        await world.meet()
        await world.deposit(DEPOSIT)
        yield world
        nursery.cancel_scope.cancel()


@pytest.fixture
async def world(tmp_path: Path, autojump_clock) -> AsyncIterator[World]:
    """A market, three validators and two workers."""
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path) as opened:
            yield opened


@pytest.fixture
async def large_world(tmp_path: Path, autojump_clock) -> AsyncIterator[World]:
    """The same with three workers."""
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path, workers=3) as opened:
            yield opened


@pytest.fixture
async def held(tmp_path: Path, autojump_clock) -> AsyncIterator[World]:
    """A market, three validators and two workers on a chain that holds the money."""
    with trio.fail_after(LONGEST_S):
        profile = MarketProfile(CHAIN)
        async with open_world(tmp_path, profile=profile, economics=ESCROW) as opened:
            yield opened


@pytest.fixture(scope="session", name="open_world")
def _open_world() -> Callable[..., AbstractAsyncContextManager[World]]:
    return open_world


@pytest.fixture
def open_court(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[World]]:
    """Worlds with twice as many validators as a quorum takes, at a chain that holds the money."""

    def opened(validators: int = 6, **economics: object) -> AbstractAsyncContextManager[World]:
        return open_world(
            tmp_path,
            validators=validators,
            pins_market=True,
            profile=MarketProfile(CHAIN),
            economics={"settlement": "escrow", "escrow_grace_blocks": 20, **economics},
        )

    return opened


@pytest.fixture(scope="session", name="silence")
def _silence() -> Answer:
    return silence


@pytest.fixture(scope="session")
def collude() -> Callable[[World], None]:
    return _collude


def _signs_valid(member: Member) -> Answer:
    """Whatever is true, for whoever is in on it."""

    async def answer(sender: str, message: Message, handler: Any) -> Message:
        verdict = (await handler(sender, message)).verdict
        lie = msgspec.structs.replace(verdict, finding="valid")
        return VerdictAnswer(sign_verdict(lie, CHAIN, member.keys.identity))

    return answer


def _collude(world: World) -> None:
    """Every worker computes something else, and every validator attests it."""
    for worker in world.team("worker"):
        worker.compute.spoil = lambda run: msgspec.structs.replace(run.report, digest=bytes(32))
    for member in world.team("validator"):
        member.answers[RequestVerdict] = _signs_valid(member)


@pytest.fixture(scope="session")
def check_money() -> Callable[[World], Awaitable[None]]:
    return _check_money


async def _check_money(world: World) -> None:
    """Wait until all that was earned is on the chain, then compare every balance with the tasks."""
    await world.holds(lambda: not _underway(world.ledger))
    audit = world.ledger.audit()
    assert audit.ok, audit.findings
    market = world.members["market"]
    assert await world.l1.balance(market.address) == audit.held
    earned = _earned(world)
    received, spent = await _transfers(world)
    for member in (*world.team("worker"), *world.team("validator")):
        funds = VALIDATOR_FUNDS * UNITS_PER_CPC if "validator" in member.name else 0
        balance = await world.l1.balance(member.address)
        assert balance == funds + earned[member.address] - spent[member.address], member.name
    economics = world.network.economics
    for label in (str(economics.burn_address), str(economics.treasury_address)):
        assert received[label] == earned[label], label  # the chain itself adds fees to them
    account = world.market.account(world.customer.address)
    rewards = sum(task.reward for task, _ in world.earned())
    assert account.available + account.reserved + rewards == DEPOSIT * UNITS_PER_CPC


def _underway(ledger: Ledger) -> list[str]:
    """Accounts with money that still has to go to the chain."""
    resting = ("l1", "fees", "customer:", "reserved:", "bond:")
    return [name for name, _ in ledger.holdings() if not name.startswith(resting)]


def _earned(world: World) -> Counter[str]:
    """Units by address that completed tasks bring."""
    earned: Counter[str] = Counter()
    economics, rules = world.network.economics, settlement_parameters(world.network)
    for task, payees in world.earned():
        parts = split(task.reward, rules.shares, payees, rules.fee_reserve)
        earned.update(dict(parts.workers))
        earned.update(dict(parts.validators))
        earned[str(economics.burn_address)] += parts.burn
        earned[str(economics.treasury_address)] += parts.treasury
    return earned


async def _transfers(world: World) -> tuple[Counter[str], Counter[str]]:
    """Units by address that transactions brought, and that they cost in fees."""
    received: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for height in range((await world.l1.status()).height + 1):
        block = await world.l1.block(height)
        assert block is not None
        for tx in block.txs:
            received[tx.to_address or ""] += tx.amount
            spent[tx.from_address] += tx.fee
    return received, spent
