"""The books follow the chain: what confirmed blocks did with the money that it holds.

Everything about money outside the market's reach comes from here and from nowhere else: deposits
and withdrawals, escrows opened and closed, whoever sent the transaction. A transaction in a block
has been applied (the chain has no failed ones), so the books need no receipts. They are a copy of
what the chain holds, apart from what is between two blocks. What each transaction does to them:

`chaindeposits`   DEPOSIT, WITHDRAW
`chainescrows`    ESCROW_OPEN, ESCROW_SETTLE, ESCROW_REFUND
`chaindisputes`   ESCROW_APPEAL, ESCROW_RULE
`chainbonds`      BOND, UNBOND, SLASH

`handle` is for `node.l1.follower.Follower`; what it books is in the batch that moves the position.
"""

from node.l1.blocks import Block
from node.l1.errors import L1Unavailable
from node.l1.escrow import (
    Appealing,
    Awarding,
    Bonding,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Openings,
    Refund,
    Settlement,
    Slashing,
    Unbonding,
)
from node.l1.transactions import Transaction
from node.settlement.chainbonds import ChainBonds
from node.settlement.chaindeposits import ChainDeposits
from node.settlement.chaindisputes import ChainDisputes
from node.settlement.chainescrows import ChainEscrows
from node.settlement.chainterms import Terms
from node.settlement.chaintxs import form_of, name_of_tx
from storage.store import Batch


class ChainBook:
    """Books what happens on the chain to the money at one market, whose account is `address`."""

    def __init__(
        self,
        address: str,
        terms: Terms,
        *,
        deposits: ChainDeposits,
        escrows: ChainEscrows,
        disputes: ChainDisputes,
        bonds: ChainBonds,
    ) -> None:
        self.height: int | None = None
        """Of the last block that was booked in this life."""
        self._address = address
        self._terms = terms
        self._deposits = deposits
        self._escrows = escrows
        self._disputes = disputes
        self._bonds = bonds

    def handle(self, batch: Batch, block: Block) -> None:
        """Book a confirmed block, at the time of its slot.

        Raises L1Unavailable, for the follower to come again, before the chain has told its terms:
        what happens to a bond follows from them.
        """
        if self._terms.known is None:
            raise L1Unavailable("the L1 has not told its terms yet")
        at_ms, height = block.header.timestamp * 1000, block.header.height
        self._bonds.begin(batch, height, at_ms)
        for tx in block.txs:
            self._book(batch, tx, height, at_ms)
        self.height = height

    def _book(self, batch: Batch, tx: Transaction, height: int, at_ms: int) -> None:
        here, sender = self._address, tx.from_address
        match form_of(tx):
            case Depositing() as form if tx.to_address == here:
                self._deposits.paid_in(batch, form, tx, at_ms)
            case MarketWithdrawal() as form if sender == here:
                self._deposits.market_paid(batch, form, tx, at_ms)
            case CustomerWithdrawal() as form if form.market == here:
                self._deposits.taken_out(batch, tx, height, at_ms)
            case Openings() as form if sender == here:
                for opening in form.each:
                    self._escrows.opened(batch, opening, tx, at_ms)
            case Settlement() as form:
                for escrow_id, claim in form.each.items():
                    self._escrows.settled(batch, escrow_id, claim, tx, at_ms)
            case Refund() as form:
                self._escrows.refunded(batch, form.escrow_id, tx, at_ms)
            case Appealing() as form:
                self._disputes.appealed(batch, form, tx, at_ms)
            case Awarding() as form:
                self._disputes.ruled(batch, form, tx, at_ms)
            case Bonding() as form if tx.to_address == here:
                self._bonds.bonded(batch, form, sender, tx.amount, name_of_tx(tx), at_ms)
            case Unbonding() as form:
                self._bonds.unbonded(batch, form, sender, height, name_of_tx(tx), at_ms)
            case Slashing() as form:
                self._bonds.slashed(batch, form, name_of_tx(tx), at_ms)
