"""What is late of the disputes about escrows, by their stage, see `escrow_late`."""

from collections.abc import Callable, Mapping
from functools import partial

from node import deadlines
from node.settlement.dispute import Dispute, DisputeStage
from node.settlement.escrow_rewards import EscrowRewards
from node.settlement.escrows import EscrowRecord, Stage
from node.settlement.late import AGAIN, RESTART, Late, ms, unconfirmed, undone, unsigned

NOT_SENT = "the market did not send it"
Look = Callable[[EscrowRecord, int, str], Late | None]
"""Until when an escrow may stay in its stage, now, and with what is wrong with the chain."""


class DisputeLate:
    """Looks at the disputes of one market; `block_ms` tells about when a block comes."""

    def __init__(
        self,
        *,
        rewards: EscrowRewards,
        block_ms: Callable[[int, int], int],
    ) -> None:
        self._rewards = rewards
        self._block_ms = block_ms

    def looks(self) -> dict[Stage, Look]:
        """At the stages of a dispute that holds the pay of its task."""
        return {stage: partial(self._at, look) for stage, look in _LOOKS.items()}

    def _at(self, look: "_Look", record: EscrowRecord, now_ms: int, trouble: str) -> Late | None:
        assert record.dispute is not None, "its stage is that of a dispute"
        return look(self, record, record.dispute, now_ms, trouble)

    def _appeal(self, record: EscrowRecord, _one: Dispute, _now_ms: int, trouble: str) -> Late:
        return undone("appeal to send", record.task_id, record.since_ms, trouble or NOT_SENT)

    def _appealing(self, record: EscrowRecord, one: Dispute, _now_ms: int, trouble: str) -> Late:
        return unconfirmed(
            "sent appeal",
            record.task_id,
            record.since_ms,
            trouble or "no confirmed block holds its ESCROW_APPEAL",
            f"{AGAIN}; at block {one.deadline} it is given up: the fee is the customer's, and the"
            " pay goes on",
        )

    def _disputed(self, record: EscrowRecord, one: Dispute, now_ms: int, trouble: str) -> Late:
        until_ms = self._block_ms(one.deadline, now_ms) + ms(deadlines.GRACE_S)
        reason = trouble or f"block {one.deadline} has come, and its jury came to nothing"
        return Late("disputed escrow", record.task_id, until_ms, reason, RESTART)

    def _unruled(
        self, record: EscrowRecord, one: Dispute, now_ms: int, trouble: str
    ) -> Late | None:
        height = record.late_height if one.is_overturned else one.deadline
        over_ms = self._block_ms(height, now_ms) + ms(deadlines.GRACE_S)
        if over_ms < now_ms:
            reason = trouble or "the market did not do what its time was up for"
            return Late("unsigned award", record.task_id, over_ms, reason, RESTART)
        signed = f"{len(one.approvals)} of {record.needed} signatures"
        then = "the customer has reward and fee back" if one.is_overturned else "the pay goes on"
        return unsigned(
            "unsigned award",
            record.task_id,
            record.since_ms,
            now_ms=now_ms,
            why=lambda: (signed, self._rewards.why_unruled(record), trouble),
            remedy=f"bring its validators back; from block {height} on {then}, and no juror is"
            " paid",
        )

    def _awarded(self, record: EscrowRecord, _one: Dispute, _now_ms: int, trouble: str) -> Late:
        return undone("award to send", record.task_id, record.since_ms, trouble or NOT_SENT)

    def _ruling(self, record: EscrowRecord, _one: Dispute, _now_ms: int, trouble: str) -> Late:
        reason = trouble or "no confirmed block holds its ESCROW_RULE"
        return unconfirmed("sent award", record.task_id, record.since_ms, reason)


_Look = Callable[[DisputeLate, EscrowRecord, Dispute, int, str], Late | None]
_LOOKS: Mapping[DisputeStage, _Look] = {
    "appeal": DisputeLate._appeal,
    "appealing": DisputeLate._appealing,
    "disputed": DisputeLate._disputed,
    "unruled": DisputeLate._unruled,
    "awarded": DisputeLate._awarded,
    "ruling": DisputeLate._ruling,
}
