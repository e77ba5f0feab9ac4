"""Between a market and the orchestrator that it leases a task to."""

from typing import Annotated, ClassVar, Literal

import msgspec

from node.verification.claims import Count
from node.verification.draws import Draw, Pass, Refusal
from node.verification.statements import ComputeResult, Judgement
from p2p.messages import Message, register

MAX_OFFER = 32
"""Draws in one offer."""


@register
class OfferLeases(Message, frozen=True):
    """Market to orchestrator: take these tasks, one draw each, at most `MAX_OFFER`."""

    TYPE_ID: ClassVar[int] = 10
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 21

    draws: tuple[Draw, ...]


class LeaseAnswer(msgspec.Struct, frozen=True):
    """One draw's answer: taken, or refused in signed words, or not sound (`reason`)."""

    taken: bool
    reason: str = ""
    refusal: Refusal | None = None


@register
class LeaseAnswers(Message, frozen=True):
    """Orchestrator to market: one answer for each draw, in order."""

    TYPE_ID: ClassVar[int] = 11
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 17

    answers: tuple[LeaseAnswer, ...]


@register
class ReportResult(Message, frozen=True):
    """Orchestrator to market: a quorum found the result of every job valid."""

    TYPE_ID: ClassVar[int] = 12
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 15 << 19

    task_id: str
    epoch: Count
    jobs: tuple[Judgement, ...]
    """One for each job, in the order of their indices."""
    earlier: tuple[Judgement, ...] = ()
    """Attempts of this epoch that were checked and not found valid: their checks are paid too."""
    inline: tuple[tuple[bytes, ...], ...] = ()
    """The outputs themselves, job by job in the manifests' order, when all of them are small."""


@register
class ReportFailure(Message, frozen=True):
    """Orchestrator to market: a job's attempts of this epoch are used up."""

    TYPE_ID: ClassVar[int] = 13
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 21

    task_id: str
    epoch: Count
    reason: str
    earlier: tuple[Judgement, ...] = ()
    begun: bool = True
    """False if no worker was free to begin: such an epoch is nobody's failure."""


JobPhase = Literal["computing", "checking", "verified", "retrying"]


class JobState(msgspec.Struct, frozen=True):
    """How far a job is; `attempt` counts from 1 in its epoch."""

    job: Count
    phase: JobPhase
    attempt: Count
    worker: Annotated[str, msgspec.Meta(max_length=64)]
    """Peer id."""


class TaskProgress(msgspec.Struct, frozen=True):
    """The jobs of a leased task that are in another state than was told last."""

    task_id: str
    epoch: Count
    jobs: tuple[JobState, ...]


@register
class ReportProgress(Message, frozen=True):
    """Orchestrator to market: how far the jobs in hand are, only to be shown."""

    TYPE_ID: ClassVar[int] = 18
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 19

    tasks: tuple[TaskProgress, ...]


@register
class RequestSeats(Message, frozen=True):
    """Orchestrator to market: fill the seats of these validators anew, in the same epoch."""

    TYPE_ID: ClassVar[int] = 16
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 15

    task_id: str
    epoch: Count
    redraw: Count
    """Of the draw whose seats these are."""
    passed: tuple[Pass, ...]


@register
class SeatsAnswer(Message, frozen=True):
    """Market to orchestrator: the epoch's new draw."""

    TYPE_ID: ClassVar[int] = 17
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 16

    draw: Draw


@register
class CancelLease(Message, frozen=True):
    """Market to orchestrator: stop work on this epoch of the task."""

    TYPE_ID: ClassVar[int] = 14
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 256

    task_id: str
    epoch: Count


@register
class BatchAnchored(Message, frozen=True):
    """Orchestrator to market: these results are under a transaction in this block."""

    TYPE_ID: ClassVar[int] = 15
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 20

    batch: ComputeResult
    task_ids: tuple[str, ...]
    leaves: tuple[bytes, ...]
    """The leaves of the batch's tree, one for each task."""
    height: Count
