"""`tmnode bench proofs`: a proof of a synthetic chain beside the chain itself, on one thread.

Times are CPU time of this process, the best of several runs, so that a busy machine disturbs them
little; the load is reported. The peer of a prover's row is the production chain on the same CPU.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from gpu.cpu import CpuBackend
from gpu.proofs.chain241.arithmetic import Arithmetic
from gpu.proofs.chain241.integers import IntegerArithmetic
from gpu.proofs.chain241.native import NativeArithmetic
from gpu.proofs.chain241.prover import prove
from gpu.proofs.chain241.specification import out_digest
from gpu.proofs.chain241.system import Chain
from gpu.proofs.chain241.verifier import verify
from gpu.workloads.synthetic.proving import iterates_of
from node.bench.report import Report, Row, report, row

SIZES = ((1024, 8), (2048, 4), (4096, 2))
MEMORY_BYTES = 1 << 30
KEY = bytes(range(32))

T = TypeVar("T")


class Proven(msgspec.Struct, frozen=True):
    """A chain with its proof, and the CPU seconds of both."""

    chain: Chain
    last: bytes
    out: bytes
    proof: bytes
    chain_s: float
    prover_s: float


def bench_proofs(
    runs: int, task: tuple[int, int], sizes: Sequence[tuple[int, int]] = SIZES
) -> Report:
    """Measure each of the sizes (n and T) a few times, and one whole task once."""
    rows = [row("load of the machine, one minute", os.getloadavg()[0], "", 1)]
    for size, steps in sizes:
        proven = _proven(Chain(KEY, size, steps), runs)
        rows += _size_rows(proven, runs)
    rows += _task_rows(_proven(Chain(KEY, *task), 1))
    return report("proofs", rows)


def _proven(chain: Chain, runs: int) -> Proven:
    backend, arithmetic = CpuBackend(), NativeArithmetic()

    def computed() -> memoryview:
        return backend.download(iterates_of(*chain, backend, MEMORY_BYTES).run())

    last, chain_s = _best(computed, runs)
    out = out_digest(*chain, last)
    best_s, proof = float("inf"), b""
    for _ in range(runs + 1):
        iterates = iterates_of(*chain, backend, MEMORY_BYTES)
        iterates.run()
        began = time.process_time()
        proof = prove(*chain, out, iterates, backend, arithmetic)
        best_s = min(best_s, time.process_time() - began)
    return Proven(chain, bytes(last), out, proof, chain_s, best_s)


def _size_rows(proven: Proven, runs: int) -> list[Row]:
    size, steps = proven.chain.size, proven.chain.iterations
    name, chain_ms = f"n = {size}", 1000 * proven.chain_s / steps
    prover_ms = 1000 * proven.prover_s / steps
    return [
        row(f"{name}, chain, a step", chain_ms, "ms", runs),
        Row(
            metric=f"{name}, prover, a step",
            value=prover_ms,
            unit="ms",
            runs=runs,
            peer="chain, a step",
            peer_value=chain_ms,
            ratio=chain_ms / prover_ms,
        ),
        row(f"{name}, prover, part of the chain", 100 * prover_ms / chain_ms, "%", runs),
        row(f"{name}, proof, a step", len(proven.proof) / steps, "bytes", 1),
        _verifier_row(proven, NativeArithmetic(), runs),
        _verifier_row(proven, IntegerArithmetic(), runs),
    ]


def _verifier_row(proven: Proven, arithmetic: Arithmetic, runs: int) -> Row:
    name = f"n = {proven.chain.size}, T = {proven.chain.iterations}, verifier, {arithmetic.name}"
    return row(name, 1000 * _verified(proven, arithmetic, runs), "ms", runs)


def _task_rows(proven: Proven) -> list[Row]:
    """A whole task: everything included, also the start and the digests."""
    name = f"matrix_size {proven.chain.size}, iterations {proven.chain.iterations}"
    verified_s = _verified(proven, NativeArithmetic(), 1)
    return [
        row(f"{name}, computed", proven.chain_s, "s", 1),
        row(f"{name}, proven", proven.prover_s, "s", 1),
        row(f"{name}, verified", verified_s, "s", 1),
        row(f"{name}, proof", len(proven.proof), "bytes", 1),
    ]


def _verified(proven: Proven, arithmetic: Arithmetic, runs: int) -> float:
    def verified() -> None:
        verify(*proven.chain, proven.out, proven.last, proven.proof, arithmetic)

    return _best(verified, runs)[1]


def _best(work: Callable[[], T], runs: int) -> tuple[T, float]:
    """The result, and the CPU seconds of the fastest run; one more goes before, to warm up."""
    result, best_s = work(), float("inf")
    for _ in range(runs):
        began = time.process_time()
        result = work()
        best_s = min(best_s, time.process_time() - began)
    return result, best_s
