"""The seats of a task's epoch at its orchestrator, and having some of them filled anew."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from node.roles.admission import SeatGate
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Pass, is_redraw
from node.wire.leases import RequestSeats, SeatsAnswer
from p2p.errors import P2PError, RequestRefused
from p2p.identity import peer_id_of
from p2p.network import Network

SEATS_TIMEOUT_S = 5.0
"""For a market to fill seats anew."""
NO_CANDIDATES = "no_candidates"
"""The market's refusal when nobody is left to be drawn in this epoch."""


class Seats:
    """The newest draw of one task's epoch: all its jobs share it."""

    def __init__(
        self,
        network: Network,
        gate: SeatGate,
        draw: Draw,
        store: Callable[[Draw], Awaitable[None]],
    ) -> None:
        """`store` returns when a new draw is durable."""
        self._network = network
        self._gate = gate
        self._store = store
        self._lock = trio.Lock()
        self._exhausted = False
        self.draw = draw

    async def replace(self, draw: Draw, passed: Sequence[Pass]) -> bool:
        """Have the market fill the seats of those passed over; whether there is a newer draw.

        Another job of the task may have had them filled since this one looked at its `draw`.
        """
        async with self._lock:
            if self.draw.redraw > draw.redraw:
                return True
            if self._exhausted or not passed:
                return False
            later = await self._ask(draw, passed)
            if later is None:
                return False
            await self._store(later)
            self.draw = later
            return True

    def adopt(self, draw: Draw) -> None:
        """Take a newer draw that the market sent by itself."""
        if is_redraw(draw, self.draw):
            self.draw = draw

    async def _ask(self, draw: Draw, passed: Sequence[Pass]) -> Draw | None:
        request = RequestSeats(draw.task_id, draw.epoch, draw.redraw, tuple(passed))
        market = peer_id_of(draw.market_key)
        try:
            answer = await self._network.request(market, request, timeout_s=SEATS_TIMEOUT_S)
            if not isinstance(answer, SeatsAnswer) or not is_redraw(answer.draw, draw):
                return None
            await self._gate.admit(answer.draw)
        except RequestRefused as refusal:
            self._exhausted = refusal.code == NO_CANDIDATES
            return None
        except (P2PError, StatementInvalid):
            return None
        return answer.draw if answer.draw.seats[0] == draw.seats[0] else None
