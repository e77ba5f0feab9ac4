"""Money out: a customer's free balance, paid to the customer's own address on the L1."""

from collections.abc import Callable
from typing import Literal

import msgspec

from node.amounts import Amount
from node.errors import Conflict, InsufficientFunds
from node.l1.sender import Sender
from node.settlement.errors import LedgerConflict
from node.settlement.interface import Settlement
from storage.database import Database
from storage.store import Batch

State = Literal["pending", "confirmed", "lost"]


class WithdrawalView(msgspec.Struct, frozen=True):
    """One withdrawal, and how far it is."""

    withdrawal_id: str
    address: str
    amount: Amount
    """Units of 10^-18 CPC that arrive; `fee` is paid on top."""
    fee: Amount
    state: State
    """`confirmed` once a block holds it; `lost` needs the operator, the money is kept."""
    tx_hash: str | None
    """None for the market's own account, which has the money already."""
    height: int | None
    """Of the block."""


class Withdrawals:
    """The way out of a market that settles by TRANSFER."""

    def __init__(
        self,
        db: Database,
        settlement: Settlement,
        sender: Sender,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._settlement = settlement
        self._sender = sender
        self._now_ms = now_ms

    def fee(self, address: str) -> Amount:
        """What the L1 takes for a payment to the address."""
        return Amount(self._settlement.outbox.fee_to(address))

    async def withdraw(self, address: str, amount: Amount, key: str) -> WithdrawalView:
        """Pay out, once for each key; returns when the payment is stored and certain to be sent.

        Repeated with the same key it is the same withdrawal, as it is by now.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: the free balance is below amount and fee.
            Conflict: the key was used for another amount.
            Unavailable: the L1 has not answered since the market was made.
        """
        batch = Batch()
        try:
            cause = self._settlement.withdraw(batch, address, amount, key=key, at_ms=self._now_ms())
        except LedgerConflict as error:
            raise Conflict(
                "this key was used for another withdrawal",
                field="idempotency_key",
                remedy="use a new key for a new withdrawal",
            ) from error
        except InsufficientFunds as error:
            raise InsufficientFunds(
                f"{error.message}, the L1's fee included",
                field="amount",
                remedy="withdraw less; what open tasks reserve comes back when they end",
            ) from error
        if batch:
            self._db.stage(batch)
        await self._db.flushed()
        return self._view(cause, address, amount)

    def _view(self, cause: str, address: str, amount: Amount) -> WithdrawalView:
        record = self._sender.find(cause)
        states: dict[str, State] = {"open": "pending", "lost": "lost"}
        return WithdrawalView(
            withdrawal_id=cause.partition(":")[2],
            address=address,
            amount=amount,
            fee=self.fee(address),
            state="confirmed" if record is None else states.get(record.state, "confirmed"),
            tx_hash=None if record is None else record.tx_hash,
            height=None if record is None else record.height,
        )
