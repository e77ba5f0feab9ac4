"""From an orchestrator's report to the pay: judged, completed, anchored, paid.

Synchronous, as `leases` is. Judging changes nothing, so that nothing is fetched or stored for
whoever has no result to report.
"""

from collections.abc import Callable, Sequence

import msgspec

from node.config import NetworkConfig
from node.market.board import TaskBoard
from node.market.earlier import EarlierBook
from node.market.judging import MAX_EARLIER, JudgeRules, check_earlier, check_jobs
from node.market.leases import Leases
from node.market.outcomes import JobOutcome, OutcomeRecord, placed
from node.market.pay import checks_of, payees_of
from node.market.phases import OPEN_PHASES
from node.market.tasks import (
    TaskRecord,
    anchored,
    paid,
    reclaimed,
    refunded,
    require_lease,
    verified,
    waits_for_anchor,
)
from node.settlement.bonds import Signer
from node.settlement.interface import BondBook, RewardBook
from node.split import Payees
from node.verification.batches import leaf_of
from node.verification.draws import seat_of
from node.verification.statements import Judgement, signers_of, worker_key_of
from node.wire.leases import ReportFailure, ReportResult
from node.workloads import lease_s, size_of
from p2p.identity import public_key_of
from storage.database import Database
from storage.store import Batch

PAID_AT_ONCE = 64
"""Tasks whose pay matures between waits for the disk."""

_UNFUNDED = "the chain holds no reward for it"


class Judged(msgspec.Struct, frozen=True):
    """A report that holds, before it counts."""

    task_id: str
    epoch: int
    orchestrator: str
    """Peer id."""
    jobs: tuple[Judgement, ...]
    earlier: tuple[Judgement, ...]


class Results:
    """The results of one market's tasks."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        leases: Leases,
        rewards: RewardBook,
        bonds: BondBook,
        network: NetworkConfig,
        market: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._board = board
        self._leases = leases
        self._rewards = rewards
        self._bonds = bonds
        self._protocol = network.protocol
        self._chain_id = network.network.chain_id
        self._rules = JudgeRules(self._chain_id, market, network.protocol.max_attempts)
        self._earlier = EarlierBook(db)
        self._now_ms = now_ms
        rewards.on_paid, rewards.on_reclaimed = self._paid, self._reclaimed
        rewards.on_unfunded = self._unfunded

    def judge(self, report: ReportResult, orchestrator: str) -> Judged | None:
        """Check a reported result; what would complete its task, or None if the same one has.

        Raises Conflict for a superseded epoch, StatementInvalid for anything that does not hold.
        """
        if self.has_taken(report):
            return None
        task = self._board.get(report.task_id)
        require_lease(task, report.epoch, orchestrator)
        check_jobs(report.jobs, task, self._rules)
        earlier = self._judge_earlier(task, report.earlier, report.jobs)
        return Judged(report.task_id, report.epoch, orchestrator, report.jobs, earlier)

    def complete(self, judged: Judged) -> TaskRecord:
        """Stage a judged result with its payment; raises Conflict if it is superseded by now."""
        task, now_ms = self._board.get(judged.task_id), self._now_ms()
        require_lease(task, judged.epoch, judged.orchestrator)
        batch = Batch()
        outcome = self._outcome(task, judged)
        payees = self._payees(task, judged, outcome)
        leaves = [leaf_of(one, self._chain_id) for one in outcome.results]
        pay_due_ms = self._rewards.settle(
            batch,
            task.task_id,
            payees,
            now_ms,
            results=leaves,
            signers=_signers(judged.jobs),
        )
        done = verified(
            task,
            judged.epoch,
            judged.orchestrator,
            completed_ms=now_ms,
            pay_due_ms=pay_due_ms,
        )
        self._bonds.hold(batch, *self._answerable(task, judged), now_ms)
        self._earlier.add(batch, task.task_id, judged.earlier)
        self._board.put(batch, done, outcome)
        self._db.stage(batch)
        self._board.announce(task.task_id)
        return done

    def refute(self, judged: Judged, reason: str, batch: Batch) -> None:
        """End the epoch of a result that its quorum took and its proof does not prove.

        What was checked before it in the epoch is kept. `batch` has what belongs to the same step;
        raises Conflict, and leaves it alone, if the epoch is superseded by now.
        """
        task = self._board.get(judged.task_id)
        require_lease(task, judged.epoch, judged.orchestrator)
        self._earlier.add(batch, task.task_id, judged.earlier)
        self._leases.release(task.task_id, judged.epoch, reason, batch=batch)

    def fail(self, report: ReportFailure, orchestrator: str) -> None:
        """End an epoch whose attempts are used up, and keep what was checked in it.

        Raises as `judge` does; a repeated report is superseded, too.
        """
        task = self._board.get(report.task_id)
        require_lease(task, report.epoch, orchestrator)
        batch = Batch()
        self._earlier.add(batch, task.task_id, self._judge_earlier(task, report.earlier))
        self._leases.release(
            report.task_id, report.epoch, report.reason, begun=report.begun, batch=batch
        )

    def anchor(
        self, batch: Batch, name: str, task_ids: Sequence[str], leaves: Sequence[bytes]
    ) -> list[str]:
        """Add to a batch the places of verified results among the leaves of an anchored batch.

        `task_ids` says whose each leaf is; only a leaf of the task's own result counts. Returns
        the tasks that got any place, to be announced.
        """
        indices: dict[str, dict[bytes, int]] = {}
        for index, (task_id, leaf) in enumerate(zip(task_ids, leaves, strict=True)):
            indices.setdefault(task_id, {})[leaf] = index
        return [one for one, own in indices.items() if self._place(batch, one, name, own)]

    def mature(self) -> int:
        """Give out what is due by now, at most `PAID_AT_ONCE` tasks, a batch each; how many."""
        now_ms = self._now_ms()
        due = [one for one, _ in zip(self._rewards.due(now_ms), range(PAID_AT_ONCE), strict=False)]
        for task_id in due:
            batch = Batch()
            self._rewards.mature(batch, task_id, now_ms)
            self._db.stage(batch)
        return len(due)

    def _paid(self, batch: Batch, task_id: str) -> None:
        """The reward is with those who earned it, as of this batch."""
        self._move(batch, paid(self._board.get(task_id, batch)))

    def _reclaimed(self, batch: Batch, task_id: str) -> None:
        """The chain gave the reward of a completed task back; of a false result it had to."""
        task = self._board.get(task_id, batch)
        if task.phase != "overturned":
            self._move(batch, reclaimed(task))

    def _unfunded(self, batch: Batch, task_id: str, problem: str) -> None:
        """The chain will not hold the reward of an open task."""
        ended = refunded(self._board.get(task_id), "unfunded", f"{_UNFUNDED}: {problem}")
        self._rewards.refund(batch, task_id, self._now_ms())
        self._move(batch, ended)

    def _move(self, batch: Batch, task: TaskRecord) -> None:
        self._board.put(batch, task)
        self._board.announce(task.task_id)

    def _place(self, batch: Batch, task_id: str, name: str, leaves: dict[bytes, int]) -> bool:
        task, outcome = self._board.find(task_id), self._board.outcome(task_id)
        if task is None or outcome is None or not waits_for_anchor(task):
            return False
        after = placed(outcome, name, leaves, self._chain_id)
        if after == outcome:
            return False
        is_last = after.is_anchored and task.phase == "verified"
        self._board.put(batch, anchored(task) if is_last else task, after)
        return True

    def shown(self, task_id: str) -> tuple[tuple[Judgement, ...], tuple[Judgement, ...]]:
        """What a completed task is paid for: its jobs, and the attempts that were not valid."""
        outcome = self._board.outcome(task_id)
        jobs = () if outcome is None else tuple(job.judgement for job in outcome.jobs)
        return jobs, tuple(self._earlier.of(task_id))

    def has_taken(self, report: ReportResult) -> bool:
        """Whether this very result has completed its task; raises NotFound if there is no such."""
        task = self._board.get(report.task_id)
        if task.phase in OPEN_PHASES or task.epoch != report.epoch:
            return False
        outcome = self._board.outcome(task.task_id)
        return outcome is not None and outcome.results == tuple(one.result for one in report.jobs)

    def _judge_earlier(
        self,
        task: TaskRecord,
        earlier: tuple[Judgement, ...],
        jobs: tuple[Judgement, ...] = (),
    ) -> tuple[Judgement, ...]:
        """Those for which there is room, checked."""
        kept = earlier[: MAX_EARLIER - len(self._kept(task))]
        check_earlier(kept, jobs, task, self._rules)
        return kept

    def _kept(self, task: TaskRecord) -> list[Judgement]:
        """What earlier epochs left."""
        return self._earlier.of(task.task_id) if task.epoch > 1 else []

    def _outcome(self, task: TaskRecord, judged: Judged) -> OutcomeRecord:
        assert task.draw is not None, "a leased task has a draw"
        return OutcomeRecord(
            jobs=tuple(JobOutcome(one) for one in judged.jobs),
            completed_ms=self._now_ms(),
            orchestrator=seat_of(task.draw, public_key_of(judged.orchestrator)).address,
            checks=checks_of((*judged.jobs, *self._kept(task), *judged.earlier)),
        )

    def _answerable(self, task: TaskRecord, judged: Judged) -> tuple[set[str], int]:
        """Addresses of who answers with a bond for what is completed, and when they were drawn, at
        the earliest."""
        signers = {seat.address for job in judged.jobs for seat in signers_of(job)}
        longest_s = lease_s(self._protocol, size_of(task.kind, task.parameters))
        return signers, task.lease_until_ms - round(longest_s * 1000)

    def _payees(self, task: TaskRecord, judged: Judged, outcome: OutcomeRecord) -> Payees:
        size = size_of(task.kind, task.parameters)
        return payees_of(
            judged.jobs,
            outcome.checks,
            outcome.orchestrator,
            work_units=size.work_units,
            check_units=size.check_units,
        )


def _signers(jobs: Sequence[Judgement]) -> list[Signer]:
    """Each worker with the key that signed its result."""
    return [Signer(one.result.worker_address, worker_key_of(one.result)) for one in jobs]
