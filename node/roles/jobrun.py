"""One job of a leased task: attempt after attempt until one is verified or they are used up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import trio

from node.config import ProtocolSection
from node.roles.attempt import Attempt, Means
from node.roles.leases import JobProgress, Leases
from node.roles.mailbox import Mailbox
from node.roles.news import JobNews
from node.roles.outcomes import AttemptFailed, TooFewValidators, WorkerBusy
from node.roles.panel import Panel, Promises
from node.roles.seats import Seats
from node.roles.staff import Search, Staff
from node.roles.standings import StandingBook
from node.verification.draws import Draw, job_of, nonce_of
from node.wire.leases import JobPhase
from node.workloads import size_of, slow_core_s
from p2p.identity import peer_id_of

log = logging.getLogger(__name__)

LEAST_WORK_S = 1.0
"""With less time than this left no attempt is begun."""
MOST_OF_IT = 0.9
MEETING_S = 3.0
"""How long a quorum of the drawn validators is waited for if fewer are connected."""
SLACK_S = 1.0
"""Beyond the interval at which nodes tell that they are there: until then after its own start an
orchestrator waits for all drawn validators, since some of them can only have it dialled."""
PANEL_PAUSE_S = 1.0
"""Before another attempt, if too few validators took part in the last one."""


class JobGivenUp(Exception):
    """The job's attempts of this epoch are used up; the message is the last one's failure."""


@dataclass(kw_only=True)
class Bureau:
    """What all jobs of an orchestrator share."""

    means: Means
    mailbox: Mailbox
    staff: Staff
    standings: StandingBook
    leases: Leases
    news: JobNews
    protocol: ProtocolSection
    now_ms: Callable[[], int]
    release: Callable[[Attempt], None]
    """Lets a worker go, without making the caller wait for its answer."""
    began_s: float = float("-inf")
    """When this process began to orchestrate, by trio's clock."""

    def remaining_s(self, draw: Draw) -> float:
        """Until the lease is over."""
        return (draw.expires_ms - self.now_ms()) / 1000


class JobRun:
    """One job."""

    def __init__(
        self, bureau: Bureau, seats: Seats, panel: Panel, job: int, *, resumed: bool
    ) -> None:
        """A job `resumed` after a restart has perhaps begun its first attempt, if no more is
        known."""
        self._bureau = bureau
        self._seats = seats
        self._panel = panel
        self._job = job
        draw = seats.draw
        name = f"{draw.task_id}/{draw.epoch}/{job}"
        self._search = Search(draw.kind, name)
        stored = bureau.leases.progress(draw.task_id, job)
        self._progress = stored or JobProgress(attempts=1 if resumed else 0)
        self._slow_s = slow_core_s(size_of(draw.kind, draw.parameters).work_units)
        self._promises: Promises | None = None
        self._reserved = False
        """The last attempt's number is stored, and nothing was begun under it."""
        self.begun = self._progress.attempts > 0
        """Whether anything was begun in this epoch, as far as is known after a restart."""

    async def run(self) -> None:
        """Return when a result is verified and stored; raises JobGivenUp."""
        reason = "no attempt was made"
        while self._progress.verified is None:
            if not self._may_try():
                raise JobGivenUp(reason)
            try:
                await self._try()
            except WorkerBusy:
                continue
            except AttemptFailed as failure:
                reason = failure.reason
                await self._note_failure(failure)

    def _may_try(self) -> bool:
        """Whether an attempt is left, and could be done in time: what comes too late is unpaid."""
        if self._reserved:
            return True
        begun = self._progress.attempts
        if begun >= self._bureau.protocol.max_attempts:
            return False
        return begun == 0 or self._work_s() >= self._enough_s()

    async def _try(self) -> None:
        """One attempt: promises first, then the next free worker."""
        nonce = await self._next_nonce()
        await self._meet()
        promises = await self._promised(nonce)
        staff = self._bureau.staff
        worker = await self._hire()
        try:
            await self._attempt(worker, promises)
        except WorkerBusy:
            self._search.full(worker)
            raise
        except TooFewValidators:
            raise
        except AttemptFailed as failure:
            self._bureau.standings.note(worker, failure.blame)
            self._search.failed_by(worker)
            raise
        finally:
            staff.leave(worker)

    async def _hire(self) -> str:
        """The next free worker, unless none is in time."""
        latest_s = self._bureau.remaining_s(self._seats.draw) - self._least_s()
        with trio.move_on_after(max(0.0, latest_s)):
            return await self._bureau.staff.hire(self._search)
        self.begun = self.begun or not self._bureau.staff.has_any(self._search.kind)
        raise JobGivenUp("no worker was free in time")

    async def _next_nonce(self) -> int:
        """The nonce of the next attempt, whose number is stored before anybody hears of it; the
        lease itself stands for the first one."""
        if not self._reserved:
            number = self._progress.attempts + 1
            if number > 1:
                await self._note(attempts=number)
            self._progress = msgspec.structs.replace(self._progress, attempts=number)
            self._reserved = True
        epoch, max_attempts = self._seats.draw.epoch, self._bureau.protocol.max_attempts
        nonce = nonce_of(self._job, epoch, self._progress.attempts, max_attempts)
        if job_of(nonce) != self._job:
            raise JobGivenUp("the job has no attempt numbers left")
        return nonce

    async def _promised(self, nonce: int) -> Promises:
        """The validators' promises for this attempt; kept while workers are found to be full."""
        kept = self._promises
        if kept is None or (kept.nonce, kept.draw) != (nonce, self._seats.draw):
            self._reserved = False
            kept = self._promises = await self._panel.promises(nonce)
            self._reserved = True
        return kept

    async def _attempt(self, worker: str, promises: Promises) -> None:
        bureau, draw = self._bureau, promises.draw
        attempt = Attempt(bureau.means, self._panel, promises, worker)
        try:
            with bureau.mailbox.expecting(draw.task_id, promises.nonce, worker) as outcomes:
                moved = partial(self._moved, worker)
                verified = await attempt.run(outcomes, self._work_s(), moved)
        except WorkerBusy:
            raise
        except AttemptFailed:
            self._reserved, self.begun = False, True
            self._moved(worker, "retrying")
            raise
        finally:
            bureau.release(attempt)
        await self._note(verified=verified)
        self._moved(worker, "verified")

    def _moved(self, worker: str, phase: JobPhase) -> None:
        attempt = self._progress.attempts
        self._bureau.news.note(self._seats.draw, self._job, phase, attempt, worker)

    async def _meet(self) -> None:
        """Wait a moment for drawn validators that are not connected."""
        bureau = self._bureau
        with trio.move_on_at(bureau.began_s + bureau.protocol.presence_interval_s + SLACK_S):
            await self._connected(len(self._seats.draw.seats))
        with trio.move_on_after(MEETING_S):
            await self._connected(self._seats.draw.needed)

    async def _connected(self, count: int) -> None:
        directory = self._bureau.means.directory
        peers = [peer_id_of(seat.key) for seat in self._seats.draw.seats]
        while sum(map(directory.is_connected, peers)) < count:
            await directory.changed.wait()

    async def _note_failure(self, failure: AttemptFailed) -> None:
        self.begun = True
        draw = self._seats.draw
        log.warning(
            "task %s, job %d, epoch %d, attempt %d: %s",
            draw.task_id,
            self._job,
            draw.epoch,
            self._progress.attempts,
            failure.reason,
        )
        if failure.judgement is not None and failure.judgement.verdicts:
            await self._note(earlier=(*self._progress.earlier, failure.judgement))
        if isinstance(failure, TooFewValidators):
            await trio.sleep(PANEL_PAUSE_S)

    async def _note(self, **changes: object) -> None:
        self._progress = msgspec.structs.replace(self._progress, **changes)
        await self._bureau.leases.note(self._seats.draw, self._job, self._progress)

    def _enough_s(self) -> float:
        """What a worker needs at least."""
        return max(LEAST_WORK_S, self._slow_s / 2)

    def _least_s(self) -> float:
        """What has to be left of the lease for that, see `_work_s`."""
        share = MOST_OF_IT if self._slow_s >= LEAST_WORK_S else 0.5
        return self._enough_s() / share

    def _work_s(self) -> float:
        """What a worker gets for one attempt.

        Half of what is left, so that another worker can follow one that never answers; more only
        if a slow one needs it, as when the deadline is near, but always some is left to check.
        """
        left_s, slow_s = self._bureau.remaining_s(self._seats.draw), self._slow_s
        wanted_s = max(left_s / 2, min(slow_s, left_s * MOST_OF_IT))
        return min(self._bureau.protocol.job_lease_s + slow_s, wanted_s)
