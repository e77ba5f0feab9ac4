"""When work is paid, over both doors."""

from dataclasses import replace

import pytest

from node.api.accounts import Accounts
from node.client.signing import key_request
from node.l1.keys import AccountKey
from storage.database import open_database
from storage.memory import MemoryStore

CHAIN = "cpc-test"
SHOWN = {
    "owed_cpc": "1.0",
    "threshold_cpc": None,
    "least_threshold_cpc": "0.0000000021",
    "most_threshold_cpc": "1000.0",
    "pay_by": 1_700_000_001,
    "fee_cpc": "0.000000000021",
    "on_the_way": [],
}


async def ask(client, **body: object):
    return await client.post("/account/payout", json=body)


async def test_a_payee_looks_sets_a_threshold_and_is_paid_now(client, twin) -> None:
    shown = {"address": twin.LOCAL, **SHOWN}
    assert (await ask(client)).json() == shown
    set_to = (await ask(client, threshold="2.5")).json()
    assert set_to == {**shown, "threshold_cpc": "2.5"}
    assert (await ask(client, threshold="0")).json() == shown
    paid = (await ask(client, now=True)).json()
    sent = {"amount_cpc": "0.999999999979", "tx_hash": "0x" + "cd" * 32}
    assert paid == {**shown, "owed_cpc": "0.0", "pay_by": None, "on_the_way": [sent]}
    assert (await ask(client, now=True)).json() == paid


async def test_json_rpc_does_the_same(client) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tm_payTerms", "params": ["7.0", False]}
    answer = (await client.post("/rpc", json=call)).json()["result"]
    assert answer == (await ask(client)).json()
    assert answer["threshold_cpc"] == "7.0"


@pytest.mark.parametrize("threshold", ["-1", "x", 3, "1000.1"])
async def test_what_is_no_threshold_is_said_so(client, threshold) -> None:
    answer = await ask(client, threshold=threshold, now=True)
    assert (answer.status_code, answer.json()["field"]) == (400, "threshold")
    assert answer.json()["remedy"]
    assert (await ask(client)).json()["owed_cpc"] == "1.0"


async def test_a_node_that_pays_nobody_says_so(service, connect) -> None:
    async with connect(replace(service, paydesk=None)) as client:
        assert (await ask(client)).status_code == 503


async def test_only_the_payee_s_own_key_counts(service, connect) -> None:
    """And not one with a spending limit, as for withdrawals."""
    owner = AccountKey(b"\x07" * 32)
    async with open_database(MemoryStore()) as db:
        ring = Accounts(db, CHAIN, lambda: 0.0)
        async with connect(replace(service, key_ring=ring), ("192.0.2.1", 1)) as client:
            assert (await ask(client, now=True)).status_code == 401
            answers = []
            for limit in ("5.0", None):
                challenge = ring.challenge(owner.address).challenge
                body = key_request(owner, CHAIN, challenge, limit)
                token = (await client.post("/account/keys", json=body)).json()["key"]
                client.headers["Authorization"] = f"Bearer {token}"
                answers.append(await ask(client, threshold="3.0"))
                del client.headers["Authorization"]
    assert [answer.status_code for answer in answers] == [403, 200]
    assert answers[1].json()["address"] == owner.address
