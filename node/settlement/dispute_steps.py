"""What the market asks the chain about a dispute next: to have it, or to decide it.

ESCROW_APPEAL   once the chain has the escrow; its deadline leaves `escrow_grace_blocks` beyond
                the jury's time for the validators to sign
ESCROW_RULE     when enough of the set have signed what the jury came to
"""

import msgspec

from node.l1.escrow import appeal_escrow, rule_escrow
from node.l1.sender import Sender
from node.settlement.chainterms import Terms
from node.settlement.dispute import Dispute
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.parameters import SettlementParameters
from storage.store import Batch


class DisputeSteps:
    """Of the disputes about one market's open escrows."""

    def __init__(
        self,
        parameters: SettlementParameters,
        sender: Sender,
        *,
        book: EscrowBook,
        disputes: EscrowDisputes,
        terms: Terms,
    ) -> None:
        self._parameters = parameters
        self._sender = sender
        self._book = book
        self._disputes = disputes
        self._terms = terms

    def step(
        self, batch: Batch, record: EscrowRecord, height: int, at_ms: int, *, gone: str
    ) -> None:
        """Ask, or give up asking, what is due in the block after this height; `gone` says who has
        taken out the deposit that was to pay, if anybody has."""
        dispute = record.dispute
        assert dispute is not None, "it is disputed"
        if dispute.is_on_its_way and gone:
            self._disputes.fail(batch, record, at_ms, gone)
        elif dispute.state == "wanted":
            self._appeal(batch, record, dispute, height, at_ms)
        elif dispute.state == "sent" and height >= dispute.deadline:
            problem = "its deadline came before a block had it"
            self._disputes.fail(batch, record, at_ms, problem)
        elif dispute.is_undecided:
            self._decide(batch, record, dispute, height)

    def _appeal(
        self, batch: Batch, record: EscrowRecord, dispute: Dispute, height: int, at_ms: int
    ) -> None:
        rules, left_s = self._parameters, (dispute.until_ms - at_ms) / 1000
        deadline = height + self._terms.deadline_blocks(
            left_s, rules.escrow_block_s, more=rules.escrow_grace_blocks
        )
        draft = appeal_escrow(record.escrow_id, dispute.fee, deadline, gas_price=rules.gas_price)
        self._sender.stage(batch, record.appealing, draft)
        self._disputes.keep(
            batch, record, msgspec.structs.replace(dispute, state="sent", deadline=deadline)
        )

    def _decide(self, batch: Batch, record: EscrowRecord, dispute: Dispute, height: int) -> None:
        if dispute.is_approved(record.needed) and not dispute.ruling:
            self._rule(batch, record, dispute)
        elif dispute.state == "open" and not dispute.is_overturned and height >= dispute.deadline:
            self._disputes.lapse(batch, record)

    def _rule(self, batch: Batch, record: EscrowRecord, dispute: Dispute) -> None:
        assert dispute.award is not None, "what is signed is an award"
        cause = f"escrow-rule:{record.task_id}:{dispute.tries}"
        draft = rule_escrow(
            record.escrow_id,
            dispute.award,
            dispute.acts,
            dispute.approvals,
            gas_price=self._parameters.gas_price,
        )
        self._sender.stage(batch, cause, draft)
        self._disputes.keep(batch, record, msgspec.structs.replace(dispute, ruling=cause))
