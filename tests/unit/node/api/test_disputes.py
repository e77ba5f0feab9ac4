"""Bonds and appeals, over both doors."""

from dataclasses import replace

import pytest

from node.amounts import Amount
from node.api.accounts import Accounts
from node.client.signing import key_request
from node.l1.keys import AccountKey
from node.market.juries import NoJury
from node.settlement.bonds import Bond
from node.settlement.staking import ChainStaking
from storage.database import open_database
from storage.memory import MemoryStore

CHAIN = "cpc-test"
CPC = 10**18
ADDRESS = AccountKey(b"\x07" * 32).address


async def change(client, path: str, amount: object, key: str | None = "one", **headers: str):
    sent = headers if key is None else {"Idempotency-Key": key, **headers}
    return await client.post(path, json={"amount": amount}, headers=sent)


async def call(client, method: str, *params: object):
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return (await client.post("/rpc", json=request)).json()["result"]


async def test_a_bond_is_put_down_and_taken_back_once_for_each_key(client, market, twin) -> None:
    before = market.balances[twin.LOCAL]
    first, again = [await change(client, "/bond", "2.5") for _ in range(2)]
    assert first.status_code == 200
    assert first.json() == again.json()
    assert first.json() == {
        "address": twin.LOCAL,
        "bonded_cpc": "2.5",
        "unbonding_cpc": "0.0",
        "release_at": None,
    }
    assert before - market.balances[twin.LOCAL] == 5 * CPC // 2
    back = (await change(client, "/unbond", "0.5")).json()
    assert (back["bonded_cpc"], back["unbonding_cpc"]) == ("2.0", "0.5")
    assert back["release_at"] == 1_700_000_101, "rounded up: not a moment before"


async def test_json_rpc_does_the_same(client, market, twin) -> None:
    staked = await call(client, "tm_bond", "2.5", "one")
    assert staked == (await change(client, "/bond", "2.5")).json()
    taken = await call(client, "tm_unbond", "1.0", "one")
    assert taken == (await change(client, "/unbond", "1.0")).json()


async def test_anybody_sees_anybodys_bond(client, service, connect, market, stakes) -> None:
    market.balances[ADDRESS] = CPC
    await stakes.bond(ADDRESS, CPC, "k")
    shown = (await client.get(f"/bond/{ADDRESS}")).json()
    assert (shown["address"], shown["bonded_cpc"]) == (ADDRESS, "1.0")
    assert shown == await call(client, "tm_getBond", ADDRESS)
    assert (await client.get("/bond/cpc1nobody")).status_code == 400
    async with connect(service, ("192.0.2.1", 1)) as stranger:
        assert (await stranger.get(f"/bond/{ADDRESS}")).json() == shown


@pytest.mark.parametrize("path", ["/bond", "/unbond"])
@pytest.mark.parametrize(
    ("amount", "key", "status", "code", "field"),
    [
        ("1.0", None, 400, "invalid_input", "idempotency_key"),
        ("1.0", "two words", 400, "invalid_input", "idempotency_key"),
        ("0", "k", 400, "invalid_input", "amount"),
        ("-1", "k", 400, "invalid_input", "amount"),
        ("9000000.0", "k", 402, "insufficient_funds", "amount"),
        ("9.0", "used", 409, "conflict", "idempotency_key"),
    ],
)
async def test_what_cannot_be_staked_is_said_so(
    client, path, amount, key, status, code, field
) -> None:
    await change(client, "/bond", "5.0", "first")
    assert (await change(client, path, "1.0", "used")).status_code == 200
    answer = await change(client, path, amount, key)
    body = answer.json()
    assert (answer.status_code, body["code"], body["field"]) == (status, code, field)
    assert body["remedy"]


class Shown:
    """A copy of the bonds that a chain holds."""

    def find(self, address: str) -> Bond:
        return Bond(address, Amount(2 * CPC), Amount(CPC), None)


@pytest.mark.parametrize("what", ["bond", "unbond"])
async def test_bonds_that_the_chain_holds_are_shown_and_not_changed(
    service, connect, what: str
) -> None:
    async with connect(replace(service, stakes=ChainStaking(Shown()))) as client:
        answer = await change(client, f"/{what}", "1.0")
        body = answer.json()
        assert (answer.status_code, body["code"]) == (409, "held_by_chain")
        assert f"`tmnode wallet {what} AMOUNT --l1 URL`" in body["remedy"]
        request = {"jsonrpc": "2.0", "id": 1, "method": f"tm_{what}", "params": ["1.0", "k"]}
        error = (await client.post("/rpc", json=request)).json()["error"]
        assert (error["code"], error["data"]["code"]) == (-32018, "held_by_chain")
        shown = (await client.get(f"/bond/{ADDRESS}")).json()
        assert (shown["bonded_cpc"], shown["unbonding_cpc"]) == ("2.0", "1.0")


@pytest.mark.parametrize("path", ["/bond", "/unbond"])
async def test_strangers_stake_nothing(service, connect, client, stakes, path) -> None:
    async with connect(service, ("192.0.2.1", 1)) as stranger:
        assert (await change(stranger, path, "1.0")).status_code == 401
    assert (await change(client, path, "1.0", Origin="http://evil.test")).status_code == 401
    async with connect(replace(service, stakes=None)) as other:
        assert (await change(other, path, "1.0")).status_code == 503
    assert not stakes.bonds


async def completed(client, market, order) -> str:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    market.complete(task_id)
    return task_id


async def test_a_result_is_disputed(client, market, order, twin) -> None:
    task_id = await completed(client, market, order)
    before = market.balances[twin.LOCAL]
    shown = (await client.get(f"/tasks/{task_id}")).json()
    assert shown["result"]["appeal_fee_cpc"] == "0.003"
    assert "appeal" not in shown
    answer = await client.post(f"/tasks/{task_id}/appeal", json={"reason": "it differs"})
    body = answer.json()
    assert (answer.status_code, body["phase"], body["status"]) == (200, "disputed", "completed")
    assert body["appeal"] == {
        "reason": "it differs",
        "fee_cpc": "0.003",
        "appealed_at": 1_700_000_006,
        "deadline": 1_700_000_027,
        "jury": ["cpc1juror"],
        "rulings": 0,
        "outcome": None,
        "passed": [],
    }
    assert before - market.balances[twin.LOCAL] == twin.APPEAL_FEE
    assert (await client.get(f"/tasks/{task_id}")).json() == body
    again = await client.post(f"/tasks/{task_id}/appeal", json={"reason": "it differs"})
    assert again.status_code == 409


async def test_a_result_is_disputed_by_json_rpc(client, market, order) -> None:
    task_id = await completed(client, market, order)
    found = await call(client, "tm_appealTask", task_id, "it differs")
    assert found["phase"] == "disputed"


async def test_where_nobody_can_judge_both_doors_say_what_to_do(
    client, market, order, twin, monkeypatch
) -> None:
    """As on a devnet of three validators, all of whom judged: the fee is not taken."""
    said = NoJury("0 validators, no fee was taken", remedy="`tmnode devnet --validators 6`")

    async def refuse(*_: object) -> None:
        raise said

    task_id = await completed(client, market, order)
    before = market.balances[twin.LOCAL]
    monkeypatch.setattr(market, "appeal", refuse)
    answer = await client.post(f"/tasks/{task_id}/appeal", json={"reason": "it differs"})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (503, "no_jury")
    assert (body["detail"], body["remedy"]) == (said.message, said.remedy)
    assert "retry-after" not in answer.headers, "it is for somebody to do something"
    request = {"jsonrpc": "2.0", "id": 1, "method": "tm_appealTask", "params": [task_id, "no"]}
    error = (await client.post("/rpc", json=request)).json()["error"]
    assert (error["code"], error["data"]["code"]) == (-32017, "no_jury")
    assert error["data"]["remedy"] == said.remedy
    assert market.balances[twin.LOCAL] == before
    assert market.task(task_id).phase == "verified"


async def test_only_the_customer_disputes(client, service, connect, market, order) -> None:
    task_id = await completed(client, market, order)
    async with connect(service, ("192.0.2.1", 1)) as stranger:
        answer = await stranger.post(f"/tasks/{task_id}/appeal", json={"reason": "no"})
    assert answer.status_code == 401
    assert market.task(task_id).phase == "verified"


async def test_a_key_with_a_limit_disputes_within_it_and_stakes_nothing(
    service, connect, market, order
) -> None:
    owner = AccountKey(b"\x07" * 32)
    market.balances[owner.address] = 100 * CPC
    async with open_database(MemoryStore()) as db:
        ring = Accounts(db, CHAIN, lambda: 0.0)
        async with connect(replace(service, key_ring=ring), ("192.0.2.1", 1)) as client:
            statuses = []
            for limit in ("10.002", "10.003"):
                challenge = ring.challenge(owner.address).challenge
                body = key_request(owner, CHAIN, challenge, limit)
                token = (await client.post("/account/keys", json=body)).json()["key"]
                headers = {"Authorization": f"Bearer {token}"}
                bought = await client.post("/tasks", json=order, headers=headers)
                task_id = bought.json()["task_id"]
                market.complete(task_id)
                path, reason = f"/tasks/{task_id}/appeal", {"reason": "no"}
                answer = await client.post(path, json=reason, headers=headers)
                statuses.append(answer.status_code)
                assert (await change(client, "/bond", "0.001", **headers)).status_code == 403
    assert statuses == [403, 200]
