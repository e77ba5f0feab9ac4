import json
import re

import pytest
import trio

from node.api.service import Service
from node.errors import NodeError, Overloaded
from node.market.views import Problem
from storage.errors import StorageFailed

UNKNOWN = "00000000-0000-0000-0000-0000000000ff"


def assert_problem(response, status: int, code: str, field: str | None = None) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert list(body) == ["type", "title", "status", "code", "detail", "field", "remedy"]
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/docs#{code}")
    assert body["field"] == field, body
    return body


async def test_the_specifications_example(client, order, market) -> None:
    posted = await client.post("/tasks", json=order)
    assert posted.status_code == 201
    assert posted.headers["content-type"] == "application/json"
    taken = posted.json()
    assert taken == {"task_id": taken["task_id"], "status": "pending", "created_at": 1_700_000_000}

    shown = await client.get(f"/tasks/{taken['task_id']}")
    assert shown.status_code == 200
    assert list(shown.json().items()) == [
        ("task_id", taken["task_id"]),
        ("challenge_type", "synthetic"),
        ("status", "pending"),
        ("phase", "queued"),
        ("reward", "10.0"),
        ("created_at", 1_700_000_000),
        ("deadline", 1_700_003_600),
        ("payload", order["payload"]),
        ("jobs", 1),
        ("result", None),
    ]


async def test_a_completed_task_has_its_result(client, order, market) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    market.complete(task_id)
    task = (await client.get(f"/tasks/{task_id}")).json()
    assert (task["status"], task["phase"]) == ("completed", "verified")
    file = {"sha256": "cd" * 32, "size": 1 << 20, "url": f"/artifacts/{'cd' * 32}"}
    assert task["result"] == {
        "result_hash": "0x" + "ab" * 32,
        "worker_address": "cpc1worker",
        "completed_at": 1_700_000_005,
        "pay_due_at": 1_700_000_011,
        "output": {"matrix": file},
        "artifacts": [{"name": "matrix", **file}],
        "workers": [{"address": "cpc1worker", "jobs": 1}],
        "validators": ["cpc1one", "cpc1two"],
        "orchestrator": "cpc1one",
        "checks": [{"address": "cpc1one", "checks": 1}, {"address": "cpc1two", "checks": 1}],
        "proofs": [],
        "appeal_fee_cpc": "0.003",
    }


async def test_a_failed_task_has_its_error(client, order, market) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    error = Problem("deadline_exceeded", "nobody computed it in time")
    market.move(task_id, "refunded", status="failed", error=error)
    task = (await client.get(f"/tasks/{task_id}")).json()
    assert task["error"] == {"code": "deadline_exceeded", "message": "nobody computed it in time"}
    assert task["result"] is None


async def test_cancelling_gives_the_reward_back_once(client, order, market, twin) -> None:
    before = market.balances[twin.LOCAL]
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    assert (await client.get("/account")).json()["reserved_cpc"] == "10.0"
    cancelled = await client.post(f"/tasks/{task_id}/cancel", json={})
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "failed"
    again = await client.post(f"/tasks/{task_id}/cancel", json={})
    assert_problem(again, 409, "conflict", "task_id")
    assert market.balances[twin.LOCAL] == before
    empty = {"content-type": "application/json"}
    third = await client.post(f"/tasks/{task_id}/cancel", headers=empty)
    assert_problem(third, 409, "conflict", "task_id")
    wrong = await client.post(f"/tasks/{task_id}/cancel", json={"why": "x"})
    assert_problem(wrong, 400, "invalid_input", "why")


async def test_an_idempotency_key_gives_the_same_task(client, order, market) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = await client.post("/tasks", json=order, headers=headers)
    second = await client.post("/tasks", json=order, headers=headers)
    third = await client.post("/tasks", json={**order, "idempotency_key": "order-1"})
    assert first.json() == second.json() == third.json()
    assert market.submitted == 1
    both = await client.post("/tasks", json={**order, "idempotency_key": "x"}, headers=headers)
    assert_problem(both, 400, "invalid_input", "idempotency_key")


@pytest.mark.parametrize(
    ("change", "status", "code", "field", "word"),
    [
        ({"challenge_type": "mining"}, 400, "invalid_input", "challenge_type", "rendering"),
        ({"challenge_type": 5}, 400, "invalid_input", "challenge_type", "synthetic"),
        ({"challenge_type": "training"}, 422, "workload_unavailable", "challenge_type", ""),
        ({"payload": []}, 400, "invalid_input", "payload", "object"),
        ({"payload": None}, 400, "invalid_input", "payload", "object"),
        ({"payload": {"matrix_size": 1 << 20}}, 422, "task_too_large", "payload.matrix_size", ""),
        ({"reward": 10.0}, 400, "invalid_input", "reward", '"10.0"'),
        ({"reward": 10}, 400, "invalid_input", "reward", '"10.0"'),
        ({"reward": None}, 400, "invalid_input", "reward", "string"),
        ({"reward": "0"}, 400, "invalid_input", "reward", "above zero"),
        ({"reward": "0.000"}, 400, "invalid_input", "reward", "above zero"),
        ({"reward": "-1"}, 400, "invalid_input", "reward", "sign"),
        ({"reward": "1e3"}, 400, "invalid_input", "reward", "exponent"),
        ({"reward": "NaN"}, 400, "invalid_input", "reward", "decimal"),
        ({"reward": "0.0000000000000000001"}, 400, "invalid_input", "reward", "decimals"),
        ({"reward": "9" * 19}, 400, "invalid_input", "reward", "exist"),
        ({"reward": "0.0001"}, 422, "reward_below_quote", "reward", "0.001"),
        ({"reward": "2000000"}, 402, "insufficient_funds", None, ""),
        ({"deadline": True}, 400, "invalid_input", "deadline", "int"),
        ({"deadline": 1_700_001_000.0}, 400, "invalid_input", "deadline", "int"),
        ({"deadline": "1700001000"}, 400, "invalid_input", "deadline", "int"),
        ({"deadline": 1_700_000_000}, 400, "invalid_input", "deadline", "past"),
        ({"deadline": -1}, 400, "invalid_input", "deadline", ">= 0"),
        ({"deadline": 1_700_000_000 + 8 * 86_400}, 400, "invalid_input", "deadline", "future"),
        ({"prize": "1"}, 400, "invalid_input", "prize", "known fields"),
        ({"idempotency_key": ""}, 400, "invalid_input", "idempotency_key", "visible"),
        ({"idempotency_key": "x" * 129}, 400, "invalid_input", "idempotency_key", "128"),
        ({"idempotency_key": "a b"}, 400, "invalid_input", "idempotency_key", "visible"),
    ],
)
async def test_a_wrong_field_is_named(client, order, change, status, code, field, word) -> None:
    body = assert_problem(
        await client.post("/tasks", json={**order, **change}), status, code, field
    )
    assert word in body["detail"] + str(body["remedy"])


@pytest.mark.parametrize("name", ["challenge_type", "payload", "reward"])
async def test_a_missing_field_is_named(client, order, name) -> None:
    del order[name]
    body = assert_problem(await client.post("/tasks", json=order), 400, "invalid_input", name)
    assert body["detail"] == "is missing"


async def test_a_deadline_up_to_the_limit_is_taken(client, order) -> None:
    for deadline in (1_700_000_001, 1_700_000_000 + 7 * 86_400, None):
        answer = await client.post("/tasks", json={**order, "deadline": deadline})
        assert answer.status_code == 201


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"x"'])
async def test_the_body_is_an_object(client, body) -> None:
    headers = {"content-type": "application/json"}
    assert_problem(await client.post("/tasks", content=body, headers=headers), 400, "invalid_input")


async def test_above_capacity_the_answer_is_429_and_says_when_to_come_back(
    client, order, market, monkeypatch
) -> None:
    async def full(*_: object) -> None:
        raise Overloaded("the market is full", remedy="try again in a few seconds")

    monkeypatch.setattr(market, "submit", full)
    answer = await client.post("/tasks", json=order)
    assert_problem(answer, 429, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["remedy"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tm_submitTask", "params": order}
    error = (await client.post("/rpc", json=call)).json()["error"]
    assert (error["code"], error["data"]["code"]) == (-32010, "overloaded")


async def test_lists_are_pages(client, order, market) -> None:
    ids = [(await client.post("/tasks", json=order)).json()["task_id"] for _ in range(5)]
    market.complete(ids[0])
    page = (await client.get("/tasks", params={"limit": 2, "offset": 1})).json()
    assert [task["task_id"] for task in page["tasks"]] == [ids[3], ids[2]]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    done = (await client.get("/tasks?status=completed&challenge_type=synthetic")).json()
    assert [task["task_id"] for task in done["tasks"]] == [ids[0]]
    assert (await client.get("/tasks")).json()["limit"] == 50


async def test_a_cursor_goes_on_where_the_page_ended_whatever_was_bought_since(
    client, order
) -> None:
    ids = [(await client.post("/tasks", json=order)).json()["task_id"] for _ in range(5)]
    first = (await client.get("/tasks?limit=2")).json()
    await client.post("/tasks", json=order)
    query = {"limit": 2, "cursor": first["cursor"]}
    second = (await client.get("/tasks", params=query)).json()
    assert [task["task_id"] for task in second["tasks"]] == [ids[2], ids[1]]
    query = {"limit": 2, "cursor": second["cursor"]}
    last = (await client.get("/tasks", params=query)).json()
    assert [task["task_id"] for task in last["tasks"]] == [ids[0]]
    assert (last["cursor"], last["total"]) == (None, 6)
    call = {"jsonrpc": "2.0", "method": "tm_listTasks", "params": query, "id": 1}
    assert (await client.post("/rpc", json=call)).json()["result"] == last


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=1&cursor=AAAAAAAAAGQ", "cursor"),
        ("cursor=AAAAAAAAAGR", "cursor"),
        ("cursor=5", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%C3%BC", "cursor"),
        ("offset=1e99", "offset"),
        ("status=done", "status"),
        ("challenge_type=mining", "challenge_type"),
        ("chalenge_type=synthetic", "chalenge_type"),
    ],
)
async def test_a_wrong_query_is_named(client, query, field) -> None:
    assert_problem(await client.get(f"/tasks?{query}"), 400, "invalid_input", field)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/tasks", "status"), ("/tasks", "challenge_type")],
)
async def test_the_word_null_leaves_nothing_out(client, path: str, name: str) -> None:
    assert_problem(await client.get(path, params={name: "null"}), 400, "invalid_input", name)
    upper = await client.get(path, params={name: "NULL"})
    assert_problem(upper, 400, "invalid_input", name)


async def test_null_is_a_key_like_any_other(client, order, market) -> None:
    sent = {"Idempotency-Key": "null"}
    first, again = [await client.post("/tasks", json=order, headers=sent) for _ in range(2)]
    assert first.json()["task_id"] == again.json()["task_id"]
    assert market.submitted == 1


async def test_task_ids_have_the_form_of_a_uuid(client, order) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    assert (await client.get(f"/tasks/{task_id.upper()}")).json()["task_id"] == task_id
    assert_problem(await client.get(f"/tasks/{UNKNOWN}"), 404, "not_found", "task_id")
    for wrong in ("1", "0x" + task_id, task_id.replace("-", ""), task_id + "%0A", "x" * 36):
        answer = await client.get(f"/tasks/{wrong}")
        assert_problem(answer, 400, "invalid_input", "task_id")


async def test_a_receipt_is_passed_on_byte_for_byte(client, order, market) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    early = await client.get(f"/tasks/{task_id}/receipt")
    assert_problem(early, 409, "conflict", "task_id")
    market.receipts[task_id] = b'{"b":1,"a":[ ]}'
    late = await client.get(f"/tasks/{task_id}/receipt")
    assert (late.status_code, late.content) == (200, b'{"b":1,"a":[ ]}')


async def test_a_quote_costs_nothing_and_needs_nobody(service, connect, order, market) -> None:
    del order["reward"]
    async with connect(service, ("192.0.2.1", 1)) as stranger:
        answer = await stranger.post("/quote", json=order)
    assert answer.json() == {
        "challenge_type": "synthetic",
        "price_cpc": "0.001",
        "work_units": 10**12,
        "check_units": 10**9,
        "max_deadline_s": 86400,
        "jobs": 1,
        "proof_units": 0,
        "appeal_fee_cpc": None,
    }


async def test_a_statement_is_its_owners(client, order, twin) -> None:
    task_ids = [(await client.post("/tasks", json=order)).json()["task_id"] for _ in range(3)]
    first = (await client.get("/account/statement", params={"limit": 2})).json()
    assert (first["address"], first["next"]) == (twin.LOCAL, 2)
    rest = (await client.get("/account/statement", params={"start": 2})).json()
    assert [line["about"] for line in (*first["lines"], *rest["lines"])] == task_ids
    assert rest["next"] is None
    assert rest["lines"][0] == {
        "number": 2,
        "at": twin.STARTED_MS / 1000,
        "account": "customer",
        "kind": "reserve",
        "about": task_ids[2],
        "amount_cpc": f"-{order['reward']}",
    }
    by_name = {"jsonrpc": "2.0", "id": 1, "method": "tm_getStatement", "params": {"start": 2}}
    assert (await client.post("/rpc", json=by_name)).json()["result"] == rest
    for wrong in ({"start": -1}, {"limit": 0}, {"limit": 201}, {"address": "cpc1other"}):
        (name,) = wrong
        refused = await client.get("/account/statement", params=wrong)
        assert_problem(refused, 400, "invalid_input", name)


async def test_anybody_sees_what_a_payout_pays(client) -> None:
    answer = await client.get(f"/payouts/{'ab' * 32}/cpc1burn")
    assert answer.json() == {
        "account": "burn",
        "entries": [
            {
                "cause": "mature:t",
                "kind": "mature",
                "at_ms": 1_700_000_000_000,
                "number": 7,
                "postings": [
                    {"account": "maturing:t", "amount_cpc": "-0.000000000000000004"},
                    {"account": "burn", "amount_cpc": "0.000000000000000004"},
                ],
            }
        ],
    }
    other = await client.get(f"/payouts/{'cd' * 32}/cpc1burn")
    assert_problem(other, 404, "not_found", "root")


async def test_account_status_peers_workers(client, twin) -> None:
    mine = (await client.get("/account")).json()
    assert mine == {
        "address": twin.LOCAL,
        "available_cpc": "1000000.0",
        "reserved_cpc": "0.0",
        "earned_cpc": "0.25",
        "deposit_address": "cpc1deposit",
        "deposit_by": "TRANSFER",
        "withdrawal_fee_cpc": "0.000000000021",
        "credit_limit_cpc": "0.0",
        "owed_cpc": "0.0",
        "credit_backer": "",
        "bonded_cpc": "0.0",
        "unbonding_cpc": "0.0",
    }
    nobody = "cpc1we7t3vhwcgxkelznr06du3tvzurh3cnpf2ee7g"
    other = (await client.get("/account", params={"address": nobody})).json()
    assert other["available_cpc"] == "0.0"
    typo = await client.get("/account", params={"address": nobody[:-1] + "h"})
    assert_problem(typo, 400, "invalid_input", "address")
    assert (await client.get("/status")).json()["chain_id"] == "cpc-test"
    assert len((await client.get("/peers")).json()["peers"]) == 2
    workers = (await client.get("/workers")).json()["workers"]
    assert [worker["peer_id"] for worker in workers] == ["12D3three"]


async def test_health_and_readiness(client, node) -> None:
    assert (await client.get("/healthz")).json()["ready"] is True
    assert (await client.get("/readyz")).status_code == 200
    node.obstacles = ("the disk is read-only", "no worker is connected")
    healthy = await client.get("/healthz")
    assert (healthy.status_code, healthy.json()["ready"]) == (200, False)
    assert healthy.json()["waiting"][:2] == list(node.obstacles)
    answer = await client.get("/readyz")
    assert_problem(answer, 503, "unavailable")
    assert answer.json()["detail"] == "the disk is read-only; no worker is connected"
    assert answer.headers["retry-after"] == "5"


async def test_unknown_paths_and_methods(client) -> None:
    assert_problem(await client.get("/nothing"), 404, "not_found")
    assert_problem(await client.get("/tasks/"), 404, "not_found")
    answer = await client.delete("/quote")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    answer = await client.options("/tasks")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST", "of all that is at the path"


async def test_no_answer_lets_another_origin_read_it(client, order) -> None:
    origin = {"Origin": "http://127.0.0.1:8080"}
    for answer in (
        await client.get("/status", headers=origin),
        await client.post("/tasks", json=order, headers=origin),
        await client.options("/tasks", headers=origin),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_node_without_a_market_says_so(node, connect, order) -> None:
    async with connect(Service(node=node, local_account="cpc1local")) as client:
        assert_problem(await client.post("/tasks", json=order), 501, "not_a_market")
        assert_problem(await client.get("/tasks"), 501, "not_a_market")
        assert (await client.get("/status")).status_code == 200


class Broken(NodeError):
    code = "never_heard_of"


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("secret"), "internal"), (Broken("oh"), "never_heard_of")]
)
async def test_what_goes_wrong_inside_is_a_500(client, order, market, error, code, caplog) -> None:
    async def fail(*_: object) -> None:
        raise error

    market.submit = fail
    answer = await client.post("/tasks", json=order)
    assert_problem(answer, 500, code)
    assert "secret" not in answer.text


async def test_a_disk_that_fails_is_said_to_be_one(client, order, market) -> None:
    """Requests that were waiting for their sync when it failed; the node itself then stops."""

    async def fail(*_: object) -> None:
        raise StorageFailed("No space left on device")

    market.submit = fail
    answer = await client.post("/tasks", json=order)
    assert_problem(answer, 503, "unavailable")
    assert "idempotency key" in answer.json()["remedy"]
    assert "device" not in answer.text


async def test_a_command_that_hangs_is_given_up(client, order, market, autojump_clock) -> None:
    async def hang(*_: object) -> None:
        await trio.sleep_forever()

    market.submit = hang
    assert_problem(await client.post("/tasks", json=order), 503, "unavailable")


async def test_waiting_for_the_next_phase(client, order, market, autojump_clock) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    answers = []

    async def wait() -> None:
        answers.append(await client.get(f"/tasks/{task_id}/wait", params={"phase": "queued"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        market.move(task_id, "leased", status="in_progress")
    assert answers[0].json()["phase"] == "leased"
    seen = await client.get(f"/tasks/{task_id}/wait", params={"phase": "queued"})
    assert seen.json()["phase"] == "leased"
    assert trio.current_time() == 0


async def test_waiting_ends_at_the_timeout(service, client, order, autojump_clock) -> None:
    free = service.waits.value
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    answer = await client.get(f"/tasks/{task_id}/wait?timeout=2.5")
    assert (answer.json()["phase"], trio.current_time()) == ("queued", 2.5)
    await client.get(f"/tasks/{task_id}/wait")
    assert trio.current_time() == 32.5
    assert service.waits.value == free
    for wrong in ("61", "-1", "nan", "inf", "x"):
        answer = await client.get(f"/tasks/{task_id}/wait?timeout={wrong}")
        assert_problem(answer, 400, "invalid_input", "timeout")
    assert_problem(await client.get(f"/tasks/{UNKNOWN}/wait"), 404, "not_found", "task_id")


async def test_only_so_many_may_wait(service, client, order, autojump_clock) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    while service.waits.value:
        service.waits.acquire_nowait()
    answer = await client.get(f"/tasks/{task_id}/wait")
    assert_problem(answer, 429, "overloaded")
    assert answer.headers["retry-after"] == "1"


async def test_an_error_while_waiting_is_an_answer(client, order, market, autojump_clock) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]

    async def fail(*_: object, **__: object) -> None:
        await trio.sleep(1)
        raise Broken("the store is gone")

    market.wait = fail
    assert_problem(await client.get(f"/tasks/{task_id}/wait"), 500, "never_heard_of")


async def test_the_docs_load_nothing(client) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"""(src|href)=["'](?![/#])|url\(|@import|<script|<link""", page.text)
    for path in ("POST /tasks", "GET /artifacts/{sha256}", "Idempotency-Key", "tm_submitTask"):
        assert path in page.text


async def test_json_bodies_hold_what_was_sent(client, order) -> None:
    order["payload"] = {"text": "ünï\u2028", "big": 2**64 - 1, "neg": -(2**63), "f": 0.1, "n": None}
    body = json.dumps(order).encode()
    headers = {"content-type": "application/json; charset=UTF-8"}
    posted = await client.post("/tasks", content=body, headers=headers)
    shown = await client.get(f"/tasks/{posted.json()['task_id']}")
    assert shown.json()["payload"] == order["payload"]
