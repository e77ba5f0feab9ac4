"""The money of tasks: set aside, given back, or divided among those who did the work.

    reserve   customer -> reserved
    settle    reserved -> maturing                                       or
    refund    reserved -> customer
    mature    maturing -> workers, validators, treasury, burn, fees

Each stages into the caller's batch, so that a task's state and its money change together. Each is
idempotent, and whatever raises has not touched the batch.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

from node.errors import Conflict, InvalidInput, NotFound
from node.l1.keys import check_address
from node.settlement import accounts
from node.settlement.bonds import Bonded, Signer
from node.settlement.entries import Entry, Posting, move, posting
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.interface import Releasers, TaskMoved, TaskUnfunded, unheard
from node.settlement.ledger import Ledger
from node.settlement.maturing import Maturing, MaturingBook
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.split import Payees, Split, split
from storage.database import Database
from storage.store import Batch


class Rewards:
    """The rewards of one market's tasks; `owed` hears of what is to be paid out, and `bonds` say
    how long that waits."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        owed: OwedBook,
        parameters: SettlementParameters,
        bonds: Bonded,
    ) -> None:
        self.on_paid: TaskMoved = unheard
        """Told of every task whose pay matures."""
        self.on_reclaimed: TaskMoved = unheard
        """Never told: what is settled here is paid."""
        self.on_unfunded: TaskUnfunded = unheard
        """Never told: what is reserved here stays until the market releases it."""
        self._ledger = ledger
        self._owed = owed
        self._parameters = parameters
        self._maturing = MaturingBook(db)
        self._bonds = bonds

    @property
    def unsigned(self) -> int:
        """None: nobody has to sign."""
        return 0

    @property
    def unconfirmed(self) -> int:
        """None: what is paid is not about single tasks."""
        return 0

    def returning(self, _customer: str) -> int:
        """None: what is refunded is there at once."""
        return 0

    def reserve(self, batch: Batch, task_id: str, customer: str, amount: int, at_ms: int) -> bool:
        """Set `amount` units of the customer's aside for a task; False if that was done before.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: the customer has less.
            LedgerConflict: the task has another reservation.
        """
        if amount < 1:
            raise InvalidInput(f"is {amount} units", field="reward")
        payer = self._payer(batch, task_id, customer, amount)
        postings = move(payer, accounts.reserved(task_id), amount)
        return self._post(batch, "reserve", task_id, postings, at_ms)

    def open(self, _batch: Batch, _task_id: str, _releasers: Callable[[], Releasers]) -> bool:
        """Nothing to do: the market has the money and releases it by itself."""
        return False

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
        payees: Payees,
        at_ms: int,
        *,
        results: Sequence[bytes] = (),  # noqa: ARG002 - where the market pays, nobody has to sign
        signers: Collection[Signer] = (),
    ) -> int:
        """Divide the reservation by the network's shares, see `split`, and let the parts mature.

        Returns when they are due, in Unix milliseconds: after the window that the signers' bonds
        give them (`Bonded.window_s`), also if that was fixed before.

        Raises:
            NotFound: nothing was ever reserved for the task.
            SettlementConflict: the task is refunded, or its result is disputed or overturned.
            LedgerConflict: it is settled with other payees or weights.
            InvalidInput: the weights cannot be used.
            BadAddress: a payee's address could not be paid.
        """
        for address in payees.addresses:
            _check_payee(address)
        reserved = accounts.reserved(task_id)
        reward = self._reservation(batch, task_id, unless="refund").amount(reserved)
        parts = split(reward, self._parameters.shares, payees, self._parameters.fee_reserve)
        due_ms = at_ms + round(self._bonds.window_s(signers, batch) * 1000)
        pay = Maturing(due_ms, tuple(credits_of(parts)))
        postings = move(reserved, accounts.maturing(task_id), reward)
        if not self._post(batch, "settle", task_id, postings, at_ms):
            return self._settled_before(batch, task_id, pay)
        self._maturing.add(batch, task_id, pay)
        return due_ms

    def _payer(self, _batch: Batch, _task_id: str, customer: str, _amount: int) -> str:
        """The account that a task is bought from; on credit it owes."""
        return accounts.customer(customer)

    def _settled_before(self, batch: Batch, task_id: str, pay: Maturing) -> int:
        known = self._maturing.get(task_id, batch) or self._paid(batch, task_id)
        if known is None:
            raise SettlementConflict(f"the result of task {task_id} is disputed, or was overturned")
        if known.credits != pay.credits:
            raise LedgerConflict(f"task {task_id} is settled with other parts")
        return known.due_ms

    def _paid(self, batch: Batch, task_id: str) -> Maturing | None:
        entry = self._ledger.find(f"mature:{task_id}", batch)
        return None if entry is None else Maturing(entry.at_ms, entry.postings[1:])

    def due(self, now_ms: int) -> Iterator[str]:
        """Ids of the tasks whose pay is due and not yet paid, the longest first."""
        return self._maturing.due(now_ms)

    def due_ms(self, task_id: str) -> int:
        """When the pay of a task that matures is due; raises NotFound if there is none."""
        pay = self._maturing.get(task_id)
        if pay is None:
            raise NotFound(f"no pay of task {task_id} matures")
        return pay.due_ms

    def mature(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Pay what a task's settlement fixed; False if that was done before.

        Raises:
            NotFound: the task was never settled.
            Conflict: the pay is not due yet.
        """
        pay = self._maturing.get(task_id, batch)
        if pay is None:
            if self._ledger.find(f"mature:{task_id}", batch) is None:
                raise NotFound(f"no pay of task {task_id} matures")
            return False
        if at_ms < pay.due_ms:
            raise Conflict(f"the pay of task {task_id} is not due yet")
        reward = sum(credit.amount for credit in pay.credits)
        postings = (posting(accounts.maturing(task_id), -reward), *pay.credits)
        sequence = self._ledger.next_sequence(batch)
        self._post(batch, "mature", task_id, postings, at_ms)
        for credit in pay.credits:
            if credit.account != accounts.FEES:
                self._owed.add(batch, credit.account, sequence=sequence, at_ms=at_ms)
        self._maturing.remove(batch, task_id, pay)
        self.on_paid(batch, task_id)
        return True

    def _reservation(self, batch: Batch, task_id: str, *, unless: str) -> Entry:
        reservation = self._ledger.find(f"reserve:{task_id}", batch)
        if reservation is None:
            raise NotFound(f"nothing is reserved for task {task_id}")
        if self._ledger.find(f"{unless}:{task_id}", batch) is not None:
            raise SettlementConflict(f"task {task_id} already has its {unless}")
        return reservation

    def _post(
        self, batch: Batch, kind: str, name: str, postings: tuple[Posting, ...], at_ms: int
    ) -> bool:
        cause = f"{kind}:{name}"
        return self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)


_check_payee = lru_cache(maxsize=4096)(check_address)
"""A checksum costs as much as the rest of a settlement, and payees come again and again."""


def credits_of(parts: Split) -> list[Posting]:
    """What each payee of a divided reward gains."""
    amounts = {
        **{accounts.worker(address): amount for address, amount in parts.workers},
        **{accounts.validator(address): amount for address, amount in parts.validators},
        accounts.TREASURY: parts.treasury,
        accounts.FEES: parts.fees,
        accounts.BURN: parts.burn,
    }
    return [posting(account, amount) for account, amount in amounts.items() if amount]
