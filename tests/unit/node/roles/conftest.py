"""Roles one at a time: each on a network in memory, spoken to by key pairs that act the others."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Limits, RunReport
from node.amounts import Amount
from node.config import load_network
from node.directory import Directory
from node.keys import bind
from node.l1.keys import AccountKey
from node.offload import Inline, Offload
from node.roles.admission import DrawGate
from node.roles.checker import Checker
from node.roles.orchestrator import Orchestrator
from node.roles.outputs import OutputShelf
from node.roles.presence import PresenceRole
from node.roles.results import signed_result
from node.roles.worker import Worker
from node.verification.author import Author
from node.verification.statements import ComputeResult, Draw, Manifest, Seat, sign_draw
from node.wire.presence import Presence
from p2p.identity import Identity
from p2p.memory import MemoryHub, virtual_clock_ms
from p2p.messages import Message
from p2p.network import Network
from storage.artifacts import ArtifactStore
from storage.database import Database, open_database
from storage.memory import MemoryStore

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"
ANY_WORK = Limits(max_iterations=2**32 - 1, max_trace_bytes=2**60)


def author(number: int) -> Author:
    identity = Identity.from_seed(bytes([number]) * 32)
    account = AccountKey(bytes([number + 100]) * 32)
    return Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)


def parameters_of(size: int, iterations: int) -> bytes:
    workload = WORKLOADS["synthetic"]
    payload = {"seed": "s", "matrix_size": size, "iterations": iterations}
    return workload.canonical(workload.parse(payload, ANY_WORK))


def open_gate() -> DrawGate:
    """A gate for which any market counts."""
    return DrawGate(
        chain_id=CHAIN, markets=(), protocol=load_network().protocol, now_ms=virtual_clock_ms
    )


class Gated:
    """A place to compute that waits for the test."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.started = trio.Event()
        self.stopped = trio.Event()
        self.failure: Exception | None = None

    async def run(
        self,
        kind: str,
        job: JobContext,
        parameters: bytes,
        scratch: Path,
        progress: Callable[[float], None],
    ) -> RunReport:
        self.started.set()
        try:
            await self.gate.wait()
        except trio.Cancelled:
            self.stopped.set()
            raise
        if self.failure is not None:
            raise self.failure
        workload = WORKLOADS[kind]
        decoded = workload.from_canonical(parameters)
        return workload.run(job, decoded, CpuBackend(), scratch, progress)


@dataclass
class Stage:
    """Where a role stands: its store, folders, and the network it shares with the others."""

    hub: MemoryHub
    db: Database
    network: Network
    folder: Path
    author: Author
    people: dict[str, Network]
    nursery: trio.Nursery
    verified: list[Any] = field(default_factory=list)
    """What the orchestrator passed on to be put on the chain."""

    market, worker = author(1), author(5)
    validators = (author(2), author(3), author(4))
    stranger = author(6)

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def draw(self, first: Author | None = None, **changes: object) -> Draw:
        """A draw with `first`, if given, as the orchestrator."""
        signer = changes.pop("by", self.market)
        seats = list(self.validators)
        if first is not None:
            others = [one for one in seats if one.address != first.address]
            seats = [first, *others[:2]]
        fields: dict[str, Any] = {
            "task_id": TASK,
            "epoch": 1,
            "kind": "synthetic",
            "parameters": parameters_of(16, 2),
            "reward": Amount(10**19),
            "seats": tuple(Seat(one.identity.public_key, one.address) for one in seats),
            "needed": 2,
            "expires_ms": virtual_clock_ms() + 20_000,
            "market_key": bytes(32),
        }
        return sign_draw(Draw(**{**fields, **changes}), CHAIN, signer.identity)

    def result(
        self, draw: Draw, nonce: int = 6, by: Author | None = None
    ) -> tuple[ComputeResult, Manifest]:
        """A result in good form; nothing was computed."""
        parameters = sha256(draw.parameters).digest()
        manifest = Manifest(draw.kind, parameters, (), bytes(32), bytes(32))
        return signed_result(draw, nonce, manifest, by or self.worker), manifest

    async def ask(self, who: Author, message: Message, timeout_s: float = 5) -> Any:
        """Send a request to the role as somebody else."""
        network = self.people[who.identity.peer_id]
        return await network.request(self.network.peer_id, message, timeout_s=timeout_s)

    def person(self, who: Author) -> Network:
        return self.people[who.identity.peer_id]

    async def checker(self) -> Checker:
        return Checker(
            network=self.network,
            db=self.db,
            identity=self.author.identity,
            chain_id=CHAIN,
            protocol=load_network().protocol,
            gate=open_gate(),
            backend=CpuBackend(),
            scratch=self.folder,
            offload=Inline(),
            now_ms=virtual_clock_ms,
        )

    async def run_worker(self, *places: Gated, offload: Offload | None = None) -> Worker:
        self.scratch.mkdir(exist_ok=True)
        worker = Worker(
            network=self.network,
            db=self.db,
            author=self.author,
            protocol=load_network().protocol,
            gate=open_gate(),
            places=places,
            scratch=self.scratch,
            offload=offload or Inline(),
            now_ms=virtual_clock_ms,
        )
        await self.nursery.start(worker.run)
        return worker

    async def run_orchestrator(self, **changes: object) -> Orchestrator:
        directory = Directory(CHAIN, virtual_clock_ms, 3600)
        presence = Presence(self.author.binding, ("validator",), ("synthetic",), ())
        role = PresenceRole(self.network, directory, presence, 5.0)
        await self.nursery.start(role.run)
        fields: dict[str, Any] = {
            "network": self.network,
            "db": self.db,
            "identity": self.author.identity,
            "chain_id": CHAIN,
            "protocol": load_network().protocol,
            "gate": open_gate(),
            "directory": directory,
            "shelf": OutputShelf(self.network, ArtifactStore(self.folder / "shelf"), Inline()),
            "now_ms": virtual_clock_ms,
            "on_verified": lambda *verified: self.verified.append(verified),
        }
        orchestrator = Orchestrator(**{**fields, **changes})
        await self.nursery.start(orchestrator.run)
        return orchestrator


@pytest.fixture(scope="session")
def parameters() -> Callable[[int, int], bytes]:
    return parameters_of


@pytest.fixture(scope="session")
def gated() -> type[Gated]:
    return Gated


@pytest.fixture(scope="session")
def make_author() -> Callable[[int], Author]:
    return author


@pytest.fixture
def open_stage(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Stage]]:
    @asynccontextmanager
    async def opened(who: Author, *, store: MemoryStore | None = None) -> AsyncIterator[Stage]:
        hub = MemoryHub()
        everybody = [author(number) for number in range(1, 7)]
        async with open_database(store or MemoryStore()) as db, trio.open_nursery() as nursery:
            networks = await nursery.start(_open_networks, hub, everybody)
            network = networks.pop(who.identity.peer_id)
            for other in networks.values():
                await other.connect(f"/memory/{network.peer_id}")
            yield Stage(hub, db, network, tmp_path, who, networks, nursery)
            nursery.cancel_scope.cancel()

    return opened


async def _open_networks(
    hub: MemoryHub, people: list[Author], *, task_status: trio.TaskStatus[dict[str, Network]]
) -> None:
    async with trio.open_nursery() as nursery:
        networks: dict[str, Network] = {}
        for one in people:
            network = await nursery.start(_open_network, hub, one.identity)
            networks[network.peer_id] = network
        task_status.started(networks)


async def _open_network(
    hub: MemoryHub, identity: Identity, *, task_status: trio.TaskStatus[Network]
) -> None:
    async with hub.open_network(identity, CHAIN) as network:
        task_status.started(network)
        await trio.sleep_forever()
