"""A dispute about a task whose reward the chain holds: what the books know of it.

    wanted ─→ sent ─→ open ─→ ruled       a block has an award, whoever sent it
      │        │       └────→ lapsed      none had one in time, or the escrow was closed before
      └────────┴─→ failed                 it never was on the chain

What the jury came to is noted beside the state (`award`), at any time: while the dispute is open
enough members of the escrow's set have to sign it, and then it is sent. The pay of the task is held
until the dispute is ruled, lapsed or failed, and then goes on to mature, unless the award noted is
that the result is false: then the market claims nothing any more, and what no award gives back to
the customer the chain does when deadline and grace are over. The fee comes back with whatever
closes an escrow whose dispute is not ruled.
"""

from typing import Literal

import msgspec

from node.amounts import Amount
from node.l1.escrow import Act, Approval, Award

Outcome = Literal["upheld", "overturned", "inconclusive"]
DisputeState = Literal["wanted", "sent", "open", "ruled", "lapsed", "failed"]
DisputeStage = Literal["appeal", "appealing", "disputed", "unruled", "awarded", "ruling"]
"""What a dispute that holds the pay of its task waits for, see `Dispute.stage`."""


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """One dispute, kept in the record of the escrow that it is about."""

    fee: Amount
    until_ms: int = 0
    """When its jury's time is over, Unix milliseconds."""
    state: DisputeState = "wanted"
    deadline: int = 0
    """Block height, fixed when the appeal is signed: until then no claim settles the escrow."""
    award: Award | None = None
    """What the market's jury came to."""
    acts: tuple[Act, ...] = ()
    """What the award's culprits signed."""
    approvals: tuple[Approval, ...] = ()
    """Of members of the escrow's set, to the award."""
    ruling: str = ""
    """Cause, at the sender, of the market's own transaction that is to decide it."""
    ruled: Outcome | None = None
    """By which award a block has decided it."""
    tries: int = 0
    """Transactions of the market's about it that were lost."""

    @property
    def is_overturned(self) -> bool:
        """Whether the jury found the result false."""
        return self.award is not None and self.award.outcome == "overturned"

    @property
    def is_on_its_way(self) -> bool:
        """Whether it is not on the chain yet, and may come there."""
        return self.state in ("wanted", "sent")

    @property
    def is_undecided(self) -> bool:
        """Whether it is on the chain and an award would still decide it."""
        return self.state in ("open", "lapsed")

    @property
    def holds_pay(self) -> bool:
        """Whether the pay of the task waits for it."""
        if self.state == "ruled":
            return False
        return self.is_on_its_way or self.state == "open" or self.is_overturned

    def stage(self, needed: int) -> DisputeStage:
        """What it waits for while it holds the pay: its appeal to be sent, to be in a block, the
        jury, signatures of `needed` members, to be sent, or a block that decides it."""
        if self.state == "wanted":
            return "appeal"
        if self.state == "sent":
            return "appealing"
        if self.award is None:
            return "disputed"
        if self.ruling:
            return "ruling"
        return "awarded" if self.is_approved(needed) else "unruled"

    def is_unsigned(self, needed: int) -> bool:
        """Whether there is an award that would decide it, and fewer members have signed that."""
        return self.award is not None and self.is_undecided and not self.is_approved(needed)

    def is_approved(self, needed: int) -> bool:
        """Whether enough members have signed the award."""
        return len(self.approvals) >= needed
