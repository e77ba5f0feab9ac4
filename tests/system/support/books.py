"""The money of a network: what was earned, what is paid on the chain, what the ledger says."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import httpx

from node.api import answers
from node.devnet.demo import Payments
from node.l1.client import HttpL1Client, Status
from node.settlement.audit import AuditReport
from node.settlement.ledger import Ledger
from node.settlement.network import settlement_parameters
from node.split import Payees, split
from node.verification.draws import seat_of
from node.verification.receipt import Receipt
from storage.database import open_database
from storage.leveldb import open_leveldb
from tests.system.support.buying import Buying
from tests.system.support.processes import frozen
from tests.system.support.waiting import until

T = TypeVar("T")


class Books(Buying):
    """A network whose money is counted."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._payments = Payments(self.address("market"))

    def owed(self) -> Counter[str]:
        """Units by L1 address that all completed tasks have earned, from their receipts and the
        checks that the market says were signed."""
        owed: Counter[str] = Counter()
        for task in self.tasks("completed"):
            owed += self._split(task, self.receipt(task.task_id))
        return owed

    def _split(self, task: answers.TaskAnswer, receipt: Receipt) -> Counter[str]:
        """By jobs, and by signed checks; those that the receipt shows are among them."""
        parameters = settlement_parameters(self.network)
        assert task.result is not None
        checks = {one.address: one.checks for one in task.result.checks}
        for job in receipt.jobs:
            draw = receipt.draws[job.draw]
            shown = {seat_of(draw, verdict.validator_key).address for verdict in job.verdicts}
            assert shown <= checks.keys(), checks
        workers = Counter(result.worker_address for result in receipt.results)
        draw = receipt.draws[0]
        payees = Payees(workers, checks, draw.seats[0].address)
        part = split(draw.reward, parameters.shares, payees, parameters.fee_reserve)
        parts = Counter[str](dict(part.workers))
        parts.update(dict(part.validators))
        parts[parameters.burn_address] += part.burn
        parts[parameters.treasury_address] += part.treasury
        return parts

    def check_payments(self) -> None:
        """Every part of every completed task is paid, to the unit, and nothing else is.

        What is paid is read from the chain: all TRANSFERs of the market's in all its blocks. The
        market's ledger agrees with itself.
        """
        owed = self.owed()
        owed.pop(self.address("market"), None)  # what the market earns itself, it has already

        def all_paid() -> bool:
            self.ask_chain(self._payments.read_next)
            return self._payments.units.total() >= owed.total()

        until(all_paid, "all that is owed is in blocks")
        paid, names = self._payments.units, {self.address(name): name for name in self.clients}
        assert paid == owed, {names.get(one, one): paid[one] - owed[one] for one in paid | owed}
        report, _ = self.audit()
        assert report.ok, report.findings

    def check_books(self) -> None:
        """The ledger is sound, and the chain agrees with it.

        With everything paid and nothing in flight the market's account on the chain must hold
        what the ledger says it holds for others, and what it earned itself: a TRANSFER too many
        would be missing there.
        """
        earned = self.owed()[self.address("market")]
        report = until(self._all_booked, "the market has seen the last payment's block")
        self.wait_blocks(1)
        balance = self.ask_chain(self._balance_of_market)
        assert report.held + earned == balance, (report.held, earned, balance)

    def _all_booked(self) -> AuditReport | None:
        """The audit of a ledger with nothing underway."""
        report, holdings = self.audit()
        assert report.ok, report.findings
        resting = all(name.startswith(("customer:", "l1", "fees")) for name in holdings)
        return report if resting else None

    def audit(self) -> tuple[AuditReport, dict[str, int]]:
        """The audit of the market's ledger, and its balances, from a copy of its store: as a crash
        at this moment would leave it."""
        place, runs = self.layout.market.directory / "db", "market" in self.running
        with tempfile.TemporaryDirectory() as folder:
            with frozen(self.programs["market"]) if runs else nullcontext():
                copy = shutil.copytree(place, Path(folder) / "db")
            return self.loop(_audit, copy)

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
        async with httpx.AsyncClient(verify=False) as http:  # certificates take 20 ms to load
            return await ask(HttpL1Client(self.layout.l1_url, http))

    def ask_chain(self, ask: Callable[[HttpL1Client], Awaitable[T]]) -> T:
        """Ask the L1 something."""
        return self.loop(self._with_chain, ask)


async def _status(chain: HttpL1Client) -> Status:
    return await chain.status()


async def _audit(place: Path) -> tuple[AuditReport, dict[str, int]]:
    with open_leveldb(place) as store:
        async with open_database(store) as db:
            ledger = Ledger(db)
            return ledger.audit(), dict(ledger.holdings())
