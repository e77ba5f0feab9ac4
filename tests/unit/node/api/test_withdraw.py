"""Money out, over both doors."""

from dataclasses import replace

import pytest

from node.api.accounts import Accounts
from node.client.signing import key_request
from node.l1.keys import AccountKey
from storage.database import open_database
from storage.memory import MemoryStore

CHAIN = "cpc-test"
CPC = 10**18


async def withdraw(client, amount: object, key: str | None = "one", **headers: str):
    sent = headers if key is None else {"Idempotency-Key": key, **headers}
    return await client.post("/account/withdraw", json={"amount": amount}, headers=sent)


async def test_money_goes_out_once_for_each_key(client, market, twin, till) -> None:
    before = market.balances[twin.LOCAL]
    first, again = [await withdraw(client, "2.5") for _ in range(2)]
    assert first.status_code == 200
    assert (
        first.json()
        == again.json()
        == {
            "withdrawal_id": "ab" * 32,
            "address": twin.LOCAL,
            "amount_cpc": "2.5",
            "fee_cpc": "0.000000000021",
            "status": "pending",
            "tx_hash": "0x" + "cd" * 32,
            "height": None,
        }
    )
    assert before - market.balances[twin.LOCAL] == 5 * CPC // 2 + twin.FEE
    till.confirm()
    later = (await withdraw(client, "2.5")).json()
    assert (later["status"], later["height"]) == ("confirmed", 12)


async def test_json_rpc_does_the_same(client, market, twin) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tm_withdraw", "params": ["2.5", "one"]}
    answer = (await client.post("/rpc", json=call)).json()
    assert answer["result"] == (await withdraw(client, "2.5")).json()


@pytest.mark.parametrize(
    ("amount", "key", "status", "code", "field"),
    [
        ("1.0", None, 400, "invalid_input", "idempotency_key"),
        ("1.0", "", 400, "invalid_input", "idempotency_key"),
        ("1.0", "two words", 400, "invalid_input", "idempotency_key"),
        ("0", "k", 400, "invalid_input", "amount"),
        ("-1", "k", 400, "invalid_input", "amount"),
        (1, "k", 400, "invalid_input", "amount"),
        ("1e3", "k", 400, "invalid_input", "amount"),
        ("1000000.0", "k", 402, "insufficient_funds", None),
        ("9.0", "used", 409, "conflict", "idempotency_key"),
    ],
)
async def test_what_cannot_be_paid_is_said_so(client, amount, key, status, code, field) -> None:
    assert (await withdraw(client, "1.0", "used")).status_code == 200
    answer = await withdraw(client, amount, key)
    body = answer.json()
    assert (answer.status_code, body["code"], body["field"]) == (status, code, field)
    assert body["remedy"]


async def test_strangers_and_web_pages_take_nothing(service, connect, client, market, twin) -> None:
    before = market.balances[twin.LOCAL]
    async with connect(service, ("192.0.2.1", 1)) as stranger:
        assert (await withdraw(stranger, "1.0")).status_code == 401
    foreign = await withdraw(client, "1.0", Origin="http://evil.test")
    assert foreign.status_code == 401
    assert market.balances[twin.LOCAL] == before


async def test_a_market_without_a_till_says_so(service, connect) -> None:
    async with connect(replace(service, till=None)) as client:
        assert (await withdraw(client, "1.0")).status_code == 503
        assert (await client.get("/account")).json()["withdrawal_fee_cpc"] is None


async def test_a_key_with_a_limit_takes_nothing_out(service, connect, market) -> None:
    owner = AccountKey(b"\x07" * 32)
    market.balances[owner.address] = 10 * CPC
    async with open_database(MemoryStore()) as db:
        ring = Accounts(db, CHAIN, lambda: 0.0)
        async with connect(replace(service, key_ring=ring), ("192.0.2.1", 1)) as client:
            statuses = []
            for limit in ("5.0", None):
                challenge = ring.challenge(owner.address).challenge
                body = key_request(owner, CHAIN, challenge, limit)
                token = (await client.post("/account/keys", json=body)).json()["key"]
                answer = await withdraw(client, "1.0", Authorization=f"Bearer {token}")
                statuses.append(answer.status_code)
    assert statuses == [403, 200]
    assert market.balances[owner.address] < 9 * CPC
