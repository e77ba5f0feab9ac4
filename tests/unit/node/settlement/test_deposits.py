from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from node.amounts import MAX_AMOUNT
from node.l1.blocks import Block, Header
from node.l1.keys import AccountKey, address_of
from node.l1.transactions import Transaction, submit_result, transfer, tx_hash
from storage.store import Batch

CPC = 10**18


def block_of(*txs: Transaction, height: int = 7) -> Block:
    header = Header(
        height=height,
        prev_hash="",
        timestamp=1_700_000_035,
        chain_id="cpc-devnet-1",
        proposer_address="",
        round=0,
        tx_root="",
        state_root="",
        compute_root="",
        gas_used=0,
        gas_limit=0,
    )
    return Block(header=header, txs=txs, pq_signature="")


def handle(market: Any, *txs: Transaction, height: int = 7) -> None:
    batch = Batch()
    market.settlement.deposits.handle(batch, block_of(*txs, height=height))
    market.db.stage(batch)


@pytest.fixture
def pay(key: Callable[[int], AccountKey]) -> Callable[..., Transaction]:
    """A signed TRANSFER from account 10 to the market, with other fields if named."""

    def make(amount: int = CPC, nonce: int = 0, **changes: Any) -> Transaction:
        tx = transfer(key(1).address, 1).signed(key(10), nonce)
        return msgspec.structs.replace(tx, amount=amount, **changes)

    return make


async def test_a_deposit_is_credited_to_its_sender_once(
    market: Any, key: Callable[[int], AccountKey], pay: Callable[..., Transaction]
) -> None:
    handle(market, pay())
    handle(market, pay(), height=8)
    assert market.ledger.balance(f"customer:{key(10).address}") == CPC
    (entry,) = market.ledger.entries()
    assert entry.cause == f"deposit:{tx_hash(pay())}:0"
    assert entry.at_ms == 1_700_000_035_000


async def test_several_deposits_in_one_block(
    market: Any, key: Callable[[int], AccountKey], pay: Callable[..., Transaction]
) -> None:
    handle(market, pay(3, 0), pay(4, 1), pay(4, 2))
    assert market.ledger.balance(f"customer:{key(10).address}") == 11
    assert market.ledger.audit().ok


async def test_two_transactions_of_one_hash_are_two_deposits(
    market: Any, key: Callable[[int], AccountKey], pay: Callable[..., Transaction]
) -> None:
    first = pay(5, 2, fee=21_000_000_021)
    second = pay(52, 12, fee=100_000_002)  # the same digits, cut at other places
    assert tx_hash(first) == tx_hash(second)
    handle(market, first, second)
    assert market.ledger.balance(f"customer:{key(10).address}") == 57
    assert market.ledger.audit().ok


async def test_what_is_no_deposit(
    market: Any, key: Callable[[int], AccountKey], pay: Callable[..., Transaction]
) -> None:
    own = transfer(key(1).address, CPC).signed(key(1), 0)
    elsewhere = transfer(key(11).address, CPC).signed(key(10), 0)
    result = {
        "task_id": "t",
        "worker_address": key(10).address,
        "result_hash": "",
        "proof": "",
        "signature": "",
    }
    no_transfer = submit_result(result).signed(key(10), 0)
    aimed = msgspec.structs.replace(no_transfer, to_address=key(1).address, amount=5)
    longer = pay(CPC, to_address=key(1).address + "1")
    handle(market, own, elsewhere, no_transfer, aimed, longer)
    handle(market, pay(0), pay(-5), pay(MAX_AMOUNT + 1))
    assert not list(market.ledger.entries())


async def test_a_sender_that_is_no_customer_leaves_it_unclaimed(
    market: Any, key: Callable[[int], AccountKey], pay: Callable[..., Transaction]
) -> None:
    senders = [
        address_of(key(10).public_key, "foo"),
        address_of(key(10).public_key, "cpcvalcons"),
        key(10).address.upper(),
        key(10).address[:-1] + "q",
        "a\x00b" * 1000,
        "",
    ]
    for nonce, sender in enumerate(senders):
        handle(market, pay(CPC, nonce, from_address=sender))
    assert dict(market.ledger.holdings()) == {"l1": -6 * CPC, "unclaimed": 6 * CPC}
    assert market.ledger.audit().ok
