"""What a market shows of its state: the answers behind REST, JSON-RPC and the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from node.amounts import Amount
from node.market.changes import ChangeLog
from node.metrics import Family

MAX_REASON = 500
"""Characters of the reason for an appeal."""


class Quote(msgspec.Struct, frozen=True):
    """The price of a piece of work on this network."""

    challenge_type: str
    price: Amount
    """The least reward that is taken, units of 10^-18 CPC."""
    jobs: int
    """Parts that the work is planned in, each for one worker."""
    work_units: int
    """Multiply-adds of the work itself."""
    check_units: int
    """Multiply-adds that each validator spends on checking it."""
    max_deadline_s: int
    """Seconds from now: the latest deadline that is taken."""
    proof_units: int = 0
    """What proving the results takes beside the work, in multiply-adds; 0 if they are opened."""
    appeal_fee: Amount | None = None
    """What disputing the result takes: it comes back unless the result stands. None where results
    cannot be disputed."""


class NewTask(msgspec.Struct, frozen=True):
    """A customer's request, shapes already checked at the door."""

    challenge_type: str
    payload: Mapping[str, object]
    reward: Amount
    deadline_s: int | None = None
    """Unix seconds; None takes the network's default."""


class WorkerShare(msgspec.Struct, frozen=True):
    """One worker's part in a result."""

    address: str
    jobs: int


class CheckShare(msgspec.Struct, frozen=True):
    """One validator's part in the checking of a task."""

    address: str
    checks: int
    """Signed verdicts about any of its attempts."""


class OutputView(msgspec.Struct, frozen=True):
    """One output of a task, to be fetched by its digest."""

    name: str
    sha256: str
    size: int


class ProofView(msgspec.Struct, frozen=True):
    """The proof of one job's result."""

    job: int
    system: str
    size: int
    sha256: str
    """Hex; empty if the receipt itself has the proof, else it is to be fetched by this digest."""


class ResultView(msgspec.Struct, frozen=True):
    """The checked result of a completed task."""

    result_hash: str
    """Hex without prefix; the REST door prints it with 0x."""
    worker_address: str
    """Whoever did most of the jobs."""
    completed_at_ms: int
    pay_due_ms: int
    """When those who did the work are paid; the customer has the output at once."""
    outputs: tuple[OutputView, ...]
    workers: tuple[WorkerShare, ...]
    validators: tuple[str, ...]
    """Addresses of the validators whose verdicts carry the result."""
    orchestrator: str
    """Address of the validator that saw the task through."""
    checks: tuple[CheckShare, ...]
    """What the validators are paid by."""
    proofs: tuple[ProofView, ...] = ()
    """Of every job, if the results are proven."""
    appeal_fee: Amount | None = None
    """What disputing the result takes; None where results cannot be disputed."""


class Problem(msgspec.Struct, frozen=True):
    """Why a task failed."""

    code: str
    message: str


class PassedJuror(msgspec.Struct, frozen=True):
    """A validator whose seat in a jury went to another."""

    peer_id: str
    reason: str
    """`refused`, `unreachable`, or `no_ruling` in its time."""


class AppealView(msgspec.Struct, frozen=True):
    """A customer's dispute about a result."""

    reason: str
    fee: Amount
    appealed_at_ms: int
    deadline_ms: int
    jury: tuple[str, ...]
    """Addresses of the validators that compute the task again."""
    rulings: int
    """How many of them have."""
    outcome: str | None
    """`upheld`, `overturned` or `inconclusive`; None while it is not decided."""
    passed: tuple[PassedJuror, ...] = ()
    """Who is in the jury no more, in the order in which they gave their seats to others."""


class TaskView(msgspec.Struct, frozen=True):
    """A task as its customer sees it."""

    task_id: str
    challenge_type: str
    status: str
    """`pending`, `in_progress`, `completed` or `failed`."""
    phase: str
    reward: Amount
    created_at_ms: int
    deadline_ms: int
    payload: Mapping[str, object]
    account: str
    epoch: int
    jobs: int
    error: Problem | None = None
    result: ResultView | None = None
    appeal: AppealView | None = None


class TaskPage(msgspec.Struct, frozen=True):
    """A page of tasks, newest first."""

    tasks: tuple[TaskView, ...]
    total: int
    limit: int
    offset: int
    cursor: str | None = None
    """Where the next page begins; None after the last one."""


class AccountView(msgspec.Struct, frozen=True):
    """A customer's account at this market."""

    address: str
    available: Amount
    """Its own: to buy with or take out."""
    reserved: Amount
    earned: Amount
    """As a worker or validator, mature and not yet paid out."""
    deposit_address: str
    """L1 address: what is paid in there is credited to its sender."""
    deposit_by: str = "TRANSFER"
    """The type of transaction that pays in; any other is credited to nobody."""
    credit_limit: Amount = Amount(0)
    """The most that it may owe for tasks."""
    owed: Amount = Amount(0)
    credit_backer: str = ""
    """L1 address of who backs the credit; empty without any."""
    bonded: Amount = Amount(0)
    unbonding: Amount = Amount(0)
    """Bond that was taken back and is not the account's own yet."""


class StatementLine(msgspec.Struct, frozen=True):
    """One movement of one of an address's accounts."""

    number: int
    """Of the ledger's entry; an entry that moves two of the accounts makes two lines."""
    at_ms: int
    account: str
    """`customer`, `worker`, `validator`, `bond`, `unbonding` or `credit`."""
    kind: str
    """`deposit`, `reserve`, `refund`, `mature`, `payout`, `withdraw` and others."""
    about: str
    """The task, transaction or payment that it belongs to."""
    amount: Amount
    """Units gained or, negative, given."""


class StatementPage(msgspec.Struct, frozen=True):
    """A part of an address's statement, oldest first."""

    address: str
    lines: tuple[StatementLine, ...]
    next: int | None
    """Number of the entry that the next part starts with; None if this was the last."""
    credit_limit: Amount = Amount(0)
    owed: Amount = Amount(0)
    """For tasks on credit, by now."""


class PostingView(msgspec.Struct, frozen=True):
    """What one account gains (or, negative, gives) by an entry."""

    account: str
    amount: Amount


class EntryView(msgspec.Struct, frozen=True):
    """An entry of the ledger."""

    cause: str
    kind: str
    at_ms: int
    number: int
    postings: tuple[PostingView, ...]


class PayoutView(msgspec.Struct, frozen=True):
    """The entries that a payout on the chain pays."""

    account: str
    entries: tuple[EntryView, ...]


class WorkerView(msgspec.Struct, frozen=True):
    """A worker or validator that this node knows of."""

    peer_id: str
    address: str
    roles: tuple[str, ...]
    connected: bool
    kinds: tuple[str, ...]


class Overdue(msgspec.Struct, frozen=True):
    """Something that is older than it should be."""

    what: str
    """`queued task`, `payout`, `deposit` and others."""
    about: str
    """Which."""
    overdue_s: float
    """Seconds beyond its limit."""
    reason: str
    remedy: str


class NodeStatus(msgspec.Struct, frozen=True):
    """What the node is doing."""

    version: str
    chain_id: str
    peer_id: str
    address: str
    roles: tuple[str, ...]
    uptime_s: float
    peers: int
    l1_height: int | None
    """None while the L1 has not answered."""
    counts: Mapping[str, int]
    """Numbers of things by name, e.g. tasks by phase, jobs running, payouts waiting."""
    waiting: tuple[str, ...] = ()
    """Sentences: what waits for what."""
    obstacles: tuple[str, ...] = ()
    """Those of them that keep the node from its work: it is not ready."""
    overdue: tuple[Overdue, ...] = ()
    """What is older than it should be."""


class Node(Protocol):
    """What every node answers, whatever its roles."""

    def status(self) -> NodeStatus:
        """Describe this node now."""
        ...

    def metrics(self) -> tuple[Family, ...]:
        """The node's numbers for Prometheus."""
        ...

    def peers(self) -> tuple[WorkerView, ...]:
        """List the nodes this one knows."""
        ...


class Market(Protocol):
    """What a market answers; errors are `node.errors`."""

    @property
    def changes(self) -> ChangeLog:
        """What happens to its tasks, to be followed."""
        ...

    def quote(self, challenge_type: str, payload: Mapping[str, object]) -> Quote:
        """Price a piece of work without buying it."""
        ...

    async def submit(
        self, task: NewTask, account: str, idempotency_key: str | None = None
    ) -> TaskView:
        """Reserve the reward and take the task; returns when it is durable.

        The same account and key give the same task again.
        """
        ...

    def task(self, task_id: str) -> TaskView:
        """Show one task; NotFound if it is not known here."""
        ...

    def tasks(
        self,
        *,
        status: str | None,
        challenge_type: str | None,
        limit: int,
        offset: int,
        cursor: str | None = None,
    ) -> TaskPage:
        """List tasks, newest first, from the cursor of an earlier page on."""
        ...

    async def cancel(self, task_id: str, account: str) -> TaskView:
        """Cancel a task that is not finished and give the reward back."""
        ...

    async def appeal(self, task_id: str, account: str, reason: str) -> TaskView:
        """Dispute a completed task's result for a fee; returns when that is durable."""
        ...

    def receipt(self, task_id: str) -> bytes:
        """The canonical JSON of the receipt; Conflict while it is not anchored yet."""
        ...

    def account(self, address: str) -> AccountView:
        """Show an account; one that never deposited has nothing."""
        ...

    def statement(self, address: str, *, start: int, limit: int) -> StatementPage:
        """Show what moved an address's money, `limit` entries from number `start` on."""
        ...

    def payout(self, root: str, address: str) -> PayoutView:
        """Show the entries that a payout pays; NotFound if there is none with root and address."""
        ...

    def artifact(self, sha256: str) -> Path:
        """Path of an output's file; NotFound if it is not held here."""
        ...

    async def wait(self, task_id: str, *, seen: str) -> TaskView:
        """Return the task as soon as its phase differs from `seen`."""
        ...
