"""A market's juries: drawn when a result is disputed, their seats filled anew if need be."""

from collections.abc import Callable

import msgspec

from node.amounts import Amount
from node.config import NetworkConfig
from node.errors import Unavailable
from node.market.earlier import EarlierBook
from node.market.outcomes import OutcomeRecord
from node.market.snapshots import SnapshotLog
from node.market.tasks import TaskRecord
from node.verification.cases import Parties, parties_of
from node.verification.draws import Pass
from node.verification.juries import MAX_REPLACED, Jury, JuryJob, involved, seats_of, sign_jury
from node.verification.snapshots import Snapshot
from node.workloads import jury_s, size_of
from p2p.identity import Identity
from storage.database import Database


class NoJury(Unavailable):
    """Too few validators have nothing to do with a result to judge it."""

    code = "no_jury"


class JuryDraw:
    """Who judges at one market."""

    def __init__(
        self,
        *,
        db: Database,
        snapshots: SnapshotLog,
        network: NetworkConfig,
        identity: Identity,
        now_ms: Callable[[], int],
        operator: str = "",
    ) -> None:
        """`operator` is the account that lends to customers, if one does."""
        self._operator = operator
        self._snapshots = snapshots
        self._network = network
        self._identity = identity
        self._now_ms = now_ms
        self._earlier = EarlierBook(db)

    def first(
        self, task: TaskRecord, outcome: OutcomeRecord, fee: Amount, beacon: bytes
    ) -> tuple[Jury, Snapshot]:
        """The jury about a task's result, and what it was drawn from; raises NoJury.

        `beacon` is the hash of the L1's last block.
        """
        snapshot, protocol = self._snapshots.newest, self._network.protocol
        if snapshot is None:
            raise self._refusal(0)
        excluded = involved(snapshot, *self._parties(task, outcome))
        unseated = Jury(
            task_id=task.task_id,
            epoch=task.epoch,
            kind=task.kind,
            parameters=task.parameters,
            jobs=tuple(JuryJob(one.nonce, one.worker_address) for one in outcome.results),
            fee=fee,
            beacon=beacon,
            snapshot=self._snapshots.digest_of(snapshot),
            excluded=excluded,
            seats=(),
            needed=protocol.quorum_needed,
            expires_ms=self._now_ms() + self._time_ms(task),
            market_key=self._identity.public_key,
        )
        jury = self._seated(unseated, snapshot)
        if len(jury.seats) < jury.needed:
            raise self._refusal(len(jury.seats))
        return jury, snapshot

    def next(self, jury: Jury, passed: Pass) -> Jury | None:
        """The jury with somebody else in the seat of this juror, from the same snapshot.

        None if nobody is left, or as many as may be were passed over.
        """
        snapshot = self._snapshots.find(jury.snapshot)
        if snapshot is None or len(jury.passed) >= MAX_REPLACED:
            return None
        without = msgspec.structs.replace(jury, passed=(*jury.passed, passed))
        later = self._seated(without, snapshot)
        return None if set(later.seats) <= set(jury.seats) else later

    def _seated(self, jury: Jury, snapshot: Snapshot) -> Jury:
        seats = seats_of(jury, snapshot, self._network.protocol.quorum_size)
        seated = msgspec.structs.replace(jury, seats=seats)
        return sign_jury(seated, self._network.network.chain_id, self._identity)

    def _parties(self, task: TaskRecord, outcome: OutcomeRecord) -> Parties:
        """All who have to do with a task, its customer too, and who may pay for one: nobody of them
        judges it."""
        judged = [job.judgement for job in outcome.jobs] + self._earlier.of(task.task_id)
        draws = [one.draw for one in judged] + ([task.draw] if task.draw else [])
        found = parties_of(draws, [one.result.worker_address for one in judged])
        return found._replace(addresses=found.addresses | {task.account, self._operator})

    def _time_ms(self, task: TaskRecord) -> int:
        size = size_of(task.kind, task.parameters)
        longest_s = self._network.economics.appeal_s
        return int(jury_s(self._network.protocol, longest_s, size) * 1000)

    def _refusal(self, strangers: int) -> NoJury:
        protocol = self._network.protocol
        return NoJury(
            f"{strangers} validators are there that have nothing to do with this result, and a jury"
            f" needs {protocol.quorum_needed}; no fee was taken",
            remedy="appeal again before the pay is due, once more validators are there; a network"
            f" of {2 * protocol.quorum_size} has a whole jury"
            f" (`tmnode devnet --validators {2 * protocol.quorum_size}`)",
        )
