"""How far a run is, told seldom enough to cost nothing."""

import time
from typing import Final

from gpu.workloads.base import Progress

_REPORT_EVERY_S: Final = 0.05


class Meter:
    """Turns pieces of work, each of so many units, into the part of a run that is done."""

    def __init__(self, progress: Progress, total: float) -> None:
        self._progress = progress
        self._total = total
        self._done = 0.0
        self._piece = self._part = 0.0
        self._reported_at = time.monotonic()
        progress(0.0)

    def begin(self, units: float) -> None:
        """A piece begins, and the one before is done."""
        self._done += self._piece
        self._piece, self._part = units, 0.0

    def tick(self, part: float) -> None:
        """A part of the piece is done."""
        self._part = part
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = now
            self._progress(min(1.0, (self._done + self._piece * part) / self._total))

    def stay(self, _part: float = 0.0) -> None:
        """Work that counts for nothing was done, but somebody may want to cancel."""
        self.tick(self._part)
