"""What is late of the money that the chain holds: escrows by their stage, withdrawals, notices;
disputes in `dispute_late`.

The chain counts in blocks: when one came is told from the last one that was booked, by the
network's `escrow_block_s`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from node import deadlines
from node.amounts import format_cpc
from node.settlement import accounts
from node.settlement.chainbook import ChainBook
from node.settlement.chainterms import Terms
from node.settlement.dispute_late import NOT_SENT, DisputeLate, Look
from node.settlement.escrow_closings import TOGETHER_S
from node.settlement.escrow_credit import EscrowCredits
from node.settlement.escrow_rewards import EscrowRewards
from node.settlement.escrows import EscrowBook, EscrowRecord, Stage
from node.settlement.late import (
    AGAIN,
    RESTART,
    Late,
    late_payments,
    ms,
    unconfirmed,
    undone,
    unsigned,
)
from node.settlement.ledger import Ledger
from node.settlement.notices import NoticeBook
from node.settlement.parameters import SettlementParameters


class EscrowLate:
    """Looks at the books of one market."""

    def __init__(
        self,
        ledger: Ledger,
        parameters: SettlementParameters,
        *,
        book: EscrowBook,
        notices: NoticeBook,
        credit: EscrowCredits,
        rewards: EscrowRewards,
        deposits: ChainBook,
        terms: Terms,
    ) -> None:
        self._ledger = ledger
        self._parameters = parameters
        self._book = book
        self._notices = notices
        self._credit = credit
        self._rewards = rewards
        self._deposits = deposits
        self._terms = terms
        disputes = DisputeLate(rewards=rewards, block_ms=self._block_ms)
        own: dict[Stage, Look] = {stage: partial(look, self) for stage, look in _LOOKS.items()}
        self._looks = {**own, **disputes.looks()}

    def found(self, now_ms: int, trouble: str) -> tuple[Iterator[Late], ...]:
        """As `Settlement.late`."""
        return (
            *(self._at(stage, now_ms, trouble) for stage in self._looks),
            late_payments(self._ledger, now_ms, trouble),
            self._untaken(now_ms),
        )

    def _at(self, stage: Stage, now_ms: int, trouble: str) -> Iterator[Late]:
        look = self._looks[stage]
        for record in self._book.at(stage):
            late = look(record, now_ms, trouble)
            if late is not None and late.until_ms < now_ms:
                yield late

    def _wanted(self, record: EscrowRecord, _now_ms: int, trouble: str) -> Late:
        reason = trouble or self._terms.obstacle or "the market did not ask the chain for it"
        since_ms = record.since_ms + ms(self._parameters.escrow_batch_s)
        return undone("escrow to open", record.task_id, since_ms, reason)

    def _opening(self, record: EscrowRecord, now_ms: int, trouble: str) -> Late:
        over_ms = self._block_ms(record.deadline, now_ms) + ms(deadlines.GRACE_S)
        if over_ms < now_ms:
            reason = f"block {record.deadline}, its last one, has come and it is not given up"
            return Late("escrow opening", record.task_id, over_ms, reason, RESTART)
        return unconfirmed(
            "escrow opening",
            record.task_id,
            record.since_ms,
            trouble or "no confirmed block holds its ESCROW_OPEN",
            f"{AGAIN}; at block {record.deadline} it is given up, and the customer has the reward",
        )

    def _unsigned(self, record: EscrowRecord, now_ms: int, trouble: str) -> Late | None:
        wanted = "claim" if record.ending == "settle" else "refund"
        height = record.back_height(self._parameters.escrow_grace_blocks)
        over_ms = self._block_ms(height, now_ms) + ms(deadlines.GRACE_S)
        if over_ms < now_ms:
            reason = trouble or "the market did not ask the chain for it"
            return Late("escrow refund", record.task_id, over_ms, reason, RESTART)
        signed = f"{len(record.approvals)} of {record.needed} signatures"
        return unsigned(
            f"unsigned {wanted}",
            record.task_id,
            record.since_ms,
            now_ms=now_ms,
            why=lambda: (signed, self._rewards.why_unsigned(record), trouble),
            remedy=f"bring its validators back; from block {height} on the customer has the reward"
            " back",
        )

    def _signed(self, record: EscrowRecord, _now_ms: int, trouble: str) -> Late:
        reason = trouble or NOT_SENT
        if record.ending == "refund":
            return undone("escrow refund", record.task_id, record.since_ms, reason)
        since_ms = max(record.since_ms, self._rewards.due_ms(record.task_id))
        return undone("maturing pay", record.task_id, since_ms, reason)

    def _due(self, record: EscrowRecord, _now_ms: int, trouble: str) -> Late:
        since_ms = record.since_ms + ms(self._parameters.escrow_batch_s + TOGETHER_S)
        return undone("maturing pay", record.task_id, since_ms, trouble or NOT_SENT)

    def _closing(self, record: EscrowRecord, _now_ms: int, trouble: str) -> Late:
        is_claim = record.closing.startswith("escrow-settle:")
        kind = "ESCROW_SETTLE" if is_claim else "ESCROW_REFUND"
        what = "sent claim" if is_claim else "sent refund"
        reason = trouble or f"no confirmed block holds its {kind}"
        return unconfirmed(what, record.task_id, record.since_ms, reason)

    def _untaken(self, now_ms: int) -> Iterator[Late]:
        """Deposits whose customers gave notice, which is over, and took nothing out since."""
        terms = self._terms.known
        for customer, height in self._notices.items() if terms is not None else ():
            assert terms is not None
            account, free = accounts.customer(customer), height + terms.deposit_notice_blocks
            last = self._ledger.last(account)
            lent = sum(map(self._ledger.balance, self._credit.backed_by(customer)))
            if last is None or not (units := self._ledger.balance(account) + lent):
                continue
            until_ms = max(self._block_ms(free, now_ms), last.at_ms) + ms(deadlines.UNCONFIRMED_S)
            if until_ms < now_ms:
                yield Late(
                    "deposit notice",
                    f"{format_cpc(units)} CPC of {customer}",
                    until_ms,
                    f"it ran out in block {free}, and the customer has not taken the deposit out",
                    "nothing: that is the customer's (`tmnode wallet reclaim`), to whom nothing is"
                    " sold until the next deposit",
                )

    def _block_ms(self, height: int, now_ms: int) -> int:
        """About when the block of a height came, or will; now while none was booked yet."""
        known = self._deposits.height
        blocks = 0 if known is None else known - height
        return now_ms - round(blocks * self._parameters.escrow_block_s * 1000)


_Look = Callable[[EscrowLate, EscrowRecord, int, str], Late | None]
_LOOKS: Mapping[Stage, _Look] = {
    "wanted": EscrowLate._wanted,
    "opening": EscrowLate._opening,
    "unsigned": EscrowLate._unsigned,
    "signed": EscrowLate._signed,
    "due": EscrowLate._due,
    "closing": EscrowLate._closing,
}
"""What is held waits for its task, which the market looks after."""
