"""A market and a node in a dictionary: what the doors are tested against."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec
import trio

from node.amounts import Amount, format_cpc
from node.errors import (
    Conflict,
    InsufficientFunds,
    InvalidInput,
    NotAllowed,
    NotFound,
    RewardBelowQuote,
    TaskTooLarge,
    WorkloadUnavailable,
)
from node.market.changes import ChangeLog
from node.market.listing import Line, TaskIndex
from node.market.views import (
    AccountView,
    AppealView,
    CheckShare,
    EntryView,
    NewTask,
    NodeStatus,
    OutputView,
    PayoutView,
    PostingView,
    Quote,
    ResultView,
    StatementLine,
    StatementPage,
    TaskPage,
    TaskView,
    WorkerShare,
    WorkerView,
)
from node.metrics import Family, gauge
from node.settlement.bonds import Bond
from node.settlement.paydesk import OnTheWay, PayView
from node.settlement.withdrawals import WithdrawalView

CPC = 10**18
LOCAL = "cpc1local"
PRICE = Amount(CPC // 1000)
FEE = Amount(21_000_000)
APPEAL_FEE = Amount(3 * CPC // 1000)
STARTED_MS = 1_700_000_000_000


class TwinMarket:
    """Takes tasks in memory; a test moves them on with `complete` and `move`."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {LOCAL: 1_000_000 * CPC}
        self.files: dict[str, Path] = {}
        self.receipts: dict[str, bytes] = {}
        self.submitted = 0
        self.changes = ChangeLog(lambda: STARTED_MS)
        self._tasks: dict[str, TaskView] = {}
        self._by_key: dict[tuple[str, str], str] = {}
        self._changed: dict[str, trio.Event] = {}

    def quote(self, challenge_type: str, payload: Mapping[str, object]) -> Quote:
        if challenge_type != "synthetic":
            raise WorkloadUnavailable(f"{challenge_type} is not offered", field="challenge_type")
        if payload.get("matrix_size") == 1 << 20:
            raise TaskTooLarge("is too large", field="payload.matrix_size", remedy="use 65536")
        return Quote(
            challenge_type=challenge_type,
            price=PRICE,
            work_units=10**12,
            check_units=10**9,
            max_deadline_s=86400,
            jobs=1,
        )

    async def submit(
        self, task: NewTask, account: str, idempotency_key: str | None = None
    ) -> TaskView:
        known = self._by_key.get((account, idempotency_key or ""))
        if known is not None:
            return self._tasks[known]
        quote = self.quote(task.challenge_type, task.payload)
        if task.reward < quote.price:
            raise RewardBelowQuote(
                "is below the price", field="reward", remedy=f"offer {format_cpc(quote.price)}"
            )
        if self.balances.get(account, 0) < task.reward:
            raise InsufficientFunds(f"{account} has too little", remedy="deposit")
        self.balances[account] -= task.reward
        await trio.lowlevel.checkpoint()
        view = self._new_task(task, account)
        if idempotency_key is not None:
            self._by_key[account, idempotency_key] = view.task_id
        return view

    def _new_task(self, task: NewTask, account: str) -> TaskView:
        self.submitted += 1
        deadline_ms = STARTED_MS + 3_600_000 if task.deadline_s is None else task.deadline_s * 1000
        view = TaskView(
            task_id=str(UUID(int=self.submitted)),
            challenge_type=task.challenge_type,
            status="pending",
            phase="queued",
            reward=task.reward,
            created_at_ms=STARTED_MS + 999,
            deadline_ms=deadline_ms,
            payload=task.payload,
            account=account,
            epoch=0,
            jobs=1,
        )
        self._tasks[view.task_id] = view
        self.changes.add(view.task_id, view.status, view.phase)
        return view

    def task(self, task_id: str) -> TaskView:
        if task_id not in self._tasks:
            raise NotFound("no such task", field="task_id")
        return self._tasks[task_id]

    def tasks(
        self,
        *,
        status: str | None,
        challenge_type: str | None,
        limit: int,
        offset: int,
        cursor: str | None = None,
    ) -> TaskPage:
        index = TaskIndex()
        for number, task in enumerate(self._tasks.values()):
            index.put(number, Line(task.task_id, task.challenge_type, task.status, task.phase))
        page = index.page(
            status=status, kind=challenge_type, limit=limit, offset=offset, cursor=cursor
        )
        found = tuple(self._tasks[task_id] for task_id in page.task_ids)
        return TaskPage(found, page.total, limit, offset, page.cursor)

    async def cancel(self, task_id: str, account: str) -> TaskView:
        task = self.task(task_id)
        if task.account != account:
            raise NotAllowed("is another account's", field="task_id")
        if task.status in ("completed", "failed"):
            raise Conflict("is finished", field="task_id")
        self.balances[account] += task.reward
        return self.move(task_id, "refunded", status="failed")

    async def appeal(self, task_id: str, account: str, reason: str) -> TaskView:
        task = self.task(task_id)
        if task.account != account:
            raise NotAllowed("is another account's", field="task_id")
        if task.phase != "verified":
            raise Conflict("cannot be disputed", field="task_id")
        self.balances[account] -= APPEAL_FEE
        view = AppealView(
            reason, APPEAL_FEE, STARTED_MS + 6_000, STARTED_MS + 26_001, ("cpc1juror",), 0, None
        )
        return self.move(task_id, "disputed", appeal=view)

    def receipt(self, task_id: str) -> bytes:
        self.task(task_id)
        if task_id not in self.receipts:
            raise Conflict("is not anchored yet", field="task_id", remedy="ask later")
        return self.receipts[task_id]

    def account(self, address: str) -> AccountView:
        reserved = sum(
            task.reward
            for task in self._tasks.values()
            if task.account == address and task.status in ("pending", "in_progress")
        )
        available = Amount(self.balances.get(address, 0))
        return AccountView(address, available, Amount(reserved), Amount(CPC // 4), "cpc1deposit")

    def statement(self, address: str, *, start: int, limit: int) -> StatementPage:
        lines = [
            StatementLine(
                number, STARTED_MS, "customer", "reserve", task.task_id, Amount(-task.reward)
            )
            for number, task in enumerate(self._tasks.values())
            if task.account == address and number >= start
        ]
        more = len(lines) > limit
        return StatementPage(address, tuple(lines[:limit]), start + limit if more else None)

    def payout(self, root: str, address: str) -> PayoutView:
        if (root, address) != ("ab" * 32, "cpc1burn"):
            raise NotFound("no such payout", field="root")
        postings = (PostingView("maturing:t", Amount(-4)), PostingView("burn", Amount(4)))
        return PayoutView("burn", (EntryView("mature:t", "mature", STARTED_MS, 7, postings),))

    def artifact(self, sha256: str) -> Path:
        if sha256 not in self.files:
            raise NotFound("no such artifact", field="sha256")
        return self.files[sha256]

    async def wait(self, task_id: str, *, seen: str) -> TaskView:
        while self.task(task_id).phase == seen:
            await self._changed.setdefault(task_id, trio.Event()).wait()
        return self.task(task_id)

    def move(self, task_id: str, phase: str, **changes: object) -> TaskView:
        task = msgspec.structs.replace(self.task(task_id), phase=phase, **changes)
        self._tasks[task_id] = task
        self._changed.pop(task_id, trio.Event()).set()
        self.changes.add(task_id, task.status, task.phase)
        return task

    def complete(self, task_id: str) -> TaskView:
        result = ResultView(
            result_hash="ab" * 32,
            worker_address="cpc1worker",
            completed_at_ms=STARTED_MS + 5_500,
            pay_due_ms=STARTED_MS + 10_500,
            outputs=(OutputView("matrix", "cd" * 32, 1 << 20),),
            workers=(WorkerShare("cpc1worker", 1),),
            validators=("cpc1one", "cpc1two"),
            orchestrator="cpc1one",
            checks=(CheckShare("cpc1one", 1), CheckShare("cpc1two", 1)),
            appeal_fee=APPEAL_FEE,
        )
        return self.move(task_id, "verified", status="completed", result=result)

    def waiting_for(self, task_id: str) -> int:
        event = self._changed.get(task_id)
        return 0 if event is None else event.statistics().tasks_waiting


class TwinTill:
    """Pays out of the market's balances; a test confirms."""

    def __init__(self, market: TwinMarket) -> None:
        self._market = market
        self.paid: dict[tuple[str, str], WithdrawalView] = {}

    def fee(self, _address: str) -> Amount:
        return FEE

    async def withdraw(self, address: str, amount: Amount, key: str) -> WithdrawalView:
        known = self.paid.get((address, key))
        if known is not None and known.amount != amount:
            raise Conflict("this key was used", field="idempotency_key", remedy="use a new one")
        if known is None:
            left = self._market.balances.get(address, 0) - amount - FEE
            if left < 0:
                raise InsufficientFunds("too little", remedy="withdraw less")
            self._market.balances[address] = left
            known = WithdrawalView("ab" * 32, address, amount, FEE, "pending", "cd" * 32, None)
            self.paid[address, key] = known
        return known

    def confirm(self) -> None:
        for key, view in self.paid.items():
            self.paid[key] = msgspec.structs.replace(view, state="confirmed", height=12)


class TwinPayDesk:
    """Owes everybody one CPC until it is asked for it."""

    def __init__(self) -> None:
        self.owed: dict[str, int] = {}
        self.thresholds: dict[str, int] = {}

    def view(self, address: str) -> PayView:
        owed = self.owed.get(address, CPC)
        own = self.thresholds.get(address)
        paid = () if owed else (OnTheWay(Amount(CPC - FEE), "cd" * 32),)
        return PayView(
            address=address,
            owed=Amount(owed),
            threshold=Amount(own) if own else None,
            least=Amount(100 * FEE),
            most=Amount(1000 * CPC),
            pay_by_ms=STARTED_MS + 1 if owed else None,
            fee=FEE,
            on_the_way=paid,
        )

    async def set_threshold(self, address: str, threshold: int) -> None:
        if threshold > 1000 * CPC:
            raise InvalidInput("is too high", field="threshold", remedy="use less")
        self.thresholds[address] = threshold

    async def pay_now(self, address: str) -> None:
        self.owed[address] = 0


class TwinStaking:
    """Bonds out of the market's balances, which come back 100 s after the start."""

    def __init__(self, market: TwinMarket) -> None:
        self._market = market
        self.changes: dict[tuple[object, ...], object] = {}
        self.bonds: dict[str, Bond] = {}

    def show(self, address: str) -> Bond:
        return self.bonds.get(address, Bond(address, Amount(0), Amount(0), None))

    async def bond(self, address: str, amount: Amount, key: str) -> Bond:
        if self._is_new("bond", address, amount, key):
            if self._market.balances.get(address, 0) < amount:
                raise InsufficientFunds("too little", field="amount", remedy="stake less")
            self._market.balances[address] -= amount
            before = self.show(address)
            bonded = Amount(before.bonded + amount)
            self.bonds[address] = msgspec.structs.replace(before, bonded=bonded)
        return self.show(address)

    async def unbond(self, address: str, amount: Amount, key: str) -> Bond:
        if self._is_new("unbond", address, amount, key):
            before = self.show(address)
            if before.bonded < amount:
                raise InsufficientFunds("too little", field="amount", remedy="take back less")
            left = Amount(before.bonded - amount)
            self.bonds[address] = Bond(address, left, amount, STARTED_MS + 100_001)
        return self.show(address)

    def _is_new(self, *change: object) -> bool:
        what, address, amount, key = change
        known = self.changes.get((what, address, key))
        self.changes[what, address, key] = amount
        if known not in (None, amount):
            raise Conflict("this key was used", field="idempotency_key", remedy="use a new one")
        return known is None


class TwinNode:
    """A node that knows one validator and one worker."""

    def __init__(self) -> None:
        self.obstacles: tuple[str, ...] = ()

    def status(self) -> NodeStatus:
        return NodeStatus(
            version="0.1.0",
            chain_id="cpc-test",
            peer_id="12D3one",
            address="cpc1node",
            roles=("market",),
            uptime_s=1.5,
            peers=2,
            l1_height=7,
            counts={"tasks_queued": 0},
            waiting=(*self.obstacles, "one task waits for a worker"),
            obstacles=self.obstacles,
        )

    def metrics(self) -> tuple[Family, ...]:
        return (gauge("tmnode_peers", "Nodes connected now.", 2),)

    def peers(self) -> tuple[WorkerView, ...]:
        return (
            WorkerView("12D3two", "cpc1two", ("validator",), True, ()),
            WorkerView("12D3three", "cpc1three", ("worker",), False, ("synthetic",)),
        )
