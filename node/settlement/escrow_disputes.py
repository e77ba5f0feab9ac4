"""The money of disputes where the chain holds it: what the market and its juries say.

    open      customer -> appeal, and the pay of the task is held   (the chain: deposit -> escrow);
              credit -> appeal for a task that was bought on credit: it is the same deposit
    what a jury came to is noted only; `chaindisputes` books what an award in a block does
    fail      appeal -> customer or credit  the dispute never was on the chain
    closed    appeal -> customer or credit  the escrow was closed before an award decided it

See `dispute` for its states, and `dispute_steps` for what the market asks the chain.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from node.amounts import Amount
from node.errors import InvalidInput, NotFound
from node.l1.escrow import Act, Award
from node.l1.sender import Sender
from node.settlement import accounts
from node.settlement.bonds import Bond
from node.settlement.chainbonds import ChainBonds
from node.settlement.dispute import Dispute
from node.settlement.entries import move
from node.settlement.errors import SettlementConflict
from node.settlement.escrow_claims import award_of
from node.settlement.escrow_credit import EscrowCredits, fee_from
from node.settlement.escrows import CLOSED, EscrowBook, EscrowRecord
from node.settlement.interface import TaskUnfunded, unheard
from node.settlement.ledger import Ledger
from node.settlement.maturing import HeldBook, MaturingBook, pay_to_hold
from storage.database import Database
from storage.store import Batch

UNRULED = "no award of its jury's was in a block in time"


class EscrowDisputes:
    """The disputes about one market's escrows."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        bonds: ChainBonds,
        sender: Sender,
        *,
        book: EscrowBook,
        credit: EscrowCredits,
        escrow_id: Callable[[str], str],
    ) -> None:
        self.on_ended: TaskUnfunded = unheard
        """Told, with why, of a dispute that is over without what its jury comes to."""
        self._ledger = ledger
        self._bonds = bonds
        self._sender = sender
        self._book = book
        self._credit = credit
        self._escrow_id = escrow_id
        self._maturing = MaturingBook(db)
        self._held = HeldBook(db)

    def open(
        self, batch: Batch, task_id: str, customer: str, fee: int, at_ms: int, *, until_ms: int
    ) -> bool:
        """As `Disputes.open`; the settlement's `run` tells the chain once it has the escrow."""
        if fee < 1:
            raise InvalidInput(f"is {fee} units", field="fee")
        record = self._book.find(self._escrow_id(task_id))
        if self._ledger.find(f"appeal:{task_id}", batch) is None:
            pay_to_hold(self._maturing, batch, task_id, at_ms)
            assert record is not None, "what matures has its escrow"
            self._put_down(batch, task_id, customer, fee, at_ms)
            self.keep(batch, record, Dispute(fee=Amount(fee), until_ms=until_ms))
            return True
        self._put_down(batch, task_id, customer, fee, at_ms)
        if self._is_decided(record):
            raise SettlementConflict(f"the dispute about task {task_id} is decided")
        return False

    def uphold(
        self,
        batch: Batch,
        task_id: str,
        jurors: Collection[str],
        at_ms: int,  # noqa: ARG002 - booked when a block has the award
    ) -> bool:
        """As `Disputes.uphold`: noted, for validators to sign."""
        return self._note(batch, task_id, award_of("upheld", jurors, (), ()))

    def give_up(self, batch: Batch, task_id: str, at_ms: int) -> bool:  # noqa: ARG002 - as above
        """As `Disputes.give_up`: noted, for validators to sign."""
        return self._note(batch, task_id, award_of("inconclusive", (), (), ()))

    def overturn(
        self,
        batch: Batch,
        task_id: str,
        false: Sequence[str],
        acts: Iterable[Act],
        jurors: Collection[str],
        at_ms: int,  # noqa: ARG002 - as above
    ) -> bool:
        """As `Disputes.overturn`: noted, for validators to sign; nothing is claimed any more."""
        by_address = {one.address: one for one in acts}
        award = award_of("overturned", jurors, false, by_address.values())
        return self._note(batch, task_id, award, tuple(by_address[one] for one in award.culprits))

    def at_stake(self, address: str) -> Bond:
        """What an address would be slashed of, as of the last block that was booked."""
        return self._bonds.find(address)

    def keep(self, batch: Batch, record: EscrowRecord, dispute: Dispute) -> EscrowRecord:
        """Store what became of a dispute; the pay of its task is held by it, or goes on."""
        after = msgspec.structs.replace(record, dispute=dispute)
        (self._held.hold if dispute.holds_pay else self._held.go_on)(batch, record.task_id)
        self._book.put(batch, after)
        return after

    def fail(self, batch: Batch, record: EscrowRecord, at_ms: int, problem: str) -> EscrowRecord:
        """Give a dispute up that never was on the chain and can never be."""
        assert record.dispute is not None, "it is disputed"
        self._sender.give_up(batch, record.appealing, problem)
        self.give_fee_back(batch, record, f"failed:{record.task_id}", "failed", at_ms)
        return self._end(batch, record, "failed", problem)

    def lapse(self, batch: Batch, record: EscrowRecord) -> EscrowRecord:
        """Wait no longer for an award; the fee comes back with whatever closes the escrow."""
        return self._end(batch, record, "lapsed", UNRULED)

    def lost(self, batch: Batch, record: EscrowRecord, dispute: Dispute, cause: str) -> None:
        """A transaction of the market's is lost: if it was about this dispute, ask again."""
        again = msgspec.structs.replace(dispute, tries=dispute.tries + 1)
        if dispute.state == "sent" and record.appealing == cause:
            self.keep(batch, record, msgspec.structs.replace(again, state="wanted"))
        elif dispute.ruling == cause:
            self.keep(batch, record, msgspec.structs.replace(again, ruling=""))

    def closed(self, batch: Batch, record: EscrowRecord, at_ms: int, problem: str) -> EscrowRecord:
        """The escrow was closed, and not by an award: the fee is back."""
        dispute = record.dispute
        if dispute is None or dispute.state in ("ruled", "failed"):
            return record
        if dispute.is_on_its_way:
            return self.fail(batch, record, at_ms, problem)
        self.give_fee_back(batch, record, f"lapsed:{record.task_id}", "lapsed", at_ms)
        if dispute.ruling:
            self._sender.give_up(batch, dispute.ruling, problem)
        return record if dispute.state == "lapsed" else self._end(batch, record, "lapsed", problem)

    def give_fee_back(
        self, batch: Batch, record: EscrowRecord, cause: str, kind: str, at_ms: int
    ) -> None:
        """Book the fee to where it came from, whose deposit has it again."""
        account = accounts.appeal(record.task_id)
        units = self._ledger.balance(account, batch)
        if units:
            source = fee_from(self._ledger, batch, record.task_id, record.escrow_id)
            postings = move(account, source, units)
            self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)

    def source(self, batch: Batch, record: EscrowRecord, fee: int) -> str:
        """The account from which the chain took a fee that the books did not put down."""
        return self._credit.source(batch, record.task_id, record.customer, fee)

    def _end(self, batch: Batch, record: EscrowRecord, state: str, problem: str) -> EscrowRecord:
        assert record.dispute is not None, "it is disputed"
        ended = msgspec.structs.replace(record.dispute, state=state)
        after = self.keep(batch, record, ended)
        self.on_ended(batch, record.task_id, problem)
        return after

    def _put_down(self, batch: Batch, task_id: str, customer: str, fee: int, at_ms: int) -> None:
        payer = self._credit.fee_payer(batch, task_id, customer, fee)
        postings = move(payer, accounts.appeal(task_id), fee)
        cause = f"appeal:{task_id}"
        self._ledger.post(batch, cause=cause, kind="appeal", postings=postings, at_ms=at_ms)

    def _note(self, batch: Batch, task_id: str, award: Award, acts: tuple[Act, ...] = ()) -> bool:
        record = self._book.find(self._escrow_id(task_id), batch)
        if record is None or record.dispute is None:
            raise NotFound(f"task {task_id} is not disputed")
        known = record.dispute.award
        if known is not None and known.outcome != award.outcome:
            raise SettlementConflict(
                f"the dispute about task {task_id} is decided: {known.outcome}"
            )
        if known is None:
            noted = msgspec.structs.replace(record.dispute, award=award, acts=acts)
            self.keep(batch, record, noted)
        return known is None

    @staticmethod
    def _is_decided(record: EscrowRecord | None) -> bool:
        if record is None or record.dispute is None or record.state in CLOSED:
            return True
        return record.dispute.award is not None or not record.dispute.holds_pay
