"""What the market asks the chain about one escrow next, and what it gives up asking: refunds, and
openings that come too late.

Openings and claims go many together (`escrow_openings`, `escrow_closings`), disputes are
`dispute_steps`'. Each step is in the caller's batch.
"""

import msgspec

from node.l1.escrow import refund_escrow
from node.l1.sender import Sender
from node.settlement.chainescrows import ChainEscrows
from node.settlement.chainterms import Terms
from node.settlement.dispute_steps import DisputeSteps
from node.settlement.escrows import OPEN_STAGES, EscrowBook, EscrowRecord
from node.settlement.notices import NoticeBook
from node.settlement.parameters import SettlementParameters
from storage.store import Batch

ESCROW_STAGES = tuple(
    stage for stage in OPEN_STAGES if stage not in ("wanted", "held", "due", "closing")
)
"""In which there may be something to do about an escrow by itself."""


class EscrowSteps:
    """Of the escrows of one market; the sender has to be ready, and the chain's terms known."""

    def __init__(
        self,
        parameters: SettlementParameters,
        sender: Sender,
        *,
        book: EscrowBook,
        notices: NoticeBook,
        escrows: ChainEscrows,
        disputes: DisputeSteps,
        terms: Terms,
    ) -> None:
        self._parameters = parameters
        self._sender = sender
        self._book = book
        self._notices = notices
        self._escrows = escrows
        self._disputes = disputes
        self._terms = terms

    def step(self, batch: Batch, record: EscrowRecord, height: int, at_ms: int) -> None:
        """Ask, or give up asking, what is due in the block after this height."""
        if record.state == "sent":
            self._give_up_late(batch, record, height, at_ms)
        elif record.state != "open":  # since another one failed, a moment ago
            return
        elif self._is_refund_due(record, height):
            self._refund(batch, record)
        elif record.dispute is not None:
            is_over = self._is_notice_over(record.customer, height)
            gone = self._escrows.why_gone(batch, record) if is_over else ""
            self._disputes.step(batch, record, height, at_ms, gone=gone)

    def _give_up_late(self, batch: Batch, record: EscrowRecord, height: int, at_ms: int) -> None:
        """Fail an opening that no block can have any more."""
        if height >= record.deadline:
            problem = "its deadline came before a block had it"
            self._escrows.fail(batch, record, at_ms, problem)
        elif self._is_notice_over(record.customer, height):
            self._escrows.fail_without_deposit(batch, record, at_ms)

    def _refund(self, batch: Batch, record: EscrowRecord) -> None:
        approvals = record.approvals if record.ending == "refund" and record.is_approved else ()
        price = self._parameters.gas_price
        cause = f"escrow-refund:{record.task_id}:{record.tries}"
        self._sender.stage(
            batch, cause, refund_escrow(record.escrow_id, approvals, gas_price=price)
        )
        self._book.put(batch, msgspec.structs.replace(record, closing=cause))

    def _is_refund_due(self, record: EscrowRecord, height: int) -> bool:
        """Whether the market's refund would be taken, and is what has to happen."""
        if record.is_approved and not record.is_overturned:
            return record.ending == "refund"
        back = record.back_height(self._parameters.escrow_grace_blocks)
        return record.ending != "" and height >= back

    def _is_notice_over(self, customer: str, height: int) -> bool:
        given = self._notices.height(customer)
        terms = self._terms.known
        return (
            given is not None
            and terms is not None
            and height >= given + terms.deposit_notice_blocks
        )
