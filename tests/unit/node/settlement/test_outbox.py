from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from node.l1.keys import AccountKey
from node.l1.outbound import OutboundRecord
from node.l1.transactions import submit_result, tx_hash
from node.settlement.entries import move
from storage.store import Batch

CPC = 10**18
FEE = 21_000_000


@pytest.fixture
def withdrawal(market: Any, key: Callable[[int], AccountKey]) -> OutboundRecord:
    """One CPC on its way to account 10."""
    batch, alice = Batch(), key(10).address
    postings = move("l1", f"customer:{alice}", 2 * CPC)
    market.ledger.post(batch, cause="deposit", kind="deposit", postings=postings, at_ms=0)
    cause = market.settlement.withdraw(batch, alice, CPC, key="k", at_ms=0)
    market.db.stage(batch)
    record: OutboundRecord = market.sender.find(cause)
    return record


def settle(market: Any, record: OutboundRecord, how: str) -> None:
    batch = Batch()
    getattr(market.settlement.outbox, how)(batch, record)
    market.db.stage(batch)
    assert market.ledger.audit().ok


async def test_a_confirmed_payment_leaves_the_ledger_once(
    market: Any, withdrawal: OutboundRecord
) -> None:
    assert dict(market.ledger.holdings("outbox:")) == {f"outbox:{withdrawal.cause}": CPC + FEE}
    settle(market, withdrawal, "on_confirmed")
    settle(market, withdrawal, "on_confirmed")
    settle(market, withdrawal, "on_lost")
    assert not list(market.ledger.holdings("outbox:"))
    assert market.ledger.balance("l1") == -(CPC - FEE)
    assert market.ledger.balance("unclaimed") == 0


async def test_a_lost_payment_is_kept_and_not_paid_again(
    market: Any, withdrawal: OutboundRecord, caplog: pytest.LogCaptureFixture
) -> None:
    lost = msgspec.structs.replace(withdrawal, problem="its nonce was used by another")
    settle(market, lost, "on_lost")
    settle(market, lost, "on_lost")
    assert not list(market.ledger.holdings("outbox:"))
    assert market.ledger.balance("unclaimed") == CPC + FEE
    assert "its nonce was used by another" in caplog.text


async def test_results_sent_from_the_same_account_are_paid_by_the_fees(
    market: Any, key: Callable[[int], AccountKey]
) -> None:
    batch = Batch()
    result = {
        "task_id": "t",
        "worker_address": key(1).address,
        "result_hash": "",
        "proof": "",
        "signature": "",
    }
    records = [
        market.sender.stage(batch, f"a cause of its own \x00 {number}", submit_result(result))
        for number in range(2)
    ]
    postings = move("l1", "fees", 100_000_000)
    market.ledger.post(batch, cause="x", kind="x", postings=postings, at_ms=0)
    market.db.stage(batch)
    for record in (*records, *records):
        settle(market, record, "on_confirmed")
    settle(market, records[0], "on_lost")
    assert market.ledger.balance("fees") == 100_000_000 - 2 * 80_000_000
    assert market.ledger.audit().ok
    assert [entry.kind for entry in market.ledger.entries("fees")] == ["x", "fee", "fee"]


async def test_a_payment_changed_on_its_way_is_not_repeated(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.testing.MockClock
) -> None:
    world = make_world()
    async with world.running():
        send = world.client.send

        async def send_less(tx: Any) -> Any:
            """The same hash and signature with amount's last digit moved into the fee."""
            digit = tx.amount % 10
            fee = int(f"{digit}{tx.fee}")
            changed = msgspec.structs.replace(tx, amount=tx.amount // 10, fee=fee)
            assert tx_hash(changed) == tx_hash(tx)
            return await send(changed)

        world.client.send = send_less
        world.deposit(key(10), 2 * CPC)
        async with world.market() as market:
            await trio.sleep(20)
            batch, alice = Batch(), key(10).address
            before = world.balance(alice)
            market.settlement.withdraw(batch, alice, CPC + 9, key="k", at_ms=0)
            await market.db.commit(batch)
            await trio.sleep(60)
            assert not list(market.ledger.holdings("outbox:"))
            assert market.ledger.balance("unclaimed") == CPC + 9 + FEE
            assert world.balance(alice) == before + CPC // 10
            assert world.chain.account(world.key.address).nonce == 1
            assert market.ledger.audit().ok
