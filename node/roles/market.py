"""A market's network side: takes results and their places on the chain, and lets time pass.

Its leases are in `lessor`, its snapshots in `publishing`.
"""

import logging

import trio

from node.errors import Conflict, NodeError
from node.l1.client import L1Client
from node.l1.errors import L1Error
from node.market.board import TaskBoard
from node.market.lifecycle import Lifecycle
from node.market.progress import JobProgressBook
from node.market.results import Judged
from node.market.tasks import waits_for_anchor
from node.roles.acceptance import Acceptance, Electorate, ProofFalse, Refuted
from node.roles.outputs import OUTPUT, OutputMissing, OutputShelf
from node.verification.anchors import AnchorBook, AnchorRecord, anchor_in
from node.verification.claims import strict_hex
from node.verification.own import anchor_name
from node.verification.proofs import artifact_of
from node.wire.leases import BatchAnchored, ReportFailure, ReportProgress, ReportResult
from node.wire.presence import Ack
from p2p.errors import RequestRefused
from p2p.network import Network
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

TIME_PAUSE_S = 0.5
"""Between looks at what is due: an end, a lease that ran out, pay."""


class MarketRole:
    """One market on the network."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        board: TaskBoard,
        lifecycle: Lifecycle,
        progress: JobProgressBook,
        shelf: OutputShelf,
        acceptance: Acceptance,
        electorate: Electorate,
        anchors: AnchorBook,
        l1: L1Client,
        proposer_keys: tuple[bytes, ...],
    ) -> None:
        self._db = db
        self._board = board
        self._lifecycle = lifecycle
        self._results = lifecycle.results
        self._progress = progress
        self._shelf = shelf
        self._acceptance = acceptance
        self._electorate = electorate
        self._anchors = anchors
        self._l1 = l1
        self._proposer_keys = proposer_keys
        network.serve(ReportResult, self._on_result)
        network.serve(ReportFailure, self._on_failure)
        network.serve(ReportProgress, self._on_progress)
        network.serve(BatchAnchored, self._on_anchored)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry out what is due until cancelled."""
        task_status.started()
        while True:
            await self._lifecycle.pass_time()
            await trio.sleep(TIME_PAUSE_S)

    async def _on_result(self, sender: str, message: ReportResult) -> Ack:
        """Judge first: nothing is fetched or stored for whoever has no result to report."""
        try:
            judged = self._results.judge(message, sender)
            if judged is not None:
                await self._take_outputs(sender, message)
                await self._verify_and_complete(message, judged)
        except OutputMissing as error:
            raise RequestRefused("output", str(error)) from error
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._db.flushed()
        return Ack()

    async def _take_outputs(self, sender: str, message: ReportResult) -> None:
        for one in message.jobs:
            proof = artifact_of(one.draw, one.result)
            if proof is not None:
                await self._shelf.fetch_proof(sender, OUTPUT, proof, proof.sha256)
        manifests = [one.manifest for one in message.jobs]
        if message.inline and len(message.inline) != len(manifests):
            raise OutputMissing("the outputs are not those of every job")
        for index, manifest in enumerate(manifests):
            if message.inline:
                await self._shelf.take(manifest, message.inline[index])
            else:
                arguments = [output.sha256 for output in manifest.outputs]
                await self._shelf.fetch(sender, OUTPUT, manifest, arguments)

    async def _verify_and_complete(self, message: ReportResult, judged: Judged) -> None:
        """Pay for nothing that its proof does not prove."""
        async with self._acceptance.turn:
            if self._results.has_taken(message):
                return
            refuted = await self._acceptance.refuted(message.jobs)
            if refuted is None:
                await self._complete(message, judged)
            else:
                await self._refute(judged, refuted)

    async def _refute(self, judged: Judged, refuted: Refuted) -> None:
        """Another epoch, without those who signed; raises ProofFalse, or Conflict if it is over."""
        batch = Batch()
        self._electorate.bar(batch, refuted.signers)
        reason = f"a quorum took a false proof: {refuted.reason}"
        log.warning("task %s: %s", judged.task_id, reason)
        try:
            self._results.refute(judged, reason, batch)
        except Conflict:  # superseded: what they signed is false all the same
            self._db.stage(batch)
            raise
        finally:
            for one in judged.jobs:
                await self._shelf.drop(one)
        await self._db.flushed()
        raise ProofFalse(refuted.reason, field="proof")

    async def _complete(self, message: ReportResult, judged: Judged) -> None:
        """Complete the task, unless a repeated report did while the outputs were on their way."""
        try:
            if not self._results.has_taken(message):
                self._results.complete(judged)
        except Conflict:
            for one in message.jobs:
                await self._shelf.drop(one)
            raise

    async def _on_failure(self, sender: str, message: ReportFailure) -> Ack:
        try:
            self._results.fail(message, sender)
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._db.flushed()
        return Ack()

    async def _on_progress(self, sender: str, message: ReportProgress) -> Ack:
        self._progress.note_all(message.tasks, sender)
        return Ack()

    async def _on_anchored(self, _sender: str, message: BatchAnchored) -> Ack:
        """Look the batch up in the chain and give its tasks their place in it."""
        if len(message.task_ids) != len(message.leaves):
            raise RequestRefused("batch", "one leaf for each task is needed")
        if not any(map(self._waits_for_anchor, message.task_ids)):
            await self._db.flushed()  # of what it was told before, perhaps a moment ago
            return Ack()
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
        return task is not None and waits_for_anchor(task)

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
        name = anchor_name(message.batch)
        placed = self._results.anchor(batch, name, message.task_ids, message.leaves)
        if placed:
            self._db.stage(batch)
        for task_id in placed:
            self._board.announce(task_id)
