"""Payments on their way to the chain.

A payment leaves its account and enters `outbox:<cause>`, with the chain's fee, in the batch that
stores its signed TRANSFER; it leaves the ledger in the batch that settles the sender's record. So
the ledger and the sender's book agree at every point at which the node can stop, and as the sender
has one transaction for each cause, no payment is made twice.
"""

import logging
from collections.abc import Callable, Collection

from node.errors import Unavailable
from node.l1.outbound import OutboundRecord
from node.l1.sender import Sender
from node.l1.transactions import transfer
from node.settlement import accounts
from node.settlement.entries import FEE_TAKEN, Posting, move, posting
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from storage.store import Batch

log = logging.getLogger(__name__)

Clock = Callable[[], int]


class Outbox:
    """Stages payments and books what the sender finds out about them.

    `on_confirmed` and `on_lost` are for the sender's attributes of these names, and `clock_ms`
    dates the entries that they make.
    """

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        parameters: SettlementParameters,
        address: str,
        clock_ms: Clock,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._parameters = parameters
        self._address = address
        self._clock_ms = clock_ms
        self._labels: Collection[str] = (parameters.burn_address, parameters.treasury_address)

    def fee_to(self, address: str) -> int:
        """Units that a payment to the address costs; the market's own account has it already."""
        return 0 if address == self._address else self._parameters.transfer_fee

    def pay(
        self,
        batch: Batch,
        *,
        cause: str,
        kind: str,
        source: str,
        fee_from: str,
        to: str,
        amount: int,
        payload: dict[str, object],
        at_ms: int,
    ) -> bool:
        """Stage a payment of `amount` units; False if its cause was staged before.

        `source` gives the amount and `fee_from` (it may be the same) the chain's fee. What is for
        the market's own account leaves the ledger at once, without a transaction: it is there.

        Raises:
            Unavailable: the sender has not heard from the chain yet.
            InsufficientFunds, Overdrawn: see `Ledger.post`.
        """
        if to == self._address:
            return self._post(batch, cause, kind, move(source, accounts.L1, amount), at_ms)
        if not self._sender.ready.is_set():
            raise Unavailable("the L1 has not answered yet", remedy="try again in a few seconds")
        postings = _payment(source, fee_from, cause, amount, self.fee_to(to))
        if not self._post(batch, cause, kind, postings, at_ms):
            return False
        price, label = self._parameters.gas_price, to in self._labels
        draft = transfer(to, int(amount), gas_price=price, payload=payload, label=label)
        self._sender.stage(batch, cause, draft)
        return True

    def on_confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """Book that a confirmed block holds the transaction."""
        if self._ledger.find(record.cause, batch) is None:
            self._book_foreign_fee(batch, record)
        else:
            self._leave(batch, record, accounts.L1, "sent")

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """Keep the money of a transaction that no block will ever hold as it was signed.

        It is not paid again by itself: whatever used up its nonce may have moved some of it.
        """
        if self._ledger.find(record.cause, batch) is not None:
            log.error(
                "%s needs a decision, its money is unclaimed: %s", record.cause, record.problem
            )
            self._leave(batch, record, accounts.UNCLAIMED, "lost")

    def _leave(self, batch: Batch, record: OutboundRecord, target: str, kind: str) -> None:
        account = accounts.outbox(record.cause)
        held = self._ledger.balance(account, batch)
        if held:
            postings = move(account, target, held)
            self._post(batch, f"{kind}:{record.cause}", kind, postings, self._clock_ms())

    def _book_foreign_fee(self, batch: Batch, record: OutboundRecord) -> None:
        """The account also pays for transactions that are no payments, such as results."""
        postings = move(accounts.FEES, accounts.L1, record.transaction.fee)
        self._post(batch, f"fee:{record.tx_hash}", FEE_TAKEN, postings, self._clock_ms())

    def _post(
        self, batch: Batch, cause: str, kind: str, postings: tuple[Posting, ...], at_ms: int
    ) -> bool:
        return self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)


def _payment(source: str, fee_from: str, cause: str, amount: int, fee: int) -> tuple[Posting, ...]:
    into = posting(accounts.outbox(cause), amount + fee)
    if source == fee_from:
        return posting(source, -amount - fee), into
    return posting(source, -amount), posting(fee_from, -fee), into
