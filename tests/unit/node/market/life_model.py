"""A market told with nothing but dictionaries, written from the protocol's text.

It shares no rule with the real one: where a task is, who may sit, who is owed what, and when.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from p2p.encoding import tagged, text, u64

SIZE, NEEDED, EPOCHS, REDRAWS = 3, 2, 5, 4
LEASE_MS, WINDOW_MS = 20_000, 5_000
OPEN = ("queued", "leased")


@dataclass
class Task:
    """What the protocol says about a task."""

    reward: int
    jobs: int
    deadline_ms: int
    phase: str = "queued"
    epoch: int = 0
    redraw: int = 0
    seats: list[bytes] = field(default_factory=list)
    """Keys, the orchestrator first."""
    snapshot: frozenset[bytes] = frozenset()
    passed: set[bytes] = field(default_factory=set)
    lease_until_ms: int = 0
    failed: list[bytes] = field(default_factory=list)
    draws: list[Any] = field(default_factory=list)
    """All that this task ever had, as the validators know them."""
    checks: Counter[bytes] = field(default_factory=Counter)
    workers: Counter[str] = field(default_factory=Counter)
    due_ms: int = 0
    paid: bool = False
    anchored: set[int] = field(default_factory=set)
    report: Any = None


@dataclass
class Model:
    """A market, told with nothing but dictionaries."""

    now_ms: int
    tasks: dict[str, Task] = field(default_factory=dict)
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Idempotency key -> the task and the request."""
    there: frozenset[bytes] = frozenset()
    money: Counter[str] = field(default_factory=Counter)

    def move(self, source: str, target: str, amount: int) -> None:
        self.money[source] -= amount
        self.money[target] += amount

    def drawn(self, task_id: str, epoch: int, there: frozenset[bytes]) -> list[bytes]:
        """With equal weights the highest hash wins."""

        def score(key: bytes) -> bytes:
            fields = (text(task_id), u64(epoch), key)
            return sha256(tagged("tmnode/draw-score", 1, "", *fields)).digest()

        return sorted(there, key=score, reverse=True)[:SIZE]

    def leased(self, task_id: str) -> list[bytes] | None:
        """Whom a lease would seat now."""
        task = self.tasks[task_id]
        drawn = self.drawn(task_id, task.epoch + 1, self.there)
        if len(drawn) < NEEDED:
            return None
        first = next((key for key in drawn if key not in task.failed), drawn[0])
        return [first, *(key for key in drawn if key != first)]

    def redrawn(
        self, task_id: str, passed: set[bytes]
    ) -> tuple[frozenset[bytes], set[bytes]] | None:
        """From which snapshot a redraw would seat whom."""
        task = self.tasks[task_id]
        if task.redraw >= REDRAWS:
            return None
        for there in (self.there, task.snapshot):
            seats = set(self.drawn(task_id, task.epoch, there - task.passed - passed))
            if seats - set(task.seats) and len(seats) >= NEEDED and task.seats[0] in seats:
                return there, seats
        return None

    def release(self, task_id: str, *, begun: bool) -> None:
        task = self.tasks[task_id]
        if len(task.failed) + begun >= EPOCHS:
            self.refund(task_id)
            return
        task.failed += [task.seats[0]] * begun
        task.phase = "queued"

    def refund(self, task_id: str) -> None:
        task = self.tasks[task_id]
        task.phase = "refunded"
        self.move(f"reserved:{task_id}", "customer", task.reward)

    def complete(self, task_id: str) -> None:
        task = self.tasks[task_id]
        task.phase, task.due_ms = "verified", self.now_ms + WINDOW_MS
        self.move(f"reserved:{task_id}", f"maturing:{task_id}", task.reward)

    def pay(self, task_id: str, address_of: dict[bytes, str]) -> None:
        """60 % burned, 25 % by work, 10 % by checks (a quarter of it for the orchestrator, the
        fees before), 5 % treasury; what rounding leaves is burned."""
        task, parts = self.tasks[task_id], Counter[str]()
        parts["fees"] = min(10**9, task.reward // 10)
        checks = task.reward // 10 - parts["fees"]
        parts[f"validator:{address_of[task.seats[0]]}"] += checks // 4
        for key, count in task.checks.items():
            share = (checks - checks // 4) * count // task.checks.total()
            parts[f"validator:{address_of[key]}"] += share
        for address, count in task.workers.items():
            parts[f"worker:{address}"] += task.reward // 4 * count // task.workers.total()
        parts["treasury"] = task.reward // 20
        parts["burn"] = task.reward - parts.total()
        assert parts["burn"] >= task.reward * 6 // 10
        for account, amount in parts.items():
            self.move(f"maturing:{task_id}", account, amount)
        task.paid = True
        self._settle(task)

    def anchor(self, task_id: str, jobs: set[int]) -> None:
        task = self.tasks[task_id]
        task.anchored |= jobs
        if len(task.anchored) == task.jobs:
            task.phase = "anchored"
        self._settle(task)

    def _settle(self, task: Task) -> None:
        if task.paid and task.phase == "anchored":
            task.phase = "settled"

    def wait(self, milliseconds: int, address_of: dict[bytes, str]) -> None:
        self.now_ms += milliseconds
        for task_id, task in self.tasks.items():
            if task.phase in OPEN and task.deadline_ms <= self.now_ms:
                self.refund(task_id)
            elif task.phase == "leased" and task.lease_until_ms <= self.now_ms:
                self.release(task_id, begun=True)
            elif task.phase in ("verified", "anchored") and self._is_due(task):
                self.pay(task_id, address_of)

    def _is_due(self, task: Task) -> bool:
        return not task.paid and task.due_ms <= self.now_ms
