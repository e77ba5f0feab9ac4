"""A small cast: a market, three validators, a worker, and what they sign about one task."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import pytest

from node.amounts import Amount
from node.keys import bind
from node.l1.keys import AccountKey
from node.roles.results import signed_result
from node.verification.author import Author
from node.verification.statements import (
    ComputeResult,
    Draw,
    Finding,
    Manifest,
    OutputRef,
    Seat,
    Verdict,
    sign_draw,
    sign_verdict,
)
from p2p.identity import Identity
from storage.merkle import merkle_root

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"
PARAMETERS = b"canonical parameters"


def author(number: int) -> Author:
    identity = Identity.from_seed(bytes([number]) * 32)
    account = AccountKey(bytes([number + 100]) * 32)
    return Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)


@dataclass(frozen=True)
class Cast:
    market: Author
    validators: tuple[Author, ...]
    worker: Author

    def draw(self, **changes: object) -> Draw:
        fields = {
            "task_id": TASK,
            "epoch": 1,
            "kind": "synthetic",
            "parameters": PARAMETERS,
            "reward": Amount(10**19),
            "seats": tuple(Seat(one.identity.public_key, one.address) for one in self.validators),
            "needed": 2,
            "expires_ms": 1_800_000_000_000,
            "market_key": self.market.identity.public_key,
        }
        return sign_draw(Draw(**{**fields, **changes}), CHAIN, self.market.identity)

    def manifest(self) -> Manifest:
        output = OutputRef("matrix", sha256(b"X_T").digest(), 3, sha256(b"root").digest())
        return Manifest(
            kind="synthetic",
            parameters=sha256(PARAMETERS).digest(),
            outputs=(output,),
            trace_root=merkle_root([b"1" * 32, b"2" * 32]),
            digest=sha256(b"out").digest(),
        )

    def result(self, draw: Draw, nonce: int = 6) -> ComputeResult:
        return signed_result(draw, nonce, self.manifest(), self.worker)

    def verdict(
        self, draw: Draw, result: ComputeResult, validator: Author, finding: Finding = "valid"
    ) -> Verdict:
        unsigned = Verdict(
            task_id=draw.task_id,
            epoch=draw.epoch,
            nonce=result.nonce,
            worker_address=result.worker_address,
            result_hash=bytes.fromhex(result.result_hash),
            finding=finding,
            seed=bytes(32),
            validator_key=validator.identity.public_key,
        )
        return sign_verdict(unsigned, CHAIN, validator.identity)


@pytest.fixture(scope="session")
def cast() -> Cast:
    return Cast(author(1), (author(2), author(3), author(4)), author(5))


@pytest.fixture(scope="session")
def make_author() -> Callable[[int], Author]:
    return author
