"""Waiting between attempts: soon after a success, ever later while the L1 fails."""

MAX_PAUSE_S = 30.0


class Patience:
    """How long to wait before the next attempt."""

    def __init__(self, poll_s: float) -> None:
        self._poll_s = poll_s
        self._failures = 0

    def after_success(self) -> float:
        """Seconds to wait when all is well."""
        self._failures = 0
        return self._poll_s

    def after_failure(self) -> float:
        """Seconds to wait: twice as long each time, up to half a minute."""
        self._failures += 1
        return min(MAX_PAUSE_S, self._poll_s * (1 << min(self._failures, 20)))

    def progressed(self) -> None:
        """Something came of an attempt, even if it fails in the end: the L1 is there."""
        self._failures = 0

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0
