"""Between a market and the validators that may release the reward of a task in an escrow."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from node.verification.claims import Count, StatementInvalid
from node.verification.draws import Draw
from node.verification.ends import TaskEnd
from node.verification.juries import Jury
from node.verification.rulings import Ruling
from node.verification.statements import ComputeResult, Judgement, Manifest, Verdict
from p2p.messages import Message, register


class Attempt(msgspec.Struct, frozen=True):
    """A `Judgement` whose draw stands beside it: many attempts share few."""

    draw: Count
    """Its place among the draws."""
    result: ComputeResult
    manifest: Manifest
    verdicts: tuple[Verdict, ...]


@register
class RequestSettlement(Message, frozen=True):
    """Market to validator: this is whom the task's escrow is to pay, and why; sign it."""

    TYPE_ID: ClassVar[int] = 50
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 9 << 19

    task_id: str
    claim: bytes
    """Digest of the claim, which follows from the rest."""
    draws: tuple[Draw, ...]
    jobs: tuple[Attempt, ...]
    """One for each job, in the order of their indices."""
    earlier: tuple[Attempt, ...]
    """Attempts of all epochs that were checked and not found valid: their checks are paid too."""


@register
class RequestRefund(Message, frozen=True):
    """Market to validator: the task ended without a result; sign that its escrow goes back."""

    TYPE_ID: ClassVar[int] = 51
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1024

    end: TaskEnd


@register
class RequestAward(Message, frozen=True):
    """Market to validator: this is what a jury came to about the task's result, and why; sign it.

    The market's own decision is not in it, since it follows from the rest and from the time.
    """

    TYPE_ID: ClassVar[int] = 53
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 5 << 20

    award: bytes
    """Digest of the award."""
    settlement: RequestSettlement
    """What was disputed: whom the escrow is to pay if the result stands, and why."""
    draw: Draw
    """The task's last one: whoever sat in it judges nothing, even if nobody was asked under it."""
    jury: Jury
    beacon_height: Count
    """Of the block whose hash the jury was drawn by."""
    rulings: tuple[Ruling, ...]


@register
class RequestBundle(Message, frozen=True):
    """Market to validator: these claims are due, and you have signed each; sign them as one."""

    TYPE_ID: ClassVar[int] = 54
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 20 << 10

    escrows: tuple[bytes, ...]
    """Ids, strictly rising."""
    claims: tuple[bytes, ...]
    """The digest of each one's claim."""


@register
class ApprovalAnswer(Message, frozen=True):
    """The validator's signature, for the chain."""

    TYPE_ID: ClassVar[int] = 52
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 256

    validator_key: bytes
    signature: bytes


def settlement_request(
    task_id: str, claim: bytes, jobs: Sequence[Judgement], earlier: Sequence[Judgement]
) -> RequestSettlement:
    """The request for these judgements, each draw in it once."""
    draws = tuple(dict.fromkeys(one.draw for one in (*jobs, *earlier)))
    places = {draw: place for place, draw in enumerate(draws)}

    def attempts(judgements: Sequence[Judgement]) -> tuple[Attempt, ...]:
        return tuple(
            Attempt(places[one.draw], one.result, one.manifest, one.verdicts) for one in judgements
        )

    return RequestSettlement(task_id, claim, draws, attempts(jobs), attempts(earlier))


def judgements_of(
    message: RequestSettlement,
) -> tuple[tuple[Judgement, ...], tuple[Judgement, ...]]:
    """The jobs and the earlier attempts of a request; raises StatementInvalid for no such draw."""
    if any(one.draw >= len(message.draws) for one in (*message.jobs, *message.earlier)):
        raise StatementInvalid("is of a draw that is not there", field="jobs")

    def whole(attempts: Sequence[Attempt]) -> tuple[Judgement, ...]:
        return tuple(
            Judgement(message.draws[one.draw], one.result, one.manifest, one.verdicts)
            for one in attempts
        )

    return whole(message.jobs), whole(message.earlier)
