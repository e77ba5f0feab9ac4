"""A validator in a jury: computes a disputed task again, and signs what came out."""

import logging
from collections.abc import Callable, Collection

import trio

from gpu.errors import GpuError
from node.config import ProtocolSection
from node.roles.admission import SKEW_MS, check_work
from node.roles.reexecution import Reexecution
from node.roles.snapshotfeed import SnapshotFeed
from node.verification.claims import StatementInvalid
from node.verification.draws import Refusal, sign_refusal
from node.verification.juries import Jury, case_digest, check_jurors, check_jury
from node.verification.rulings import Ruling, sign_ruling
from node.verification.snapshots import Snapshot
from node.wire.appeals import RequestRuling, RulingAnswer
from node.workloads import jury_s, size_of
from p2p.errors import RequestRefused
from p2p.identity import Identity, public_key_of
from p2p.network import Network

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 2.0
"""How long a market's question waits for a ruling that is nearly there."""
MAX_CASES = 16
"""Juries in hand; with so many a validator refuses others."""


class JuryGate:
    """Lets juries in that a market signed which counts, drawn as they had to be, of sound work."""

    def __init__(
        self,
        *,
        chain_id: str,
        markets: Collection[str],
        protocol: ProtocolSection,
        appeal_s: float,
        now_ms: Callable[[], int],
        feed: SnapshotFeed,
    ) -> None:
        self._appeal_s = appeal_s
        self._chain_id = chain_id
        self._markets = markets
        self._protocol = protocol
        self._now_ms = now_ms
        self._feed = feed

    async def admit(self, jury: Jury) -> Snapshot:
        """The snapshot that a jury is of; raises StatementInvalid if its rulings would not count.

        May have to ask the market for the snapshot, once. That the jury is not over is for the
        caller to see.
        """
        check_jury(jury, self._chain_id, self._markets)
        if jury.needed < self._protocol.quorum_needed:
            raise StatementInvalid("fewer must agree than in this network", field="jury.needed")
        check_work(jury, self._protocol)
        size = size_of(jury.kind, jury.parameters)
        drawn_ms = self.drawn_ms(jury)
        if drawn_ms > self._now_ms() + SKEW_MS:
            raise StatementInvalid("the jury ends too late", field="jury.expires_ms")
        if len(jury.jobs) != size.jobs:
            raise StatementInvalid(f"are not the {size.jobs} of the plan", field="jury.jobs")
        snapshot = await self._feed.find(jury)
        check_jurors(jury, snapshot, self._protocol.quorum_size, self._chain_id)
        replaced_ms = self._feed.book.replaced_ms(snapshot)
        if replaced_ms is not None and drawn_ms > replaced_ms + SKEW_MS:
            raise StatementInvalid("the snapshot was replaced before", field="jury.snapshot")
        return snapshot

    def drawn_ms(self, jury: Jury) -> float:
        """When a jury of known work was drawn, at the latest, by its market's clock."""
        size = size_of(jury.kind, jury.parameters)
        return jury.expires_ms - jury_s(self._protocol, self._appeal_s, size) * 1000


class _Case:
    """One jury in hand."""

    def __init__(self, jury: Jury) -> None:
        self.jury = jury
        self.ended = trio.Event()
        self.ruling: Ruling | None = None
        """None after the end if this node cannot compute it."""


class Juror:
    """Answers markets with rulings. What is in hand is in memory: a market asks again."""

    def __init__(
        self,
        *,
        network: Network,
        identity: Identity,
        chain_id: str,
        gate: JuryGate,
        reexecution: Reexecution,
        now_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._chain_id = chain_id
        self._gate = gate
        self._reexecution = reexecution
        self._now_ms = now_ms
        self._cases: dict[bytes, _Case] = {}
        self._nursery: trio.Nursery | None = None
        self.rulings = 0
        """Signed since the start."""
        network.serve(RequestRuling, self._on_request)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Compute what juries are asked for, until cancelled."""
        await self._reexecution.remove_strays()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def _on_request(self, sender: str, message: RequestRuling) -> RulingAnswer:
        """Nobody but its market hears what came out: other jurors are to compute it themselves."""
        jury = message.jury
        if jury.market_key != public_key_of(sender):
            raise RequestRefused("sender", "only the jury's market asks for this")
        case = self._cases.get(case_digest(jury, self._chain_id)) or await self._begin(jury)
        if case is None:
            return self._refuse(jury, "busy")
        with trio.move_on_after(ANSWER_WITHIN_S):
            await case.ended.wait()
        if case.ended.is_set() and case.ruling is None:
            return self._refuse(jury, "cannot")
        return RulingAnswer(case.ruling)

    async def _begin(self, jury: Jury) -> _Case | None:
        """None if this node has too much in hand."""
        self._forget_past()
        try:
            await self._gate.admit(jury)
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error
        if self._identity.public_key not in {seat.key for seat in jury.seats}:
            raise RequestRefused("seat", "this validator is not in the jury")
        if jury.expires_ms <= self._now_ms():
            raise RequestRefused("over", "the time of this jury is over")
        digest = case_digest(jury, self._chain_id)
        if digest in self._cases:  # begun while the snapshot was on its way
            return self._cases[digest]
        if len(self._cases) >= MAX_CASES or self._nursery is None:
            return None
        case = self._cases[digest] = _Case(jury)
        self._nursery.start_soon(self._work, case)
        return case

    def _refuse(self, jury: Jury, reason: str) -> RulingAnswer:
        """Somebody else may have the seat."""
        refusal = Refusal(jury.task_id, jury.epoch, "rule", reason, self._now_ms(), b"")
        return RulingAnswer(refusal=sign_refusal(refusal, self._chain_id, self._identity))

    async def _work(self, case: _Case) -> None:
        jury = case.jury
        with trio.move_on_after(max(0, jury.expires_ms - self._now_ms()) / 1000):
            try:
                hashes = await self._reexecution.hashes(jury)
            except (OSError, MemoryError, GpuError) as error:
                log.warning("task %s cannot be computed again here: %r", jury.task_id, error)
            else:
                digest = case_digest(jury, self._chain_id)
                ruling = Ruling(jury.task_id, jury.epoch, digest, hashes, b"")
                case.ruling = sign_ruling(ruling, self._chain_id, self._identity)
                self.rulings += 1
        case.ended.set()

    def _forget_past(self) -> None:
        now_ms = self._now_ms()
        for digest, case in list(self._cases.items()):
            if case.jury.expires_ms <= now_ms and case.ended.is_set():
                del self._cases[digest]
