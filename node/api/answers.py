"""What the commands give back, as JSON: amounts as decimal strings of CPC, times in Unix seconds.

A member is added to an answer or kept, never silently removed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from node.amounts import Amount, format_cpc
from node.market.phases import ENDS, STATUS_OF
from node.market.views import (
    AccountView,
    AppealView,
    CheckShare,
    NodeStatus,
    PayoutView,
    Problem,
    ProofView,
    Quote,
    ResultView,
    StatementPage,
    TaskPage,
    TaskView,
    WorkerShare,
    WorkerView,
)

if TYPE_CHECKING:  # the command line has the answers without settlement and storage
    from node.settlement.bonds import Bond
    from node.settlement.paydesk import PayView
    from node.settlement.withdrawals import WithdrawalView

MILLISECONDS = 1000


class QuoteAnswer(msgspec.Struct, frozen=True):
    """The price of a piece of work."""

    challenge_type: str
    price_cpc: str
    jobs: int
    work_units: int
    check_units: int
    max_deadline_s: int
    proof_units: int = 0
    appeal_fee_cpc: str | None = None
    """What disputing the result takes; it comes back unless the result stands. Null where results
    cannot be disputed."""


class SubmitAnswer(msgspec.Struct, frozen=True):
    """A task that was taken."""

    task_id: str
    status: str
    created_at: int


class OutputAnswer(msgspec.Struct, frozen=True):
    """One output: its digest, its bytes, and where they are."""

    sha256: str
    size: int
    url: str


class ArtifactAnswer(msgspec.Struct, frozen=True):
    """One file of a result."""

    name: str
    sha256: str
    size: int
    url: str


class ProofAnswer(msgspec.Struct, frozen=True):
    """The proof of one job's result: in the receipt, or an artifact of its own with a `url`."""

    job: int
    system: str
    size: int
    sha256: str | None
    url: str | None


class ResultAnswer(msgspec.Struct, frozen=True):
    """The checked result of a completed task."""

    result_hash: str
    worker_address: str
    completed_at: int
    pay_due_at: int
    output: dict[str, OutputAnswer]
    artifacts: tuple[ArtifactAnswer, ...]
    workers: tuple[WorkerShare, ...]
    validators: tuple[str, ...]
    orchestrator: str
    checks: tuple[CheckShare, ...]
    proofs: tuple[ProofAnswer, ...] = ()
    appeal_fee_cpc: str | None = None
    """What disputing this result takes, until `pay_due_at`; null where it cannot be disputed."""


class PassedAnswer(msgspec.Struct, frozen=True):
    """A validator whose seat in a jury went to another."""

    peer_id: str
    reason: str
    """`refused`, `unreachable`, or `no_ruling` in its time."""


class AppealAnswer(msgspec.Struct, frozen=True):
    """A dispute about a result; `outcome` is null until it is decided."""

    reason: str
    fee_cpc: str
    appealed_at: int
    deadline: int
    """When it ends at the latest."""
    jury: tuple[str, ...]
    """Addresses of the validators that compute the task again."""
    rulings: int
    """How many of them have."""
    outcome: str | None
    """`upheld`, `overturned` or `inconclusive`."""
    passed: tuple[PassedAnswer, ...] = ()
    """Who is in the jury no more, in the order in which they gave their seats to others."""


_ENDS = "; ".join(f"`{phase}`: {meaning}" for phase, meaning in ENDS.items())
TaskPhase = Annotated[
    str,
    msgspec.Meta(
        description=f"Where the task is. It stays in an end: {_ENDS}.",
        extra_json_schema={"enum": list(STATUS_OF)},
    ),
]
"""A client takes any other word too: a later market may know more."""


class TaskAnswer(msgspec.Struct, frozen=True):
    """A task; `result` is null until it is completed, `error` is there once it failed or was
    reclaimed."""

    task_id: str
    challenge_type: str
    status: str
    phase: TaskPhase
    reward: str
    created_at: int
    deadline: int
    payload: Mapping[str, Any]
    jobs: int
    error: Problem | msgspec.UnsetType = msgspec.UNSET
    result: ResultAnswer | None = None
    appeal: AppealAnswer | msgspec.UnsetType = msgspec.UNSET
    """There once the result was disputed."""


class ListAnswer(msgspec.Struct, frozen=True):
    """A page of tasks, newest first."""

    tasks: tuple[TaskAnswer, ...]
    total: int
    limit: int
    offset: int
    cursor: str | None = None
    """Where the next page begins; null after the last one."""


class AccountAnswer(msgspec.Struct, frozen=True):
    """An account at this market."""

    address: str
    available_cpc: str
    """Its own money: to buy with or take out."""
    reserved_cpc: str
    earned_cpc: str
    """What it has earned as a worker or validator and is paid out next."""
    deposit_address: str
    withdrawal_fee_cpc: str | None = None
    """What a withdrawal costs; null where nothing is paid out."""
    credit_limit_cpc: str = "0.0"
    """The most that it may owe for tasks, as the operator allows."""
    owed_cpc: str = "0.0"
    """What it owes now; a deposit pays it back first."""
    deposit_by: str = "TRANSFER"
    """The type of transaction that pays in; where the chain holds the money, `DEPOSIT`."""
    bonded_cpc: str = "0.0"
    unbonding_cpc: str = "0.0"
    """Bond that was taken back and is not free yet."""


class StatementLine(msgspec.Struct, frozen=True):
    """One movement of your money."""

    number: int
    """Of the entry; one that moves two of your accounts makes two lines."""
    at: float
    """Unix seconds."""
    account: str
    """`customer`, `worker`, `validator`, `bond` or `unbonding`: your money as which."""
    kind: str
    """`deposit`, `reserve`, `refund`, `mature`, `payout`, `withdraw` and others."""
    about: str
    """The task, transaction or payment that it belongs to."""
    amount_cpc: str
    """What came in or, negative, went out."""


class StatementAnswer(msgspec.Struct, frozen=True):
    """A part of a statement, oldest first."""

    address: str
    lines: tuple[StatementLine, ...]
    next: int | None
    """Where the next part starts; null if this was the last."""
    credit_limit_cpc: str = "0.0"
    owed_cpc: str = "0.0"
    """What you owe now for tasks on credit."""


class PostingAnswer(msgspec.Struct, frozen=True):
    """What one account of the market's ledger gains (or, negative, gives)."""

    account: str
    amount_cpc: str


class EntryAnswer(msgspec.Struct, frozen=True):
    """An entry of the market's ledger, with all that its digest is made of."""

    cause: str
    kind: str
    at_ms: int
    number: int
    postings: tuple[PostingAnswer, ...]


class PayoutAnswer(msgspec.Struct, frozen=True):
    """The entries that a payout on the chain pays, in the order of the leaves under its root."""

    account: str
    """The ledger's account that was paid."""
    entries: tuple[EntryAnswer, ...]


class OnTheWayAnswer(msgspec.Struct, frozen=True):
    """A payout that is in no confirmed block yet."""

    amount_cpc: str
    tx_hash: str


class PayTermsAnswer(msgspec.Struct, frozen=True):
    """What you have earned, and when it is paid."""

    address: str
    owed_cpc: str
    """As a worker and as a validator, mature and not on its way."""
    threshold_cpc: str | None
    """At which you are paid; null: by the network's rule."""
    least_threshold_cpc: str
    most_threshold_cpc: str
    pay_by: int | None
    """Unix seconds: the latest; null if nothing is owed."""
    fee_cpc: str
    """What payment on demand costs."""
    on_the_way: tuple[OnTheWayAnswer, ...]


class WithdrawalAnswer(msgspec.Struct, frozen=True):
    """A withdrawal, and how far it is: `pending`, `confirmed` or `lost`."""

    withdrawal_id: str
    address: str
    amount_cpc: str
    fee_cpc: str
    status: str
    tx_hash: str | None
    height: int | None


class BondAnswer(msgspec.Struct, frozen=True):
    """What an address stakes on its results."""

    address: str
    bonded_cpc: str
    unbonding_cpc: str
    release_at: int | None
    """Unix seconds when what is unbonding is free; null if nothing is."""


class ChallengeAnswer(msgspec.Struct, frozen=True):
    """What to sign, and until when."""

    challenge: str
    expires_at: int


class KeyAnswer(msgspec.Struct, frozen=True):
    """An API key, shown this once."""

    key: str
    address: str
    spend_limit: str | None


class PeersAnswer(msgspec.Struct, frozen=True):
    """The nodes this one knows."""

    peers: tuple[WorkerView, ...]


class WorkersAnswer(msgspec.Struct, frozen=True):
    """The workers this node knows."""

    workers: tuple[WorkerView, ...]


class HealthAnswer(msgspec.Struct, frozen=True):
    """Whether the node answers, and whether it can do its work."""

    status: str
    ready: bool
    waiting: tuple[str, ...]


class MetricsText(msgspec.Struct, frozen=True):
    """The node's numbers, not as JSON but in Prometheus' text format."""

    text: str


Receipt = msgspec.Raw
"""A receipt's canonical JSON, passed on byte for byte."""


def quote_answer(quote: Quote) -> QuoteAnswer:
    """A quote as JSON."""
    return QuoteAnswer(
        challenge_type=quote.challenge_type,
        price_cpc=format_cpc(quote.price),
        jobs=quote.jobs,
        work_units=quote.work_units,
        check_units=quote.check_units,
        max_deadline_s=quote.max_deadline_s,
        proof_units=quote.proof_units,
        appeal_fee_cpc=None if quote.appeal_fee is None else format_cpc(quote.appeal_fee),
    )


def submit_answer(task: TaskView) -> SubmitAnswer:
    """What a customer needs to find the task again."""
    return SubmitAnswer(task.task_id, task.status, task.created_at_ms // MILLISECONDS)


def task_answer(task: TaskView) -> TaskAnswer:
    """A task as JSON."""
    return TaskAnswer(
        task_id=task.task_id,
        challenge_type=task.challenge_type,
        status=task.status,
        phase=task.phase,
        reward=format_cpc(task.reward),
        created_at=task.created_at_ms // MILLISECONDS,
        deadline=task.deadline_ms // MILLISECONDS,
        payload=task.payload,
        jobs=task.jobs,
        error=msgspec.UNSET if task.error is None else task.error,
        result=None if task.result is None else _result_answer(task.result),
        appeal=msgspec.UNSET if task.appeal is None else _appeal_answer(task.appeal),
    )


def _appeal_answer(appeal: AppealView) -> AppealAnswer:
    return AppealAnswer(
        reason=appeal.reason,
        fee_cpc=format_cpc(appeal.fee),
        appealed_at=appeal.appealed_at_ms // MILLISECONDS,
        deadline=-(-appeal.deadline_ms // MILLISECONDS),
        jury=appeal.jury,
        rulings=appeal.rulings,
        outcome=appeal.outcome,
        passed=tuple(PassedAnswer(one.peer_id, one.reason) for one in appeal.passed),
    )


def _result_answer(result: ResultView) -> ResultAnswer:
    files = tuple(
        ArtifactAnswer(output.name, output.sha256, output.size, f"/artifacts/{output.sha256}")
        for output in result.outputs
    )
    return ResultAnswer(
        result_hash=f"0x{result.result_hash}",
        worker_address=result.worker_address,
        completed_at=result.completed_at_ms // MILLISECONDS,
        pay_due_at=-(-result.pay_due_ms // MILLISECONDS),
        output={file.name: OutputAnswer(file.sha256, file.size, file.url) for file in files},
        artifacts=files,
        workers=result.workers,
        validators=result.validators,
        orchestrator=result.orchestrator,
        checks=result.checks,
        proofs=tuple(map(_proof_answer, result.proofs)),
        appeal_fee_cpc=None if result.appeal_fee is None else format_cpc(result.appeal_fee),
    )


def _proof_answer(proof: ProofView) -> ProofAnswer:
    artifact = proof.sha256 or None
    url = f"/artifacts/{artifact}" if artifact else None
    return ProofAnswer(proof.job, proof.system, proof.size, artifact, url)


def list_answer(page: TaskPage) -> ListAnswer:
    """A page of tasks as JSON."""
    tasks = tuple(map(task_answer, page.tasks))
    return ListAnswer(tasks, page.total, page.limit, page.offset, page.cursor)


def account_answer(account: AccountView, fee: Amount | None) -> AccountAnswer:
    """An account as JSON, and what a withdrawal from it costs."""
    return AccountAnswer(
        address=account.address,
        available_cpc=format_cpc(account.available),
        reserved_cpc=format_cpc(account.reserved),
        earned_cpc=format_cpc(account.earned),
        deposit_address=account.deposit_address,
        withdrawal_fee_cpc=None if fee is None else format_cpc(fee),
        credit_limit_cpc=format_cpc(account.credit_limit),
        owed_cpc=format_cpc(account.owed),
        deposit_by=account.deposit_by,
        bonded_cpc=format_cpc(account.bonded),
        unbonding_cpc=format_cpc(account.unbonding),
    )


def statement_answer(page: StatementPage) -> StatementAnswer:
    """A part of a statement as JSON."""
    lines = tuple(
        StatementLine(
            number=line.number,
            at=line.at_ms / 1000,
            account=line.account,
            kind=line.kind,
            about=line.about,
            amount_cpc=format_cpc(line.amount),
        )
        for line in page.lines
    )
    limit, owed = format_cpc(page.credit_limit), format_cpc(page.owed)
    return StatementAnswer(page.address, lines, page.next, limit, owed)


def pay_terms_answer(view: "PayView") -> PayTermsAnswer:
    """What a payee is owed as JSON."""
    threshold, pay_by_ms = view.threshold, view.pay_by_ms
    return PayTermsAnswer(
        address=view.address,
        owed_cpc=format_cpc(view.owed),
        threshold_cpc=None if threshold is None else format_cpc(threshold),
        least_threshold_cpc=format_cpc(view.least),
        most_threshold_cpc=format_cpc(view.most),
        pay_by=None if pay_by_ms is None else -(-pay_by_ms // MILLISECONDS),
        fee_cpc=format_cpc(view.fee),
        on_the_way=tuple(
            OnTheWayAnswer(format_cpc(one.amount), f"0x{one.tx_hash}") for one in view.on_the_way
        ),
    )


def payout_answer(payout: PayoutView) -> PayoutAnswer:
    """A payout as JSON."""
    entries = tuple(
        EntryAnswer(
            cause=entry.cause,
            kind=entry.kind,
            at_ms=entry.at_ms,
            number=entry.number,
            postings=tuple(
                PostingAnswer(one.account, format_cpc(one.amount)) for one in entry.postings
            ),
        )
        for entry in payout.entries
    )
    return PayoutAnswer(payout.account, entries)


def withdrawal_answer(withdrawal: "WithdrawalView") -> WithdrawalAnswer:
    """A withdrawal as JSON."""
    return WithdrawalAnswer(
        withdrawal_id=withdrawal.withdrawal_id,
        address=withdrawal.address,
        amount_cpc=format_cpc(withdrawal.amount),
        fee_cpc=format_cpc(withdrawal.fee),
        status=withdrawal.state,
        tx_hash=None if withdrawal.tx_hash is None else f"0x{withdrawal.tx_hash}",
        height=withdrawal.height,
    )


def bond_answer(bond: "Bond") -> BondAnswer:
    """A bond as JSON."""
    release_ms = bond.release_ms
    return BondAnswer(
        address=bond.address,
        bonded_cpc=format_cpc(bond.bonded),
        unbonding_cpc=format_cpc(bond.unbonding),
        release_at=None if release_ms is None else -(-release_ms // MILLISECONDS),
    )


def health_answer(status: NodeStatus) -> HealthAnswer:
    """Whether the node can do its work, and what it waits for."""
    return HealthAnswer("ok", not status.obstacles, status.waiting)
