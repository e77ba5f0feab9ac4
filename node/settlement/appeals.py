"""The money of a dispute: whoever appeals puts a fee down, and the pay of the task stops maturing.

    appeal         customer -> appeal
    ruling         appeal -> fees, jurors, what does not divide burned   `upheld`
                   appeal -> customer                                    `inconclusive`
                   appeal, maturing -> customer                          `overturned`
    slash          bonds of the worker and of who said `valid` -> the same up to the fee, burn

What jurors get pays for its way to the chain (`fee_reserve`), for an overturned reward does not.
One ruling a task, ever. What is held when it is disputed keeps its parts and its due time, and is
paid at once if the result stands. Each stages into the caller's batch and is idempotent, and
whatever raises has not touched the batch.
"""

from collections import Counter
from collections.abc import Collection
from typing import Literal

from node.errors import Conflict, InvalidInput, NotFound
from node.settlement import accounts
from node.settlement.bonds import Bond, Bonds
from node.settlement.entries import Entry, Posting, move, posting
from node.settlement.errors import SettlementConflict
from node.settlement.ledger import Ledger
from node.settlement.maturing import Maturing, MaturingBook
from node.settlement.owed import OwedBook
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

Outcome = Literal["upheld", "overturned", "inconclusive"]


def divided(amount: int, jurors: Collection[str], fee_reserve: int) -> Counter[str]:
    """Equal parts for distinct jurors, after the L1's fees; what does not divide is burned."""
    addresses, fees = sorted(set(jurors)), min(fee_reserve, amount)
    share = (amount - fees) // len(addresses) if addresses else 0
    parts = Counter({accounts.validator(address): share for address in addresses})
    parts[accounts.FEES] = fees
    parts[accounts.BURN] = amount - fees - share * len(addresses)
    return parts


def of_slash(total: int, fee: int, jurors: Collection[str], fee_reserve: int) -> Counter[str]:
    """Where what bonds have lost goes: to the jurors up to the appeal's fee, the rest is burned."""
    parts = divided(min(total, fee), jurors, fee_reserve)
    parts[accounts.BURN] += total - sum(parts.values())
    return parts


class Appeals:
    """The disputes at one market; `owed` hears of what is to be paid out."""

    def __init__(
        self, db: Database, ledger: Ledger, owed: OwedBook, bonds: Bonds, fee_reserve: int
    ) -> None:
        self._fee_reserve = fee_reserve
        self._ledger = ledger
        self._owed = owed
        self._bonds = bonds
        self._maturing = MaturingBook(db)
        self._held = Table(db, "settlement/disputed", Maturing)

    def open(self, batch: Batch, task_id: str, customer: str, fee: int, at_ms: int) -> bool:
        """Hold a task's pay for `fee` units of the customer's; False if that was done before.

        Raises:
            InvalidInput: the fee is below 1 unit.
            NotFound: no pay of the task matures.
            Conflict: the pay is due: the window is over.
            InsufficientFunds: the customer has less.
            LedgerConflict: it was disputed by somebody else, or for another fee.
            SettlementConflict: it was disputed before.
        """
        if fee < 1:
            raise InvalidInput(f"is {fee} units", field="fee")
        postings = move(accounts.customer(customer), accounts.appeal(task_id), fee)
        if self._ledger.find(f"appeal:{task_id}", batch) is None:
            pay = self._pay_to_hold(batch, task_id, at_ms)
            self._post(batch, "appeal", f"appeal:{task_id}", postings, at_ms)
            self._maturing.remove(batch, task_id, pay)
            self._held.put(batch, task_id.encode(), pay)
            return True
        self._post(batch, "appeal", f"appeal:{task_id}", postings, at_ms)
        if self._held.get(task_id.encode(), batch) is None:
            raise SettlementConflict(f"the dispute about task {task_id} is decided")
        return False

    def uphold(self, batch: Batch, task_id: str, jurors: Collection[str], at_ms: int) -> bool:
        """The result stands: the fee pays the jurors (addresses), and the pay goes on to mature.

        Returns False if that was done before; raises as `_decided` says.
        """
        if self._decided(batch, task_id, "upheld"):
            return False
        fee = self._appeal(batch, task_id).amount(accounts.appeal(task_id))
        parts = divided(fee, jurors, self._fee_reserve)
        parts[accounts.appeal(task_id)] = -fee
        self._rule(batch, task_id, "upheld", parts, at_ms)
        self._go_on(batch, task_id)
        return True

    def give_up(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Nobody can say: the fee comes back, and the pay goes on; False if done before."""
        if self._decided(batch, task_id, "inconclusive"):
            return False
        appeal = self._appeal(batch, task_id)
        back = Counter({one.account: -one.amount for one in appeal.postings})
        self._rule(batch, task_id, "inconclusive", back, at_ms)
        self._go_on(batch, task_id)
        return True

    def overturn(
        self,
        batch: Batch,
        task_id: str,
        culprits: Collection[str],
        jurors: Collection[str],
        at_ms: int,
    ) -> bool:
        """The result is false: reward and fee come back, bonds of the culprits pay the jurors.

        Both are addresses. Returns False if that was done before; raises as `_decided` says.
        """
        if self._decided(batch, task_id, "overturned"):
            return False
        appeal = self._appeal(batch, task_id)
        back = Counter({one.account: -one.amount for one in appeal.postings})
        reserve = self._ledger.find(f"reserve:{task_id}", batch)
        assert reserve is not None, "what matures was reserved"
        for one in reserve.postings:
            is_customer = one.account.startswith(accounts.CUSTOMER)
            account = one.account if is_customer else accounts.maturing(task_id)
            back[account] -= one.amount
        self._rule(batch, task_id, "overturned", back, at_ms)
        self._held.delete(batch, task_id.encode())
        self._slash(batch, task_id, culprits, jurors, appeal, at_ms)
        return True

    def at_stake(self, address: str) -> Bond:
        """What an address would be slashed of, now."""
        return self._bonds.find(address)

    def _pay_to_hold(self, batch: Batch, task_id: str, at_ms: int) -> Maturing:
        pay = self._maturing.get(task_id, batch)
        if pay is None:
            raise NotFound(f"no pay of task {task_id} matures")
        if at_ms >= pay.due_ms:
            raise Conflict(f"the pay of task {task_id} is due", field="task_id")
        return pay

    def _decided(self, batch: Batch, task_id: str, outcome: Outcome) -> bool:
        """Whether this was ruled before; raises SettlementConflict if something else was, and
        NotFound if the task was never disputed."""
        known = self._ledger.find(f"ruling:{task_id}", batch)
        if known is not None and known.kind != outcome:
            raise SettlementConflict(f"the dispute about task {task_id} is decided: {known.kind}")
        self._appeal(batch, task_id)
        return known is not None

    def _appeal(self, batch: Batch, task_id: str) -> Entry:
        entry = self._ledger.find(f"appeal:{task_id}", batch)
        if entry is None:
            raise NotFound(f"task {task_id} is not disputed")
        return entry

    def _go_on(self, batch: Batch, task_id: str) -> None:
        pay = self._held.get(task_id.encode(), batch)
        assert pay is not None, "what is disputed and not decided is held"
        self._held.delete(batch, task_id.encode())
        self._maturing.add(batch, task_id, pay)

    def _slash(
        self,
        batch: Batch,
        task_id: str,
        culprits: Collection[str],
        jurors: Collection[str],
        appeal: Entry,
        at_ms: int,
    ) -> None:
        """The jurors get what a lost appeal would have paid them, as far as the bonds reach."""
        taken = self._bonds.slash(batch, culprits)
        total = -sum(one.amount for one in taken)
        if not total:
            return
        fee = appeal.amount(accounts.appeal(task_id))
        paid = of_slash(total, fee, jurors, self._fee_reserve)
        gains = [posting(account, amount) for account, amount in paid.items() if amount]
        self._post(batch, "slash", f"slash:{task_id}", (*taken, *gains), at_ms)

    def _rule(
        self, batch: Batch, task_id: str, outcome: Outcome, amounts: Counter[str], at_ms: int
    ) -> None:
        postings = tuple(posting(account, units) for account, units in amounts.items() if units)
        self._post(batch, outcome, f"ruling:{task_id}", postings, at_ms)

    def _post(
        self, batch: Batch, kind: str, cause: str, postings: tuple[Posting, ...], at_ms: int
    ) -> None:
        sequence = self._ledger.next_sequence(batch)
        if self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms):
            for one in postings:
                if one.amount > 0 and one.account.startswith(("validator:", accounts.BURN)):
                    self._owed.add(batch, one.account, sequence=sequence, at_ms=at_ms)
