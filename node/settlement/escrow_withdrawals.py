"""Withdrawals where the chain holds the money: the market asks it to pay out of a deposit."""

from node.errors import InvalidInput, Unavailable
from node.l1.escrow import withdraw_for
from node.l1.outbound import OutboundRecord
from node.l1.sender import Sender
from node.settlement import accounts
from node.settlement.entries import move, name_of
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from node.settlement.withdrawn import WithdrawalBook
from storage.store import Batch


class EscrowWithdrawals:
    """The way out of one market, but for a customer's own, see `notices`."""

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        *,
        withdrawals: WithdrawalBook,
        parameters: SettlementParameters,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._withdrawals = withdrawals
        self._parameters = parameters

    def withdraw(self, batch: Batch, customer: str, amount: int, *, key: str, at_ms: int) -> str:
        """As `EscrowSettlement.withdraw`."""
        cause = f"withdraw:{name_of(customer, key)}"
        if self._ledger.find(cause, batch) is None:
            self._check_amount(batch, customer, amount)
        if not self._sender.ready.is_set():
            raise Unavailable("the L1 has not answered yet", remedy="try again in a few seconds")
        postings = move(accounts.customer(customer), accounts.outbox(cause), amount)
        if self._ledger.post(batch, cause=cause, kind="withdraw", postings=postings, at_ms=at_ms):
            draft = withdraw_for(customer, amount, gas_price=self._parameters.gas_price)
            sent = self._sender.stage(batch, cause, draft)
            self._withdrawals.add(batch, sent.tx_hash, cause, customer)
        return cause

    def lost(self, batch: Batch, record: OutboundRecord, at_ms: int) -> None:
        """No block will ever have this one: its customer has the money again."""
        cause = record.cause
        entry = self._ledger.find(cause, batch)
        units = self._ledger.balance(accounts.outbox(cause), batch)
        self._withdrawals.remove(batch, record.tx_hash)
        if entry is not None and units:
            postings = move(accounts.outbox(cause), entry.postings[0].account, units)
            self._ledger.post(
                batch, cause=f"lost:{cause}", kind="lost", postings=postings, at_ms=at_ms
            )

    def _check_amount(self, batch: Batch, customer: str, amount: int) -> None:
        if amount < 1:
            raise InvalidInput(f"is {amount} units", field="amount")
        everything = self._ledger.balance(accounts.customer(customer), batch)
        if amount < self._parameters.min_payout and amount != everything:
            raise InvalidInput(
                "is less than the chain's fee is worth",
                field="amount",
                remedy="withdraw more, or everything",
            )
