"""The `transfer` settlement: money held by the market, moved on the chain by plain TRANSFERs.

It is for a chain that can hold no money for a condition, and it is custodial: between deposit and
payout the market's own account has everybody's CPC, and the ledger says whose they are.

    deposit   l1 -> customer
    reserve   customer -> reserved
    settle    reserved -> workers, validators, treasury, burn, fees      or
    refund    reserved -> customer
    payout    worker (validator, treasury, burn) -> outbox -> l1
    withdraw  customer -> outbox -> l1

`reserve`, `settle`, `refund` and `withdraw` stage into the caller's batch, so that a task's state
and its money change together. Each is idempotent, and whatever raises has not touched the batch.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

import trio

from node.errors import ConfigError, InvalidInput, NotFound
from node.l1.keys import check_address
from node.l1.sender import Sender
from node.settlement import accounts
from node.settlement.deposits import Deposits
from node.settlement.entries import Entry, Posting, move, posting
from node.settlement.errors import SettlementConflict
from node.settlement.ledger import Ledger
from node.settlement.outbox import Clock, Outbox
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.payouts import Payouts
from node.settlement.split import Split, split
from storage.database import Database
from storage.store import Batch


class TransferSettlement:
    """The back end of a market; `address` is its L1 account, whose transactions `sender` sends.

    Whoever wires it gives `deposits.handle` to a `Follower`, and `outbox.on_confirmed` and
    `outbox.on_lost` to the sender, before either runs. Raises ConfigError if the network's burn or
    treasury address is the market's own.
    """

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
        if address in (parameters.burn_address, parameters.treasury_address):
            raise ConfigError("the market's own account cannot be the burn's or the treasury's")
        self.parameters = parameters
        self.ledger = Ledger(db)
        self.deposits = Deposits(self.ledger, address)
        self.outbox = Outbox(self.ledger, sender, parameters, address, clock_ms)
        self._owed = OwedBook(db)
        self.payouts = Payouts(db, self.ledger, self._owed, self.outbox, parameters, chain_id)
        self._sender = sender
        self._clock_ms = clock_ms

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make payouts until cancelled, from when the sender is ready; raises StorageFailed."""
        task_status.started()
        await self._sender.ready.wait()
        await self.payouts.run(self._clock_ms)

    def reserve(self, batch: Batch, task_id: str, customer: str, amount: int, at_ms: int) -> bool:
        """Set `amount` units of the customer's aside for a task; False if that was done before.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: the customer has less.
            LedgerConflict: the task has another reservation.
        """
        if amount < 1:
            raise InvalidInput(f"is {amount} units", field="reward")
        postings = move(accounts.customer(customer), accounts.reserved(task_id), amount)
        return self._post(batch, "reserve", task_id, postings, at_ms)

    def refund(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Give the reservation back to the customer; False if that was done before.

        Raises:
            NotFound: nothing was ever reserved for the task.
            SettlementConflict: the task is settled.
        """
        reservation = self._reservation(batch, task_id, unless="settle")
        postings = tuple(posting(p.account, -p.amount) for p in reversed(reservation.postings))
        return self._post(batch, "refund", task_id, postings, at_ms)

    def settle(
        self,
        batch: Batch,
        task_id: str,
        workers: Mapping[str, int],
        validators: Mapping[str, int],
        at_ms: int,
    ) -> bool:
        """Divide the reservation by the network's shares; False if that was done before.

        The mappings give each address its weight, see `split`.

        Raises:
            NotFound: nothing was ever reserved for the task.
            SettlementConflict: the task is refunded.
            LedgerConflict: it is settled with other payees or weights.
            InvalidInput: the weights cannot be used.
            BadAddress: a payee's address could not be paid.
        """
        for address in (*workers, *validators):
            _check_payee(address)
        reservation = self._reservation(batch, task_id, unless="refund")
        source = accounts.reserved(task_id)
        reward = reservation.amount(source)
        parts = split(
            reward, self.parameters.shares, workers, validators, self.parameters.fee_reserve
        )
        postings = (posting(source, -reward), *_credits(parts))
        sequence = self.ledger.next_sequence(batch)
        if not self._post(batch, "settle", task_id, postings, at_ms):
            return False
        for credit in postings[1:]:
            if credit.account != accounts.FEES:
                self._owed.add(batch, credit.account, sequence=sequence, at_ms=at_ms)
        return True

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
        cause = f"withdraw:{sha256(f'{customer}:{key}'.encode()).hexdigest()}"
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
        name = sha256(f"{customer}:{key}".encode()).hexdigest()
        postings = move(accounts.customer(customer), accounts.FEES, amount)
        return self._post(batch, "fund-fees", name, postings, at_ms)

    def _reservation(self, batch: Batch, task_id: str, *, unless: str) -> Entry:
        reservation = self.ledger.find(f"reserve:{task_id}", batch)
        if reservation is None:
            raise NotFound(f"nothing is reserved for task {task_id}")
        if self.ledger.find(f"{unless}:{task_id}", batch) is not None:
            raise SettlementConflict(f"task {task_id} already has its {unless}")
        return reservation

    def _post(
        self, batch: Batch, kind: str, name: str, postings: tuple[Posting, ...], at_ms: int
    ) -> bool:
        cause = f"{kind}:{name}"
        return self.ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)


_check_payee = lru_cache(maxsize=4096)(check_address)
"""A checksum costs as much as the rest of a settlement, and payees come again and again."""


def _credits(parts: Split) -> list[Posting]:
    amounts = {
        **{accounts.worker(address): amount for address, amount in parts.workers},
        **{accounts.validator(address): amount for address, amount in parts.validators},
        accounts.TREASURY: parts.treasury,
        accounts.FEES: parts.fees,
        accounts.BURN: parts.burn,
    }
    return [posting(account, amount) for account, amount in amounts.items() if amount]
