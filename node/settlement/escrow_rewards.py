"""The money of tasks where the chain holds it: the books, and what the market wants of the chain.

    reserve   customer -> reserved, or on credit (`escrow_credit`): credit -> reserved
    open      (the chain: deposit -> escrow)
    settle    reserved -> maturing                                       or
    refund    reserved -> returning; without an escrow at once -> customer
    mature    (its time has come; `chainescrows` books what the chain did)

As in `rewards`, each stages into the caller's batch, is idempotent, and whatever raises has not
touched the batch.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from node.amounts import Amount
from node.errors import Conflict, NotFound
from node.l1.escrow import (
    Approval,
    award_message,
    claims_message,
    refund_message,
)
from node.settlement import accounts
from node.settlement.bonds import Signer
from node.settlement.chainbonds import ChainBonds
from node.settlement.entries import move
from node.settlement.errors import SettlementConflict
from node.settlement.escrow_claims import claim_of, with_approval
from node.settlement.escrow_credit import EscrowCredits, payer_again
from node.settlement.escrows import CLOSED, EscrowBook, EscrowRecord, members_of
from node.settlement.interface import Releasers
from node.settlement.ledger import Ledger
from node.settlement.notices import NoticeBook
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.rewards import Rewards
from node.split import Payees
from storage.database import Database
from storage.store import Batch


class EscrowRewards(Rewards):
    """The rewards of one market's tasks, each in an escrow from its first lease on."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        parameters: SettlementParameters,
        *,
        book: EscrowBook,
        notices: NoticeBook,
        credit: EscrowCredits,
        bonds: ChainBonds,
        escrow_id: Callable[[str], str],
        chain_id: str,
    ) -> None:
        super().__init__(db, ledger, OwedBook(db), parameters, bonds)
        self.why_unsigned: Callable[[EscrowRecord], str] = lambda _record: ""
        """Who has not signed an ending, and why, as told by whoever asks them."""
        self.why_unruled: Callable[[EscrowRecord], str] = lambda _record: ""
        """The same of awards."""
        self._book = book
        self._notices = notices
        self._credit = credit
        self._escrow_id = escrow_id
        self._chain_id = chain_id

    @property
    def unsigned(self) -> int:
        """Escrows that are to be closed, or awarded, and lack signatures."""
        return sum(1 for _ in self.unapproved()) + sum(1 for _ in self.unruled())

    @property
    def unconfirmed(self) -> int:
        """Escrows that no block has opened, closed, disputed or awarded as the market asked for."""
        counts = self._book.counts()
        return sum(counts[stage] for stage in ("opening", "closing", "appealing", "ruling"))

    def returning(self, customer: str) -> int:
        """Units of a customer's in escrows that are to be refunded, and in decided disputes."""
        return sum(
            units
            for one in self._book.active()
            if (units := sum(map(self._ledger.balance, _coming_back(one))))
            and self._buyer(one.task_id) == customer
        )

    def reserve(self, batch: Batch, task_id: str, customer: str, amount: int, at_ms: int) -> bool:
        """As `Rewards.reserve`; Conflict, too, for a customer who is taking the deposit out."""
        known = self._ledger.find(f"reserve:{task_id}", batch) is not None
        if not known and self._notices.height(customer, batch) is not None:
            raise Conflict(
                "the deposit is on its way out, by the customer's own notice on the chain",
                field="reward",
                remedy="deposit again to end the notice",
            )
        return super().reserve(batch, task_id, customer, amount, at_ms)

    def open(self, batch: Batch, task_id: str, releasers: Callable[[], Releasers]) -> bool:
        """Want an escrow for a reservation; the settlement's `run` sends it."""
        if self.escrow(task_id) is not None:
            return False
        reserved = accounts.reserved(task_id)
        reservation = self._reservation(batch, task_id, unless="refund")
        [payer] = [p.account for p in reservation.postings if p.account != reserved]
        who = releasers()
        record = EscrowRecord(
            escrow_id=self._escrow_id(task_id),
            task_id=task_id,
            customer=self._credit.owner(batch, payer),
            amount=Amount(reservation.amount(reserved)),
            members=members_of(who.members),
            needed=who.needed,
            deadline_ms=who.deadline_ms,
        )
        self._book.put(batch, record)
        return True

    def escrow(self, task_id: str) -> EscrowRecord | None:
        """The task's escrow, or None before its first lease."""
        return self._book.find(self._escrow_id(task_id))

    def refund(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """As `Rewards.refund`; what is in an escrow comes back when the chain gives it back."""
        record = self.escrow(task_id)
        if record is None or record.state == "wanted":
            done = super().refund(batch, task_id, at_ms)
            if record is not None:
                self._book.put(batch, msgspec.structs.replace(record, state="failed"))
            return done
        if record.ending == "settle":
            raise SettlementConflict(f"task {task_id} already has its settle")
        reserved = accounts.reserved(task_id)
        units = self._ledger.balance(reserved, batch)
        if not units:  # it has left already, by whatever the chain did
            return False
        if record.state == "failed":
            return super().refund(batch, task_id, at_ms)
        self._post(
            batch, "return", task_id, move(reserved, accounts.returning(task_id), units), at_ms
        )
        self._book.put(batch, msgspec.structs.replace(record, ending="refund"))
        return True

    def settle(
        self,
        batch: Batch,
        task_id: str,
        payees: Payees,
        at_ms: int,
        *,
        results: Sequence[bytes] = (),
        signers: Collection[Signer] = (),
    ) -> int:
        """As `Rewards.settle`, with the claim that validators are to sign.

        Raises SettlementConflict, too, if the escrow never came to be, and NotFound if none was
        ever wanted.
        """
        record = self.escrow(task_id)
        if record is None:
            raise NotFound(f"task {task_id} has no escrow")
        is_over = record.state in CLOSED and (record.state, record.ending) != ("settled", "settle")
        if is_over or record.ending == "refund":
            raise SettlementConflict(f"the escrow of task {task_id} is {record.state}")
        due_ms = super().settle(batch, task_id, payees, at_ms, results=results, signers=signers)
        if record.ending != "settle" and record.state != "settled":
            claim = claim_of(payees, results)
            self._book.put(batch, msgspec.structs.replace(record, ending="settle", claim=claim))
        return due_ms

    def due(self, now_ms: int) -> Iterator[str]:
        """Tasks whose dispute window is over, whose claim is signed and whose escrow is open."""
        return filter(self._is_signed, super().due(now_ms))

    def mature(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Have the claim sent to the chain (`escrow_closings`); False if that was done before.

        Raises as `Rewards.mature` does, Conflict, too, while the claim is not signed or the escrow
        not open.
        """
        record = self.escrow(task_id)
        if record is None or record.ending != "settle":
            raise NotFound(f"no pay of task {task_id} matures")
        if record.is_due or record.state == "settled":
            return False
        pay = self._maturing.get(task_id, batch)
        if pay is None or at_ms < pay.due_ms or not self._is_signed(task_id):
            raise Conflict(f"the pay of task {task_id} is not due yet")
        self._book.put(batch, msgspec.structs.replace(record, is_due=True))
        return True

    def unapproved(self) -> Iterator[EscrowRecord]:
        """The open escrows whose ending lacks signatures; before, validators see nothing of it, and
        nothing of a claim while a dispute holds the pay."""
        return self._book.at("unsigned")

    def approve(self, batch: Batch, record: EscrowRecord, approval: Approval) -> bool:
        """Keep a member's signature under the ending of an escrow; False if it is of no use.

        Raises BadPayload if it is not this member's over this.
        """
        known = self._book.find(record.escrow_id)
        if known is None or (known.ending, known.claim) != (record.ending, record.claim):
            return False
        message = ending_message(known, self._chain_id)
        more = with_approval(known, known.approvals, approval, message)
        if not more:
            return False
        self._book.put(batch, msgspec.structs.replace(known, approvals=more))
        return True

    def unruled(self) -> Iterator[EscrowRecord]:
        """The open escrows whose dispute has an award that lacks signatures (`dispute.award`)."""
        for one in self._book.active():
            dispute = one.dispute if one.state == "open" else None
            if dispute is not None and dispute.is_unsigned(one.needed):
                yield one

    def approve_award(self, batch: Batch, record: EscrowRecord, approval: Approval) -> bool:
        """Keep a member's signature under the award of an escrow's dispute; False if it is of no
        use. Raises BadPayload if it is not this member's over this."""
        known = self._book.find(record.escrow_id)
        dispute = None if known is None else known.dispute
        shown = None if record.dispute is None else record.dispute.award
        if known is None or dispute is None or dispute.award is None or dispute.award != shown:
            return False
        message = award_message(self._chain_id, known.escrow_id, dispute.award)
        more = with_approval(known, dispute.approvals, approval, message)
        if not more or known.state in CLOSED:
            return False
        after = msgspec.structs.replace(dispute, approvals=more)
        self._book.put(batch, msgspec.structs.replace(known, dispute=after))
        return True

    def _payer(self, batch: Batch, task_id: str, customer: str, amount: int) -> str:
        known = self._ledger.find(f"reserve:{task_id}", batch)
        if known is not None:
            return payer_again(known, customer)
        return self._credit.payer(batch, customer, amount)

    def _buyer(self, task_id: str) -> str:
        entry = self._ledger.find(f"reserve:{task_id}")
        return "" if entry is None else accounts.address_in(entry.postings[0].account)

    def _is_signed(self, task_id: str) -> bool:
        record = self.escrow(task_id)
        return record is not None and record.stage == "signed"


def _coming_back(record: EscrowRecord) -> Iterator[str]:
    """Accounts whose money the customer gets back when a block has what closes the escrow, or its
    dispute."""
    dispute = record.dispute
    if record.ending == "refund":
        yield accounts.returning(record.task_id)
    if dispute is not None and dispute.award is not None:
        if dispute.is_overturned:
            yield accounts.maturing(record.task_id)
        if dispute.award.outcome != "upheld" or dispute.state == "lapsed":
            yield accounts.appeal(record.task_id)


def ending_message(record: EscrowRecord, chain_id: str) -> bytes:
    """What members sign to close the escrow in the way that the market wants."""
    if record.claim is None:
        return refund_message(chain_id, record.escrow_id)
    return claims_message(chain_id, {record.escrow_id: record.claim})
