"""A market asks validators to sign what its tasks' escrows are to do, until enough have: how each
ends, and what a jury came to about a disputed result."""

import logging
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import trio

from node.directory import Directory
from node.l1.errors import BadPayload
from node.l1.escrow import Approval, Claim, award_digest, claim_digest
from node.market.board import TaskBoard
from node.market.desk import KnownAppeals
from node.market.results import Results
from node.printable import printable
from node.settlement.escrow_rewards import EscrowRewards
from node.settlement.escrows import EscrowRecord
from node.verification.ends import sign_end
from node.wire.approvals import (
    ApprovalAnswer,
    RequestAward,
    RequestRefund,
    RequestSettlement,
    settlement_request,
)
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
"""For a validator to check what it is shown, and sign it."""
MAX_NAMED = 3
"""Members of a set who are named for not signing."""
MAX_REASON = 160
"""Characters of what a validator says for it."""
PAUSE_S = 1.0
"""Between rounds: who was not there, or did not see the escrow yet, is asked again."""


class Wanted(NamedTuple):
    """Something about an escrow that lacks signatures."""

    record: EscrowRecord
    what: Literal["ending", "award"]

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """Those that are there."""
        if self.what == "ending":
            return self.record.approvals
        return self.record.dispute.approvals if self.record.dispute else ()

    @property
    def name(self) -> tuple[str, str]:
        """What nothing else has."""
        return self.record.escrow_id, self.what

    @property
    def unsigned(self) -> list[str]:
        """Keys of the members who have not signed it."""
        signed = {one.public_key for one in self.approvals}
        return [one.public_key for one in self.record.members if one.public_key not in signed]

    @property
    def is_approved(self) -> bool:
        """Whether enough have."""
        return len(self.approvals) >= self.record.needed


class ApprovalRole:
    """Collects the signatures; what was signed is kept with the escrow."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        board: TaskBoard,
        results: Results,
        appeals: KnownAppeals,
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
        self._appeals = appeals
        self._rewards = rewards
        self._directory = directory
        self._identity = identity
        self._chain_id = chain_id
        self._now_ms = now_ms
        self._refusals: dict[tuple[tuple[str, str], str], str] = {}
        rewards.why_unsigned = lambda record: self._missing(Wanted(record, "ending"))
        rewards.why_unruled = lambda record: self._missing(Wanted(record, "award"))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""
        task_status.started()
        limit = trio.CapacityLimiter(AT_ONCE)
        while True:
            async with trio.open_nursery() as nursery:
                for wanted in self._wanted():
                    nursery.start_soon(self._collect, wanted, limit)
            self._forget_refusals()
            await self._db.flushed()
            await trio.sleep(PAUSE_S)

    def _wanted(self) -> Iterator[Wanted]:
        """What lacks signatures."""
        for record in self._rewards.unruled():
            yield Wanted(record, "award")
        for record in self._rewards.unapproved():
            yield Wanted(record, "ending")

    def _missing(self, wanted: Wanted) -> str:
        """Who of an escrow's set has not signed, and why; the first few."""
        names = [peer_id_of(bytes.fromhex(key)) for key in wanted.unsigned]
        said = [f"{name}: {self._why(wanted, name)}" for name in names[:MAX_NAMED]]
        more = len(names) - len(said)
        return "; ".join([*said, f"{more} more"] if more else said)

    def _why(self, wanted: Wanted, peer_id: str) -> str:
        if not self._is_there(peer_id):
            return "is not connected"
        return self._refusals.get((wanted.name, peer_id), "has not answered")

    async def _collect(self, wanted: Wanted, limit: trio.CapacityLimiter) -> None:
        """One round: everybody of the set that is there and has not signed, all at once."""
        async with limit:
            message = self._message(wanted)
            if message is None:
                return
            async with trio.open_nursery() as nursery:
                for key in wanted.unsigned:
                    peer_id = peer_id_of(bytes.fromhex(key))
                    if self._is_there(peer_id):
                        nursery.start_soon(self._ask, peer_id, wanted, message, nursery)

    async def _ask(
        self, peer_id: str, wanted: Wanted, message: Message, nursery: trio.Nursery
    ) -> None:
        is_award, batch = wanted.what == "award", Batch()
        approve = self._rewards.approve_award if is_award else self._rewards.approve
        try:
            answer = await self._network.request(peer_id, message, timeout_s=ANSWER_TIMEOUT_S)
            approve(batch, wanted.record, approval_of(answer))
        except (P2PError, BadPayload) as error:
            self._note(peer_id, wanted, str(error))
            return
        if batch:
            self._db.stage(batch)
        now = self._rewards.escrow(wanted.record.task_id)
        if now is None or wanted._replace(record=now).is_approved:
            nursery.cancel_scope.cancel()

    def _message(self, wanted: Wanted) -> Message | None:
        """What is to be signed with all that shows why; None for a task that is not known here."""
        record = wanted.record
        if wanted.what == "award":
            return self._award(record)
        if record.claim is not None:
            return self._settlement(record, record.claim)
        task = self._board.find(record.task_id)
        if task is None:
            return None
        code = task.error_code or "ended"
        end = sign_end(task.task_id, code, self._now_ms(), self._chain_id, self._identity)
        return RequestRefund(end)

    def _settlement(self, record: EscrowRecord, claim: Claim) -> RequestSettlement:
        jobs, earlier = self._results.shown(record.task_id)
        digest = bytes.fromhex(claim_digest(claim))
        return settlement_request(record.task_id, digest, jobs, earlier)

    def _award(self, record: EscrowRecord) -> RequestAward | None:
        """With the jury and all that it has said."""
        task, appeal = self._board.find(record.task_id), self._appeals.find(record.task_id)
        award = record.dispute.award if record.dispute else None
        if task is None or task.draw is None or appeal is None:
            return None
        if award is None or record.claim is None:
            return None
        return RequestAward(
            award=bytes.fromhex(award_digest(award)),
            settlement=self._settlement(record, record.claim),
            draw=task.draw,
            jury=appeal.jury,
            beacon_height=appeal.beacon_height,
            rulings=appeal.rulings,
        )

    def _is_there(self, peer_id: str) -> bool:
        return is_there(peer_id, self._network, self._directory)

    def _note(self, peer_id: str, wanted: Wanted, why: str) -> None:
        """Say each reason once."""
        key, why = (wanted.name, peer_id), printable(why, MAX_REASON)
        if self._refusals.get(key) != why:
            task_id = wanted.record.task_id
            log.info("%s does not sign the %s of task %s: %s", peer_id, wanted.what, task_id, why)
        self._refusals[key] = why

    def _forget_refusals(self) -> None:
        """Of what needs no signature any more."""
        wanted = {one.name for one in self._wanted()}
        self._refusals = {key: why for key, why in self._refusals.items() if key[0] in wanted}


def is_there(peer_id: str, network: Network, directory: Directory) -> bool:
    """Whether a member of a set can be asked: it may be this node itself."""
    return peer_id == network.peer_id or directory.is_connected(peer_id)


def approval_of(answer: Message) -> Approval:
    """A validator's answer as the chain wants it; what is no signature of anybody does not pass
    `approve`. Raises BadPayload."""
    if not isinstance(answer, ApprovalAnswer):
        raise BadPayload("answer", "is of another type")
    return Approval(public_key=answer.validator_key.hex(), signature=answer.signature.hex())
