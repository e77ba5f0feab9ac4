"""Results as a quorum leaves them: signed by their workers, and reported by their orchestrators."""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from gpu.workloads import WORKLOADS
from gpu.workloads.base import Limits
from node.amounts import Amount
from node.keys import NodeKeys, bind
from node.l1.keys import AccountKey
from node.roles.results import signed_result
from node.split import Payees
from node.verification.author import Author
from node.verification.batches import leaf_of
from node.verification.draws import Draw, Seat
from node.verification.statements import ComputeResult, Judgement, Manifest, OutputRef
from node.wire.leases import ReportResult
from p2p.identity import Identity
from storage.merkle import merkle_root

SIZE, ITERATIONS = 64, 2
"""Of the tiny task that all of them are about."""
LASTS_MS = 20_000
NEEDED = 2


class Verified(NamedTuple):
    """One task whose result is valid, and who earned its reward."""

    report: ReportResult
    payees: Payees
    leaf: bytes
    """Of the Merkle tree over its task's results."""

    @property
    def task_id(self) -> str:
        """The task."""
        return self.report.task_id


def keys_of(number: int) -> NodeKeys:
    """The same keys for the same number, 1 to 150."""
    return NodeKeys(Identity.from_seed(bytes([number]) * 32), AccountKey(bytes([number + 99]) * 32))


def author_of(keys: NodeKeys, chain_id: str) -> Author:
    """Who signs with these keys."""
    binding = bind(keys.identity, keys.account, chain_id)
    return Author(keys.identity, binding, keys.account.address, chain_id)


class Results:
    """Makes them: workers and orchestrators by turns, all validators sign."""

    def __init__(
        self,
        chain_id: str,
        market: NodeKeys,
        validators: Sequence[NodeKeys],
        workers: Sequence[NodeKeys],
        reward: int,
    ) -> None:
        self._market_key = market.identity.public_key
        self._seats = [Seat(one.identity.public_key, one.account.address) for one in validators]
        self._workers = [author_of(one, chain_id) for one in workers]
        self._reward = Amount(reward)
        workload = WORKLOADS["synthetic"]
        payload = {"seed": "bench", "matrix_size": SIZE, "iterations": ITERATIONS}
        self._parameters = workload.canonical(workload.parse(payload, Limits()))

    def make(self, number: int, now_ms: int) -> Verified:
        """The result of task `number`, found valid at a time."""
        first = number % len(self._seats)
        seats = (*self._seats[first:], *self._seats[:first])
        draw, worker = self._draw(number, now_ms, seats), self._workers[number % len(self._workers)]
        manifest = self._manifest(number)
        result = self._result(draw, manifest, worker)
        judgement = Judgement(draw, result, manifest, ())
        checks = {seat.address: 1 for seat in seats}
        payees = Payees({worker.address: 1}, checks, seats[0].address)
        report = ReportResult(draw.task_id, draw.epoch, (judgement,))
        return Verified(report, payees, leaf_of(result, worker.chain_id))

    def _draw(self, number: int, now_ms: int, seats: tuple[Seat, ...]) -> Draw:
        return Draw(
            task_id=str(UUID(bytes=sha256(b"task %d" % number).digest()[:16])),
            epoch=1,
            redraw=0,
            kind="synthetic",
            parameters=self._parameters,
            reward=self._reward,
            snapshot=bytes(32),
            passed=(),
            seats=seats,
            needed=NEEDED,
            expires_ms=now_ms + LASTS_MS,
            market_key=self._market_key,
        )

    def _manifest(self, number: int) -> Manifest:
        digest = sha256(b"output %d" % number).digest()
        return Manifest(
            kind="synthetic",
            parameters=sha256(self._parameters).digest(),
            outputs=(OutputRef("matrix", digest, SIZE * SIZE, merkle_root((digest,))),),
            trace_root=merkle_root((digest,) * ITERATIONS),
            digest=digest,
        )

    def _result(self, draw: Draw, manifest: Manifest, worker: Author) -> ComputeResult:
        return signed_result(draw, 1, manifest, worker)
