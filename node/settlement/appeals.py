"""The money of a dispute at a market that holds it: whoever appeals puts a fee down, and the pay of
the task stops maturing.

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
from collections.abc import Collection, Iterable, Sequence

from node.errors import InvalidInput, NotFound
from node.l1.escrow import Act
from node.settlement import accounts
from node.settlement.bonds import Bond, Bonds
from node.settlement.dispute import Outcome
from node.settlement.entries import Entry, Posting, move, posting
from node.settlement.errors import SettlementConflict
from node.settlement.interface import TaskUnfunded, unheard
from node.settlement.juries import jury_gains
from node.settlement.ledger import Ledger
from node.settlement.maturing import HeldBook, MaturingBook, pay_to_hold
from node.settlement.owed import OwedBook
from node.split import jury_pay
from storage.database import Database
from storage.store import Batch


class Appeals:
    """The disputes at one market; `owed` hears of what is to be paid out."""

    def __init__(
        self, db: Database, ledger: Ledger, owed: OwedBook, bonds: Bonds, fee_reserve: int
    ) -> None:
        self.on_ended: TaskUnfunded = unheard
        """Never told: what is disputed here waits for its ruling."""
        self._fee_reserve = fee_reserve
        self._ledger = ledger
        self._owed = owed
        self._bonds = bonds
        self._maturing = MaturingBook(db)
        self._held = HeldBook(db)

    def open(
        self,
        batch: Batch,
        task_id: str,
        customer: str,
        fee: int,
        at_ms: int,
        *,
        until_ms: int,  # noqa: ARG002 - what the market holds waits for its own decision
    ) -> bool:
        """As `Disputes.open`."""
        if fee < 1:
            raise InvalidInput(f"is {fee} units", field="fee")
        postings = move(accounts.customer(customer), accounts.appeal(task_id), fee)
        if self._ledger.find(f"appeal:{task_id}", batch) is None:
            pay_to_hold(self._maturing, batch, task_id, at_ms)
            self._post(batch, "appeal", f"appeal:{task_id}", postings, at_ms)
            self._held.hold(batch, task_id)
            return True
        self._post(batch, "appeal", f"appeal:{task_id}", postings, at_ms)
        if self._held.get(task_id, batch) is None:
            raise SettlementConflict(f"the dispute about task {task_id} is decided")
        return False

    def uphold(self, batch: Batch, task_id: str, jurors: Collection[str], at_ms: int) -> bool:
        """The result stands: the fee pays the jurors (addresses), and the pay goes on to mature.

        Returns False if that was done before; raises as `_decided` says.
        """
        if self._decided(batch, task_id, "upheld"):
            return False
        fee = self._appeal(batch, task_id).amount(accounts.appeal(task_id))
        parts = jury_gains(jury_pay(fee, jurors, self._fee_reserve))
        parts[accounts.appeal(task_id)] = -fee
        self._rule(batch, task_id, "upheld", parts, at_ms)
        self._held.go_on(batch, task_id)
        return True

    def give_up(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Nobody can say: the fee comes back, and the pay goes on; False if done before."""
        if self._decided(batch, task_id, "inconclusive"):
            return False
        appeal = self._appeal(batch, task_id)
        back = Counter({one.account: -one.amount for one in appeal.postings})
        self._rule(batch, task_id, "inconclusive", back, at_ms)
        self._held.go_on(batch, task_id)
        return True

    def overturn(
        self,
        batch: Batch,
        task_id: str,
        false: Sequence[str],  # noqa: ARG002 - here the market's own word is enough
        acts: Iterable[Act],
        jurors: Collection[str],
        at_ms: int,
    ) -> bool:
        """The result is false: reward and fee come back, bonds of whose acts these are pay the
        jurors (addresses).

        Returns False if that was done before; raises as `_decided` says.
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
        self._held.forget(batch, task_id)
        self._slash(batch, task_id, {one.address for one in acts}, jurors, appeal, at_ms)
        return True

    def at_stake(self, address: str) -> Bond:
        """What an address would be slashed of, now."""
        return self._bonds.find(address)

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
        paid = jury_gains(jury_pay(total, jurors, self._fee_reserve, most=fee))
        gains = [posting(account, amount) for account, amount in paid.items()]
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
