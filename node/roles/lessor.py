"""A market's leases on the network: offered, refused, filled anew, called off."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from node.directory import Directory
from node.errors import NodeError
from node.events import first_of
from node.market.board import TaskBoard
from node.market.leases import Leases
from node.market.snapshots import SnapshotLog
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Pass, PassReason, Refusal, check_pass
from node.wire.leases import (
    MAX_OFFER,
    CancelLease,
    LeaseAnswers,
    OfferLeases,
    RequestSeats,
    SeatsAnswer,
)
from node.workloads import slow_core_s
from p2p.errors import P2PError, RequestRefused, RequestTimeout
from p2p.identity import peer_id_of
from p2p.network import Network
from storage.database import Database

log = logging.getLogger(__name__)

LEASES_PER_ORCHESTRATOR = 64
"""Leases held by one orchestrator at a time; the other tasks stay queued, where no lease ages."""
JOBS_PER_SLOT = 2
AHEAD_S = 10.0
"""Leased work for each slot of the workers: two jobs, or as many small ones as a slow core does
in this time. A lease must not run out because the workers had too much to do."""
OFFER_TIMEOUT_S = 10.0
"""For an orchestrator to answer an offer."""
REST_S = 1.0
"""How long an orchestrator gets no lease after it refused one: it may have just started."""
CANCEL_WITHIN_S = 600.0
"""How long a lost orchestrator is waited for, to tell it that its lease went to another."""
LOST_AFTER_S = 1.5
"""How long an orchestrator may be disconnected before its leases go to others."""
RETURN_AFTER_S = 8.0
"""From the market's start: nobody is given up before, since those that it leased to in an earlier
life have to find it again first."""


class Lessor:
    """Leases what is queued and watches over those who hold the leases."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        board: TaskBoard,
        leases: Leases,
        snapshots: SnapshotLog,
        directory: Directory,
        chain_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._db = db
        self._board = board
        self._leases = leases
        self._snapshots = snapshots
        self._directory = directory
        self._chain_id = chain_id
        self._now_ms = now_ms
        self._offered: dict[tuple[str, int], str] = {}
        self._resting: dict[str, float] = {}
        self._nursery: trio.Nursery | None = None
        network.serve(RequestSeats, self._on_seats)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lease and watch until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._lease_loop)
            nursery.start_soon(self._loss_loop)
            task_status.started()

    async def _lease_loop(self) -> None:
        """Lease what is queued, whenever tasks, validators or workers change."""
        while True:
            changes = (self._board.changed, self._directory.changed, self._snapshots.changed)
            self._lease_queued()
            self._offer_leased()
            self._retire_offers()
            with trio.move_on_at(min(self._resting.values(), default=float("inf"))):
                await first_of(*changes)

    def _lease_queued(self) -> None:
        now = trio.current_time()
        self._resting = {peer: until for peer, until in self._resting.items() if until > now}
        leased = list(self._board.leased_tasks())
        jobs = sum(one.jobs for one in leased)
        work_s = sum(slow_core_s(one.work_units) for one in leased)
        for task in filter(self._leases.is_in_time, self._board.queued_tasks()):
            slots = self._directory.slots(task.kind)
            if jobs >= slots * JOBS_PER_SLOT and work_s >= slots * AHEAD_S:
                break
            if self._leases.lease(task, self._full()) is None:
                break
            jobs, work_s = jobs + task.jobs, work_s + slow_core_s(task.work_units)

    def _full(self) -> set[str]:
        """Validators that orchestrate nothing more for now."""
        snapshot = self._snapshots.newest
        everybody = () if snapshot is None else snapshot.candidates
        return {peer for peer in (peer_id_of(one.key) for one in everybody) if self._is_full(peer)}

    def _is_full(self, peer_id: str) -> bool:
        if peer_id in self._resting or not self._directory.is_connected(peer_id):
            return True
        return self._board.leases_of(peer_id) >= LEASES_PER_ORCHESTRATOR

    def _offer_leased(self) -> None:
        """Send leases that this process has not sent yet, also those from before a restart."""
        groups: dict[str, list[Draw]] = {}
        for task in self._board.leased_tasks():
            if task.draw is None or (task.task_id, task.epoch) in self._offered:
                continue
            if self._directory.is_connected(task.orchestrator):
                groups.setdefault(task.orchestrator, []).append(task.draw)
                self._offered[task.task_id, task.epoch] = task.orchestrator
        if self._nursery is not None:
            for peer_id, draws in groups.items():
                for start in range(0, len(draws), MAX_OFFER):
                    part = tuple(draws[start : start + MAX_OFFER])
                    self._nursery.start_soon(self._offer, peer_id, part)

    async def _offer(self, peer_id: str, draws: tuple[Draw, ...]) -> None:
        await self._db.flushed()
        try:
            answer = await self._network.request(
                peer_id, OfferLeases(draws), timeout_s=OFFER_TIMEOUT_S
            )
        except P2PError as error:
            begun = isinstance(error, RequestTimeout)
            self._take_back(peer_id, draws, str(error), begun=begun, passed="unreachable")
            return
        if not isinstance(answer, LeaseAnswers) or len(answer.answers) != len(draws):
            reason = "the orchestrator's answer is malformed"
            self._take_back(peer_id, draws, reason, begun=True, passed="unreachable")
            return
        for draw, one in zip(draws, answer.answers, strict=True):
            if not one.taken:
                passed: PassReason | None = "refused" if one.refusal else None
                self._take_back(peer_id, (draw,), one.reason, passed=passed, refusal=one.refusal)

    def _take_back(
        self,
        peer_id: str,
        draws: Sequence[Draw],
        reason: str,
        *,
        begun: bool = False,
        passed: PassReason | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        """Leases that their orchestrator did not take, or perhaps did."""
        self._resting[peer_id] = trio.current_time() + REST_S
        log.warning("%s did not take %d leases: %s", peer_id, len(draws), reason)
        for draw in draws:
            entry = self._pass_of(draw, passed, refusal) if passed else None
            self._leases.release(draw.task_id, draw.epoch, reason, begun=begun, passed=entry)

    def _pass_of(
        self, draw: Draw, reason: PassReason, refusal: Refusal | None = None
    ) -> Pass | None:
        """Why another epoch has another orchestrator; None if its refusal is not its word."""
        key, now_ms = draw.seats[0].key, self._now_ms()
        passed = Pass(draw.epoch, key, "orchestrate", reason, now_ms, refusal)
        with suppress(StatementInvalid):
            check_pass(passed, draw.task_id, self._chain_id)
            return passed
        return None

    def _retire_offers(self) -> None:
        """Forget offers whose lease is over; stop orchestrators that work on them in vain."""
        for (task_id, epoch), orchestrator in list(self._offered.items()):
            if self._board.is_leased(task_id, epoch):
                continue
            del self._offered[task_id, epoch]
            if self._board.get(task_id).status != "completed" and self._nursery is not None:
                self._nursery.start_soon(self._cancel, orchestrator, CancelLease(task_id, epoch))

    async def _cancel(self, orchestrator: str, message: CancelLease) -> None:
        """Tell it once it can be told: one that crashed takes its leases up when it is back."""
        with trio.move_on_after(CANCEL_WITHIN_S), suppress(P2PError):
            while not self._directory.is_connected(orchestrator):
                await self._directory.changed.wait()
            await self._network.request(orchestrator, message, timeout_s=OFFER_TIMEOUT_S)

    async def _loss_loop(self) -> None:
        """Take leases back from orchestrators that stay away."""
        began = trio.current_time()
        missing: dict[str, float] = {}
        while True:
            changed = self._directory.changed
            now = trio.current_time()
            holders = {task.orchestrator for task in self._board.leased_tasks()}
            gone = {peer for peer in holders if not self._directory.is_connected(peer)}
            missing = {peer: missing.get(peer, now) for peer in gone}
            for peer, since in missing.items():
                if now >= max(since + LOST_AFTER_S, began + RETURN_AFTER_S):
                    self._release_all(peer)
            with trio.move_on_after(LOST_AFTER_S / 2 if missing else float("inf")):
                await changed.wait()

    def _release_all(self, peer_id: str) -> None:
        for task in list(self._board.leased_tasks()):
            if task.orchestrator == peer_id and task.draw is not None:
                passed = self._pass_of(task.draw, "unreachable")
                reason = "the orchestrator was lost"
                self._leases.release(task.task_id, task.epoch, reason, passed=passed)

    async def _on_seats(self, sender: str, message: RequestSeats) -> SeatsAnswer:
        """Draw again for an orchestrator whose validators do not do their duty."""
        try:
            draw = self._leases.redraw(
                message.task_id, message.epoch, sender, message.redraw, message.passed
            )
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._db.flushed()
        return SeatsAnswer(draw)
