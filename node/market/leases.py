"""Leasing tasks to orchestrators: the draw, seats filled anew, and leases taken back.

Synchronous: each method checks, stages one batch and announces the change; whoever sends what came
of it waits for `Database.flushed` first.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import msgspec

from node.config import ProtocolSection
from node.market.board import TaskBoard
from node.market.seating import (
    NoCandidates,
    check_passes,
    lease_seats,
    next_passed,
    redraw_seats,
    require_redraw,
)
from node.market.service import MarketService
from node.market.snapshots import SnapshotLog
from node.market.tasks import (
    TaskRecord,
    has_attempts_left,
    leased,
    redrawn,
    require_lease,
    unleased,
)
from node.settlement.interface import MAX_RELEASERS, Releasers, RewardBook
from node.verification.draws import Draw, Pass, sign_draw
from node.verification.snapshots import Snapshot, draw_from
from node.workloads import lease_s, size_of
from p2p.identity import Identity, peer_id_of
from storage.database import Database
from storage.store import Batch

LEAST_LEASE_MS = 1000
"""With less time than this to the deadline a task is not leased any more."""


class Leases:
    """The leases of one market's tasks."""

    def __init__(
        self,
        *,
        db: Database,
        board: TaskBoard,
        service: MarketService,
        snapshots: SnapshotLog,
        rewards: RewardBook,
        protocol: ProtocolSection,
        chain_id: str,
        identity: Identity,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._board = board
        self._service = service
        self._snapshots = snapshots
        self._rewards = rewards
        self._protocol = protocol
        self._chain_id = chain_id
        self._identity = identity
        self._now_ms = now_ms

    def lease(self, task: TaskRecord, full: Collection[str] = ()) -> Draw | None:
        """Draw a quorum and stage the lease; None while too few validators are there.

        Those in `full` (peer ids) take no more leases, but check. A task that has used up all
        numbers for its attempts is ended.
        """
        snapshot = self._snapshots.newest
        if not has_attempts_left(task, self._protocol.max_attempts):
            self._service.end(task, "no_valid_result", "too many leases were given back")
            return None
        if snapshot is None:
            return None
        draw = self._first_draw(task, snapshot, full)
        if draw is None:
            return None
        batch = Batch()
        self._rewards.open(batch, task.task_id, partial(self._releasers, task, snapshot))
        self._store_draw(batch, leased(task, draw, peer_id_of(draw.seats[0].key)), snapshot)
        return draw

    def redraw(
        self, task_id: str, epoch: int, orchestrator: str, redraw: int, passed: Sequence[Pass]
    ) -> Draw:
        """The epoch's next draw, without those passed over; the current one if that is later.

        Raises:
            Conflict: the lease is over or another's, or the draw is not known.
            StatementInvalid: these may not be passed over.
            NoCandidates: nobody is left for the seats, or they were filled too often.
        """
        task = self._board.get(task_id)
        draw = require_lease(task, epoch, orchestrator)
        if not require_redraw(draw, redraw):
            return draw
        check_passes(draw, passed, self._chain_id)
        again, snapshot = self._next_draw(draw, next_passed(draw, passed))
        self._store_draw(Batch(), redrawn(task, again), snapshot)
        return again

    def release(
        self,
        task_id: str,
        epoch: int,
        reason: str,
        *,
        begun: bool = True,
        passed: Pass | None = None,
        batch: Batch | None = None,
    ) -> None:
        """Take a lease back: queue the task for the next epoch, or end it after the last.

        Only epochs that were `begun` count; a lease that was refused did no harm. `batch` may hold
        what belongs to the same step.
        """
        batch = Batch() if batch is None else batch
        task = self._board.get(task_id)
        if task.phase != "leased" or task.epoch != epoch:
            return
        if len(task.failed_orchestrators) + begun >= self._protocol.max_attempts:
            self._service.end(task, "no_valid_result", reason, batch)
        else:
            self._store(batch, unleased(task, reason, failed=begun, passed=passed))

    def is_in_time(self, task: TaskRecord) -> bool:
        """Whether a lease could still lead to something before the deadline."""
        return task.deadline_ms - self._now_ms() >= LEAST_LEASE_MS

    def expire(self) -> None:
        """End what is overdue, and take leases back that ran out."""
        now_ms = self._now_ms()
        for task in self._board.open_tasks():
            if task.deadline_ms <= now_ms:
                self._service.end(task, "deadline_exceeded", "no result before the deadline")
            elif task.phase == "leased" and task.lease_until_ms <= now_ms:
                self.release(task.task_id, task.epoch, "the orchestrator's lease ran out")

    def _first_draw(
        self, task: TaskRecord, snapshot: Snapshot, full: Collection[str]
    ) -> Draw | None:
        """The draw of a task's next epoch, if there are enough for its quorum."""
        epoch, needed = task.epoch + 1, self._protocol.quorum_needed
        size = self._protocol.quorum_size
        drawn = draw_from(snapshot, task_id=task.task_id, epoch=epoch, kind=task.kind, size=size)
        seats = lease_seats(drawn, avoid=task.failed_orchestrators, full=full)
        if len(seats) < needed:
            return None
        unsigned = Draw(
            task_id=task.task_id,
            epoch=epoch,
            redraw=0,
            kind=task.kind,
            parameters=task.parameters,
            reward=task.reward,
            snapshot=self._snapshots.digest_of(snapshot),
            passed=task.passed,
            seats=seats,
            needed=needed,
            expires_ms=min(task.deadline_ms, self._now_ms() + self._lease_ms(task)),
            market_key=self._identity.public_key,
        )
        return sign_draw(unsigned, self._chain_id, self._identity)

    def _next_draw(self, draw: Draw, passed: tuple[Pass, ...]) -> tuple[Draw, Snapshot]:
        """From the newest snapshot, or the draw's own if that has no seat for its orchestrator."""
        for snapshot in (self._snapshots.newest, self._snapshots.find(draw.snapshot)):
            if snapshot is None:
                continue
            seats = redraw_seats(draw, passed, snapshot, self._protocol.quorum_size)
            if seats is not None:
                unsigned = msgspec.structs.replace(
                    draw,
                    redraw=draw.redraw + 1,
                    snapshot=self._snapshots.digest_of(snapshot),
                    passed=passed,
                    seats=seats,
                )
                return sign_draw(unsigned, self._chain_id, self._identity), snapshot
        raise NoCandidates("nobody is left for the seats of this epoch")

    def _lease_ms(self, task: TaskRecord) -> int:
        return int(lease_s(self._protocol, size_of(task.kind, task.parameters)) * 1000)

    def _releasers(self, task: TaskRecord, snapshot: Snapshot) -> Releasers:
        """Everybody who could be drawn for the task now, as many as may release a reward."""
        able = draw_from(
            snapshot, task_id=task.task_id, epoch=1, kind=task.kind, size=MAX_RELEASERS
        )
        members = {one.key: one.address for one in able}
        return Releasers(members, self._protocol.quorum_needed, task.deadline_ms)

    def _store_draw(self, batch: Batch, task: TaskRecord, snapshot: Snapshot) -> None:
        self._snapshots.name(batch, snapshot)
        self._store(batch, task)

    def _store(self, batch: Batch, task: TaskRecord) -> None:
        self._board.put(batch, task)
        self._db.stage(batch)
        self._board.announce(task.task_id)
