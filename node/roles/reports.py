"""Telling a market what came of a lease."""

import logging
from collections.abc import Callable, Sequence

import trio

from node.errors import Conflict, NotFound
from node.roles.acceptance import ProofFalse
from node.roles.leases import JobProgress
from node.roles.outcomes import Verified
from node.roles.outputs import OutputShelf
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw
from node.verification.statements import Judgement
from node.wire.leases import ReportFailure, ReportResult
from p2p.errors import P2PError, RequestRefused
from p2p.identity import peer_id_of
from p2p.network import Network
from storage.store import Batch

log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 30.0
"""For a market to judge a report, the fetching of the outputs included."""
REPORT_PAUSES_S = (0.5, 5.0)
"""Before a result is reported again: at first, and at most, doubled between."""
MAX_REASON = 500
"""Characters of a reason that is sent to a peer."""
MAX_EARLIER = 32
"""Attempts that led to nothing in one report, the last ones of each job before others."""
EARLIER_BYTES = 1 << 20
"""Of their proofs in one report."""
INLINE_BYTES = 512 * 1024
"""Outputs that travel in a report, all of a task together."""
FINAL_REFUSALS = frozenset({Conflict.code, NotFound.code, StatementInvalid.code, ProofFalse.code})
"""A market that says one of these will not take the result later either."""


class Reporter:
    """Reports to markets."""

    def __init__(
        self,
        network: Network,
        shelf: OutputShelf,
        on_verified: Callable[[Batch, ReportResult, str], None],
    ) -> None:
        self._network = network
        self._shelf = shelf
        self._on_verified = on_verified

    async def completed(self, draw: Draw, jobs: Sequence[JobProgress]) -> Batch:
        """Report the results of all jobs until the market answers; what to store then."""
        report, market, batch = await self._report(draw, jobs), peer_id_of(draw.market_key), Batch()
        if await self._deliver(market, report):
            self._on_verified(batch, report, market)
        return batch

    async def failed(
        self, draw: Draw, reason: str, jobs: Sequence[JobProgress], *, begun: bool
    ) -> None:
        """Say once that the epoch led to nothing; else the lease runs out by itself."""
        message = ReportFailure(
            draw.task_id, draw.epoch, reason[:MAX_REASON], _earlier(jobs), begun
        )
        market = peer_id_of(draw.market_key)
        try:
            await self._network.request(market, message, timeout_s=REPORT_TIMEOUT_S)
        except P2PError as error:
            log.info("task %s: its market was not told of the failure: %s", draw.task_id, error)

    async def forget(self, draw: Draw, jobs: Sequence[JobProgress]) -> None:
        """Drop what was kept for the report.

        A node that is the market as well has one shelf for both: there the outputs stay.
        """
        if peer_id_of(draw.market_key) == self._network.peer_id:
            return
        done = [one.verified for one in jobs if one.verified is not None]
        for one in done:
            await self._shelf.drop(one.judgement)

    async def _report(self, draw: Draw, jobs: Sequence[JobProgress]) -> ReportResult:
        done = [one.verified for one in jobs if one.verified is not None]
        fits = _fits(done)
        if not fits:
            for one in done:
                if one.outputs:
                    await self._shelf.take(one.judgement.manifest, one.outputs)
        return ReportResult(
            task_id=draw.task_id,
            epoch=draw.epoch,
            jobs=tuple(one.judgement for one in done),
            earlier=_earlier(jobs),
            inline=tuple(one.outputs for one in done) if fits else (),
        )

    async def _deliver(self, market: str, report: ReportResult) -> bool:
        """Whether the market took it; False if it never will."""
        pause_s, longest_s = REPORT_PAUSES_S
        while True:
            try:
                await self._network.request(market, report, timeout_s=REPORT_TIMEOUT_S)
            except RequestRefused as refusal:
                if refusal.code in FINAL_REFUSALS:
                    log.warning(
                        "task %s, epoch %d is unpaid: %s", report.task_id, report.epoch, refusal
                    )
                    return False
            except P2PError as error:
                log.info("task %s: its market is not there: %s", report.task_id, error)
            else:
                return True
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)


def _fits(done: Sequence[Verified]) -> bool:
    """Whether all outputs are small enough to travel in the report."""
    sizes = [sum(map(len, one.outputs)) for one in done]
    return all(sizes) and sum(sizes) <= INLINE_BYTES


def _earlier(jobs: Sequence[JobProgress]) -> tuple[Judgement, ...]:
    """The last attempts of all jobs, as many as a report takes: proofs make them large."""
    found = [one for job in jobs for one in job.earlier][-MAX_EARLIER:]
    kept: list[Judgement] = []
    left = EARLIER_BYTES
    for one in reversed(found):
        left -= len(one.result.proof)
        if left < 0:
            break
        kept.insert(0, one)
    return tuple(kept)
