"""Buying tasks from a network, and what their receipts say of how they were done."""

import os
from functools import cached_property
from typing import Any

from node.api import answers
from node.config import NetworkConfig, load_network
from node.verification.receipt import Receipt
from node.verification.receipt_check import Standing, verify_receipt
from tests.system.support.processes import Processes
from tests.system.support.waiting import DONE_S

REWARD = "10.0"
PAGE = 200


class Buying(Processes):
    """A network whose market is bought from."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._receipts: dict[str, Receipt] = {}

    @cached_property
    def network(self) -> NetworkConfig:
        """The network's file, as all its nodes have read it."""
        return load_network(self.layout.network_file)

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
            receipt, standing = verify_receipt(self.client.receipt(task_id), self.network)
            assert standing is Standing.ANCHORED
            self._receipts[task_id] = receipt
        return self._receipts[task_id]

    def attempt(self, task_id: str) -> tuple[int, int]:
        """Epoch and number of the attempt that completed the task's first job, both from 1."""
        receipt = self.receipt(task_id)
        per_epoch = self.network.protocol.max_attempts
        epoch = receipt.draws[0].epoch
        return epoch, receipt.jobs[0].result.nonce - epoch * per_epoch

    def orchestrator(self, task_id: str) -> str:
        """The validator that orchestrated the epoch in which the task was completed."""
        return self.named(self.receipt(task_id).draws[0].seats[0].address)

    def worker(self, task_id: str) -> str:
        """The worker whose result completed the task's first job."""
        return self.named(self.receipt(task_id).jobs[0].result.worker_address)

    def signers(self, task_id: str) -> set[str]:
        """The validators whose verdicts on the first job stand in the receipt."""
        job = self.receipt(task_id).jobs[0]
        keys = {verdict.validator_key for verdict in job.verdicts}
        seats = self.receipt(task_id).draws[job.draw].seats
        return {self.named(seat.address) for seat in seats if seat.key in keys}

    def named(self, address: str) -> str:
        """The node with this account."""
        return next(seat.name for seat in self.layout.seats if self.address(seat.name) == address)

    def tasks(self, status: str | None = None) -> list[answers.TaskAnswer]:
        """All tasks that the market knows."""
        found: list[answers.TaskAnswer] = []
        while True:
            page = self.client.tasks(status=status, limit=PAGE, offset=len(found))
            found += page.tasks
            if len(found) >= page.total:
                return found
