"""Between a market and the orchestrator that it leases a task to."""

from typing import ClassVar

from node.verification.statements import ComputeResult, Count, Draw, Manifest, Verdict
from node.wire.presence import Answer
from p2p.messages import Message, register

MAX_OFFER = 32
"""Draws in one offer."""


@register
class OfferLeases(Message, frozen=True):
    """Market to orchestrator: take these tasks, one draw each, at most `MAX_OFFER`."""

    TYPE_ID: ClassVar[int] = 10
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 20

    draws: tuple[Draw, ...]


@register
class LeaseAnswers(Message, frozen=True):
    """Orchestrator to market: one answer for each draw, in order."""

    TYPE_ID: ClassVar[int] = 11
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 16

    answers: tuple[Answer, ...]


@register
class ReportResult(Message, frozen=True):
    """Orchestrator to market: the quorum found the result valid."""

    TYPE_ID: ClassVar[int] = 12
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 19

    epoch: Count
    result: ComputeResult
    manifest: Manifest
    verdicts: tuple[Verdict, ...]
    inline: tuple[bytes, ...] = ()
    """The outputs themselves, in the manifest's order, when they are small."""


@register
class ReportFailure(Message, frozen=True):
    """Orchestrator to market: every attempt of this epoch failed."""

    TYPE_ID: ClassVar[int] = 13
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 4096

    task_id: str
    epoch: Count
    reason: str


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
