"""Networks of real processes that tests may break, and what must hold of them in any case.

The processes are watched by a trio loop in a thread of its own, so that one network can serve many
tests; the tests themselves block. They wait for what a node says over its API, with a deadline.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import trio

from node.api import answers
from node.client import Client
from node.config import load_network
from node.devnet.demo import Payments
from node.devnet.layout import Layout, Seat, write_layout
from node.devnet.network import Devnet, DevnetOptions
from node.devnet.processes import Program
from node.l1.client import HttpL1Client, Status
from node.market.views import NodeStatus
from node.settlement.audit import AuditReport
from node.settlement.ledger import Ledger
from node.settlement.network import settlement_parameters
from node.settlement.split import Split, split
from node.verification.receipt import Receipt, Standing, verify_receipt
from storage.database import open_database
from storage.leveldb import open_leveldb

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
POLL_S = 0.05
DONE_S = 60.0
"""Longest wait for anything that a loaded machine takes seconds for."""
REWARD = "10.0"
PAGE = 200


def until(condition: Callable[[], T], what: str, timeout_s: float = DONE_S) -> T:
    """The condition's first true value; the one place where a test waits without an event."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}; last seen: {found!r}")
        time.sleep(POLL_S)


class Loop:
    """A trio loop in a thread: pytest-trio's own ends with each test."""

    def __enter__(self) -> "Loop":
        started: Future[trio.lowlevel.TrioToken] = Future()
        self._stop = trio.Event()

        async def run() -> None:
            started.set_result(trio.lowlevel.current_trio_token())
            await self._stop.wait()

        self._thread = threading.Thread(target=trio.run, args=(run,))
        self._thread.start()
        self._token = started.result()
        return self

    def __call__(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run an async function in the loop."""
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._stop.set)
        self._thread.join()


class Liar(Program):
    """A worker as in `lying_worker.py`."""

    COMMAND = (sys.executable, str(Path(__file__).with_name("lying_worker.py")))


class Net:
    """A running network, seen from outside: its processes, its market's API, its chain."""

    until = staticmethod(until)

    def __init__(self, loop: Loop, devnet: Devnet) -> None:
        self._loop = loop
        self.layout: Layout = devnet.layout
        self.clients = {seat.name: Client(seat.api_url) for seat in self.layout.seats}
        self.client = self.clients["market"]
        self.programs: dict[str, Program] = {**devnet.nodes, "l1": devnet.chain}
        self._receipts: dict[str, Receipt] = {}
        self._read: dict[str, int] = {}

    # processes

    @property
    def validators(self) -> list[str]:
        return [seat.name for seat in self.layout.validators]

    @property
    def workers(self) -> list[str]:
        return [seat.name for seat in self.layout.workers]

    def seat(self, name: str) -> Seat:
        return next(seat for seat in self.layout.seats if seat.name == name)

    def address(self, name: str) -> str:
        return self.seat(name).keys.account.address

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._loop(self.programs[name].kill)

    def start(self, *names: str, **environment: str) -> None:
        """Start processes side by side, and wait until they are ready."""

        async def start_all() -> None:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(self.programs[name].start, environment)

        self._loop(start_all)

    def stop(self, *names: str) -> dict[str, tuple[int, float]]:
        """SIGTERM to all at once; exit code and seconds of each."""
        found: dict[str, tuple[int, float]] = {}

        async def stop_one(name: str) -> None:
            began = time.monotonic()
            code = await self.programs[name].stop()
            found[name] = code, time.monotonic() - began

        async def stop_all() -> None:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(stop_one, name)

        self._loop(stop_all)
        return found

    def close(self) -> dict[str, str]:
        """Stop everything, all nodes at once; the exit codes that are not 0, and the last words."""
        running = [name for name in self.clients if self.programs[name].running]
        stopped = self.stop(*running) | self.stop("l1")
        for client in self.clients.values():
            client.__exit__()
        return {f"{name} {code}": self.tail(name) for name, (code, _) in stopped.items() if code}

    @contextmanager
    def lying(self, name: str) -> Iterator[Path]:
        """A worker that lies in the place of an honest one; yields the notes on its jobs."""
        honest, seat = self.programs[name], self.seat(name)
        self.stop(name)
        self.programs[name] = Liar(name, ["run", "--config", str(seat.config)], seat.log)
        try:
            self.start(name, PYTHONPATH=str(ROOT))
            self.heal()
            yield seat.directory / "jobs.jsonl"
        finally:
            self.stop(name)
            self.programs[name] = honest

    def heal(self) -> None:
        """Start what is not running and wait until everybody knows everybody."""
        self.start(*(name for name, program in self.programs.items() if not program.running))
        for seat in self.layout.seats:
            until(lambda seat=seat: self.sees_all(seat.name), f"{seat.name} is connected to all")

    def sees_all(self, name: str) -> bool:
        connected = [peer for peer in self.clients[name].peers().peers if peer.connected]
        return len(connected) == len(self.layout.seats)

    def status(self, name: str) -> NodeStatus:
        return self.clients[name].status()

    def count(self, name: str, what: str) -> int:
        """A number that the node's status tells."""
        return self.status(name).counts[what]

    def busy(self, names: list[str], what: str = "jobs_busy") -> str | None:
        """The first of the nodes that has something in hand."""
        return next((name for name in names if self.count(name, what)), None)

    def is_idle(self) -> bool:
        """Whether no task is in anybody's hands."""
        leases = self.busy(self.validators, "leases_held")
        return leases is None and self.busy(self.workers) is None

    def log(self, name: str) -> str:
        """Everything a program has logged."""
        return self.programs[name].log.read_text(errors="replace")

    def tail(self, name: str) -> str:
        """The end of a program's log."""
        return self.log(name)[-2000:]

    def complaints(self) -> list[str]:
        """Lines at level error, and tracebacks, that any log got since the last look."""
        found = []
        for name in self.programs:
            text = self.log(name)
            new = text[self._read.get(name, 0) :]
            self._read[name] = len(text)
            found += [f"{name}: {line[:2000]}" for line in new.splitlines() if _is_bad(line)]
        return found

    # tasks

    def post(self, size: int = 64, iterations: int = 2, **options: Any) -> str:
        payload = {"seed": os.urandom(8).hex(), "matrix_size": size, "iterations": iterations}
        return self.client.submit("synthetic", payload, REWARD, **options).task_id

    def completed(self, task_id: str, timeout_s: float = DONE_S) -> answers.TaskAnswer:
        """The task once it is completed; TaskFailed if it fails."""
        return list(self.client.follow(task_id, timeout_s=timeout_s))[-1]

    def receipt(self, task_id: str) -> Receipt:
        """The task's verified receipt, once it is anchored."""
        if task_id not in self._receipts:
            for _ in self.client.follow(task_id, until="anchored", timeout_s=DONE_S):
                pass
            network = load_network(self.layout.network_file)
            receipt, standing = verify_receipt(self.client.receipt(task_id), network)
            assert standing is Standing.ANCHORED
            self._receipts[task_id] = receipt
        return self._receipts[task_id]

    def attempt(self, task_id: str) -> tuple[int, int]:
        """Epoch and number of the attempt that completed the task, both from 1."""
        receipt = self.receipt(task_id)
        per_epoch = load_network(self.layout.network_file).protocol.max_attempts
        return receipt.draw.epoch, receipt.result.nonce - receipt.draw.epoch * per_epoch

    def orchestrator(self, task_id: str) -> str:
        """The validator that orchestrated the epoch in which the task was completed."""
        key = self.receipt(task_id).draw.seats[0].key
        seats = self.layout.validators or (self.layout.market,)
        return next(seat.name for seat in seats if seat.keys.identity.public_key == key)

    def tasks(self, status: str | None = None) -> list[answers.TaskAnswer]:
        """All tasks that the market knows."""
        found: list[answers.TaskAnswer] = []
        while True:
            page = self.client.tasks(status=status, limit=PAGE, offset=len(found))
            found += page.tasks
            if len(found) >= page.total:
                return found

    # money

    def owed(self) -> Counter[str]:
        """Units by L1 address that all completed tasks have earned, from their receipts alone."""
        parameters = settlement_parameters(load_network(self.layout.network_file))
        owed: Counter[str] = Counter()
        for task in self.tasks("completed"):
            part = self._split(self.receipt(task.task_id))
            owed.update(dict(part.workers))
            owed.update(dict(part.validators))
            owed[parameters.burn_address] += part.burn
            owed[parameters.treasury_address] += part.treasury
        return owed

    def _split(self, receipt: Receipt) -> Split:
        """One share for each valid verdict, one more for the first seat (docs/economics.md)."""
        parameters = settlement_parameters(load_network(self.layout.network_file))
        seats = {seat.key: seat.address for seat in receipt.draw.seats}
        keys = [verdict.validator_key for verdict in receipt.verdicts]
        weights = Counter(seats[key] for key in (*keys, receipt.draw.seats[0].key))
        return split(
            receipt.draw.reward,
            parameters.shares,
            {receipt.result.worker_address: 1},
            weights,
            parameters.fee_reserve,
        )

    def check_payments(self) -> None:
        """Every part of every completed task is paid, to the unit, and nothing else is.

        What is paid is read from the chain: all TRANSFERs of the market's in all its blocks.
        """
        owed = self.owed()
        owed.pop(self.address("market"), None)  # what the market earns itself, it has already
        payments = Payments(self.address("market"))

        def all_paid() -> bool:
            self.ask_chain(payments.read_next)
            return payments.units.total() >= owed.total()

        until(all_paid, "all that is owed is in blocks")
        paid, names = payments.units, {self.address(name): name for name in self.clients}
        assert paid == owed, {names.get(one, one): paid[one] - owed[one] for one in paid | owed}

    def check_books(self) -> None:
        """The market, stopped by this, has a sound ledger, and the chain agrees with it.

        With everything paid and nothing in flight the market's account on the chain must hold
        what the ledger says it holds for others, and what it earned itself: a TRANSFER too many
        would be missing there.
        """
        earned = self.owed()[self.address("market")]
        self.wait_blocks(3)  # the market has seen the last payment's block
        code, _ = self.stop("market")["market"]
        assert code == 0, self.tail("market")
        report, holdings = self.audit()
        assert report.ok, report.findings
        assert [name for name in holdings if not name.startswith(("customer:", "l1", "fees"))] == []
        assert report.held + earned == self.ask_chain(self._balance_of_market)

    def audit(self) -> tuple[AuditReport, dict[str, int]]:
        """The audit of a market that is down, and its balances, from a copy of its store."""
        assert not self.programs["market"].running
        return self._loop(self._audit)

    async def _audit(self) -> tuple[AuditReport, dict[str, int]]:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "db"
            shutil.copytree(self.layout.market.directory / "db", place)
            with open_leveldb(place) as store:
                async with open_database(store) as db:
                    ledger = Ledger(db)
                    return ledger.audit(), dict(ledger.holdings())

    def wait_blocks(self, count: int) -> None:
        """Wait until the chain has so many more blocks."""
        wanted = self.height() + count
        until(lambda: self.height() >= wanted, f"block {wanted}")

    def height(self) -> int:
        return self.ask_chain(_status).height

    def transfers_waiting(self) -> bool:
        """Whether the chain has transactions of the market's that are in no block yet."""
        return self.ask_chain(self._count_waiting) > 0

    async def _count_waiting(self, chain: HttpL1Client) -> int:
        address = self.layout.market.keys.account.address
        confirmed = await chain.nonce(address, pending=False)
        return await chain.nonce(address, pending=True) - confirmed

    async def _balance_of_market(self, chain: HttpL1Client) -> int:
        return await chain.balance(self.layout.market.keys.account.address)

    async def _with_chain(self, ask: Callable[[HttpL1Client], Awaitable[T]]) -> T:
        async with httpx.AsyncClient() as http:
            return await ask(HttpL1Client(self.layout.l1_url, http))

    def ask_chain(self, ask: Callable[[HttpL1Client], Awaitable[T]]) -> T:
        """Ask the L1 something."""
        return self._loop(self._with_chain, ask)


async def _status(chain: HttpL1Client) -> Status:
    return await chain.status()


def _is_bad(line: str) -> bool:
    try:
        return bool(json.loads(line)["level"] == "error")
    except (ValueError, KeyError, TypeError):
        return "Traceback" in line


@contextmanager
def running_network(layout: Layout) -> Iterator[Net]:
    """Start the layout's processes and fund the customer; stop them all in the end."""
    devnet = Devnet(layout, DevnetOptions())
    with Loop() as loop:
        net = Net(loop, devnet)
        try:
            loop(devnet.start)
            loop(devnet.fund_customer)
            yield net
        finally:
            failed = net.close()
        assert failed == {}


@pytest.fixture
def running() -> Callable[[Layout], AbstractContextManager[Net]]:
    """For tests that need a network of their own."""
    return running_network


@pytest.fixture(scope="session")
def shared_net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """One market, three validators (two verdicts of three decide), two workers."""
    folder = tmp_path_factory.mktemp("devnet")
    with running_network(write_layout(folder, validators=3, workers=2, api_port=0)) as net:
        yield net


@pytest.fixture
def net(shared_net: Net) -> Iterator[Net]:
    """The shared network, whole and idle at a test's start, without complaints at its end."""
    shared_net.heal()
    until(shared_net.is_idle, "nobody works on a task of an earlier test")
    shared_net.complaints()
    yield shared_net
    assert shared_net.complaints() == []
