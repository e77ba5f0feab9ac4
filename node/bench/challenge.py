"""`tmnode bench challenge`: how much proven work a device does in a second.

It computes a synthetic chain that nobody could have computed before, since its key hangs on a
fresh seed and a beacon, and proves it. The rating counts only if the proof is verified; what it
does not show, as of every proof, is on which device the work was done.
"""

import secrets
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple, TypeVar

import msgspec

from gpu.backend import Backend
from gpu.proofs import systems
from gpu.proofs.chain241.choice import best_arithmetic
from gpu.proofs.chain241.cost import states_kept
from gpu.proofs.chain241.prover import prove
from gpu.proofs.chain241.specification import out_digest
from gpu.proofs.chain241.system import chain_of
from gpu.proofs.envelope import ProofEnvelope, ProofSystem
from gpu.proofs.statement import Statement
from gpu.workloads.synthetic.parameters import SyntheticParameters, canonical
from gpu.workloads.synthetic.proving import iterates_of
from node.bench.devices import CPU, opened
from node.bench.report import Report, report, row
from node.errors import NodeError

T = TypeVar("T")


class NotProven(NodeError):
    """The device's result is not what its challenge determines: it computes wrongly."""

    code = "not_proven"


class Rated(NamedTuple):
    """Seconds by the clock on the wall, for one challenge."""

    units: int
    chain_s: float
    prover_s: float
    verifier_s: float
    proof_bytes: int


FIGURES: tuple[tuple[str, str, Callable[[Rated], float]], ...] = (
    ("work units", "units/s", lambda one: one.units / one.chain_s),
    ("with the proof", "units/s", lambda one: one.units / (one.chain_s + one.prover_s)),
    ("proving, part of the chain", "%", lambda one: 100 * one.prover_s / one.chain_s),
    ("verified in", "ms", lambda one: 1000 * one.verifier_s),
    ("proof", "bytes", lambda one: one.proof_bytes),
)


def bench_challenge(
    size: int, iterations: int, runs: int, beacon: bytes | None = None, device: str = CPU
) -> Report:
    """Rate a device, `cpu` or `cuda:N`, by a few challenges; raises NotProven, Unavailable.

    `beacon` is 32 bytes that nobody knew before, such as a block's hash; else it is drawn here.
    """
    backend = opened(device)
    rated = [rate(backend, fresh_challenge(size, iterations, beacon)) for _ in range(runs)]
    name = f"{backend.name}, {size} x {iterations}"
    rows = [
        row(f"{name}: {metric}", median(map(figure, rated)), unit, runs)
        for metric, unit, figure in FIGURES
    ]
    return report("challenge", rows)


def fresh_challenge(size: int, iterations: int, beacon: bytes | None = None) -> Statement:
    """A chain that nobody knows yet; its digest is left open."""
    parameters = SyntheticParameters(secrets.token_hex(16), size, iterations, proven=True)
    return Statement(
        chain_id="tmnode-bench",
        task_id="challenge",
        worker="",
        nonce=0,
        kind="synthetic",
        parameters=canonical(parameters),
        digest=bytes(32),
        beacon=secrets.token_bytes(32) if beacon is None else beacon,
    )


def rate(backend: Backend[Any], challenge: Statement) -> Rated:
    """Compute, prove and verify one challenge; raises NotProven."""
    key, size, steps = chain_of(challenge)
    memory_bytes = states_kept(size, steps) * size**2
    iterates = iterates_of(key, size, steps, backend, memory_bytes)
    last, chain_s = _timed(lambda: bytes(backend.download(iterates.run())))
    out = out_digest(key, size, steps, last)
    arithmetic = best_arithmetic()
    proof, prover_s = _timed(lambda: prove(key, size, steps, out, iterates, backend, arithmetic))
    _, verifier_s = _timed(lambda: _require_proven(challenge, out, last, proof))
    units = size**3 * steps
    return Rated(units, chain_s, prover_s, verifier_s, len(proof))


def _require_proven(challenge: Statement, out: bytes, last: bytes, proof: bytes) -> None:
    kind, payload = systems.payload_of(proof)
    envelope = ProofEnvelope(
        system=ProofSystem.CHAIN241,
        statement=bytes(32),
        worker_key=bytes(32),
        key_signature=bytes(64),
        account_signature=bytes(64),
        account_key=bytes(33),
        params_id=systems.SYSTEMS[ProofSystem.CHAIN241].params_id,
        kind=kind,
        payload=payload,
    )
    statement = msgspec.structs.replace(challenge, digest=out)
    finding = systems.verify(envelope, statement, last, artifact=proof)
    if not finding.valid:
        raise NotProven(f"the proof does not hold: {finding.reason}")


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began
