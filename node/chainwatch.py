"""The tip of the L1, as this node last saw it."""

import logging

import trio

from node.l1.client import L1Client
from node.l1.errors import L1Error

log = logging.getLogger(__name__)

POLL_S = 1.0


class ChainWatch:
    """Polls the chain's status: for `tmnode status`, and for the hash that salts task ids."""

    def __init__(self, client: L1Client) -> None:
        self._client = client
        self.height: int | None = None
        """Height of the tip; None while the L1 has never answered."""
        self.last_hash = bytes(32)
        self.reachable = False
        self._answered_s: float | None = None

    @property
    def silent_s(self) -> float:
        """Seconds since the last answer; since the watch began if there was none."""
        return 0.0 if self._answered_s is None else trio.current_time() - self._answered_s

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Poll until cancelled."""
        self._answered_s = trio.current_time()
        task_status.started()
        while True:
            try:
                status = await self._client.status()
            except L1Error as error:
                if self.reachable:
                    log.warning("the L1 does not answer: %s", error)
                self.reachable = False
            else:
                self.height, self.reachable = status.height, True
                self._answered_s = trio.current_time()
                self.last_hash = bytes.fromhex(status.last_hash)
            await trio.sleep(POLL_S)
