"""Many results under one transaction."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.envelope import MAX_INLINE_BYTES
from node.l1.keys import AccountKey
from node.l1.transactions import submit_result
from node.verification.batches import MAX_BATCH, check_batch, leaf_of, seal_batch
from node.verification.claims import StatementInvalid
from storage.merkle import merkle_root

CHAIN = "cpc-devnet-1"


@pytest.fixture(scope="session")
def results(cast):
    return [cast.result(cast.draw(task_id=f"task-{number}")) for number in range(5)]


def test_a_batch_is_the_root_of_its_results(cast, results) -> None:
    author = cast.validators[0]
    batch = seal_batch(results, author)
    envelope = check_batch(batch, CHAIN)
    leaves = [leaf_of(result, CHAIN) for result in results]
    assert batch.result_hash == merkle_root(leaves).hex()
    assert (batch.worker_address, batch.nonce) == (author.address, len(results))
    assert envelope.payload.decode().splitlines() == [cast.worker.address]
    assert seal_batch(results, author) == batch
    assert seal_batch(results[:4], author).task_id != batch.task_id


def test_the_chain_takes_a_batch_as_a_result(cast, results) -> None:
    """Its `worker_address` is the sender's own, as the L1 demands."""
    account = AccountKey(bytes([102]) * 32)
    batch = seal_batch(results, cast.validators[0])
    tx = submit_result(msgspec.structs.asdict(batch)).signed(account, 0)
    assert tx.from_address == batch.worker_address


def test_a_leaf_covers_the_signature(cast, results) -> None:
    result = results[0]
    unsigned = msgspec.structs.replace(result, signature="00" * 64)
    assert leaf_of(result, CHAIN) != leaf_of(unsigned, CHAIN)
    assert leaf_of(result, CHAIN) != leaf_of(result, "another-chain")
    with pytest.raises(StatementInvalid):
        leaf_of(msgspec.structs.replace(result, signature="zz"), CHAIN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_id", "550e8400-e29b-41d4-a716-446655440000"),
        ("worker_address", "cpc1nzkar09gyp7t3r0rdrfezeld922fqlfs97cdfd"),
        ("result_hash", "00" * 32),
        ("result_hash", "0"),
        ("nonce", 4),
        ("proof", ""),
        ("signature", "00" * 64),
    ],
)
def test_a_changed_batch_is_refused(cast, results, field: str, value: object) -> None:
    batch = seal_batch(results, cast.validators[0])
    with pytest.raises(StatementInvalid):
        check_batch(msgspec.structs.replace(batch, **{field: value}), CHAIN)
    with pytest.raises(StatementInvalid):
        check_batch(batch, "another-chain")


def test_a_workers_result_is_no_batch(results) -> None:
    with pytest.raises(StatementInvalid, match="no batch"):
        check_batch(results[0], CHAIN)


def test_a_full_batch_of_as_many_workers_fits(cast, results) -> None:
    many = [
        msgspec.structs.replace(results[0], worker_address=f"cpc1{number:039}")
        for number in range(MAX_BATCH)
    ]
    envelope = check_batch(seal_batch(many, cast.validators[0]), CHAIN)
    assert len(envelope.payload.splitlines()) == MAX_BATCH
    assert len(envelope.payload) < MAX_INLINE_BYTES


@given(count=st.integers(1, 12))
def test_each_result_has_its_leaf(cast, results, count: int) -> None:
    some = (results * 3)[:count]
    batch = seal_batch(some, cast.validators[1])
    assert batch.result_hash == merkle_root([leaf_of(one, CHAIN) for one in some]).hex()
    check_batch(batch, CHAIN)
