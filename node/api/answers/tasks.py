"""Tasks, their results and appeals, and quotes."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from node.amounts import format_cpc
from node.api.answers.times import seconds, seconds_until
from node.market.phases import ENDS, STATUS_OF
from node.market.views import (
    AppealView,
    CheckShare,
    Problem,
    ProofView,
    Quote,
    ResultView,
    TaskPage,
    TaskView,
    WorkerShare,
)


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
    return SubmitAnswer(task.task_id, task.status, seconds(task.created_at_ms))


def task_answer(task: TaskView) -> TaskAnswer:
    """A task as JSON."""
    return TaskAnswer(
        task_id=task.task_id,
        challenge_type=task.challenge_type,
        status=task.status,
        phase=task.phase,
        reward=format_cpc(task.reward),
        created_at=seconds(task.created_at_ms),
        deadline=seconds(task.deadline_ms),
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
        appealed_at=seconds(appeal.appealed_at_ms),
        deadline=seconds_until(appeal.deadline_ms),
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
        completed_at=seconds(result.completed_at_ms),
        pay_due_at=seconds_until(result.pay_due_ms),
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
