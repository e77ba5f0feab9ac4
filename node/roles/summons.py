"""One seat of a jury: whoever holds it is asked until it rules, or the seat is somebody else's."""

import logging

import trio

from node.market.appealbook import AppealRecord
from node.market.appeals import AppealDesk, waited_for
from node.verification.claims import StatementInvalid
from node.verification.draws import PassReason, Seat
from node.wire.appeals import RequestRuling, RulingAnswer
from p2p.errors import P2PError
from p2p.identity import peer_id_of
from p2p.network import Network
from storage.database import Database

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 10.0
"""For a juror to say that it computes, or what came out."""
ASK_PAUSES_S = (1.0, 15.0)
"""Before a juror is asked again that computes, or could not be reached: at first, and at most,
doubled between while it answers."""
SILENT_S = 10.0
"""From the first question that a juror does not answer: then another has its seat. Time in which
the market itself reaches nobody does not count."""


class Patience:
    """How long one juror is waited for, on trio's clock: from the market's start, after one."""

    def __init__(self, longest_s: float) -> None:
        self._late_s = trio.current_time() + longest_s
        self._silent_since_s: float | None = None
        self._pause_s = ASK_PAUSES_S[0]

    def note(self, asked_s: float, *, answered: bool) -> None:
        """What became of the question that was asked then."""
        if answered:
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s, self._pause_s = asked_s, ASK_PAUSES_S[0]

    def end(self) -> PassReason | None:
        """Why somebody else is to have the seat now, if so."""
        now_s = trio.current_time()
        if self._silent_since_s is not None and now_s >= self._silent_since_s + SILENT_S:
            return "unreachable"
        return "no_ruling" if now_s >= self._late_s else None

    def pause_s(self) -> float:
        """Until it is to be asked again."""
        pause_s = self._pause_s
        if self._silent_since_s is None:
            self._pause_s = min(2 * pause_s, ASK_PAUSES_S[1])
        left_s = self._late_s - trio.current_time()
        return min(pause_s, left_s) if left_s > 0 else pause_s


class Summons:
    """Fills the seats of one market's juries."""

    def __init__(self, *, network: Network, db: Database, desk: AppealDesk) -> None:
        self._network = network
        self._db = db
        self._desk = desk

    async def fill(self, task_id: str, seat: Seat) -> None:
        """Return once whoever has this seat has ruled, or the appeal is decided."""
        holder: Seat | None = seat
        while holder is not None:
            holder = await self._hear(task_id, holder)

    async def _hear(self, task_id: str, seat: Seat) -> Seat | None:
        """Ask a juror as long as it is worth it; whose the seat is then, None if that is all."""
        patience: Patience | None = None
        while (appeal := self._wanted(task_id, seat)) is not None:
            patience = patience or Patience(turn_s(appeal))
            asked_s = trio.current_time()
            answer = await self._ask(appeal, seat)
            successor = None
            try:
                if answer is not None:
                    successor = self._take(task_id, seat, answer)
            except StatementInvalid as error:
                log.warning("task %s: what a juror says does not count: %s", task_id, error)
                answer = None
            # a market that reaches nobody at all is itself the one that is not there
            is_cut_off = not self._network.peers()
            patience.note(asked_s, answered=answer is not None or is_cut_off)
            reason = patience.end()
            if successor is None and reason is not None:
                successor = self._desk.pass_over(task_id, seat.key, reason)
            if successor is not None:
                return successor
            if self._wanted(task_id, seat) is not None:
                await trio.sleep(patience.pause_s())
        return None

    async def _ask(self, appeal: AppealRecord, seat: Seat) -> RulingAnswer | None:
        await self._db.flushed()  # nobody hears of a jury that a crash could undo
        message, peer_id = RequestRuling(appeal.jury), peer_id_of(seat.key)
        try:
            answer = await self._network.request(peer_id, message, timeout_s=ASK_TIMEOUT_S)
        except P2PError as error:
            log.info("task %s: juror %s does not answer: %s", appeal.task_id, peer_id, error)
            return None
        return answer if isinstance(answer, RulingAnswer) else None

    def _take(self, task_id: str, seat: Seat, answer: RulingAnswer) -> Seat | None:
        """A ruling, or a refusal, by which somebody else has the seat; raises StatementInvalid."""
        if answer.ruling is not None:
            self._desk.take(task_id, answer.ruling)
        if answer.refusal is not None:
            return self._desk.pass_over(task_id, seat.key, "refused", answer.refusal)
        return None

    def _wanted(self, task_id: str, seat: Seat) -> AppealRecord | None:
        """The appeal, if this juror is still to rule in it."""
        appeal = self._desk.book.find_open(task_id)
        return appeal if appeal is not None and seat.key in waited_for(appeal) else None


def turn_s(appeal: AppealRecord) -> float:
    """How long a juror has that computes: half of the jury's time, so that another can begin."""
    return (appeal.jury.expires_ms - appeal.at_ms) / 2000
