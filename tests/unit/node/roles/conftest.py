"""Roles one at a time: each on a network in memory, spoken to by key pairs that act the others."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
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
from node.roles.admission import DrawGate, SeatGate
from node.roles.checker import Checker
from node.roles.examiner import Examiner
from node.roles.juror import Juror, JuryGate
from node.roles.orchestrator import Orchestrator
from node.roles.outputs import OutputShelf
from node.roles.presence import PresenceRole
from node.roles.reexecution import Reexecution
from node.roles.results import signed_result
from node.roles.snapshotfeed import SnapshotFeed
from node.roles.snapshots import SnapshotBook
from node.roles.worker import Worker
from node.verification.author import Author
from node.verification.draws import Draw, Pass, Seat, sign_draw
from node.verification.juries import Jury, JuryJob, draw_jury, seats_of, sign_jury
from node.verification.snapshots import Candidate, Snapshot, sign_snapshot, snapshot_digest
from node.verification.statements import ComputeResult, Manifest
from node.wire.presence import Presence
from node.wire.snapshots import PublishedSnapshot, RequestSnapshot
from p2p.errors import RequestRefused
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


def parameters_of(size: int, iterations: int, chains: int = 1, *, proof: bool = False) -> bytes:
    workload = WORKLOADS["synthetic"]
    payload = {"seed": "s", "matrix_size": size, "iterations": iterations, "chains": chains}
    payload["proof"] = proof
    return workload.canonical(workload.parse(payload, ANY_WORK))


def open_gate() -> DrawGate:
    """A gate for which any market counts."""
    return DrawGate(
        chain_id=CHAIN, markets=(), protocol=load_network().protocol, now_ms=virtual_clock_ms
    )


class Registry:
    """The snapshots of everybody who acts a market: one for each set of candidates."""

    def __init__(self) -> None:
        self.asked = 0
        self._of: dict[tuple[bytes, tuple[Candidate, ...]], Snapshot] = {}

    def naming(self, seats: tuple[Seat, ...], kind: str, market: Author) -> bytes:
        """The digest of the market's snapshot of just these."""
        candidates = tuple(
            Candidate(one.key, one.address, 1, (kind,))
            for one in sorted(seats, key=lambda one: one.key)
        )
        key = (market.identity.public_key, candidates)
        if key not in self._of:
            number = 1 + sum(1 for of, _ in self._of if of == key[0])
            now_ms = virtual_clock_ms()
            unsigned = Snapshot(number, bytes(32), now_ms, candidates, bytes(32))
            self._of[key] = sign_snapshot(unsigned, CHAIN, market.identity)
        return snapshot_digest(self._of[key], CHAIN)

    def find(self, digest: bytes) -> Snapshot:
        return next(one for one in self._of.values() if snapshot_digest(one, CHAIN) == digest)

    async def show(self, _sender: str, message: RequestSnapshot) -> PublishedSnapshot:
        self.asked += 1
        for one in self._of.values():
            if snapshot_digest(one, CHAIN) == message.digest:
                return PublishedSnapshot(one)
        raise RequestRefused("missing", "no such snapshot")


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
    registry: Registry = field(default_factory=Registry)
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
            "redraw": 0,
            "kind": "synthetic",
            "parameters": parameters_of(16, 2),
            "reward": Amount(10**19),
            "passed": (),
            "seats": tuple(Seat(one.identity.public_key, one.address) for one in seats),
            "needed": 2,
            "expires_ms": virtual_clock_ms() + 20_000,
            "market_key": bytes(32),
        }
        fields |= changes
        if "snapshot" not in fields:
            named = self.registry.naming(fields["seats"], fields["kind"], signer)
            fields["snapshot"] = named
        return sign_draw(Draw(**fields), CHAIN, signer.identity)

    def jury(self, *jurors: Author, by: Author | None = None, **changes: object) -> Jury:
        """A jury of these, of which nobody is excluded."""
        signer, beacon = by or self.market, b"b" * 32
        seats = tuple(Seat(one.identity.public_key, one.address) for one in jurors)
        digest = self.registry.naming(seats, "synthetic", signer)
        fields: dict[str, Any] = {
            "task_id": TASK,
            "epoch": 1,
            "kind": "synthetic",
            "parameters": parameters_of(16, 2),
            "jobs": (JuryJob(6, self.worker.address),),
            "fee": Amount(10**16),
            "beacon": beacon,
            "snapshot": digest,
            "excluded": (),
            "needed": 2,
            "expires_ms": virtual_clock_ms() + 20_000,
            "market_key": bytes(32),
        }
        fields |= changes
        drawn = draw_jury(
            self.registry.find(digest),
            task_id=str(fields["task_id"]),
            epoch=1,
            kind="synthetic",
            size=3,
            beacon=beacon,
            excluded=(),
        )
        fields.setdefault("seats", tuple(Seat(one.key, one.address) for one in drawn))
        return sign_jury(Jury(**fields), CHAIN, signer.identity)

    def passing(self, jury: Jury, *keys: bytes) -> Jury:
        """The jury once these were passed over."""
        passed = tuple(Pass(jury.epoch, key, "rule", "unreachable", 1_000) for key in keys)
        later = msgspec.structs.replace(jury, passed=passed)
        seats = seats_of(later, self.registry.find(jury.snapshot), 3)
        return sign_jury(msgspec.structs.replace(later, seats=seats), CHAIN, self.market.identity)

    def jury_gate(self, **changes: object) -> JuryGate:
        book = SnapshotBook(self.db, CHAIN, (), virtual_clock_ms)
        fields: dict[str, Any] = {
            "chain_id": CHAIN,
            "markets": (),
            "protocol": load_network().protocol,
            "appeal_s": load_network().economics.appeal_s,
            "now_ms": virtual_clock_ms,
            "feed": SnapshotFeed(self.network, book, CHAIN),
        }
        return JuryGate(**{**fields, **changes})

    async def run_juror(self, **changes: object) -> Juror:
        self.scratch.mkdir(exist_ok=True)
        reexecution = Reexecution(
            chain_id=CHAIN, backend=CpuBackend(), scratch=self.scratch, offload=Inline()
        )
        fields: dict[str, Any] = {
            "network": self.network,
            "identity": self.author.identity,
            "chain_id": CHAIN,
            "gate": self.jury_gate(),
            "reexecution": reexecution,
            "now_ms": virtual_clock_ms,
        }
        juror = Juror(**{**fields, **changes})
        await self.nursery.start(juror.run)
        return juror

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

    async def show(self, sender: str, message: RequestSnapshot) -> Message:
        """What everybody answers who is asked for a snapshot."""
        return await self.registry.show(sender, message)

    def person(self, who: Author) -> Network:
        return self.people[who.identity.peer_id]

    def seat_gate(self, **changes: object) -> SeatGate:
        """A gate for which any market counts, and that asks them for their snapshots."""
        book = SnapshotBook(self.db, CHAIN, (), virtual_clock_ms)
        fields: dict[str, Any] = {
            "chain_id": CHAIN,
            "markets": (),
            "protocol": load_network().protocol,
            "now_ms": virtual_clock_ms,
            "feed": SnapshotFeed(self.network, book, CHAIN),
        }
        return SeatGate(**{**fields, **changes})

    async def checker(self, **changes: object) -> Checker:
        examiner = Examiner(
            network=self.network,
            chain_id=CHAIN,
            protocol=load_network().protocol,
            backend=CpuBackend(),
            scratch=self.folder,
            offload=Inline(),
        )
        fields: dict[str, Any] = {
            "network": self.network,
            "db": self.db,
            "identity": self.author.identity,
            "chain_id": CHAIN,
            "gate": self.seat_gate(),
            "examiner": examiner,
            "now_ms": virtual_clock_ms,
        }
        return Checker(**{**fields, **changes})

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
        self.directory = directory
        presence = Presence(self.author.binding, ("validator",), ("synthetic",), ())
        role = PresenceRole(self.network, directory, presence, 5.0)
        await self.nursery.start(role.run)
        fields: dict[str, Any] = {
            "network": self.network,
            "db": self.db,
            "identity": self.author.identity,
            "chain_id": CHAIN,
            "protocol": load_network().protocol,
            "gate": self.seat_gate(),
            "directory": directory,
            "shelf": OutputShelf(self.network, ArtifactStore(self.folder / "shelf"), Inline()),
            "now_ms": virtual_clock_ms,
            "on_verified": lambda *verified: self.verified.append(verified),
        }
        orchestrator = Orchestrator(**{**fields, **changes})
        await self.nursery.start(orchestrator.run)
        return orchestrator


@pytest.fixture(scope="session")
def parameters() -> Callable[..., bytes]:
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
            stage = Stage(hub, db, network, tmp_path, who, networks, nursery)
            for other in networks.values():
                other.serve(RequestSnapshot, stage.show)
            yield stage
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
