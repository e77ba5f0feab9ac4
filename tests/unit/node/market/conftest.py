"""A market on a clock of its own: the real rules, ledger and storage, and no network.

The validators and the worker are key pairs; what they sign about a task is real.
"""

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
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.draw import Candidate
from node.market.lifecycle import Lifecycle
from node.market.service import MarketService
from node.market.tasks import TaskRecord
from node.market.views import NewTask, TaskView
from node.roles.results import signed_result
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.network import settlement_parameters
from node.settlement.transfer import TransferSettlement
from node.verification.anchors import AnchorBook
from node.verification.author import Author
from node.verification.statements import (
    Draw,
    Finding,
    Manifest,
    OutputRef,
    Verdict,
    nonce_of,
    sign_verdict,
)
from node.wire.leases import ReportResult
from p2p.identity import Identity
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
VALIDATORS = tuple(author(number) for number in (2, 3, 4))
WORKER = author(5)
STRANGER = author(6)
CUSTOMERS = tuple(AccountKey(bytes([number]) * 32).address for number in (201, 202))
CANDIDATES = tuple(
    Candidate(one.identity.peer_id, one.identity.public_key, one.address) for one in VALIDATORS
)


class Shop:
    """The market's parts over one database."""

    customer, other = CUSTOMERS
    candidates = CANDIDATES
    validators = VALIDATORS
    worker = WORKER
    stranger = STRANGER

    def __init__(self, db: Database, artifacts: Path, network: NetworkConfig, limit: int) -> None:
        self.db = db
        self.network = network
        self.limit = limit
        self.now_ms = START_MS
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
        self.service = MarketService(
            db=self.db,
            board=self.board,
            settlement=self.settlement,
            deposit_address=MARKET.address,
            anchors=self.anchors,
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
            settlement=self.settlement,
            network=self.network,
            identity=MARKET.identity,
            now_ms=self.clock,
        )

    def deposit(self, customer: str, amount: int) -> None:
        batch = Batch()
        cause = f"deposit:{self.ledger.next_sequence(batch)}"
        postings = move(accounts.L1, accounts.customer(customer), amount)
        self.ledger.post(batch, cause=cause, kind="deposit", postings=postings, at_ms=self.now_ms)
        self.db.stage(batch)

    async def buy(
        self, seed: object = "s", *, reward: int = CPC, key: str | None = None, **changes: object
    ) -> TaskView:
        payload = {"seed": seed, "matrix_size": 16, "iterations": 2}
        task = NewTask("synthetic", payload, Amount(reward))
        account = str(changes.pop("account", self.customer))
        return await self.service.submit(msgspec.structs.replace(task, **changes), account, key)

    def record(self, task_id: str) -> TaskRecord:
        return self.board.get(task_id)

    def lease(self, task_id: str) -> Draw:
        draw = self.lifecycle.lease(self.record(task_id), CANDIDATES)
        assert draw is not None
        return draw

    async def leased(self, **changes: object) -> Draw:
        return self.lease((await self.buy(**changes)).task_id)

    def manifest(self, draw: Draw, content: bytes = b"X_T") -> Manifest:
        digest = sha256(content).digest()
        output = OutputRef("matrix", digest, len(content), bytes(32))
        parameters = sha256(draw.parameters).digest()
        return Manifest(draw.kind, parameters, (output,), bytes(32), digest)

    def verdict(
        self, draw: Draw, report: ReportResult, validator: Author, finding: Finding = "valid"
    ) -> Verdict:
        unsigned = Verdict(
            task_id=draw.task_id,
            epoch=draw.epoch,
            nonce=report.result.nonce,
            worker_address=report.result.worker_address,
            result_hash=bytes.fromhex(report.result.result_hash),
            finding=finding,
            seed=bytes(32),
            validator_key=validator.identity.public_key,
        )
        return sign_verdict(unsigned, CHAIN, validator.identity)

    def report(
        self, draw: Draw, findings: Sequence[Finding] = ("valid", "valid"), *, attempt: int = 1
    ) -> ReportResult:
        """What the draw's orchestrator reports, the verdicts in the order of `validators`."""
        nonce = nonce_of(draw.epoch, attempt, self.network.protocol.max_attempts)
        manifest = self.manifest(draw)
        report = ReportResult(
            draw.epoch, signed_result(draw, nonce, manifest, WORKER), manifest, ()
        )
        verdicts = (
            self.verdict(draw, report, validator, finding)
            for validator, finding in zip(VALIDATORS, findings, strict=False)
        )
        return msgspec.structs.replace(report, verdicts=tuple(verdicts))

    def complete(self, report: ReportResult, orchestrator: str | None = None) -> TaskRecord:
        """Judge and complete, as the market's role does."""
        task_id = report.result.task_id
        sender = orchestrator or self.record(task_id).orchestrator
        outcome = self.lifecycle.judge(report, sender)
        if outcome is not None:
            self.lifecycle.complete(outcome, sender)
        return self.record(task_id)

    def balances(self, customer: str) -> tuple[int, int]:
        view = self.service.account(customer)
        return view.available, view.reserved


@pytest.fixture(scope="session")
def open_shop(tmp_path_factory) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    artifacts = tmp_path_factory.mktemp("artifacts")
    network = load_network()

    @asynccontextmanager
    async def opened(*, deposit: int = DEPOSIT, limit: int | None = None) -> AsyncIterator[Shop]:
        async with open_database(MemoryStore()) as db:
            shop = Shop(db, artifacts, network, limit or MarketSection().max_open_tasks)
            for customer in CUSTOMERS:
                shop.deposit(customer, deposit)
            yield shop

    return opened


@pytest.fixture
async def shop(open_shop) -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened
