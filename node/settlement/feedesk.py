"""Where a market's operator gives money for the chain's fees, when tasks leave too little."""

from collections.abc import Callable

from node.amounts import Amount
from node.errors import InvalidInput
from node.settlement.accounts import FEES
from node.settlement.transfer import TransferSettlement
from storage.database import Database
from storage.store import Batch


class FeeDesk:
    """Behind the control socket; `operator` is the account that gives, an address or empty."""

    def __init__(
        self,
        db: Database,
        settlement: TransferSettlement,
        operator: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._settlement = settlement
        self._operator = operator
        self._now_ms = now_ms

    async def give(self, amount: int, key: str) -> Amount:
        """Move `amount` units from the operator's account to `fees`, once for each key; returns
        what `fees` holds once that is durable. An amount of 0 only looks.

        Raises:
            InvalidInput: no operator is named.
            InsufficientFunds: the operator's own free balance is too small.
            LedgerConflict: the key was used for another amount.
        """
        if amount and not self._operator:
            remedy = "name an account that pays in like a customer"
            raise InvalidInput(
                "is not set in the node file", field="market.operator", remedy=remedy
            )
        batch = Batch()
        if amount:
            now_ms = self._now_ms()
            self._settlement.fund_fees(batch, self._operator, amount, key=key, at_ms=now_ms)
        if batch:
            self._db.stage(batch)
        await self._db.flushed()
        return Amount(self._settlement.ledger.balance(FEES))
