"""What becomes of the market's transactions about money that the chain holds.

Only losses matter, since the rest is in the blocks: what was lost is asked again, or its money is
given back.
"""

from node.l1.outbound import OutboundRecord
from node.l1.sender import Sender
from node.settlement.chainescrows import ChainEscrows
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrow_withdrawals import EscrowWithdrawals
from node.settlement.escrows import EscrowBook
from node.settlement.outbox import Clock
from storage.database import Database
from storage.store import Batch

_OURS = (
    "withdraw",
    "escrow-open",
    "escrow-settle",
    "escrow-refund",
    "escrow-appeal",
    "escrow-rule",
)
"""How the causes of our transactions begin; others may send from the same account."""
HOPELESS_BLOCKS = 20
"""For how many blocks the chain has to refuse a transaction of ours by its rules until that makes
way: all later ones wait behind it, also those for other customers."""


class EscrowOutbox:
    """Hears of them from the sender."""

    def __init__(
        self,
        db: Database,
        sender: Sender,
        *,
        book: EscrowBook,
        withdrawing: EscrowWithdrawals,
        escrows: ChainEscrows,
        disputes: EscrowDisputes,
        clock_ms: Clock,
    ) -> None:
        self._db = db
        self._sender = sender
        self._book = book
        self._withdrawing = withdrawing
        self._escrows = escrows
        self._disputes = disputes
        self._clock_ms = clock_ms

    def fee_to(self, _address: str) -> int:
        """Nothing: a deposit can pay no fee, so the market does."""
        return 0

    def on_confirmed(self, _batch: Batch, _record: OutboundRecord) -> None:
        """The block itself is booked, by whoever follows the chain."""

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """Ask again, or give the money back."""
        self._lost(batch, record, self._clock_ms())

    def give_up_hopeless(self, height: int, at_ms: int) -> None:
        """Have a transaction of ours make way that the chain has refused for too long."""
        refusal = self._sender.refusal
        if refusal is None or not refusal.is_by_rule or height < refusal.tip + HOPELESS_BLOCKS:
            return
        if refusal.cause.partition(":")[0] not in _OURS:
            return
        batch, sent = Batch(), self._sender.find(refusal.cause)
        if sent is None or not self._sender.give_up(batch, refusal.cause, refusal.reason):
            return  # known by now
        unopened = [one for one in self._book.at("opening") if one.opening == refusal.cause]
        undisputed = [one for one in self._book.active() if one.appealing == refusal.cause]
        if len(unopened) == 1:
            self._escrows.fail(batch, unopened[0], at_ms, refusal.reason)
        elif undisputed:
            self._disputes.fail(batch, undisputed[0], at_ms, refusal.reason)
        else:  # of several openings one may be at fault: each is asked again, alone
            self._lost(batch, sent, at_ms)
        self._db.stage(batch)

    def _lost(self, batch: Batch, record: OutboundRecord, at_ms: int) -> None:
        if record.cause.partition(":")[0] == "withdraw":
            self._withdrawing.lost(batch, record, at_ms)
        self._book.again(batch, record.cause)
        for one in self._book.active():
            if one.dispute is not None:
                self._disputes.lost(batch, one, one.dispute, record.cause)
