"""The `transfer` settlement: money held by the market, moved on the chain by plain TRANSFERs.

It is for a chain that can hold no money for a condition, and it is custodial: between deposit and
payout the market's own account has everybody's CPC, and the ledger says whose they are.

    deposit   l1 -> customer
    rewards   see `rewards`, `appeals` and `bonds`
    payout    worker (validator, treasury, burn) -> outbox -> l1
    withdraw  customer -> outbox -> l1
    credit    see `credit`

`withdraw` stages into the caller's batch, is idempotent, and whenever it raises it has not touched
the batch.
"""

from collections.abc import Iterable, Iterator

import trio

from node.errors import InvalidInput
from node.l1.sender import Sender
from node.settlement import accounts
from node.settlement.appeals import Appeals
from node.settlement.bonds import Bonds
from node.settlement.credit import Credits
from node.settlement.deposits import Deposits
from node.settlement.entries import move, name_of
from node.settlement.late import Late
from node.settlement.ledger import Ledger
from node.settlement.outbox import Clock, Outbox
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.payouts import Payouts
from node.settlement.rewards import Rewards
from node.settlement.transfer_late import TransferLate
from storage.database import Database
from storage.store import Batch


class TransferSettlement:
    """The back end of a market; `address` is its L1 account, whose transactions `sender` sends.

    Whoever wires it gives `deposits.handle` to a `Follower`, and `outbox.on_confirmed` and
    `outbox.on_lost` to the sender, before either runs. Raises ConfigError if the network's burn or
    treasury address is the market's own.
    """

    deposit_by = "TRANSFER"

    def __init__(
        self,
        db: Database,
        sender: Sender,
        parameters: SettlementParameters,
        *,
        chain_id: str,
        address: str,
        clock_ms: Clock,
    ) -> None:
        parameters.check_market(address)
        self.parameters = parameters
        self.ledger = Ledger(db)
        self.credit = Credits(db, self.ledger)
        self.deposits = Deposits(self.ledger, address)
        self.outbox = Outbox(self.ledger, sender, parameters, address, clock_ms)
        owed = OwedBook(db)
        self.bonds = Bonds(db, self.ledger, parameters)
        self.rewards = Rewards(db, self.ledger, owed, parameters, self.bonds)
        self.disputes = Appeals(db, self.ledger, owed, self.bonds, parameters.fee_reserve)
        self.payouts = Payouts(db, self.ledger, owed, self.outbox, parameters, chain_id)
        self._late = TransferLate(
            self.ledger,
            parameters,
            rewards=self.rewards,
            bonds=self.bonds,
            payouts=self.payouts,
        )
        self._sender = sender
        self._clock_ms = clock_ms

    def late(self, now_ms: int, trouble: str) -> Iterable[Iterator[Late]]:
        """What stayed too long where it is, see `Settlement`."""
        return self._late.found(now_ms, trouble)

    async def can_book(self) -> None:
        """At once."""
        await trio.lowlevel.checkpoint()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make payouts until cancelled, from when the sender is ready; raises StorageFailed."""
        task_status.started()
        await self._sender.ready.wait()
        await self.payouts.run(self._clock_ms)

    def withdraw(self, batch: Batch, customer: str, amount: int, *, key: str, at_ms: int) -> str:
        """Stage a payment of `amount` units to the customer's own address, who pays its L1 fee.

        `key` makes it repeatable: the same key again is the same withdrawal. Returns its cause,
        under which the sender knows the transaction.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: the customer has less than amount and fee (`outbox.fee_to`).
            LedgerConflict: the key was used for another amount.
            Unavailable: the L1 has not answered yet.
        """
        if amount < 1:
            raise InvalidInput(f"is {amount} units", field="amount")
        cause = f"withdraw:{name_of(customer, key)}"
        source = accounts.customer(customer)
        self.outbox.pay(
            batch,
            cause=cause,
            kind="withdraw",
            source=source,
            fee_from=source,
            to=customer,
            amount=amount,
            payload={"tmnode": "withdraw"},
            at_ms=at_ms,
        )
        return cause

    def fund_fees(self, batch: Batch, customer: str, amount: int, *, key: str, at_ms: int) -> bool:
        """Give `amount` units of a customer's (the operator's) for L1 fees; False if done before.

        For when payouts wait because `fees` is empty (`payouts.short_of_fees`). Raises as
        `reserve` does.
        """
        if amount < 1:
            raise InvalidInput(f"is {amount} units", field="amount")
        cause = f"fund-fees:{name_of(customer, key)}"
        postings = move(accounts.customer(customer), accounts.FEES, amount)
        return self.ledger.post(
            batch, cause=cause, kind="fund-fees", postings=postings, at_ms=at_ms
        )
