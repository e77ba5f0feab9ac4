"""The chain's HTTP door under the stricter profile: what is refused, in which words, and what not.

`tests/unit/node/verification/test_onchain.py` has the profile's own rules.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Limits
from node.keys import bind
from node.l1.devchain.profiles import UPSTREAM
from node.l1.keys import AccountKey
from node.l1.transactions import Draft
from node.verification.author import Author
from node.verification.evidence import evidence_of
from node.verification.inline import proven_result
from node.verification.onchain import MarketProfile
from node.verification.statements import (
    NO_STEPS,
    ComputeResult,
    Manifest,
    OutputRef,
    manifest_digest,
    result_statement,
    seal_result,
)
from node.workloads import size_of
from p2p.identity import Identity

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"


def claimed(key: AccountKey, folder: Path, *, lie: bool) -> Draft:
    """A worker's proven result; a lie has one byte of the proof wrong."""
    workload = WORKLOADS["synthetic"]
    payload = {"seed": "s", "matrix_size": 4, "iterations": 2, "proof": True}
    parameters = workload.parse(payload, Limits())
    job = JobContext(CHAIN, TASK, key.address, 6)
    report = workload.run(job, parameters, CpuBackend(), folder, lambda _part: None)
    canonical = workload.canonical(parameters)
    proof = bytearray((folder / "proof").read_bytes())
    proof[5] = (proof[5] + lie) % 241
    output = OutputRef("matrix", report.outputs[0].sha256, 16, bytes(32))
    digest = sha256(canonical).digest()
    manifest = Manifest("synthetic", digest, (output,), NO_STEPS, report.digest)
    identity = Identity.from_seed(bytes([7]) * 32)
    author = Author(identity, bind(identity, key, CHAIN), key.address, CHAIN)
    unsigned = ComputeResult(TASK, key.address, manifest_digest(manifest, CHAIN).hex(), "", 6)
    statement = result_statement(unsigned, manifest, CHAIN)
    evidence = evidence_of(size_of("synthetic", canonical), bytes(proof))
    result = seal_result(unsigned, statement, evidence, author)
    matrix = (folder / "matrix").read_bytes()
    return proven_result(result, manifest, canonical, matrix, CHAIN)


@pytest.mark.parametrize("lie", [False, True])
async def test_a_result_over_http(
    make_world: Callable[..., Any], key: Callable[[int], AccountKey], tmp_path: Path, lie: bool
) -> None:
    tx = claimed(key(1), tmp_path, lie=lie).signed(key(1), 0)
    for profile, taken in ((MarketProfile(CHAIN), not lie), (UPSTREAM, True)):
        world = make_world(profile=profile)
        async with world.running():
            await world.mine()
            outcome = await world.client.send(tx)
            assert (outcome.status == "accepted") is taken, outcome
            if not taken:
                assert outcome.reason.startswith("rejected: proof: step ")
            await world.mine()
            block = await world.client.block(1)
            assert [msgspec.structs.asdict(one) for one in block.txs] == (
                [msgspec.structs.asdict(tx)] if taken else []
            )
            paid = 10**21 - await world.client.balance(key(1).address)
            gas = tx.gas_limit if profile is not UPSTREAM else 80_000
            assert paid == (gas * 1000 if taken else 0)
