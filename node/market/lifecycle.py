"""What a market does with a task after it was bought: lease it, take its result, end it in time.

Synchronous: each method checks, stages one batch and announces the change; the market role sends
the messages, after `Database.flushed`.
"""

from collections.abc import Callable, Collection, Iterable

import msgspec

from gpu.workloads import WORKLOADS
from node.config import NetworkConfig
from node.errors import Conflict
from node.market.board import TaskBoard
from node.market.draw import Candidate, draw_seats
from node.market.service import MarketService
from node.market.tasks import OutcomeRecord, TaskRecord, anchored, leased, unleased, verified
from node.settlement.transfer import TransferSettlement
from node.verification.batches import leaf_of
from node.verification.quorum import decide
from node.verification.statements import (
    Draw,
    Seat,
    StatementInvalid,
    check_nonce,
    check_result,
    check_verdict,
    seat_of,
    sign_draw,
)
from node.wire.leases import ReportResult
from p2p.identity import Identity, public_key_of
from storage.database import Database
from storage.store import Batch

LEASE_PER_TERA_S = 240
"""Seconds of lease for each 10^12 work units, beyond the base: half of it for one attempt."""
LEAST_LEASE_MS = 1000
LEASE_PER_MIB_S = 0.5
"""The same for each MiB of trace, which each validator of the quorum fetches."""


class Lifecycle:
    """The transitions of one market's tasks."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        service: MarketService,
        settlement: TransferSettlement,
        network: NetworkConfig,
        identity: Identity,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._board = board
        self._service = service
        self._settlement = settlement
        self._network = network
        self._identity = identity
        self._now_ms = now_ms

    def lease(
        self, task: TaskRecord, candidates: Iterable[Candidate], full: Collection[str] = ()
    ) -> Draw | None:
        """Draw a quorum and stage the lease; None while too few validators are there.

        Those in `full` (peer ids) take no more leases, but check.
        """
        protocol = self._network.protocol
        seats = draw_seats(
            candidates,
            task_id=task.task_id,
            epoch=task.epoch + 1,
            size=protocol.quorum_size,
            avoid=task.failed_orchestrators,
            full=full,
        )
        if len(seats) < protocol.quorum_needed:
            return None
        draw = self._signed_draw(task, seats)
        self._store(leased(task, draw, seats[0].peer_id))
        return draw

    def is_in_time(self, task: TaskRecord) -> bool:
        """Whether a lease could still lead to something before the deadline."""
        return task.deadline_ms - self._now_ms() >= LEAST_LEASE_MS

    def release(self, task_id: str, epoch: int, reason: str, *, begun: bool = True) -> None:
        """Take a lease back: queue the task for the next epoch, or end it after the last.

        Only epochs that were `begun` count; a lease that was refused did no harm.
        """
        task = self._board.get(task_id)
        if task.phase != "leased" or task.epoch != epoch:
            return
        failures = len(task.failed_orchestrators) + begun
        if failures >= self._network.protocol.max_attempts:
            self._service.end(task, "no_valid_result", reason)
        else:
            self._store(unleased(task, reason, failed=begun))

    def judge(self, report: ReportResult, orchestrator: str) -> OutcomeRecord | None:
        """Check a reported result; what would complete its task, or None if the same one has.

        Raises Conflict for a superseded epoch, StatementInvalid for anything that does not hold.
        """
        task = self._board.get(report.result.task_id)
        if self._is_repeated(task, report):
            return None
        self._require_lease(task, report.epoch, orchestrator)
        return self._outcome(task, report)

    def complete(self, outcome: OutcomeRecord, orchestrator: str) -> TaskRecord:
        """Stage a judged result with its payment; raises Conflict if it is superseded by now."""
        draw, result = outcome.draw, outcome.result
        task = self._board.get(draw.task_id)
        done = self._require_lease(task, draw.epoch, orchestrator)
        batch = Batch()
        self._settlement.settle(
            batch,
            task.task_id,
            {result.worker_address: 1},
            _validator_weights(outcome, public_key_of(orchestrator)),
            self._now_ms(),
        )
        self._board.put(batch, done, outcome)
        self._db.stage(batch)
        self._board.announce(task.task_id)
        return done

    def _require_lease(self, task: TaskRecord, epoch: int, orchestrator: str) -> TaskRecord:
        if task.orchestrator != orchestrator:
            raise Conflict("the lease is another orchestrator's: superseded")
        return verified(task, epoch)

    def anchor(self, batch: Batch, task_id: str, name: str, index: int, leaf: bytes) -> bool:
        """Add to a batch that the task's result is a leaf of the anchored batch `name`.

        False, and nothing added, if it is not the leaf of this task's verified result.
        """
        task, outcome = self._board.find(task_id), self._board.outcome(task_id)
        if task is None or outcome is None or task.phase != "verified":
            return False
        if leaf_of(outcome.result, self._network.network.chain_id) != leaf:
            return False
        placed = msgspec.structs.replace(outcome, batch=name, index=index)
        self._board.put(batch, anchored(task), placed)
        return True

    def expire(self) -> None:
        """End what is overdue, and take leases back that ran out."""
        now_ms = self._now_ms()
        for task in self._board.open_tasks():
            if task.deadline_ms <= now_ms:
                self._service.end(task, "deadline_exceeded", "no result before the deadline")
            elif task.phase == "leased" and task.lease_until_ms <= now_ms:
                self.release(task.task_id, task.epoch, "the orchestrator's lease ran out")

    def _signed_draw(self, task: TaskRecord, seats: tuple[Candidate, ...]) -> Draw:
        draw = Draw(
            task_id=task.task_id,
            epoch=task.epoch + 1,
            kind=task.kind,
            parameters=task.parameters,
            reward=task.reward,
            seats=tuple(Seat(one.key, one.address) for one in seats),
            needed=self._network.protocol.quorum_needed,
            expires_ms=min(task.deadline_ms, self._now_ms() + self._lease_ms(task)),
            market_key=self._identity.public_key,
        )
        return sign_draw(draw, self._network.network.chain_id, self._identity)

    def _lease_ms(self, task: TaskRecord) -> int:
        workload = WORKLOADS[task.kind]
        trace_bytes = workload.trace_bytes(workload.from_canonical(task.parameters))
        work_s = task.work_units / 1e12 * LEASE_PER_TERA_S
        trace_s = trace_bytes / 2**20 * LEASE_PER_MIB_S
        return int((self._network.protocol.lease_s + work_s + trace_s) * 1000)

    def _is_repeated(self, task: TaskRecord, report: ReportResult) -> bool:
        if task.status != "completed" or task.epoch != report.epoch:
            return False
        outcome = self._board.outcome(task.task_id)
        return outcome is not None and outcome.result == report.result

    def _outcome(self, task: TaskRecord, report: ReportResult) -> OutcomeRecord:
        chain_id = self._network.network.chain_id
        if task.draw is None:
            raise Conflict("the task has no draw")
        check_nonce(report.result.nonce, task.draw, self._network.protocol.max_attempts)
        check_result(report.result, report.manifest, task.draw, chain_id)
        for verdict in report.verdicts:
            check_verdict(verdict, task.draw, report.result, chain_id)
        if len({verdict.validator_key for verdict in report.verdicts}) != len(report.verdicts):
            raise StatementInvalid("a validator's verdict stands twice", field="verdicts")
        counted = decide(report.verdicts, seats=len(task.draw.seats), needed=task.draw.needed)
        if counted != "valid":
            raise StatementInvalid("the verdicts make no quorum for this result", field="verdicts")
        valid = tuple(verdict for verdict in report.verdicts if verdict.finding == "valid")
        return OutcomeRecord(
            result=report.result,
            manifest=report.manifest,
            draw=task.draw,
            verdicts=valid,
            completed_ms=self._now_ms(),
        )

    def _store(self, task: TaskRecord) -> None:
        batch = Batch()
        self._board.put(batch, task)
        self._db.stage(batch)
        self._board.announce(task.task_id)


def _validator_weights(outcome: OutcomeRecord, orchestrator_key: bytes) -> dict[str, int]:
    """One share for each signed verdict, one more for having orchestrated."""
    weights: dict[str, int] = {}
    keys = [verdict.validator_key for verdict in outcome.verdicts]
    for key in (*keys, orchestrator_key):
        address = seat_of(outcome.draw, key).address
        weights[address] = weights.get(address, 0) + 1
    return weights
