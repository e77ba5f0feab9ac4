"""The openings of escrows that the market wants, as many in one transaction as come together.

An opening that waits for others can be overtaken by its customer's notice, so it waits for no more
than a part of that. Those of a customer who has given notice go at once, and with nobody else's;
one that was lost once goes at once and alone. So no other one suffers from it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from node.l1.escrow import MAX_ESCROWS, Opening, ShareTerms, open_escrows
from node.l1.sender import Sender
from node.settlement.chainterms import Terms
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.late import ms
from node.settlement.notices import NoticeBook
from node.settlement.parameters import SettlementParameters
from storage.store import Batch

PART_OF_NOTICE = 4
"""The longest wait is a fourth of the time from a notice to the end of a deposit."""


class EscrowOpenings:
    """Of one market; the sender has to be ready, and the chain's terms known."""

    def __init__(
        self,
        parameters: SettlementParameters,
        sender: Sender,
        *,
        book: EscrowBook,
        notices: NoticeBook,
        terms: Terms,
    ) -> None:
        self._parameters = parameters
        self._sender = sender
        self._book = book
        self._notices = notices
        self._terms = terms

    def step(self, batch: Batch, height: int, at_ms: int) -> None:
        """Ask for what is due in the block after this height."""
        for records in self._due(at_ms):
            self._open(batch, records, height, at_ms)

    def _due(self, at_ms: int) -> Iterator[Sequence[EscrowRecord]]:
        """Escrows to be opened now, those of one transaction together."""
        wait_ms = self._wait_ms()
        sets = defaultdict(list)
        for record in self._book.at("wanted"):
            if record.tries:
                yield (record,)
            else:
                is_leaving = self._notices.height(record.customer) is not None
                whose = record.customer if is_leaving else ""
                sets[record.members, record.needed, whose].append(record)
        for (_, _, whose), records in sets.items():
            for start in range(0, len(records), MAX_ESCROWS):
                part = records[start : start + MAX_ESCROWS]
                oldest_ms = min(record.since_ms for record in part)
                if whose or len(part) == MAX_ESCROWS or oldest_ms + wait_ms <= at_ms:
                    yield part

    def _wait_ms(self) -> int:
        rules, terms = self._parameters, self._terms.known
        assert terms is not None, "nothing is asked before"
        notice_s = terms.deposit_notice_blocks * rules.escrow_block_s
        return ms(min(rules.escrow_batch_s, notice_s / PART_OF_NOTICE))

    def _open(self, batch: Batch, records: Sequence[EscrowRecord], height: int, at_ms: int) -> None:
        cause = f"escrow-open:{records[0].task_id}:{records[0].tries}"
        openings = [self._opening(record, height, at_ms) for record in records]
        price = self._parameters.gas_price
        self._sender.stage(batch, cause, open_escrows(openings, gas_price=price))
        for record, opening in zip(records, openings, strict=True):
            sent = msgspec.structs.replace(
                record, state="sent", opening=cause, deadline=opening.deadline
            )
            self._book.put(batch, sent)

    def _opening(self, record: EscrowRecord, height: int, at_ms: int) -> Opening:
        rules = self._parameters
        left_s = (record.deadline_ms - at_ms) / 1000 + rules.longest_dispute_s
        return Opening(
            task_id=record.task_id,
            customer=record.customer,
            amount=record.amount,
            validators=record.members,
            k=record.needed,
            deadline=height + self._terms.deadline_blocks(left_s, rules.escrow_block_s),
            grace=rules.escrow_grace_blocks,
            shares=ShareTerms.of(rules.shares),
            fee_reserve=rules.fee_reserve,
            burn_address=rules.burn_address,
            treasury_address=rules.treasury_address,
        )
