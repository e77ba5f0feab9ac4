"""A market on a clock of its own: the real rules, ledger and storage, and no network.

The validators and the workers are key pairs; what they sign about a task is real.
"""

import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import cast

import msgspec
import pytest

from node.amounts import UNITS_PER_CPC, Amount
from node.config import MarketSection, NetworkConfig, load_network
from node.keys import bind
from node.l1.client import L1Client
from node.l1.keys import AccountKey
from node.l1.sender import Sender
from node.market.appeals import AppealDesk, Beacon
from node.market.bars import BarBook
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.lifecycle import Lifecycle
from node.market.service import MarketService
from node.market.snapshots import SnapshotLog
from node.market.tasks import TaskRecord
from node.market.views import NewTask, TaskView
from node.roles.results import signed_result
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.network import settlement_parameters
from node.settlement.transfer import TransferSettlement
from node.verification.anchors import AnchorBook
from node.verification.author import Author
from node.verification.batches import leaf_of
from node.verification.draws import Draw, Pass, PassReason, Refusal, Seat, nonce_of, sign_refusal
from node.verification.juries import case_digest
from node.verification.rulings import Ruling, sign_ruling
from node.verification.snapshots import Candidate
from node.verification.statements import (
    Finding,
    Judgement,
    Manifest,
    OutputRef,
    Verdict,
    sign_verdict,
)
from node.wire.leases import ReportFailure, ReportResult
from p2p.identity import Identity, peer_id_of
from storage.artifacts import ArtifactStore
from storage.database import Database, open_database
from storage.memory import MemoryStore
from storage.store import Batch

CHAIN = "cpc-devnet-1"
START_MS = 1_700_000_000_000
CPC = UNITS_PER_CPC
DEPOSIT = 100 * CPC
NO_CHAIN = cast("L1Client", object())
"""Nothing here is ever sent."""


def author(number: int) -> Author:
    identity = Identity.from_seed(bytes([number]) * 32)
    account = AccountKey(bytes([number + 100]) * 32)
    return Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)


MARKET = author(1)
VALIDATORS = tuple(author(number) for number in (2, 3, 4, *range(11, 20)))
THREE = VALIDATORS[:3]
WORKERS = (author(5), author(9))
STRANGER = author(6)
CUSTOMERS = tuple(AccountKey(bytes([number]) * 32).address for number in (201, 202))
BY_KEY = {one.identity.public_key: one for one in VALIDATORS}


def candidate(one: Author) -> Candidate:
    return Candidate(one.identity.public_key, one.address, 1, ("synthetic",))


class Shop:
    """The market's parts over one database."""

    customer, other = CUSTOMERS
    validators, everybody = THREE, VALIDATORS
    """Three are connected at first."""
    worker, second_worker = WORKERS
    stranger = STRANGER
    beacon = Beacon(7, b"b" * 32)
    market = MARKET

    def __init__(
        self,
        db: Database,
        artifacts: Path,
        network: NetworkConfig,
        limit: int,
        now_ms: int = START_MS,
    ) -> None:
        self.db = db
        self.network = network
        self.limit = limit
        self.now_ms = now_ms
        self._artifacts = ArtifactStore(artifacts)
        sender = Sender(AccountKey(bytes([101]) * 32), db, NO_CHAIN)
        self.settlement = TransferSettlement(
            db,
            sender,
            settlement_parameters(network),
            chain_id=CHAIN,
            address=MARKET.address,
            clock_ms=self.clock,
        )
        self.ledger = self.settlement.ledger
        self.anchors = AnchorBook(db, CHAIN)
        self.reload()

    def clock(self) -> int:
        return self.now_ms

    def reload(self) -> None:
        """What a restart makes of the same database."""
        self.board = TaskBoard(self.db, ChangeLog(self.clock))
        self.snapshots = SnapshotLog(self.db, MARKET.identity, CHAIN, self.clock)
        self.bars = BarBook(self.db, self.network.protocol.bar_s, self.clock)
        self.desk = AppealDesk(
            db=self.db,
            board=self.board,
            disputes=self.settlement.disputes,
            bars=self.bars,
            snapshots=self.snapshots,
            network=self.network,
            identity=MARKET.identity,
            now_ms=self.clock,
            beacon=lambda: self.beacon,
        )
        self.service = MarketService(
            db=self.db,
            board=self.board,
            settlement=self.settlement,
            desk=self.desk,
            deposit_address=MARKET.address,
            anchors=self.anchors,
            snapshots=self.snapshots,
            artifacts=self._artifacts,
            network=self.network,
            max_open_tasks=self.limit,
            now_ms=self.clock,
            epoch_hash=lambda: bytes(32),
        )
        self.lifecycle = Lifecycle(
            db=self.db,
            board=self.board,
            service=self.service,
            desk=self.desk,
            settlement=self.settlement,
            snapshots=self.snapshots,
            network=self.network,
            identity=MARKET.identity,
            now_ms=self.clock,
        )
        self.leases, self.results = self.lifecycle.leases, self.lifecycle.results

    def see(self, *validators: Author) -> None:
        """Be connected to these validators, and no others."""
        self.snapshots.take(map(candidate, validators))

    def deposit(self, customer: str, amount: int) -> None:
        batch = Batch()
        cause = f"deposit:{self.ledger.next_sequence(batch)}"
        postings = move(accounts.L1, accounts.customer(customer), amount)
        self.ledger.post(batch, cause=cause, kind="deposit", postings=postings, at_ms=self.now_ms)
        self.db.stage(batch)

    async def buy(
        self,
        seed: object = "s",
        *,
        reward: int = CPC,
        key: str | None = None,
        chains: int = 1,
        **changes: object,
    ) -> TaskView:
        payload = {"seed": seed, "matrix_size": 16, "iterations": 2}
        if chains > 1:
            payload["chains"] = chains
        task = NewTask("synthetic", payload, Amount(reward))
        account = str(changes.pop("account", self.customer))
        return await self.service.submit(msgspec.structs.replace(task, **changes), account, key)

    def record(self, task_id: str) -> TaskRecord:
        return self.board.get(task_id)

    def lease(self, task_id: str) -> Draw:
        draw = self.leases.lease(self.record(task_id))
        assert draw is not None
        return draw

    async def leased(self, **changes: object) -> Draw:
        return self.lease((await self.buy(**changes)).task_id)

    def seated(self, draw: Draw) -> list[Author]:
        """Who sits in a draw, in its order."""
        return [BY_KEY[seat.key] for seat in draw.seats]

    def holder(self, draw: Draw) -> str:
        return peer_id_of(draw.seats[0].key)

    def passed(
        self, draw: Draw, place: int, reason: PassReason = "no_commitment", **changes: object
    ) -> Pass:
        """One seat passed over, with the refusal that this takes."""
        validator, refusal = self.seated(draw)[place], None
        if reason == "refused":
            unsigned = Refusal(draw.task_id, draw.epoch, "check", "busy", self.now_ms, b"")
            refusal = sign_refusal(unsigned, CHAIN, validator.identity)
        key = validator.identity.public_key
        passed = Pass(draw.epoch, key, "check", reason, self.now_ms, refusal)
        return msgspec.structs.replace(passed, **changes)

    def redraw(self, draw: Draw, *passed: Pass) -> Draw:
        holder = self.holder(draw)
        return self.leases.redraw(draw.task_id, draw.epoch, holder, draw.redraw, passed)

    def manifest(self, draw: Draw, content: bytes = b"X_T") -> Manifest:
        digest = sha256(content).digest()
        output = OutputRef("matrix", digest, len(content), bytes(32))
        parameters = sha256(draw.parameters).digest()
        return Manifest(draw.kind, parameters, (output,), bytes(32), digest)

    def verdict(self, judgement: Judgement, by: Author, finding: Finding = "valid") -> Verdict:
        result = judgement.result
        unsigned = Verdict(
            task_id=judgement.draw.task_id,
            epoch=judgement.draw.epoch,
            redraw=judgement.draw.redraw,
            nonce=result.nonce,
            worker_address=result.worker_address,
            result_hash=bytes.fromhex(result.result_hash),
            finding=finding,
            seed=bytes(32),
            validator_key=by.identity.public_key,
        )
        return sign_verdict(unsigned, CHAIN, by.identity)

    def judgement(
        self,
        draw: Draw,
        findings: Sequence[Finding] = ("valid", "valid"),
        *,
        job: int = 0,
        attempt: int = 1,
        worker: Author = WORKERS[0],
    ) -> Judgement:
        """An attempt with the verdicts of the first seats of its draw."""
        nonce = nonce_of(job, draw.epoch, attempt, self.network.protocol.max_attempts)
        manifest = self.manifest(draw)
        result = signed_result(draw, nonce, manifest, worker)
        bare = Judgement(draw, result, manifest, ())
        pairs = zip(self.seated(draw), findings, strict=False)
        verdicts = tuple(self.verdict(bare, by, finding) for by, finding in pairs)
        return msgspec.structs.replace(bare, verdicts=verdicts)

    def report(
        self,
        draw: Draw,
        findings: Sequence[Finding] = ("valid", "valid"),
        *,
        attempt: int = 1,
        earlier: Sequence[Judgement] = (),
    ) -> ReportResult:
        """What the draw's orchestrator reports: every job by another worker."""
        jobs = tuple(
            self.judgement(draw, findings, job=job, attempt=attempt, worker=WORKERS[job % 2])
            for job in range(self.record(draw.task_id).jobs)
        )
        return ReportResult(draw.task_id, draw.epoch, jobs, tuple(earlier))

    def complete(self, report: ReportResult, orchestrator: str | None = None) -> TaskRecord:
        """Judge and complete, as the market's role does."""
        sender = orchestrator or self.record(report.task_id).orchestrator
        judged = self.results.judge(report, sender)
        if judged is not None:
            self.results.complete(judged)
        return self.record(report.task_id)

    def fail(self, draw: Draw, *earlier: Judgement, reason: str = "no luck") -> None:
        message = ReportFailure(draw.task_id, draw.epoch, reason, earlier)
        self.results.fail(message, self.holder(draw))

    def jurors(self, task_id: str) -> list[Author]:
        """Who sits in a task's jury, in its order."""
        return [BY_KEY[seat.key] for seat in self.desk.book.find(task_id).jury.seats]

    def member(self, seat: Seat) -> Author:
        """Whose seat it is."""
        return BY_KEY[seat.key]

    def is_barred(self, one: Author) -> bool:
        return self.bars.is_barred(one.identity.public_key, one.address)

    def ruling(self, task_id: str, juror: Author, *hashes: bytes) -> Ruling:
        """What a juror says came out; by default the disputed hashes."""
        appeal = self.desk.book.find(task_id)
        digest = case_digest(appeal.jury, CHAIN)
        said = hashes or appeal.claimed
        ruling = Ruling(task_id, appeal.jury.epoch, digest, said, b"")
        return sign_ruling(ruling, CHAIN, juror.identity)

    def anchor(self, *task_ids: str, name: str = "batch", jobs: slice = slice(None)) -> list[str]:
        """Put (some jobs of) these tasks under one batch."""
        outcomes = {task_id: self.board.outcome(task_id) for task_id in task_ids}
        pairs = [
            (task_id, leaf_of(result, CHAIN))
            for task_id, outcome in outcomes.items()
            for result in outcome.results[jobs]
        ]
        batch = Batch()
        placed = self.results.anchor(
            batch, name, [one for one, _ in pairs], [leaf for _, leaf in pairs]
        )
        self.db.stage(batch)
        return placed

    async def pass_time(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        await self.lifecycle.pass_time()

    def balances(self, customer: str) -> tuple[int, int]:
        view = self.service.account(customer)
        return view.available, view.reserved

    def earned(self) -> dict[str, int]:
        """Units of all whose pay has matured."""
        people = ("worker:", "validator:")
        return {name: units for name, units in self.ledger.holdings() if name.startswith(people)}


@pytest.fixture(scope="session")
def shop_of(tmp_path_factory) -> Callable[..., Shop]:
    """A market over an open database."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    network = load_network()

    def made(db: Database, *, limit: int | None = None, now_ms: int = START_MS) -> Shop:
        return Shop(db, artifacts, network, limit or MarketSection().max_open_tasks, now_ms)

    return made


@pytest.fixture(scope="session")
def open_shop(shop_of) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    @asynccontextmanager
    async def opened(*, deposit: int = DEPOSIT, limit: int | None = None) -> AsyncIterator[Shop]:
        async with open_database(MemoryStore()) as db:
            shop = shop_of(db, limit=limit)
            for customer in CUSTOMERS:
                shop.deposit(customer, deposit)
            shop.see(*THREE)
            yield shop

    return opened


@pytest.fixture(scope="session")
def life_model():
    """The module beside this file."""
    path = Path(__file__).with_name("life_model.py")
    spec = importlib.util.spec_from_file_location("life_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["life_model"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def shop(open_shop) -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened
