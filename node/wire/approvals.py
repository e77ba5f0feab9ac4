"""Between a market and the validators that may release the reward of a task in an escrow."""

from typing import ClassVar

from node.l1.escrow import Approval, Claim
from node.verification.ends import TaskEnd
from node.verification.statements import Judgement
from p2p.messages import Message, register


@register
class RequestSettlement(Message, frozen=True):
    """Market to validator: this is whom the task's escrow is to pay, and why; sign it."""

    TYPE_ID: ClassVar[int] = 50
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 9 << 19

    task_id: str
    claim: Claim
    jobs: tuple[Judgement, ...]
    """One for each job, in the order of their indices."""
    earlier: tuple[Judgement, ...]
    """Attempts of all epochs that were checked and not found valid: their checks are paid too."""


@register
class RequestRefund(Message, frozen=True):
    """Market to validator: the task ended without a result; sign that its escrow goes back."""

    TYPE_ID: ClassVar[int] = 51
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1024

    end: TaskEnd


@register
class ApprovalAnswer(Message, frozen=True):
    """The validator's signature, for the chain."""

    TYPE_ID: ClassVar[int] = 52
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 512

    approval: Approval
