import json

import pytest
import trio

from node.api.rpc import MAX_BATCH

TASK = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def call(client):
    async def post(value: object) -> object:
        headers = {"content-type": "application/json"}
        answer = await client.post("/rpc", content=json.dumps(value), headers=headers)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    return post


def request(method: object, params: object = None, request_id: object = 1) -> dict[str, object]:
    made = {"jsonrpc": "2.0", "method": method, "id": request_id}
    return made if params is None else {**made, "params": params}


def assert_error(response, rpc_code: int, code: str, request_id: object = 1) -> dict:
    assert list(response) == ["jsonrpc", "error", "id"]
    assert response["id"] == request_id
    assert response["error"]["code"] == rpc_code, response
    assert response["error"]["data"]["code"] == code
    return response["error"]


async def test_by_name_and_by_position(call, order) -> None:
    named = await call(request("tm_submitTask", order))
    task_id = named["result"]["task_id"]
    assert named == {"jsonrpc": "2.0", "result": named["result"], "id": 1}
    placed = await call(request("tm_submitTask", list(order.values()), "two"))
    assert placed["id"] == "two"
    assert placed["result"]["task_id"] != task_id
    shown = await call(request("tm_getTask", [task_id]))
    assert shown["result"]["payload"] == order["payload"]
    listed = await call(request("tm_listTasks"))
    assert listed["result"]["total"] == 2


async def test_receipts_are_json_inside(call, order, market) -> None:
    task_id = (await call(request("tm_submitTask", order)))["result"]["task_id"]
    market.receipts[task_id] = b'{"a":1}'
    assert (await call(request("tm_getReceipt", [task_id])))["result"] == {"a": 1}


async def test_a_repeated_idempotency_key(call, order, market) -> None:
    params = {**order, "idempotency_key": "k"}
    batch = await call([request("tm_submitTask", params, n) for n in range(3)])
    assert len({answer["result"]["task_id"] for answer in batch}) == 1
    assert market.submitted == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[1,]", b'{"a":1,"a":2}', b"NaN", b"\xff"])
async def test_parse_errors(client, body) -> None:
    answer = await client.post("/rpc", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert_error(answer.json(), -32700, "malformed_json", None)


@pytest.mark.parametrize(
    ("value", "request_id"),
    [
        (1, None),
        ("x", None),
        (None, None),
        ([], None),
        ({}, None),
        ({"jsonrpc": "1.0", "method": "tm_status", "id": 3}, 3),
        ({"jsonrpc": "2.0", "id": 3}, 3),
        ({"jsonrpc": "2.0", "method": 1, "id": "a"}, "a"),
        ({"jsonrpc": "2.0", "method": "tm_status", "params": "x", "id": 3}, 3),
        ({"jsonrpc": "2.0", "method": "tm_status", "params": None, "id": 3}, 3),
        ({"jsonrpc": "2.0", "method": "tm_status", "id": {}}, None),
        ({"jsonrpc": "2.0", "method": "tm_status", "id": True}, None),
        ({"jsonrpc": "2.0", "method": "tm_status", "more": 1, "id": 3}, 3),
        ([{"jsonrpc": "2.0", "method": "tm_status", "id": 1}] * (MAX_BATCH + 1), None),
    ],
)
async def test_invalid_requests(call, value, request_id) -> None:
    assert_error(await call(value), -32600, "invalid_request", request_id)


@pytest.mark.parametrize("method", ["", "tm_nothing", "rpc.discover", "artifact", "__init__"])
async def test_unknown_methods(call, method) -> None:
    error = assert_error(await call(request(method)), -32601, "unknown_method")
    assert "tm_getTask" in error["data"]["remedy"]


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("tm_getTask", None, "task_id"),
        ("tm_getTask", [TASK, 2], "params"),
        ("tm_getTask", ["nonsense"], "task_id"),
        ("tm_getTask", {"task_id": TASK, "x": 1}, "x"),
        ("tm_listTasks", {"limit": "5"}, "limit"),
        ("tm_listTasks", {"limit": 5.0}, "limit"),
        ("tm_status", [1], "params"),
        ("tm_waitTask", [TASK, None, 61], "timeout"),
        ("tm_quote", ["synthetic", "x"], "payload"),
    ],
)
async def test_invalid_params(call, method, params, field) -> None:
    error = assert_error(await call(request(method, params)), -32602, "invalid_input")
    assert error["data"]["field"] == field
    assert error["data"]["remedy"]


@pytest.mark.parametrize(
    ("change", "rpc_code", "code"),
    [
        ({"payload": {"matrix_size": 1 << 20}}, -32001, "task_too_large"),
        ({"reward": "0.0001"}, -32002, "reward_below_quote"),
        ({"challenge_type": "training"}, -32003, "workload_unavailable"),
        ({"reward": "2000000"}, -32004, "insufficient_funds"),
    ],
)
async def test_our_own_codes(call, order, change, rpc_code, code) -> None:
    assert_error(await call(request("tm_submitTask", {**order, **change})), rpc_code, code)


async def test_not_found_and_conflict(call, order) -> None:
    assert_error(await call(request("tm_getTask", [TASK])), -32007, "not_found")
    task_id = (await call(request("tm_submitTask", order)))["result"]["task_id"]
    assert_error(await call(request("tm_getReceipt", [task_id])), -32008, "conflict")


async def test_internal_errors(call, order, market) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    market.quote = fail
    del order["reward"]
    answer = await call(request("tm_quote", order))
    assert_error(answer, -32603, "internal")
    assert "secret" not in str(answer)


async def test_notifications_are_done_and_not_answered(client, order, market) -> None:
    note = {"jsonrpc": "2.0", "method": "tm_submitTask", "params": order}
    alone = await client.post("/rpc", json=note)
    assert (alone.status_code, alone.content) == (204, b"")
    failing = {"jsonrpc": "2.0", "method": "tm_nothing"}
    several = await client.post("/rpc", json=[note, failing])
    assert (several.status_code, several.content) == (204, b"")
    assert market.submitted == 2


async def test_batches_keep_their_order(call, order) -> None:
    batch = [
        request("tm_submitTask", order, "a"),
        {"jsonrpc": "2.0", "method": "tm_status"},
        5,
        request("tm_nothing", None, None),
        request("tm_listTasks", None, "b"),
    ]
    answers = await call(batch)
    assert [answer["id"] for answer in answers] == ["a", None, None, "b"]
    assert_error(answers[1], -32600, "invalid_request", None)
    assert_error(answers[2], -32601, "unknown_method", None)
    assert answers[3]["result"]["total"] == 1
    assert len(await call([request("tm_status")] * MAX_BATCH)) == MAX_BATCH


async def test_a_batch_has_a_time_limit(call, order, autojump_clock) -> None:
    task_id = (await call(request("tm_submitTask", order)))["result"]["task_id"]
    waits = [request("tm_waitTask", [task_id, "queued", 60], n) for n in range(4)]
    answers = await call([*waits, {"jsonrpc": "2.0", "method": "tm_status"}])
    assert trio.current_time() == 90
    assert answers[0]["result"]["phase"] == "queued"
    for n in (1, 2, 3):
        assert_error(answers[n], -32009, "unavailable", n)
    assert len(answers) == 4


async def test_the_body_must_be_json(client) -> None:
    answer = await client.post("/rpc", content=b"{}", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong_media_type")
    assert (await client.get("/rpc")).status_code == 405
