"""An orchestrator's book of its workers' standing, over restarts."""

from collections.abc import Callable

from node.roles.outcomes import Blame
from node.verification.standing import (
    CLEAN,
    Standing,
    failed,
    found_invalid,
    found_withheld,
    is_barred,
    is_clean,
    strikes_at,
)
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

MAX_STANDINGS = 4096
"""Peers remembered; beyond it the one blamed first is forgiven."""


class StandingBook:
    """Standings by peer id; whoever is not in it has done nothing wrong lately."""

    def __init__(self, db: Database, bar_s: float, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._bar_ms = int(bar_s * 1000)
        self._now_ms = now_ms
        self._table = Table(db, "standing", Standing)
        self._standings = {key.decode(): one for key, one in self._table.items()}

    def is_barred(self, peer_id: str) -> bool:
        """Whether the peer gets nothing to do now."""
        standing = self._standings.get(peer_id)
        return standing is not None and is_barred(standing, self._now_ms())

    def strikes(self, peer_id: str) -> float:
        """What is left of the peer's strikes."""
        standing = self._standings.get(peer_id)
        return 0.0 if standing is None else strikes_at(standing, self._now_ms())

    def barred(self) -> int:
        """How many get nothing to do now."""
        return sum(1 for peer_id in self._standings if self.is_barred(peer_id))

    def note(self, peer_id: str, blame: Blame) -> None:
        """Put down what a peer has to answer for."""
        if blame == "nobody":
            return
        now_ms = self._now_ms()
        standing = self._standings.pop(peer_id, CLEAN)
        if blame == "failed":
            standing = failed(standing, now_ms)
        elif blame == "withheld":
            standing = found_withheld(standing, now_ms, self._bar_ms)
        else:
            standing = found_invalid(standing, now_ms, self._bar_ms)
        self._standings[peer_id] = standing
        batch = Batch()
        self._forgive(batch)
        self._table.put(batch, peer_id.encode(), standing)
        self._db.stage(batch)

    def _forgive(self, batch: Batch) -> None:
        now_ms = self._now_ms()
        past = [one for one, standing in self._standings.items() if is_clean(standing, now_ms)]
        surplus = len(self._standings) - len(past) - MAX_STANDINGS
        past += list(self._standings)[: max(0, surplus)]
        for peer_id in past:
            self._standings.pop(peer_id, None)
            self._table.delete(batch, peer_id.encode())
