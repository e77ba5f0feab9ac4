"""The orchestrator: takes leases, has their jobs done, and reports what came out.

`leases` stores what is in hand, `taskrun` and `jobrun` run it, `staff` chooses workers, `panel`
asks validators, `reports` tells the market. After a restart every stored lease is taken up again
where that leaves it.
"""

from collections.abc import Callable, Iterator

import trio

from node.config import ProtocolSection
from node.directory import Directory
from node.roles.admission import SeatGate
from node.roles.attempt import Attempt, Means
from node.roles.jobrun import Bureau, JobGivenUp
from node.roles.leases import Leases
from node.roles.mailbox import Mailbox
from node.roles.news import JobNews
from node.roles.outputs import OutputShelf
from node.roles.reports import MAX_REASON, Reporter
from node.roles.staff import Staff
from node.roles.standings import StandingBook
from node.roles.taskrun import TaskRun
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Refusal, is_redraw, sign_refusal
from node.wire.leases import (
    MAX_OFFER,
    CancelLease,
    LeaseAnswer,
    LeaseAnswers,
    OfferLeases,
    ReportResult,
)
from node.wire.presence import Ack
from p2p.errors import RequestRefused
from p2p.identity import Identity, peer_id_of, public_key_of
from p2p.network import Network
from storage.database import Database
from storage.store import Batch

MAX_LEASES = 256
"""Leases held at a time; more are refused as `busy`."""
HEARD_WITHIN_S = 86_400.0
"""After its lease: for how long a result is reported to a market that does not answer. It may have
taken the result before, and then waits to hear of its place on the chain."""
LAST_WORD_S = 0.3
"""Before a lease ends: when an orchestrator that has no result says so, with what was found."""


class Orchestrator:
    """One validator's orchestrating half."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        identity: Identity,
        chain_id: str,
        protocol: ProtocolSection,
        gate: SeatGate,
        directory: Directory,
        shelf: OutputShelf,
        now_ms: Callable[[], int],
        on_verified: Callable[[Batch, ReportResult, str], None],
    ) -> None:
        self._db = db
        self._identity = identity
        self._chain_id = chain_id
        self._gate = gate
        self._now_ms = now_ms
        self._leases = Leases(db)
        self._reporter = Reporter(network, shelf, on_verified)
        self._standings = StandingBook(db, protocol.bar_s, now_ms)
        self._staff = Staff(directory, self._standings)
        self._news = JobNews(network)
        self._bureau = Bureau(
            means=Means(network, directory, gate, shelf),
            mailbox=Mailbox(network),
            staff=self._staff,
            standings=self._standings,
            leases=self._leases,
            news=self._news,
            protocol=protocol,
            now_ms=now_ms,
            release=self._release,
        )
        self._running: dict[str, TaskRun] = {}
        self._nursery: trio.Nursery | None = None
        network.serve(OfferLeases, self._on_offer)
        network.serve(CancelLease, self._on_cancel)

    @property
    def leases(self) -> int:
        """Tasks in hand."""
        return len(self._running)

    def draws(self) -> Iterator[Draw]:
        """Of all leases in hand, as stored."""
        return self._leases.draws()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return self._staff.waiting

    @property
    def barred(self) -> int:
        """Workers that get no job for now."""
        return self._standings.barred()

    def blame(self, worker: str) -> None:
        """A jury found a result of this worker (a peer id) false."""
        self._standings.note(worker, "invalid")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run jobs until cancelled; takes up again what was leased before a restart."""
        async with trio.open_nursery() as nursery:
            self._nursery, self._bureau.began_s = nursery, trio.current_time()
            nursery.start_soon(self._staff.run)
            nursery.start_soon(self._news.run)
            for draw in list(self._leases.draws()):
                self._start(draw, resumed=True)
            task_status.started()

    async def _on_offer(self, sender: str, message: OfferLeases) -> LeaseAnswers:
        """Take what is new; what is held already is taken as it is, and goes on."""
        if len(message.draws) > MAX_OFFER:
            raise RequestRefused("offer", f"more than {MAX_OFFER} draws")
        answers = [await self._answer(sender, draw) for draw in message.draws]
        await self._db.flushed()
        return LeaseAnswers(tuple(answers))

    async def _answer(self, sender: str, draw: Draw) -> LeaseAnswer:
        try:
            await self._gate.admit(draw)
            known = self._require_ours(sender, draw)
        except StatementInvalid as error:
            return LeaseAnswer(taken=False, reason=str(error)[:MAX_REASON])
        if known is not None and known.epoch == draw.epoch:
            await self._adopt(draw, known)
        elif len(self._running) >= MAX_LEASES and draw.task_id not in self._running:
            return LeaseAnswer(taken=False, reason="busy", refusal=self._refusal(draw, "busy"))
        else:
            self._take(draw)
        return LeaseAnswer(taken=True)

    def _require_ours(self, sender: str, draw: Draw) -> Draw | None:
        """The draw by which the task is held already; raises StatementInvalid if this one is not
        the sender's to offer, not ours to orchestrate, or superseded."""
        if draw.market_key != public_key_of(sender):
            raise StatementInvalid("the draw is another market's", field="market_key")
        if draw.seats[0].key != self._identity.public_key:
            raise StatementInvalid("the first seat is another validator's", field="seats")
        known = self._leases.find(draw.task_id)
        if known is None or known == draw or is_redraw(draw, known) or is_redraw(known, draw):
            return known
        if draw.market_key != known.market_key or draw.epoch <= known.epoch:
            raise StatementInvalid(f"superseded by epoch {known.epoch}", field="epoch")
        return known

    async def _adopt(self, draw: Draw, known: Draw) -> None:
        """The task is in hand: go on, under newer seats if these are newer."""
        if is_redraw(draw, known):
            await self._leases.redrawn(draw)
            running = self._running.get(draw.task_id)
            if running is not None:
                running.seats.adopt(draw)

    def _take(self, draw: Draw) -> None:
        batch = Batch()
        self._leases.take(batch, draw)
        self._db.stage(batch)
        self._start(draw)

    def _refusal(self, draw: Draw, reason: str) -> Refusal:
        refusal = Refusal(draw.task_id, draw.epoch, "orchestrate", reason, self._now_ms(), b"")
        return sign_refusal(refusal, self._chain_id, self._identity)

    async def _on_cancel(self, sender: str, message: CancelLease) -> Ack:
        draw = self._leases.find(message.task_id)
        if (
            draw is not None
            and peer_id_of(draw.market_key) == sender
            and draw.epoch == message.epoch
        ):
            running = self._running.pop(message.task_id, None)
            if running is not None:
                running.scope.cancel()
            await self._end(draw, Batch())
        return Ack()

    def _start(self, draw: Draw, *, resumed: bool = False) -> None:
        earlier = self._running.pop(draw.task_id, None)
        if earlier is not None:
            earlier.scope.cancel()
        if self._nursery is not None:
            own_key = self._identity.public_key
            run = TaskRun(self._bureau, draw, own_key, self._chain_id, resumed=resumed)
            self._running[draw.task_id] = run
            self._nursery.start_soon(self._run_lease, run)

    async def _run_lease(self, run: TaskRun) -> None:
        """One task, until it is reported, given up or called off, or its time is over."""
        task_id, batch = run.seats.draw.task_id, Batch()
        with run.scope:
            batch = await self._work(run)
        if self._running.get(task_id) is run:  # else it was called off, or has a successor
            del self._running[task_id]
            await self._end(run.seats.draw, batch)

    async def _work(self, run: TaskRun) -> Batch:
        """Have the jobs done and reported; what to store when the lease ends."""
        failure = await self._run_jobs(run)
        draw = run.seats.draw
        left_s, jobs = max(0.0, self._bureau.remaining_s(draw)), self._leases.jobs(draw.task_id)
        if not failure:
            with trio.move_on_after(left_s + HEARD_WITHIN_S):
                return await self._reporter.completed(draw, jobs)
            return Batch()
        with trio.move_on_after(left_s):
            await self._reporter.failed(draw, failure, jobs, begun=run.begun)
        return Batch()

    async def _run_jobs(self, run: TaskRun) -> str:
        """Why the task has no result; empty if it has one."""
        if run.is_done:
            return ""  # since before a crash: its lease may be over, and its market have the result
        left_s = self._bureau.remaining_s(run.seats.draw) - LAST_WORD_S
        with trio.move_on_after(max(0.0, left_s)):
            try:
                await run.run()
            except JobGivenUp as failure:
                return str(failure)
            return ""
        return "no result in time"

    async def _end(self, draw: Draw, batch: Batch) -> None:
        """Delete the lease, unless a later one has its place, and what was kept for its report."""
        self._news.forget(draw.task_id)
        jobs = self._leases.end(batch, draw)
        await self._db.commit(batch)
        await self._reporter.forget(draw, jobs)

    def _release(self, attempt: Attempt) -> None:
        """Let a worker go."""
        if self._nursery is not None:
            self._nursery.start_soon(attempt.release)
