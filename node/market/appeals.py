"""Appeals: a customer disputes a result, and a jury computes it again.

Synchronous, as `leases` and `results` are; `node.roles.appeals` asks the jurors. Every appeal ends
by itself at its jury's deadline. What a jury came to counts for the task at once; the money follows
at once where the market holds it, else when validators have signed that and a block has it.
"""

import logging
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from node.amounts import Amount
from node.config import NetworkConfig
from node.errors import InvalidInput, NotAllowed
from node.market.appealbook import AppealBook, AppealRecord
from node.market.bars import BarBook
from node.market.board import TaskBoard
from node.market.juries import JuryDraw
from node.market.quote import appeal_price
from node.market.snapshots import SnapshotLog
from node.market.tasks import TaskRecord, disputed, overturned, undisputed
from node.market.views import MAX_REASON
from node.settlement.interface import Disputes
from node.verification.cases import findings_of
from node.verification.draws import Pass, PassReason, Refusal, Seat, check_pass
from node.verification.rulings import Decision, Outcome, Ruling, check_ruling, decide_appeal
from node.verification.stakes import Stake, Stakes, sign_stakes
from node.verification.statements import signers_of
from p2p.identity import Identity, peer_id_of
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

LEAST_GRACE_MS = 500
"""Once a jury has agreed, how long at least its other members may still come in: they have as long
again as the jury took."""
OVERTURNED = "a jury computed the task again, and something else came out"


class Beacon(NamedTuple):
    """A block of the L1."""

    height: int
    hash: bytes


class AppealDesk:
    """The appeals of one market's tasks."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        disputes: Disputes,
        bars: BarBook,
        snapshots: SnapshotLog,
        network: NetworkConfig,
        identity: Identity,
        now_ms: Callable[[], int],
        beacon: Callable[[], Beacon],
        operator: str = "",
    ) -> None:
        """`beacon` is the L1's last block, `operator` the account that lends to customers."""
        self._db = db
        self._board = board
        self._disputes = disputes
        self._beacon = beacon
        self._snapshots = snapshots
        self._network = network
        self._identity = identity
        self._now_ms = now_ms
        self._juries = JuryDraw(
            db=db,
            snapshots=snapshots,
            network=network,
            identity=identity,
            now_ms=now_ms,
            operator=operator,
        )
        self._bars = bars
        self.book = AppealBook(db, board.disputed_tasks())
        self.on_overturned: Callable[[AppealRecord, Decision], None] = lambda *_: None
        """Told of a result that turned out false, once its money is staged."""
        disputes.on_ended = self._ended

    def fee(self, work_units: int) -> Amount:
        """What an appeal costs whose task takes so many units: a whole jury computes it again."""
        return appeal_price(self._network, work_units)

    def open(self, task_id: str, account: str, reason: str) -> TaskRecord:
        """Hold a completed task's pay, and draw a jury for the fee of the customer's.

        Raises:
            NotFound: there is no such task.
            NotAllowed: it is another account's.
            InvalidInput: there is no reason, or it is too long or not printable.
            Conflict: the task is not completed, its pay has matured, or it was disputed before.
            InsufficientFunds: the customer does not have the fee.
            NoJury: there are too few validators that have nothing to do with the result.
        """
        task, now_ms = self._board.get(task_id), self._now_ms()
        if task.account != account:
            raise NotAllowed("the task belongs to another account", field="task_id")
        _check_reason(reason)
        after, outcome = disputed(task, now_ms), self._board.outcome(task_id)
        assert outcome is not None, "a completed task has an outcome"
        beacon, fee = self._beacon(), self.fee(task.work_units)
        jury, snapshot = self._juries.first(task, outcome, fee, beacon.hash)
        claimed = tuple(bytes.fromhex(one.result_hash) for one in outcome.results)
        appeal = AppealRecord(
            task_id, account, reason, now_ms, jury, claimed, beacon_height=beacon.height
        )
        batch = Batch()
        self._disputes.open(batch, task_id, account, fee, now_ms, until_ms=jury.expires_ms)
        self._snapshots.name(batch, snapshot)
        self.book.put(batch, appeal)
        return self._store(batch, after)

    def take(self, task_id: str, ruling: Ruling) -> None:
        """Count a juror's ruling; raises StatementInvalid if it is none. One that comes too late,
        or again, changes nothing."""
        appeal = self.book.find_open(task_id)
        if appeal is None or ruling.validator_key in {one.key for one in appeal.jury.passed}:
            return
        check_ruling(ruling, appeal.jury, self._network.network.chain_id)
        if ruling.validator_key in {one.validator_key for one in appeal.rulings}:
            return
        more = msgspec.structs.replace(appeal, rulings=(*appeal.rulings, ruling))
        decision = _decided(more)
        if decision is not None and decision.agreeing and not more.agreed_ms:
            more = msgspec.structs.replace(more, agreed_ms=self._now_ms())
        batch = Batch()
        self.book.put(batch, more)
        self._db.stage(batch)
        self._close_if_due(more)

    def pass_over(
        self, task_id: str, juror: bytes, reason: PassReason, refusal: Refusal | None = None
    ) -> Seat | None:
        """Give a juror's seat (by key) to the next in rank; whose it is now.

        None if it stays the juror's: it has ruled, enough others have computed the same, or nobody
        is left. Raises StatementInvalid if the refusal is not its own word.
        """
        appeal = self.book.find_open(task_id)
        if appeal is None or appeal.agreed_ms or juror not in waited_for(appeal):
            return None
        passed = Pass(appeal.jury.epoch, juror, "rule", reason, self._now_ms(), refusal)
        check_pass(passed, task_id, self._network.network.chain_id)
        later = self._juries.next(appeal.jury, passed)
        if later is None:
            return None
        batch = Batch()
        self.book.put(batch, msgspec.structs.replace(appeal, jury=later))
        self._db.stage(batch)
        self._board.announce(task_id)
        successor = next(seat for seat in later.seats if seat not in appeal.jury.seats)
        names = (peer_id_of(juror), reason, peer_id_of(successor.key))
        log.warning("juror %s is passed over (%s) for %s", *names, extra={"task": task_id})
        return successor

    def pass_time(self) -> None:
        """Decide what has waited long enough."""
        for appeal in self.book.open():
            self._close_if_due(appeal)

    def _close_if_due(self, appeal: AppealRecord) -> None:
        decision, now_ms = _decided(appeal), self._now_ms()
        is_over = now_ms >= appeal.jury.expires_ms
        if decision is None and not is_over:
            return
        decision = decision or Decision("inconclusive")
        complete = len(appeal.rulings) == len(appeal.jury.seats)
        took_ms = max(LEAST_GRACE_MS, appeal.agreed_ms - appeal.at_ms)
        waited = now_ms >= appeal.agreed_ms + took_ms
        if complete or waited or is_over or decision.outcome == "inconclusive":
            self._close(appeal, decision)

    def _close(self, appeal: AppealRecord, decision: Decision) -> None:
        """Stage what a decision comes to: money, task, appeal, and who is drawn no more."""
        batch, now_ms, task_id = Batch(), self._now_ms(), appeal.task_id
        task, outcome = self._board.get(task_id), self._board.outcome(task_id)
        assert outcome is not None, "a disputed task has an outcome"
        jobs = [one.judgement for one in outcome.jobs]
        found = findings_of(decision, appeal.jury, jobs)
        after, stakes = undisputed(task, is_anchored=outcome.is_anchored), None
        if found.outcome == "upheld":
            self._disputes.uphold(batch, task_id, found.jurors, now_ms)
        elif found.outcome == "inconclusive":
            self._disputes.give_up(batch, task_id, now_ms)
        else:
            after = overturned(task, OVERTURNED)
            stakes = self._stakes(appeal, found.culprits)
            false = [jobs[index] for index in decision.wrong]
            self._disputes.overturn(batch, task_id, found.false, found.acts, found.jurors, now_ms)
            self._bars.bar(batch, {seat for one in false for seat in signers_of(one)})
        done = _decide(appeal, found.outcome, now_ms, stakes)
        self.book.put(batch, done)
        self._store(batch, after)
        if found.outcome == "overturned":
            self.on_overturned(done, decision)

    def _ended(self, batch: Batch, task_id: str, why: str) -> None:
        """The chain has ended a dispute, or never had it: nobody can say, if no jury has said."""
        appeal = self.book.find_open(task_id)
        if appeal is None:
            return
        log.warning("the dispute is over without a ruling: %s", why, extra={"task": task_id})
        task, outcome = self._board.get(task_id, batch), self._board.outcome(task_id)
        assert outcome is not None, "a disputed task has an outcome"
        self.book.put(batch, _decide(appeal, "inconclusive", self._now_ms()))
        self._board.put(batch, undisputed(task, is_anchored=outcome.is_anchored))
        self._board.announce(task_id)

    def _stakes(self, appeal: AppealRecord, addresses: Collection[str]) -> Stakes:
        """What they have at stake now, in the market's signed words."""
        bonds = map(self._disputes.at_stake, addresses)
        stakes = [Stake(one.address, one.bonded, one.unbonding) for one in bonds]
        return sign_stakes(appeal.jury, stakes, self._network.network.chain_id, self._identity)

    def _store(self, batch: Batch, task: TaskRecord) -> TaskRecord:
        self._board.put(batch, task)
        self._db.stage(batch)
        self._board.announce(task.task_id)
        return task


def waited_for(appeal: AppealRecord) -> set[bytes]:
    """Keys of the jurors that have not ruled."""
    ruled = {one.validator_key for one in appeal.rulings}
    return {seat.key for seat in appeal.jury.seats} - ruled


def _decided(appeal: AppealRecord) -> Decision | None:
    jury = appeal.jury
    return decide_appeal(appeal.rulings, appeal.claimed, seats=len(jury.seats), needed=jury.needed)


def _decide(
    appeal: AppealRecord, outcome: Outcome, at_ms: int, stakes: Stakes | None = None
) -> AppealRecord:
    return msgspec.structs.replace(appeal, outcome=outcome, decided_ms=at_ms, stakes=stakes)


def _check_reason(reason: str) -> None:
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise InvalidInput(
            f"needs 1 to {MAX_REASON} printable characters",
            field="reason",
            remedy="say in a line what is wrong with the result",
        )
