"""How an attempt at a job can end."""

from typing import Literal

import msgspec

from node.verification.statements import Judgement

Blame = Literal["nobody", "failed", "withheld", "invalid"]
"""What the worker has to answer for; see `node.verification.standing`."""


class Verified(msgspec.Struct, frozen=True):
    """What an attempt leaves when a quorum found it valid."""

    judgement: Judgement
    outputs: tuple[bytes, ...] = ()
    """The outputs if they were small, else empty: then they are on the shelf."""


class AttemptFailed(Exception):
    """The attempt gives no verified result; `judgement` is what the validators found, if asked."""

    def __init__(
        self, reason: str, blame: Blame = "nobody", judgement: Judgement | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.blame: Blame = blame
        self.judgement = judgement


class WorkerBusy(AttemptFailed):
    """The worker is full: nothing was begun."""


class TooFewValidators(AttemptFailed):
    """Fewer validators than the quorum needs take part, and no others can be drawn."""
