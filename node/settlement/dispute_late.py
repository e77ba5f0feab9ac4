"""What is late of the disputes about escrows, by their stage, see `escrow_late`."""

from collections.abc import Callable, Iterator, Mapping

from node import deadlines
from node.settlement.dispute import Dispute, DisputeStage
from node.settlement.escrow_rewards import EscrowRewards
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.late import AGAIN, RESTART, Late, ms

NOT_SENT = "the market did not send it"


class DisputeLate:
    """Looks at the disputes of one market; `block_ms` tells about when a block comes."""

    def __init__(
        self,
        *,
        book: EscrowBook,
        rewards: EscrowRewards,
        block_ms: Callable[[int, int], int],
    ) -> None:
        self._book = book
        self._rewards = rewards
        self._block_ms = block_ms

    def found(self, now_ms: int, trouble: str) -> tuple[Iterator[Late], ...]:
        """As `Settlement.late`."""
        return tuple(self._at(stage, now_ms, trouble) for stage in _LOOKS)

    def _at(self, stage: DisputeStage, now_ms: int, trouble: str) -> Iterator[Late]:
        look = _LOOKS[stage]
        for record in self._book.active():
            if record.stage == stage and record.dispute is not None:
                late = look(self, record, record.dispute, now_ms, trouble)
                if late is not None and late.until_ms < now_ms:
                    yield late

    def _appeal(self, record: EscrowRecord, _one: Dispute, _now_ms: int, trouble: str) -> Late:
        until_ms = record.since_ms + ms(deadlines.GRACE_S)
        return Late("appeal to send", record.task_id, until_ms, trouble or NOT_SENT, RESTART)

    def _appealing(self, record: EscrowRecord, one: Dispute, _now_ms: int, trouble: str) -> Late:
        return Late(
            "sent appeal",
            record.task_id,
            record.since_ms + ms(deadlines.UNCONFIRMED_S),
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
        until_ms = record.since_ms + ms(deadlines.UNSIGNED_S)
        if until_ms >= now_ms:  # whoever has not signed is not looked for
            return None
        signed = f"{len(one.approvals)} of {record.needed} signatures"
        said = (signed, self._rewards.why_unruled(record), trouble)
        then = "the customer has reward and fee back" if one.is_overturned else "the pay goes on"
        return Late(
            "unsigned award",
            record.task_id,
            until_ms,
            "; ".join(text for text in said if text),
            f"bring its validators back; from block {height} on {then}, and no juror is paid",
        )

    def _awarded(self, record: EscrowRecord, _one: Dispute, _now_ms: int, trouble: str) -> Late:
        until_ms = record.since_ms + ms(deadlines.GRACE_S)
        return Late("award to send", record.task_id, until_ms, trouble or NOT_SENT, RESTART)

    def _ruling(self, record: EscrowRecord, _one: Dispute, _now_ms: int, trouble: str) -> Late:
        return Late(
            "sent award",
            record.task_id,
            record.since_ms + ms(deadlines.UNCONFIRMED_S),
            trouble or "no confirmed block holds its ESCROW_RULE",
            AGAIN,
        )


_Look = Callable[[DisputeLate, EscrowRecord, Dispute, int, str], Late | None]
_LOOKS: Mapping[DisputeStage, _Look] = {
    "appeal": DisputeLate._appeal,
    "appealing": DisputeLate._appealing,
    "disputed": DisputeLate._disputed,
    "unruled": DisputeLate._unruled,
    "awarded": DisputeLate._awarded,
    "ruling": DisputeLate._ruling,
}
