from dataclasses import replace

import pytest
import trio

from node.api.accounts import CHALLENGE_S, MAX_KEYS, Accounts, key_request_digest
from node.l1.keys import AccountKey
from storage.database import open_database
from storage.memory import MemoryStore

CHAIN = "cpc-test"
CPC = 10**18


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key() -> AccountKey:
    return AccountKey(bytes(31) + b"\x07")


@pytest.fixture
async def accounts(clock):
    async with open_database(MemoryStore()) as db:
        yield Accounts(db, CHAIN, clock)


@pytest.fixture
async def client(service, accounts, market, key, connect):
    """Somebody on another machine, with an account that has money."""
    market.balances[key.address] = 100 * CPC
    async with connect(replace(service, key_ring=accounts), ("192.0.2.1", 1)) as opened:
        yield opened


async def signed(client, key: AccountKey, limit: str | None = None, **changes: str) -> dict:
    """The body of a key request, signed and then changed."""
    answer = await client.post("/account/challenge", json={"address": key.address})
    challenge = answer.json()["challenge"]
    body = {
        "address": key.address,
        "public_key": key.public_key.hex(),
        "challenge": challenge,
        "signature": key.sign_digest(
            key_request_digest(CHAIN, key.address, challenge, limit)
        ).hex(),
        **({} if limit is None else {"spend_limit": limit}),
    }
    return {**body, **changes}


async def make_key(client, key: AccountKey, limit: str | None = None) -> dict[str, str]:
    answer = await client.post("/account/keys", json=await signed(client, key, limit))
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['key']}"}


async def test_a_key_spends_its_accounts_money(client, key, order, market) -> None:
    assert (await client.post("/tasks", json=order)).status_code == 401
    bearer = await make_key(client, key)
    posted = await client.post("/tasks", json=order, headers=bearer)
    assert posted.status_code == 201
    assert market.balances[key.address] == 90 * CPC
    mine = await client.get("/account", headers=bearer)
    assert (mine.json()["address"], mine.json()["reserved_cpc"]) == (key.address, "10.0")
    path = f"/tasks/{posted.json()['task_id']}/cancel"
    assert (await client.post(path, headers=bearer)).status_code == 200
    assert market.balances[key.address] == 100 * CPC


async def test_a_key_does_not_touch_others_tasks(client, key, order, service, connect) -> None:
    async with connect(service) as local:
        task_id = (await local.post("/tasks", json=order)).json()["task_id"]
    answer = await client.post(f"/tasks/{task_id}/cancel", headers=await make_key(client, key))
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


async def test_only_the_digest_of_a_key_is_stored(accounts, client, key) -> None:
    bearer = await make_key(client, key)
    token = bearer["Authorization"].removeprefix("Bearer ")
    assert token.startswith("tm_")
    assert len(token) == 46
    stored = b"".join(k + v for k, v in accounts._db.scan(b"", b"\xff"))
    assert token.encode() not in stored
    assert token[3:].encode() not in stored
    digest, address = accounts.find(token)
    assert (len(digest), address) == (32, key.address)
    for wrong in (token[:-1], token + "x", token[3:], "", "tm_", "\udcff"):
        assert accounts.find(wrong) is None


async def test_a_challenge_is_used_once(client, key) -> None:
    body = await signed(client, key)
    assert (await client.post("/account/keys", json=body)).status_code == 201
    for again in (body, {**body, "challenge": body["challenge"].upper()}):
        answer = await client.post("/account/keys", json=again)
        assert answer.status_code in (400, 403)


async def test_a_challenge_expires(client, key, clock) -> None:
    body = await signed(client, key)
    clock.now += CHALLENGE_S
    answer = await client.post("/account/keys", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, "challenge")
    assert "expired" in answer.json()["detail"]


async def test_a_challenge_is_this_nodes_and_this_addresss(client, key) -> None:
    other = AccountKey(bytes(31) + b"\x08")
    theirs = (await client.post("/account/challenge", json={"address": other.address})).json()
    assert theirs["expires_at"] == 1_700_000_000 + CHALLENGE_S
    signature = key.sign_digest(key_request_digest(CHAIN, key.address, theirs["challenge"], None))
    body = await signed(client, key, challenge=theirs["challenge"], signature=signature.hex())
    answer = await client.post("/account/keys", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, "challenge")


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"address": "cpc1wrong"}, 400, "address"),
        ({"public_key": "02" * 32}, 400, "public_key"),
        ({"public_key": "zz" * 33}, 400, "public_key"),
        ({"public_key": "00" * 33}, 403, "public_key"),
        ({"public_key": AccountKey(bytes(31) + b"\x08").public_key.hex()}, 403, "public_key"),
        ({"signature": "00" * 64}, 403, "signature"),
        ({"signature": "ff" * 64}, 403, "signature"),
        ({"signature": "ab" * 63}, 400, "signature"),
        ({"challenge": "ab" * 40}, 400, "challenge"),
        ({"challenge": ""}, 400, "challenge"),
        ({"spend_limit": "1.0"}, 403, "signature"),
        ({"spend_limit": "-1"}, 400, "spend_limit"),
        ({"spend_limit": "x"}, 400, "spend_limit"),
    ],
)
async def test_a_wrong_request_makes_no_key(client, key, changes, status, field) -> None:
    answer = await client.post("/account/keys", json=await signed(client, key, **changes))
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    assert answer.json()["remedy"]


async def test_a_challenge_needs_an_address(client) -> None:
    answer = await client.post("/account/challenge", json={"address": "cpc1nonsense"})
    assert (answer.status_code, answer.json()["field"]) == (400, "address")


async def test_another_chains_signature_is_worthless(client, key) -> None:
    body = await signed(client, key)
    digest = key_request_digest("cpc-other", key.address, body["challenge"], None)
    answer = await client.post(
        "/account/keys", json={**body, "signature": key.sign_digest(digest).hex()}
    )
    assert answer.status_code == 403


async def test_another_key_retires_the_oldest(client, key) -> None:
    bearers = [await make_key(client, key) for _ in range(MAX_KEYS + 1)]
    statuses = [(await client.get("/account", headers=b)).status_code for b in bearers]
    assert statuses == [401] + [200] * MAX_KEYS


async def test_a_limit_bounds_what_a_key_spends(client, key, order, market) -> None:
    bearer = await make_key(client, key, "25")
    for _ in range(2):
        assert (await client.post("/tasks", json=order, headers=bearer)).status_code == 201
    third = await client.post("/tasks", json=order, headers=bearer)
    assert (third.status_code, third.json()["field"]) == (403, "reward")
    assert "5.0" in third.json()["remedy"]
    small = await client.post("/tasks", json={**order, "reward": "5"}, headers=bearer)
    assert small.status_code == 201
    assert market.balances[key.address] == 75 * CPC
    assert (
        await client.post("/tasks", json=order, headers=await make_key(client, key))
    ).status_code == 201


async def test_a_limit_holds_for_requests_at_the_same_time(client, key, order, market) -> None:
    bearer = await make_key(client, key, "25")
    statuses = []

    async def submit() -> None:
        answer = await client.post("/tasks", json=order, headers=bearer)
        statuses.append(answer.status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(submit)
    assert sorted(statuses) == [201, 201] + [403] * 6
    assert market.balances[key.address] == 80 * CPC


async def test_what_failed_is_not_counted(client, key, order) -> None:
    bearer = await make_key(client, key, "10")
    for reward in ("0.0001", "10"):  # below the price; then what the limit just allows
        answer = await client.post("/tasks", json={**order, "reward": reward}, headers=bearer)
    assert answer.status_code == 201


async def test_a_repeated_request_counts_once(client, key, order, market) -> None:
    bearer = await make_key(client, key, "10")
    headers = {**bearer, "Idempotency-Key": "one"}
    first = await client.post("/tasks", json=order, headers=headers)
    again = await client.post("/tasks", json=order, headers=headers)
    assert first.json() == again.json()
    other = await client.post("/tasks", json={**order, "reward": "1"}, headers=headers)
    assert (other.status_code, other.json()["field"]) == (409, "idempotency_key")
    assert market.submitted == 1


async def test_a_repeated_request_counts_if_the_first_one_failed(
    client, key, order, market
) -> None:
    bearer = await make_key(client, key, "15")
    headers = {**bearer, "Idempotency-Key": "one"}
    market.balances[key.address] = 0
    poor = await client.post("/tasks", json=order, headers=headers)
    assert poor.status_code == 402
    market.balances[key.address] = 100 * CPC
    assert (await client.post("/tasks", json=order, headers=headers)).status_code == 201
    more = await client.post("/tasks", json=order, headers=bearer)
    assert (more.status_code, more.json()["field"]) == (403, "reward")


async def test_a_request_that_runs_is_not_run_twice(client, key, order, market) -> None:
    bearer = await make_key(client, key, "10")
    headers = {**bearer, "Idempotency-Key": "one"}
    gate, real = trio.Event(), market.submit

    async def slow(*args: object) -> object:
        await gate.wait()
        return await real(*args)

    market.submit = slow
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: client.post("/tasks", json=order, headers=headers))
        await trio.testing.wait_all_tasks_blocked()
        second = await client.post("/tasks", json=order, headers=headers)
        gate.set()
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    third = await client.post("/tasks", json=order, headers=headers)
    assert third.status_code == 201
    assert market.submitted == 1


async def test_keys_survive_a_restart(service, connect, key, clock, market, order) -> None:
    store = MemoryStore()
    market.balances[key.address] = 100 * CPC
    async with open_database(store) as db:
        with_keys = replace(service, key_ring=Accounts(db, CHAIN, clock))
        async with connect(with_keys, ("192.0.2.1", 1)) as client:
            bearer = await make_key(client, key, "15")
            await client.post("/tasks", json=order, headers=bearer)
    async with open_database(store) as db:
        with_keys = replace(service, key_ring=Accounts(db, CHAIN, clock))
        async with connect(with_keys, ("192.0.2.1", 1)) as client:
            answer = await client.post("/tasks", json=order, headers=bearer)
            assert (answer.status_code, answer.json()["field"]) == (403, "reward")


async def test_a_node_without_keys_says_so(service, connect, key) -> None:
    async with connect(service) as client:
        answer = await client.post("/account/challenge", json={"address": key.address})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
