"""Between a validator and a worker whose proven result may have a transaction of its own."""

from typing import ClassVar

from node.verification.statements import Judgement
from p2p.messages import Message, register


@register
class PublishResult(Message, frozen=True):
    """Validator to worker: a quorum found your proven result valid; send it to the L1 yourself."""

    TYPE_ID: ClassVar[int] = 27
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 18

    judgement: Judgement
    output: bytes


@register
class PublishAnswer(Message, frozen=True):
    """Worker to validator: whether it is on its way, and the block that has it, or -1."""

    TYPE_ID: ClassVar[int] = 28
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 12

    taken: bool
    reason: str = ""
    height: int = -1
