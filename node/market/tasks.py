"""The life of a task at its market: the record, and the only ways from one state to the next.

    queued ─→ leased ─→ verified ─→ anchored ─→ settled
      │ ↑       │ ↺ seats filled anew  │ paid     ↑
      │ └───────┤ the next epoch       └──────────┘ anchored
      └─────────┴─→ refunded (cancelled, deadline passed, every epoch failed)

    verified, anchored ⇄ disputed ─→ overturned
    verified, anchored ─→ reclaimed (the chain gave the reward back)

`status` is what the customer sees, `phase` where the task is. A task is settled once it is anchored
and paid, in whatever order. A disputed one is anchored as any other, and where it was if its result
stands. Every function returns a new record or raises Conflict; money moves in the caller's batch
beside it.
"""

import msgspec

from node.amounts import Amount
from node.errors import Conflict
from node.market.phases import OPEN_PHASES, STATUS_OF, Phase, Status
from node.verification.draws import JOB_STRIDE, MAX_PASSED, Draw, Pass


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
    jobs: int = 1
    """Parts that the work is planned in."""
    work_units: int = 0
    """Multiply-adds of the whole work."""
    phase: Phase = "queued"
    epoch: int = 0
    """0 before the first lease; raised by each lease."""
    draw: Draw | None = None
    """Of the running lease, or of the one that led to the result."""
    passed: tuple[Pass, ...] = ()
    """Validators passed over so far, in all epochs, at most `MAX_PASSED`."""
    orchestrator: str = ""
    """Peer id of the validator that holds the lease, or held it when the task completed."""
    lease_until_ms: int = 0
    failed_orchestrators: tuple[str, ...] = ()
    completed_ms: int = 0
    """When its result was taken; 0 before."""
    pay_due_ms: int = 0
    """When the pay of a completed task matures."""
    paid: bool = False
    """It has matured."""
    is_appealed: bool = False
    """It is disputed, or was."""
    error_code: str = ""
    error_text: str = ""

    @property
    def status(self) -> Status:
        """The public status."""
        return STATUS_OF[self.phase]


def has_attempts_left(task: TaskRecord, max_attempts: int) -> bool:
    """Whether a further epoch's attempts still have numbers of their own, see `nonce_of`."""
    return (task.epoch + 2) * max_attempts < JOB_STRIDE


def leased(task: TaskRecord, draw: Draw, orchestrator: str) -> TaskRecord:
    """Lease a queued task for the draw's epoch until the draw expires."""
    _require(task, "queued")
    if (draw.epoch, draw.redraw, draw.task_id) != (task.epoch + 1, 0, task.task_id):
        raise Conflict("the draw is not the next epoch of this task")
    return msgspec.structs.replace(
        task,
        phase="leased",
        epoch=draw.epoch,
        draw=draw,
        orchestrator=orchestrator,
        lease_until_ms=draw.expires_ms,
    )


def redrawn(task: TaskRecord, draw: Draw) -> TaskRecord:
    """Fill seats of the running epoch anew: the lease and its holder stay."""
    known = require_lease(task, draw.epoch, task.orchestrator)
    about = (known.task_id, known.redraw + 1, known.expires_ms, known.seats[0])
    if about != (draw.task_id, draw.redraw, draw.expires_ms, draw.seats[0]):
        raise Conflict("the draw is not the next one of this epoch")
    return msgspec.structs.replace(task, draw=draw, passed=draw.passed)


def unleased(
    task: TaskRecord, reason: str, *, failed: bool = True, passed: Pass | None = None
) -> TaskRecord:
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
        passed=logged(task.passed, passed) if passed else task.passed,
        error_text=reason,
    )


def require_lease(task: TaskRecord, epoch: int, orchestrator: str) -> Draw:
    """The running lease's draw; raises Conflict unless it is this epoch's and this holder's."""
    _require(task, "leased")
    if task.draw is None or epoch != task.epoch:
        raise Conflict(f"epoch {epoch} is superseded by epoch {task.epoch}")
    if orchestrator != task.orchestrator:
        raise Conflict("the lease is another orchestrator's: superseded")
    return task.draw


def verified(
    task: TaskRecord, epoch: int, orchestrator: str, *, completed_ms: int, pay_due_ms: int
) -> TaskRecord:
    """A quorum found the result of every job valid; the pay matures at `pay_due_ms`."""
    require_lease(task, epoch, orchestrator)
    return msgspec.structs.replace(
        task,
        phase="verified",
        completed_ms=completed_ms,
        pay_due_ms=pay_due_ms,
        error_text="",
        error_code="",
    )


def anchored(task: TaskRecord) -> TaskRecord:
    """Every job's result is under a transaction in a block."""
    _require(task, "verified")
    return msgspec.structs.replace(task, phase="settled" if task.paid else "anchored")


def paid(task: TaskRecord) -> TaskRecord:
    """The pay has matured."""
    if task.phase not in ("verified", "anchored") or task.paid:
        raise Conflict(f"the task is {task.phase}, and is not to be paid", field="task_id")
    phase: Phase = "settled" if task.phase == "anchored" else task.phase
    return msgspec.structs.replace(task, phase=phase, paid=True)


def reclaimed(task: TaskRecord) -> TaskRecord:
    """The chain gave the reward of a completed task back to its customer: it is never paid."""
    if task.phase not in ("verified", "anchored") or task.paid:
        raise Conflict(f"the task is {task.phase}, and its reward not to be had", field="task_id")
    return msgspec.structs.replace(
        task,
        phase="reclaimed",
        error_code="reclaimed",
        error_text="nobody released the reward before its time was up",
    )


def disputed(task: TaskRecord, now_ms: int) -> TaskRecord:
    """The customer appeals before the pay matures, once."""
    if task.phase not in ("verified", "anchored") or task.paid:
        raise Conflict(
            f"the task is {task.phase}" + (", and paid" if task.paid else ""),
            field="task_id",
            remedy="a result can be disputed from its completion until its pay matures",
        )
    if task.is_appealed:
        raise Conflict("the result was disputed before", field="task_id")
    if now_ms >= task.pay_due_ms:
        raise Conflict("the time to dispute this result is over", field="task_id")
    return msgspec.structs.replace(task, phase="disputed", is_appealed=True)


def undisputed(task: TaskRecord, *, is_anchored: bool) -> TaskRecord:
    """The result stands, or nobody can say: the task goes on where it was."""
    _require(task, "disputed")
    return msgspec.structs.replace(task, phase="anchored" if is_anchored else "verified")


def overturned(task: TaskRecord, reason: str) -> TaskRecord:
    """A jury found the result false: the reward goes back to the customer."""
    _require(task, "disputed")
    return msgspec.structs.replace(
        task, phase="overturned", error_code="overturned", error_text=reason
    )


def waits_for_anchor(task: TaskRecord) -> bool:
    """Whether its result may still lack its place on the chain; so may what is never paid."""
    return task.phase in ("verified", "disputed", "overturned", "reclaimed")


def refunded(task: TaskRecord, code: str, reason: str) -> TaskRecord:
    """End an open task without a result; its reward goes back to the customer."""
    if task.phase not in OPEN_PHASES:
        raise Conflict(
            f"the task is {task.status}", field="task_id", remedy="only open tasks can be ended"
        )
    return msgspec.structs.replace(
        task, phase="refunded", lease_until_ms=0, error_code=code, error_text=reason
    )


def logged(log: tuple[Pass, ...], *more: Pass) -> tuple[Pass, ...]:
    """The log of those passed over with more of them; the first make place for the last."""
    return (*log, *more)[-MAX_PASSED:]


def _require(task: TaskRecord, phase: Phase) -> None:
    if task.phase != phase:
        raise Conflict(f"the task is {task.phase}, not {phase}", field="task_id")
