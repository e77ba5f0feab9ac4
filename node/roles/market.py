"""A market's network side: leases queued tasks, takes results, ends what is overdue."""

from collections.abc import Sequence
from contextlib import suppress

import trio

from node.directory import Directory
from node.errors import Conflict, NodeError
from node.events import first_of
from node.l1.client import L1Client
from node.l1.errors import L1Error
from node.market.board import TaskBoard
from node.market.lifecycle import Lifecycle
from node.market.tasks import OutcomeRecord
from node.roles.outputs import OUTPUT, OutputMissing, OutputShelf
from node.verification.anchors import AnchorBook, AnchorRecord, anchor_in
from node.verification.statements import Draw, strict_hex
from node.wire.leases import (
    MAX_OFFER,
    BatchAnchored,
    CancelLease,
    LeaseAnswers,
    OfferLeases,
    ReportFailure,
    ReportResult,
)
from node.wire.presence import Ack
from node.workloads import slow_core_s
from p2p.errors import P2PError, RequestRefused, RequestTimeout
from p2p.network import Network
from storage.database import Database
from storage.store import Batch

LEASES_PER_ORCHESTRATOR = 64
"""Leases held by one orchestrator at a time; the other tasks stay queued, where no lease ages."""
LEASES_PER_SLOT = 2
AHEAD_S = 10.0
"""Leased work for each slot of the workers: two tasks, or as many small ones as a slow core does
in this time. A lease must not run out because the workers had too much to do."""
OFFER_TIMEOUT_S = 10.0
REST_S = 1.0
"""How long an orchestrator gets no lease after it refused one: it may have just started."""
CANCEL_WITHIN_S = 600.0
"""How long a lost orchestrator is waited for, to tell it that its lease went to another."""
EXPIRY_PAUSE_S = 0.5
LOST_AFTER_S = 1.5
"""How long an orchestrator may be disconnected before its leases go to others."""
RETURN_AFTER_S = 8.0
"""From the market's start: nobody is given up before, since those that it leased to in an earlier
life have to find it again first."""


class MarketRole:
    """One market on the network."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        board: TaskBoard,
        lifecycle: Lifecycle,
        directory: Directory,
        shelf: OutputShelf,
        anchors: AnchorBook,
        l1: L1Client,
        proposer_keys: tuple[bytes, ...],
    ) -> None:
        self._network = network
        self._db = db
        self._board = board
        self._lifecycle = lifecycle
        self._directory = directory
        self._shelf = shelf
        self._anchors = anchors
        self._l1 = l1
        self._proposer_keys = proposer_keys
        self._offered: dict[tuple[str, int], str] = {}
        self._resting: dict[str, float] = {}
        self._nursery: trio.Nursery | None = None
        network.serve(ReportResult, self._on_result)
        network.serve(ReportFailure, self._on_failure)
        network.serve(BatchAnchored, self._on_anchored)

    def waits(self) -> Sequence[str]:
        """What waits for what, in sentences."""
        queued = sum(1 for _ in self._board.queued_tasks())
        if not queued:
            return ()
        validators = len(self._directory.active("validator"))
        workers = len(self._directory.active("worker"))
        there = f"{validators} validators and {workers} workers are connected"
        return (f"{queued} tasks wait for a lease; {there}",)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lease, watch and expire until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._lease_loop)
            nursery.start_soon(self._expiry_loop)
            nursery.start_soon(self._loss_loop)
            task_status.started()

    async def _lease_loop(self) -> None:
        """Lease what is queued, whenever tasks or validators change."""
        while True:
            changes = (self._board.changed, self._directory.changed)
            self._lease_queued()
            self._offer_leased()
            self._retire_offers()
            with trio.move_on_at(min(self._resting.values(), default=float("inf"))):
                await first_of(*changes)

    def _lease_queued(self) -> None:
        now = trio.current_time()
        self._resting = {peer: until for peer, until in self._resting.items() if until > now}
        leased = list(self._board.leased_tasks())
        count, work_s = len(leased), sum(slow_core_s(task.work_units) for task in leased)
        for task in filter(self._lifecycle.is_in_time, self._board.queued_tasks()):
            slots = self._directory.slots(task.kind)
            if count >= slots * LEASES_PER_SLOT and work_s >= slots * AHEAD_S:
                break
            candidates = self._directory.candidates(task.kind)
            full = [one.peer_id for one in candidates if self._is_full(one.peer_id)]
            if self._lifecycle.lease(task, candidates, full) is None:
                break
            count, work_s = count + 1, work_s + slow_core_s(task.work_units)

    def _is_full(self, peer_id: str) -> bool:
        held = self._board.leases_of(peer_id)
        return held >= LEASES_PER_ORCHESTRATOR or peer_id in self._resting

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
            self._take_back(peer_id, draws, str(error), begun=isinstance(error, RequestTimeout))
            return
        if not isinstance(answer, LeaseAnswers) or len(answer.answers) != len(draws):
            self._take_back(peer_id, draws, "the orchestrator's answer is malformed", begun=True)
            return
        for draw, one in zip(draws, answer.answers, strict=True):
            if not one.taken:
                self._take_back(peer_id, (draw,), one.reason, begun=False)

    def _take_back(self, peer_id: str, draws: Sequence[Draw], reason: str, *, begun: bool) -> None:
        """Leases that their orchestrator did not take, or perhaps did."""
        self._resting[peer_id] = trio.current_time() + REST_S
        for draw in draws:
            self._lifecycle.release(draw.task_id, draw.epoch, reason, begun=begun)

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

    async def _expiry_loop(self) -> None:
        while True:
            self._lifecycle.expire()
            await trio.sleep(EXPIRY_PAUSE_S)

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
            if task.orchestrator == peer_id:
                self._lifecycle.release(task.task_id, task.epoch, "the orchestrator was lost")

    async def _on_result(self, sender: str, message: ReportResult) -> Ack:
        """Judge first: nothing is fetched or stored for whoever has no result to report."""
        try:
            outcome = self._lifecycle.judge(message, sender)
            if outcome is not None:
                await self._take_outputs(sender, message)
                await self._complete(outcome, sender)
        except OutputMissing as error:
            raise RequestRefused("output", str(error)) from error
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._db.flushed()
        return Ack()

    async def _take_outputs(self, sender: str, message: ReportResult) -> None:
        if message.inline:
            await self._shelf.take(message.manifest, message.inline)
        else:
            arguments = [output.sha256 for output in message.manifest.outputs]
            await self._shelf.fetch(sender, OUTPUT, message.manifest, arguments)

    async def _complete(self, outcome: OutcomeRecord, sender: str) -> None:
        """Complete the task, unless a repeated report did while the outputs were on their way."""
        known = self._board.outcome(outcome.draw.task_id)
        if known is not None and known.result == outcome.result:
            return
        try:
            self._lifecycle.complete(outcome, sender)
        except Conflict:
            await self._shelf.drop(outcome.manifest)
            raise

    async def _on_failure(self, sender: str, message: ReportFailure) -> Ack:
        task = self._board.find(message.task_id)
        if task is not None and task.orchestrator == sender:
            self._lifecycle.release(message.task_id, message.epoch, message.reason)
            await self._db.flushed()
        return Ack()

    async def _on_anchored(self, _sender: str, message: BatchAnchored) -> Ack:
        """Look the batch up in the chain and give its tasks their place in it."""
        if len(message.task_ids) != len(message.leaves):
            raise RequestRefused("batch", "one leaf for each task is needed")
        if not any(map(self._waits_for_anchor, message.task_ids)):
            return Ack()  # it was told before, or by somebody with other people's results
        try:
            block = await self._l1.block(message.height)
            if block is None:
                raise RequestRefused("block", "this market has not seen that block yet")
            anchor = anchor_in(block, message.batch, await self._proposers())
            self._place(message, AnchorRecord(anchor, message.leaves))
        except L1Error as error:
            raise RequestRefused("l1", str(error)) from error
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._db.flushed()
        return Ack()

    def _waits_for_anchor(self, task_id: str) -> bool:
        task = self._board.find(task_id)
        return task is not None and task.phase == "verified"

    async def _proposers(self) -> tuple[bytes, ...]:
        """The pinned keys; without any, those that the L1 itself names."""
        if self._proposer_keys:
            return self._proposer_keys
        named = await self._l1.validators()
        return tuple(strict_hex(one.pq_pub_key, "pq_pub_key") for one in named)

    def _place(self, message: BatchAnchored, record: AnchorRecord) -> None:
        """Store the anchor if it is one of a result here."""
        batch = Batch()
        self._anchors.put(batch, record)
        name = message.batch.task_id
        placed = [
            task_id
            for index, task_id in enumerate(message.task_ids)
            if self._lifecycle.anchor(batch, task_id, name, index, message.leaves[index])
        ]
        if placed:
            self._db.stage(batch)
        for task_id in placed:
            self._board.announce(task_id)
