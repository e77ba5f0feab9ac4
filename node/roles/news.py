"""What becomes of the jobs in hand, told to their markets now and then, for customers who watch.

Only the latest state of a job is told, and nothing of a task that was over before its turn came:
short tasks cost no message.
"""

from collections.abc import Iterator
from contextlib import suppress

import trio

from node.verification.draws import Draw
from node.wire.leases import JobPhase, JobState, ReportProgress, TaskProgress
from p2p.errors import P2PError
from p2p.identity import peer_id_of
from p2p.network import Network

NEWS_PAUSE_S = 0.5
"""Between two reports of what is new."""
NEWS_TIMEOUT_S = 5.0
"""For a market to take the news; they are not repeated."""
TASKS_AT_ONCE = 32


class JobNews:
    """The states of the jobs that their market has not heard of yet."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._fresh: dict[str, tuple[Draw, dict[int, JobState]]] = {}
        self._arrived = trio.Event()

    def note(self, draw: Draw, job: int, phase: JobPhase, attempt: int, worker: str) -> None:
        """A job is in another state now."""
        known = self._fresh.get(draw.task_id)
        states = known[1] if known is not None and known[0].epoch == draw.epoch else {}
        states[job] = JobState(job, phase, attempt, worker)
        self._fresh[draw.task_id] = (draw, states)
        self._arrived.set()

    def forget(self, task_id: str) -> None:
        """The task is over: its market hears so by other ways."""
        self._fresh.pop(task_id, None)

    async def run(self) -> None:
        """Tell what is new until cancelled."""
        while True:
            await self._arrived.wait()
            await trio.sleep(NEWS_PAUSE_S)
            self._arrived = trio.Event()
            for market, message in list(self._messages()):
                with suppress(P2PError):
                    await self._network.request(market, message, timeout_s=NEWS_TIMEOUT_S)

    def _messages(self) -> Iterator[tuple[str, ReportProgress]]:
        """What there is to tell, by market; nothing is left."""
        by_market: dict[str, list[TaskProgress]] = {}
        for draw, states in self._fresh.values():
            progress = TaskProgress(draw.task_id, draw.epoch, tuple(states.values()))
            by_market.setdefault(peer_id_of(draw.market_key), []).append(progress)
        self._fresh = {}
        for market, tasks in by_market.items():
            for start in range(0, len(tasks), TASKS_AT_ONCE):
                yield market, ReportProgress(tuple(tasks[start : start + TASKS_AT_ONCE]))
