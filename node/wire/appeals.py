"""Between a market and the jurors of an appeal, and what everybody may hear of it."""

from typing import ClassVar

from node.verification.draws import Draw, Refusal
from node.verification.juries import Jury
from node.verification.rulings import Ruling
from node.verification.statements import ComputeResult, Manifest
from p2p.messages import Message, register

OVERTURNED_TOPIC = "tmnode/overturned/1"


@register
class RequestRuling(Message, frozen=True):
    """Market to juror: compute this task again, and say what came out; repeated until it is there.

    What was claimed to have come out is not told.
    """

    TYPE_ID: ClassVar[int] = 40
    VERSION: ClassVar[int] = 2
    MAX_BYTES: ClassVar[int] = 1 << 17

    jury: Jury


@register
class RulingAnswer(Message, frozen=True):
    """The juror's signed ruling, or its signed refusal; nothing while it computes."""

    TYPE_ID: ClassVar[int] = 41
    VERSION: ClassVar[int] = 2
    MAX_BYTES: ClassVar[int] = 1 << 14

    ruling: Ruling | None = None
    refusal: Refusal | None = None


@register
class ResultOverturned(Message, frozen=True):
    """A market's evidence that a worker's result was false, for every orchestrator to check."""

    TYPE_ID: ClassVar[int] = 42
    VERSION: ClassVar[int] = 2
    MAX_BYTES: ClassVar[int] = 1 << 18

    draw: Draw
    result: ComputeResult
    manifest: Manifest
    jury: Jury
    claimed: tuple[bytes, ...]
    """Result hashes of all jobs that were disputed, in their order."""
    rulings: tuple[Ruling, ...]
