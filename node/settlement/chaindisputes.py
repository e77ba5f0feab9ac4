"""Disputes in confirmed blocks: what they did with fees, bonds and escrows, booked.

    ESCROW_APPEAL   (the chain: deposit -> escrow; the books moved the fee when it was asked for)
    ESCROW_RULE     appeal -> jurors, fees, burn -> l1                         `upheld`
                    appeal -> customer                                         `inconclusive`
                    appeal -> customer, bonds -> jurors, fees, burn -> l1      `overturned`

The reward of an overturned result is `chainescrows`' to give back. What a block holds counts,
whoever sent it and whatever the market's own jury came to.
"""

import logging
from collections import Counter
from collections.abc import Sequence

import msgspec

from node.l1.escrow import Appealing, Award, Awarding
from node.l1.sender import Sender
from node.l1.transactions import Transaction
from node.settlement import accounts
from node.settlement.chainbonds import ChainBonds
from node.settlement.chainescrows import ChainEscrows
from node.settlement.chaintxs import give_way, post_taken
from node.settlement.dispute import Dispute
from node.settlement.entries import Posting, move, posting
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrows import EscrowRecord
from node.settlement.juries import jury_gains
from node.settlement.ledger import Ledger
from node.split import JuryPay, jury_pay
from storage.store import Batch

log = logging.getLogger(__name__)


class ChainDisputes:
    """Books the disputes about one market's escrows."""

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        *,
        disputes: EscrowDisputes,
        bonds: ChainBonds,
        escrows: ChainEscrows,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._disputes = disputes
        self._bonds = bonds
        self._escrows = escrows

    def appealed(self, batch: Batch, form: Appealing, tx: Transaction, at_ms: int) -> None:
        """An ESCROW_APPEAL: the chain has a dispute about an open escrow."""
        record = self._escrows.find_open(batch, form.escrow_id)
        if record is None:
            return
        dispute = record.dispute
        if dispute is not None:
            problem = "the escrow is disputed already"
            give_way(self._sender, batch, record.appealing, tx, problem)
        if self._ledger.balance(accounts.appeal(record.task_id), batch) != form.fee:
            dispute = self._found(batch, record, form, at_ms)
        dispute = dispute or Dispute(fee=form.fee)
        grace = record.late_height - record.deadline
        late_height = max(record.late_height, form.deadline + grace)
        self._disputes.keep(
            batch,
            msgspec.structs.replace(record, late_height=late_height),
            msgspec.structs.replace(dispute, state="open", fee=form.fee, deadline=form.deadline),
        )

    def ruled(self, batch: Batch, form: Awarding, tx: Transaction, at_ms: int) -> None:
        """An ESCROW_RULE: the chain has decided a dispute about an open escrow."""
        record = self._escrows.find_open(batch, form.escrow_id)
        if record is None:
            return
        dispute, outcome = record.dispute, form.award.outcome
        assert dispute is not None, "no block decides a dispute before one has it"
        if dispute.ruling:
            problem = "the dispute is decided already"
            give_way(self._sender, batch, dispute.ruling, tx, problem)
        cause = f"ruling:{record.task_id}"
        if outcome == "upheld":
            pay = jury_pay(dispute.fee, form.award.jurors, record.fee_reserve)
            source = [posting(accounts.appeal(record.task_id), -dispute.fee)]
            self._pay_jury(batch, outcome, cause, source, pay, at_ms)
        else:
            self._disputes.give_fee_back(batch, record, cause, outcome, at_ms)
        if outcome == "overturned":
            self._slash(batch, record, form.award, at_ms)
        self._disputes.keep(
            batch, record, msgspec.structs.replace(dispute, state="ruled", ruled=outcome)
        )
        if dispute.award is None or dispute.award.outcome != outcome:
            log.error("a quorum ruled %s about task %s: not its jury", outcome, record.task_id)
            self._disputes.on_ended(batch, record.task_id, f"the chain has an award: {outcome}")
        if outcome == "overturned":
            self._escrows.refunded(batch, form.escrow_id, tx, at_ms)

    def _found(
        self, batch: Batch, record: EscrowRecord, form: Appealing, at_ms: int
    ) -> Dispute | None:
        """A dispute that the books do not have: they were restored, or had given it up."""
        log.error("task %s is disputed on the chain, and not in the books", record.task_id)
        unclear = f"unclear:{record.task_id}"
        self._disputes.give_fee_back(batch, record, unclear, "failed", at_ms)
        known = self._ledger.find(f"appeal:{record.task_id}", batch) is not None
        cause = f"appealed:{record.escrow_id}" if known else f"appeal:{record.task_id}"
        source = self._disputes.source(batch, record, form.fee)
        target = accounts.appeal(record.task_id)
        postings = move(source, target, form.fee)
        post_taken(self._ledger, batch, cause, "appeal", postings, at_ms)
        return record.dispute

    def _slash(self, batch: Batch, record: EscrowRecord, award: Award, at_ms: int) -> None:
        assert record.dispute is not None, "an award is about a dispute"
        taken = self._bonds.take(batch, zip(award.culprits, award.keys, strict=True))
        total = -sum(one.amount for one in taken)
        if total:
            most = record.dispute.fee
            pay = jury_pay(total, award.jurors, record.fee_reserve, most=most)
            self._pay_jury(batch, "slash", f"slash:{record.task_id}", taken, pay, at_ms)

    def _pay_jury(
        self,
        batch: Batch,
        kind: str,
        cause: str,
        source: Sequence[Posting],
        pay: JuryPay,
        at_ms: int,
    ) -> None:
        """What somebody loses goes to the jury, fees and burn, and the chain has paid them."""
        gains = jury_gains(pay)
        earned = [posting(name, units) for name, units in gains.items()]
        if post_taken(self._ledger, batch, cause, kind, (*source, *earned), at_ms):
            out = Counter({name: -units for name, units in gains.items()})
            out[accounts.L1] = gains.total()
            paid = [posting(name, units) for name, units in out.items()]
            post_taken(self._ledger, batch, f"paid-{cause}", "paid", paid, at_ms)
