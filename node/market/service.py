"""What a customer can do at a market: price, buy, look, cancel, fetch.

Nothing is answered before it is durable. Money is reserved in the same batch in which the task is
written, so a task without its reward, or a reward without its task, cannot exist.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from gpu.errors import PayloadError
from gpu.workloads import KINDS, WORKLOADS
from gpu.workloads.base import Workload
from node.config import NetworkConfig
from node.errors import (
    Conflict,
    InsufficientFunds,
    InvalidInput,
    NotAllowed,
    NotFound,
    Overloaded,
    TaskTooLarge,
    WorkloadUnavailable,
)
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.desk import Desk
from node.market.phases import ENDS
from node.market.quote import check_reward, price
from node.market.showing import account_view, payout_view, task_view
from node.market.snapshots import SnapshotLog
from node.market.statements import statement_page
from node.market.tasks import TaskRecord, refunded
from node.market.views import (
    AccountView,
    NewTask,
    PayoutView,
    Quote,
    StatementPage,
    TaskPage,
    TaskView,
)
from node.settlement.interface import Settlement
from node.verification.anchors import AnchorBook
from node.workloads import limits_of
from p2p.encoding import tagged, text
from storage.artifacts import ArtifactStore
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """The task that an account's idempotency key stands for."""

    task_id: str
    request: bytes
    """SHA-256 of the request, to notice another one under the same key."""


class MarketService:
    """The `Market` of the API, over one database."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        settlement: Settlement,
        desk: Desk,
        deposit_address: str,
        anchors: AnchorBook,
        snapshots: SnapshotLog,
        artifacts: ArtifactStore,
        network: NetworkConfig,
        max_open_tasks: int,
        now_ms: Callable[[], int],
        epoch_hash: Callable[[], bytes],
    ) -> None:
        self._db = db
        self._board = board
        self._settlement = settlement
        self._desk = desk
        self._deposit_address = deposit_address
        self._anchors = anchors
        self._snapshots = snapshots
        self._artifacts = artifacts
        self._network = network
        self._max_open_tasks = max_open_tasks
        self._now_ms = now_ms
        self._epoch_hash = epoch_hash
        self._keys = Table(db, "idempotency", IdempotencyRecord)

    @property
    def changes(self) -> ChangeLog:
        """What happens to the tasks, to be followed."""
        return self._board.changes

    def quote(self, challenge_type: str, payload: Mapping[str, object]) -> Quote:
        """Price a piece of work without buying it."""
        workload, parameters = self._parse(challenge_type, payload)
        economics = self._network.economics
        jobs = workload.plan(parameters)
        work_units = jobs * workload.work_units(parameters)
        proof_units = jobs * workload.proof_units(parameters)
        return Quote(
            challenge_type=challenge_type,
            price=price(
                work_units + proof_units,
                base=economics.base_price,
                per_tera=economics.price_per_tera_unit,
                least=economics.min_reward,
            ),
            jobs=jobs,
            work_units=work_units,
            check_units=jobs * workload.check_units(parameters),
            max_deadline_s=self._network.protocol.max_deadline_s,
            proof_units=proof_units,
            appeal_fee=self._desk.fee(work_units + proof_units),
        )

    async def submit(
        self, task: NewTask, account: str, idempotency_key: str | None = None
    ) -> TaskView:
        """Reserve the reward and take the task; returns when it is durable."""
        key = idempotency_key or secrets.token_hex(16)
        request = _digest_of(task)
        known = self._keys.get(_key_of(account, key))
        if known is None:
            record = self._admit(task, account, key, request)
        elif known.request == request:
            record = self._board.get(known.task_id)
        else:
            raise Conflict(
                "this key was used for another request",
                field="Idempotency-Key",
                remedy="use a new key for a new task",
            )
        await self._db.flushed()
        return self._view(record)

    def task(self, task_id: str) -> TaskView:
        """Show one task."""
        return self._view(self._board.get(task_id))

    def tasks(
        self,
        *,
        status: str | None,
        challenge_type: str | None,
        limit: int,
        offset: int,
        cursor: str | None = None,
    ) -> TaskPage:
        """List tasks, newest first."""
        page = self._board.page(
            status=status, kind=challenge_type, limit=limit, offset=offset, cursor=cursor
        )
        views = tuple(self._view(record) for record in page.tasks)
        return TaskPage(views, page.total, limit, offset, page.cursor)

    async def cancel(self, task_id: str, account: str) -> TaskView:
        """Cancel an open task and give the reward back."""
        record = self._board.get(task_id)
        if record.account != account:
            raise NotAllowed(
                "the task belongs to another account",
                field="task_id",
                remedy="use the account that posted it",
            )
        ended = self.end(record, "cancelled", "cancelled by the customer")
        await self._db.flushed()
        return self._view(ended)

    def end(
        self, record: TaskRecord, code: str, reason: str, batch: Batch | None = None
    ) -> TaskRecord:
        """Stage the end of an open task without a result, and its refund; `batch` may hold more."""
        batch = Batch() if batch is None else batch
        ended = refunded(record, code, reason)
        self._settlement.rewards.refund(batch, record.task_id, self._now_ms())
        self._board.put(batch, ended)
        self._db.stage(batch)
        self._board.announce(record.task_id)
        return ended

    async def appeal(self, task_id: str, account: str, reason: str) -> TaskView:
        """Dispute a completed task's result."""
        record = self._desk.open(task_id, account, reason)
        await self._db.flushed()
        return self._view(record)

    def receipt(self, task_id: str) -> bytes:
        """The canonical JSON of the receipt of an anchored task, with the ruling if it has one."""
        record, outcome = self._board.get(task_id), self._board.outcome(task_id)
        is_there = record.phase == "anchored" or record.phase in ENDS
        if outcome is None or not is_there or not outcome.is_anchored:
            raise Conflict(
                f"the task is {record.phase}: its receipt is not complete yet",
                field="task_id",
                remedy="ask again when its phase is anchored",
            )
        appeal = self._desk.book.find(task_id) if record.is_appealed else None
        return self._anchors.receipt(outcome, self._snapshots.find, appeal)

    def account(self, address: str) -> AccountView:
        """Show an account."""
        rewards = sum(int(one.reward) for one in self._board.open_tasks() if one.account == address)
        fees = sum(int(one.jury.fee) for one in self._desk.book.open() if one.account == address)
        reserved = rewards + fees + self._settlement.rewards.returning(address)
        credit = self._settlement.credit.view(address)
        view = account_view(self._settlement.ledger, credit, reserved, self._deposit_address)
        return msgspec.structs.replace(view, deposit_by=self._settlement.deposit_by)

    def statement(self, address: str, *, start: int, limit: int) -> StatementPage:
        """Show what moved an address's money."""
        ledger, credit = self._settlement.ledger, self._settlement.credit
        own = credit.pays_tasks
        page = statement_page(ledger, address, start=start, limit=limit, with_credit=own)
        view = credit.view(address)
        return msgspec.structs.replace(page, credit_limit=view.limit, owed=view.owed)

    def payout(self, root: str, address: str) -> PayoutView:
        """Show the entries that a payout pays, to anybody."""
        shown = self._settlement.payouts.shown(root, address)
        if shown is None:
            raise NotFound("no payout has this root and goes to this address", field="root")
        return payout_view(shown)

    def artifact(self, sha256_hex: str) -> Path:
        """Path of an output's file."""
        if not self._artifacts.has(sha256_hex):
            raise NotFound("no such artifact here", field="sha256", remedy="see the task's outputs")
        return self._artifacts.path(sha256_hex)

    async def wait(self, task_id: str, *, seen: str) -> TaskView:
        """Return the task as soon as its phase differs from `seen`."""
        while (record := self._board.get(task_id)).phase == seen:
            await self._board.wait_change(task_id)
        return self._view(record)

    def _admit(self, task: NewTask, account: str, key: str, request: bytes) -> TaskRecord:
        if self._board.open_count >= self._max_open_tasks:
            raise Overloaded("the market is full", remedy="try again in a few seconds")
        quote = self.quote(task.challenge_type, task.payload)
        highest = self._network.economics.max_reward
        check_reward(task.reward, quoted=quote.price, highest=highest)
        workload, parameters = self._parse(task.challenge_type, task.payload)
        now_ms = self._now_ms()
        record = TaskRecord(
            task_id=self._task_id(account, key, request),
            sequence=self._board.next_sequence,
            account=account,
            kind=task.challenge_type,
            parameters=workload.canonical(parameters),
            payload=json.dumps(task.payload, sort_keys=True).encode(),
            reward=task.reward,
            created_ms=now_ms,
            deadline_ms=self._deadline_ms(task.deadline_s, now_ms),
            jobs=quote.jobs,
            work_units=quote.work_units + quote.proof_units,
        )
        batch = Batch()
        try:
            self._settlement.rewards.reserve(batch, record.task_id, account, record.reward, now_ms)
        except InsufficientFunds as error:
            raise InsufficientFunds(error.message, field="reward", remedy=error.remedy) from error
        self._board.put(batch, record)
        self._keys.put(batch, _key_of(account, key), IdempotencyRecord(record.task_id, request))
        self._db.stage(batch)
        self._board.announce(record.task_id)
        return record

    def _parse(self, kind: str, payload: Mapping[str, object]) -> tuple[Workload[Any], Any]:
        if kind not in KINDS:
            raise InvalidInput(
                f"is no kind of task: {kind[:40]!r}",
                field="challenge_type",
                remedy="one of " + ", ".join(KINDS),
            )
        workload = WORKLOADS.get(kind)
        if workload is None:
            raise WorkloadUnavailable(
                f"{kind} is not offered on this network yet",
                field="challenge_type",
                remedy="one of " + ", ".join(WORKLOADS),
            )
        try:
            return workload, workload.parse(payload, limits_of(self._network.protocol))
        except PayloadError as error:
            raised = TaskTooLarge if error.code == TaskTooLarge.code else InvalidInput
            field = f"payload.{error.field}" if error.field else "payload"
            raise raised(error.problem, field=field, remedy=error.remedy) from error

    def _deadline_ms(self, deadline_s: int | None, now_ms: int) -> int:
        protocol = self._network.protocol
        if deadline_s is None:
            return now_ms + protocol.default_deadline_s * 1000
        if deadline_s * 1000 <= now_ms:
            raise InvalidInput("is in the past", field="deadline", remedy="use a later Unix time")
        if deadline_s * 1000 > now_ms + protocol.max_deadline_s * 1000:
            raise InvalidInput(
                "is too far in the future",
                field="deadline",
                remedy=f"at most {protocol.max_deadline_s} seconds from now",
            )
        return deadline_s * 1000

    def _task_id(self, account: str, key: str, request: bytes) -> str:
        """UUID-shaped: a hash over what no single party chooses, so that nobody can grind it."""
        salt = secrets.token_bytes(16)
        fields = (text(account), text(key), sha256(salt + request).digest(), self._epoch_hash())
        digest = sha256(
            tagged("tmnode/task-id", 1, self._network.network.chain_id, *fields)
        ).digest()
        return str(UUID(bytes=digest[:16]))

    def _view(self, record: TaskRecord) -> TaskView:
        outcome = self._board.outcome(record.task_id) if record.status == "completed" else None
        appeal = self._desk.book.find(record.task_id) if record.is_appealed else None
        return task_view(record, outcome, appeal, self._desk.fee(record.work_units))


def _key_of(account: str, key: str) -> bytes:
    return sha256(tagged("tmnode/idempotency", 1, "", text(account), text(key))).digest()


def _digest_of(task: NewTask) -> bytes:
    """Before anything of the request was looked at: of whatever JSON can hold."""
    fields = (task.challenge_type, task.payload, task.reward.to_wire(), task.deadline_s)
    return sha256(json.dumps(fields, sort_keys=True).encode()).digest()
