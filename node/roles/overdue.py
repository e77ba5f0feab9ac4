"""What is older at a validator or a worker than it should be, why, and what to do."""

from collections.abc import Iterable, Iterator

import trio

from node import deadlines
from node.chainwatch import ChainWatch
from node.l1.sender import Sender
from node.market.overdue import l1_trouble
from node.market.views import Overdue
from node.roles.jobstore import JobRecord
from node.roles.submitter import SealedSince
from node.roles.worker import KEEP_MS, SWEEP_PAUSE_S
from node.settlement.late import RESTART
from node.verification.draws import Draw
from p2p.identity import peer_id_of


def late_leases(draws: Iterable[Draw], now_ms: int) -> Iterator[Overdue]:
    """Leases that are over and still in hand: their market does not take the result."""
    for draw in draws:
        late_s = (now_ms - draw.expires_ms) / 1000 - deadlines.GRACE_S
        if late_s > 0:
            reason = f"market {peer_id_of(draw.market_key)} has not taken its report"
            remedy = "nothing: it is reported again for a day, and unpaid if the task has ended"
            yield Overdue("lease", draw.task_id, late_s, reason, remedy)


def late_results(
    batches: Iterable[SealedSince], sender: Sender, l1: ChainWatch
) -> Iterator[Overdue]:
    """Batches of results that are in no confirmed block, or whose market does not hear of it."""
    for one in batches:
        late_s = trio.current_time() - one.since_s - deadlines.UNCONFIRMED_S
        if late_s > 0 and one.sealed.height < 0:
            reason = l1_trouble(l1, sender) or "no confirmed block holds it"
            remedy = "nothing: the same bytes are sent again; look at the L1 and this account's CPC"
            yield Overdue("results", one.name, late_s, reason, remedy)
        elif late_s > 0:
            reason = f"market {', '.join(one.sealed.markets)} was not reached"
            remedy = "nothing: it is told again for a week"
            yield Overdue("results", one.name, late_s, reason, remedy)


def late_attempts(attempts: Iterable[tuple[str, JobRecord]], now_ms: int) -> Iterator[Overdue]:
    """A worker's attempts that should have ended, or been forgotten."""
    kept_s = KEEP_MS / 1000 + SWEEP_PAUSE_S + deadlines.GRACE_S
    for key, record in attempts:
        computing_s = (now_ms - record.until_ms) / 1000 - deadlines.GRACE_S
        over_s = (now_ms - record.draw.expires_ms) / 1000 - kept_s
        if record.committed is None and computing_s > 0:
            yield Overdue("job", key, computing_s, "it was not stopped in time", RESTART)
        elif over_s > 0:
            yield Overdue("job", key, over_s, "it is over and was not forgotten", RESTART)
