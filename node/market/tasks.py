"""The life of a task at its market: records, and the only ways from one state to the next.

    queued ─→ leased ─→ verified ─→ anchored
      │ ↑        │
      │ └────────┘ the lease ran out or failed: the next epoch
      └──────────┴─→ refunded (cancelled, deadline passed, every epoch failed)

`status` is what the customer sees, `phase` where the task is. Every function returns a new record
or raises Conflict; money moves in the caller's batch beside it.
"""

from typing import Literal

import msgspec

from node.amounts import Amount
from node.errors import Conflict
from node.verification.statements import ComputeResult, Draw, Manifest, Verdict

Phase = Literal["queued", "leased", "verified", "anchored", "refunded"]
Status = Literal["pending", "in_progress", "completed", "failed"]

STATUS_OF: dict[Phase, Status] = {
    "queued": "pending",
    "leased": "in_progress",
    "verified": "completed",
    "anchored": "completed",
    "refunded": "failed",
}
OPEN_PHASES: frozenset[Phase] = frozenset({"queued", "leased"})


class TaskRecord(msgspec.Struct, frozen=True):
    """A task as it is stored; times in Unix milliseconds."""

    task_id: str
    sequence: int
    """Order of arrival at this market, from 0."""
    account: str
    kind: str
    parameters: bytes
    """The workload's canonical bytes."""
    payload: bytes
    """The payload as posted, JSON, to show it again."""
    reward: Amount
    created_ms: int
    deadline_ms: int
    work_units: int = 0
    """Multiply-adds of the work."""
    phase: Phase = "queued"
    epoch: int = 0
    """0 before the first lease; raised by each lease."""
    draw: Draw | None = None
    orchestrator: str = ""
    """Peer id of the validator that holds the lease."""
    lease_until_ms: int = 0
    failed_orchestrators: tuple[str, ...] = ()
    error_code: str = ""
    error_text: str = ""

    @property
    def status(self) -> Status:
        """The public status."""
        return STATUS_OF[self.phase]


class OutcomeRecord(msgspec.Struct, frozen=True):
    """What completed a task: kept apart, since only its receipt needs all of it."""

    result: ComputeResult
    manifest: Manifest
    draw: Draw
    verdicts: tuple[Verdict, ...]
    completed_ms: int
    batch: str = ""
    """Batch id once the result is anchored."""
    index: int = 0
    """Leaf of the batch."""


def leased(task: TaskRecord, draw: Draw, orchestrator: str) -> TaskRecord:
    """Lease a queued task for the draw's epoch until the draw expires."""
    _require(task, "queued")
    if draw.epoch != task.epoch + 1 or draw.task_id != task.task_id:
        raise Conflict("the draw is not the next epoch of this task")
    return msgspec.structs.replace(
        task,
        phase="leased",
        epoch=draw.epoch,
        draw=draw,
        orchestrator=orchestrator,
        lease_until_ms=draw.expires_ms,
    )


def unleased(task: TaskRecord, reason: str, *, failed: bool = True) -> TaskRecord:
    """Give a lease up: one that `failed` leads to another orchestrator where there is one."""
    _require(task, "leased")
    failures = (*task.failed_orchestrators, task.orchestrator)
    return msgspec.structs.replace(
        task,
        phase="queued",
        draw=None,
        orchestrator="",
        lease_until_ms=0,
        failed_orchestrators=failures if failed else task.failed_orchestrators,
        error_text=reason,
    )


def verified(task: TaskRecord, epoch: int) -> TaskRecord:
    """The quorum found the result of this epoch valid."""
    _require(task, "leased")
    if epoch != task.epoch:
        raise Conflict(f"epoch {epoch} is superseded by epoch {task.epoch}")
    return msgspec.structs.replace(task, phase="verified", error_text="", error_code="")


def anchored(task: TaskRecord) -> TaskRecord:
    """The result is under a transaction in a block."""
    _require(task, "verified")
    return msgspec.structs.replace(task, phase="anchored")


def refunded(task: TaskRecord, code: str, reason: str) -> TaskRecord:
    """End an open task without a result; its reward goes back to the customer."""
    if task.phase not in OPEN_PHASES:
        raise Conflict(
            f"the task is {task.status}", field="task_id", remedy="only open tasks can be ended"
        )
    return msgspec.structs.replace(
        task, phase="refunded", lease_until_ms=0, error_code=code, error_text=reason
    )


def _require(task: TaskRecord, phase: Phase) -> None:
    if task.phase != phase:
        raise Conflict(f"the task is {task.phase}, not {phase}", field="task_id")
