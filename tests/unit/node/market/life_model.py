"""A market told with nothing but dictionaries, written from the protocol's text.

It shares no rule with the real one: where a task is, who may sit, who is owed what, and when.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from p2p.encoding import tagged, text, u64

SIZE, NEEDED, EPOCHS, REDRAWS = 3, 2, 5, 4
LEASE_MS, JURY_MS, WINDOW_MS = 20_000, 40_000, 5_000
FETCH_MS = 500 * 512 / 2**20
"""More of a lease for each job: half a second for each MiB that a validator fetches."""
GRACE_MS = 500
RESERVE = 10**9
WAITING = ("verified", "anchored")
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
    fee: int = 0
    """Of the appeal, if there ever was one."""
    appealed_ms: int = 0
    agreed_ms: int = 0
    judged: list[Any] = field(default_factory=list)
    """The draws of all reported attempts."""
    jury: list[bytes] = field(default_factory=list)
    bench: frozenset[bytes] = frozenset()
    """Who could take a seat in the jury that becomes empty."""
    said: dict[bytes, str] = field(default_factory=dict)


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

    def strangers(self, task_id: str) -> frozenset[bytes]:
        """Validators that are there and had no seat in a draw under which anything was judged, nor
        in the last one, and were not passed over in one of them."""
        task = self.tasks[task_id]
        draws = [*task.judged, *task.draws[-1:]]
        seated = {seat.key for draw in draws for seat in draw.seats}
        return self.there - seated - {one.key for draw in draws for one in draw.passed}

    def may_appeal(self, task_id: str, fee: int) -> bool:
        task = self.tasks[task_id]
        in_time = task.phase in WAITING and not task.paid and self.now_ms < task.due_ms
        enough = len(self.strangers(task_id)) >= NEEDED and self.money["customer"] >= fee
        return in_time and not task.fee and enough

    def appeal(self, task_id: str, fee: int, jury: list[bytes]) -> None:
        task = self.tasks[task_id]
        task.phase, task.fee, task.appealed_ms, task.jury = "disputed", fee, self.now_ms, jury
        task.bench = self.strangers(task_id) - set(jury)
        self.move("customer", f"appeal:{task_id}", fee)

    def rule(self, task_id: str, juror: bytes, said: str, address_of: dict[bytes, str]) -> None:
        """Two equal ones decide; the others have as long again. What differs is unpaid."""
        task = self.tasks[task_id]
        if task.phase == "disputed" and juror not in task.said:
            task.said[juror] = said
            if Counter(task.said.values()).most_common(1)[0][1] == NEEDED:
                task.agreed_ms = task.agreed_ms or self.now_ms
            self.close(task_id, address_of)

    def replace(self, task_id: str, place: int, successor: bytes | None) -> None:
        """Who is silent loses the seat, as long as somebody is there and no two have agreed."""
        task = self.tasks[task_id]
        is_needed = task.phase == "disputed" and not task.agreed_ms
        if is_needed and task.jury[place] not in task.said and task.bench:
            assert successor in task.bench
            task.bench -= {successor}
            task.jury[place:] = [*task.jury[place + 1 :], successor]
        else:
            assert successor is None

    def close(self, task_id: str, address_of: dict[bytes, str]) -> None:
        task = self.tasks[task_id]
        votes = Counter(task.said.values()).most_common(1)
        said, count = votes[0] if votes else ("", 0)
        silent = len(task.jury) - len(task.said)
        is_over = self.now_ms >= task.appealed_ms + int(JURY_MS + 2 * task.jobs * FETCH_MS)
        if count >= NEEDED:
            wait_ms = max(GRACE_MS, task.agreed_ms - task.appealed_ms)
            if silent and not is_over and self.now_ms < task.agreed_ms + wait_ms:
                return
        elif count + silent >= NEEDED and not is_over:
            return
        is_false = count >= NEEDED and said != "true"
        if count >= NEEDED and not is_false:
            self._pay_jury(
                task_id, [one for one in task.jury if task.said.get(one) == said], address_of
            )
        else:
            self.move(f"appeal:{task_id}", "customer", task.fee)
        if is_false:
            self.move(f"maturing:{task_id}", "customer", task.reward)
            task.phase = "overturned"
        else:
            task.phase = "anchored" if len(task.anchored) == task.jobs else "verified"

    def _pay_jury(self, task_id: str, jurors: list[bytes], address_of: dict[bytes, str]) -> None:
        task = self.tasks[task_id]
        share = (task.fee - RESERVE) // len(jurors)
        for one in jurors:
            self.move(f"appeal:{task_id}", f"validator:{address_of[one]}", share)
        self.move(f"appeal:{task_id}", "fees", RESERVE)
        self.move(f"appeal:{task_id}", "burn", task.fee - RESERVE - share * len(jurors))

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
        if len(task.anchored) == task.jobs and task.phase == "verified":
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
            if task.phase == "disputed":
                self.close(task_id, address_of)
            if task.phase in ("verified", "anchored") and self._is_due(task):
                self.pay(task_id, address_of)

    def _is_due(self, task: Task) -> bool:
        return not task.paid and task.due_ms <= self.now_ms
