"""A market asks validators to sign what its tasks' escrows are to do, until enough have."""

import logging
from collections.abc import Callable

import trio

from node.directory import Directory
from node.l1.errors import BadPayload
from node.l1.escrow import Approval, claim_digest
from node.market.board import TaskBoard
from node.market.results import Results
from node.printable import printable
from node.settlement.escrow_rewards import EscrowRewards
from node.settlement.escrows import EscrowRecord
from node.verification.ends import sign_end
from node.wire.approvals import ApprovalAnswer, RequestRefund, settlement_request
from p2p.errors import P2PError
from p2p.identity import Identity, peer_id_of
from p2p.messages import Message
from p2p.network import Network
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Escrows for which signatures are collected at the same time."""
ANSWER_TIMEOUT_S = 10.0
"""For a validator to check a claim and sign it."""
MAX_NAMED = 3
"""Members of a set who are named for not signing."""
MAX_REASON = 160
"""Characters of what a validator says for it."""
PAUSE_S = 1.0
"""Between rounds: who was not there, or did not see the escrow yet, is asked again."""


class ApprovalRole:
    """Collects the signatures; what was signed is kept with the escrow."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        board: TaskBoard,
        results: Results,
        rewards: EscrowRewards,
        directory: Directory,
        identity: Identity,
        chain_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._db = db
        self._board = board
        self._results = results
        self._rewards = rewards
        self._directory = directory
        self._identity = identity
        self._chain_id = chain_id
        self._now_ms = now_ms
        self._refusals: dict[tuple[str, str], str] = {}
        rewards.why_unsigned = self.missing

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""
        task_status.started()
        limit = trio.CapacityLimiter(AT_ONCE)
        while True:
            async with trio.open_nursery() as nursery:
                for record in self._rewards.unapproved():
                    nursery.start_soon(self._collect, record, limit)
            self._forget_refusals()
            await self._db.flushed()
            await trio.sleep(PAUSE_S)

    def missing(self, record: EscrowRecord) -> str:
        """Who of an escrow's set has not signed how it ends, and why; the first few."""
        signed = {one.public_key for one in record.approvals}
        unsigned = [one.public_key for one in record.members if one.public_key not in signed]
        names = [peer_id_of(bytes.fromhex(key)) for key in unsigned[:MAX_NAMED]]
        said = [f"{name}: {self._why(record, name)}" for name in names]
        more = len(unsigned) - len(said)
        return "; ".join([*said, f"{more} more"] if more else said)

    def _why(self, record: EscrowRecord, peer_id: str) -> str:
        if not self._is_there(peer_id):
            return "is not connected"
        return self._refusals.get((record.escrow_id, peer_id), "has not answered")

    async def _collect(self, record: EscrowRecord, limit: trio.CapacityLimiter) -> None:
        """One round: everybody of the set that is there and has not signed, all at once."""
        signed = {one.public_key for one in record.approvals}
        async with limit:
            message = self._message(record)
            if message is None:
                return
            async with trio.open_nursery() as nursery:
                for member in record.members:
                    peer_id = peer_id_of(bytes.fromhex(member.public_key))
                    if member.public_key not in signed and self._is_there(peer_id):
                        nursery.start_soon(self._ask, peer_id, record, message, nursery)

    async def _ask(
        self, peer_id: str, record: EscrowRecord, message: Message, nursery: trio.Nursery
    ) -> None:
        try:
            answer = await self._network.request(peer_id, message, timeout_s=ANSWER_TIMEOUT_S)
            if not isinstance(answer, ApprovalAnswer):
                raise BadPayload("answer", "is of another type")
            batch = Batch()
            self._rewards.approve(batch, record, _approval(answer))
        except (P2PError, BadPayload) as error:
            self._note(peer_id, record, str(error))
            return
        if batch:
            self._db.stage(batch)
        now = self._rewards.escrow(record.task_id)
        if now is None or now.is_approved:
            nursery.cancel_scope.cancel()

    def _message(self, record: EscrowRecord) -> Message | None:
        """What is to be signed with all that shows why; None for a task that is not known here."""
        if record.claim is not None:
            jobs, earlier = self._results.shown(record.task_id)
            digest = bytes.fromhex(claim_digest(record.claim))
            return settlement_request(record.task_id, digest, jobs, earlier)
        task = self._board.find(record.task_id)
        if task is None:
            return None
        code = task.error_code or "ended"
        end = sign_end(task.task_id, code, self._now_ms(), self._chain_id, self._identity)
        return RequestRefund(end)

    def _is_there(self, peer_id: str) -> bool:
        return peer_id == self._network.peer_id or self._directory.is_connected(peer_id)

    def _note(self, peer_id: str, record: EscrowRecord, why: str) -> None:
        """Say each reason once."""
        key, why = (record.escrow_id, peer_id), printable(why, MAX_REASON)
        if self._refusals.get(key) != why:
            log.info("%s does not sign for task %s: %s", peer_id, record.task_id, why)
        self._refusals[key] = why

    def _forget_refusals(self) -> None:
        """Of escrows for which nothing is to be signed any more."""
        wanted = {one.escrow_id for one in self._rewards.unapproved()}
        self._refusals = {key: why for key, why in self._refusals.items() if key[0] in wanted}


def _approval(answer: ApprovalAnswer) -> Approval:
    """As the chain wants it; what is no signature of anybody does not pass `approve`."""
    return Approval(public_key=answer.validator_key.hex(), signature=answer.signature.hex())
