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
from node.verification.juries import Jury, check_jurors, check_jury, jury_digest
from node.verification.rulings import Ruling, sign_ruling
from node.wire.appeals import RequestRuling, RulingAnswer
from node.workloads import lease_s, size_of
from p2p.errors import RequestRefused
from p2p.identity import Identity, public_key_of
from p2p.network import Network

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 2.0
"""How long a market's question waits for a ruling that is nearly there."""
MAX_CASES = 16
"""Juries in hand; with so many a validator takes no other."""


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
        self._longest_ms = appeal_s * 1000 + SKEW_MS
        self._chain_id = chain_id
        self._markets = markets
        self._protocol = protocol
        self._now_ms = now_ms
        self._feed = feed

    async def admit(self, jury: Jury) -> None:
        """Raise StatementInvalid for a jury whose rulings would not count.

        May have to ask the market for the snapshot, once. That the jury is not over is for the
        caller to see.
        """
        check_jury(jury, self._chain_id, self._markets)
        if jury.needed < self._protocol.quorum_needed:
            raise StatementInvalid("fewer must agree than in this network", field="jury.needed")
        if jury.expires_ms - self._now_ms() > self._longest_ms:
            raise StatementInvalid("the jury ends too late", field="jury.expires_ms")
        check_work(jury, self._protocol)
        size = size_of(jury.kind, jury.parameters)
        if len(jury.jobs) != size.jobs:
            raise StatementInvalid(f"are not the {size.jobs} of the plan", field="jury.jobs")
        snapshot = await self._feed.find(jury)
        check_jurors(jury, snapshot, self._protocol.quorum_size, self._chain_id)
        replaced_ms = self._feed.book.replaced_ms(snapshot)
        longest_ms = lease_s(self._protocol, size) * 1000
        if replaced_ms is not None and jury.expires_ms - longest_ms > replaced_ms + SKEW_MS:
            raise StatementInvalid("the snapshot was replaced before", field="jury.snapshot")


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
        jury = message.jury
        case = self._cases.get(jury_digest(jury, self._chain_id))
        if case is None:
            case = await self._begin(sender, jury)
        with trio.move_on_after(ANSWER_WITHIN_S):
            await case.ended.wait()
        if case.ended.is_set() and case.ruling is None:
            raise RequestRefused("cannot", "this validator cannot compute that")
        return RulingAnswer(case.ruling)

    async def _begin(self, sender: str, jury: Jury) -> _Case:
        self._forget_past()
        try:
            await self._gate.admit(jury)
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error
        if jury.market_key != public_key_of(sender):
            raise RequestRefused("sender", "only the jury's market asks for this")
        if self._identity.public_key not in {seat.key for seat in jury.seats}:
            raise RequestRefused("seat", "this validator is not in the jury")
        if jury.expires_ms <= self._now_ms():
            raise RequestRefused("over", "the time of this jury is over")
        digest = jury_digest(jury, self._chain_id)
        if digest in self._cases:  # begun while the snapshot was on its way
            return self._cases[digest]
        if len(self._cases) >= MAX_CASES or self._nursery is None:
            raise RequestRefused("busy", "this validator takes no more juries now")
        case = self._cases[digest] = _Case(jury)
        self._nursery.start_soon(self._work, case)
        return case

    async def _work(self, case: _Case) -> None:
        jury = case.jury
        with trio.move_on_after(max(0, jury.expires_ms - self._now_ms()) / 1000):
            try:
                hashes = await self._reexecution.hashes(jury)
            except (OSError, MemoryError, GpuError) as error:
                log.warning("task %s cannot be computed again here: %r", jury.task_id, error)
            else:
                digest = jury_digest(jury, self._chain_id)
                ruling = Ruling(jury.task_id, jury.epoch, digest, hashes, b"")
                case.ruling = sign_ruling(ruling, self._chain_id, self._identity)
                self.rulings += 1
        case.ended.set()

    def _forget_past(self) -> None:
        now_ms = self._now_ms()
        for digest, case in list(self._cases.items()):
            if case.jury.expires_ms <= now_ms and case.ended.is_set():
                del self._cases[digest]
