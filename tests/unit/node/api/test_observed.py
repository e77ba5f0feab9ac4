"""What a request leaves behind: its id, its lines in the log, its numbers."""

import io
import json
import logging

import pytest
import trio

from node.api.gate import Gate
from node.api.rest import build_app
from node.logs import JsonLines

UNKNOWN = "00000000-0000-0000-0000-0000000000ff"


@pytest.fixture
def lines():
    """Parses what the node's parts have logged so far."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("market"))
    logger = logging.getLogger("node")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def busy_market(market, monkeypatch):
    """A market whose parts log while they answer."""
    log = logging.getLogger("node.market.twin")
    submit, task = market.submit, market.task

    async def logged_submit(*args):
        view = await submit(*args)
        log.info("the task is queued", extra={"task": view.task_id})
        return view

    def logged_task(task_id: str):
        log.info("looking")
        if task_id == UNKNOWN:
            raise RuntimeError("broken")
        return task(task_id)

    monkeypatch.setattr(market, "submit", logged_submit)
    monkeypatch.setattr(market, "task", logged_task)
    return market


async def test_every_line_of_a_request_carries_its_id_and_its_task(
    client, busy_market, order, lines
) -> None:
    posted = await client.post("/tasks", json=order)
    task_id, first = posted.json()["task_id"], posted.headers["x-request-id"]
    shown = await client.get(f"/tasks/{task_id}", headers={"X-Request-Id": "chosen"})
    second = shown.headers["x-request-id"]
    assert len({first, second, "chosen"}) == 3
    assert [
        (line["message"].split(" after")[0], line["request"], line.get("task")) for line in lines()
    ] == [
        ("the task is queued", first, task_id),
        ("submit: 201", first, None),
        ("looking", second, task_id),
        ("task: 200", second, None),
    ]  # fmt: skip


async def test_a_failure_is_logged_under_the_id_that_its_client_got(
    client, busy_market, lines
) -> None:
    answer = await client.get(f"/tasks/{UNKNOWN}")
    assert answer.status_code == 500
    (failed,) = (line for line in lines() if line["level"] == "error")
    assert failed["request"] == answer.headers["x-request-id"]
    assert "RuntimeError: broken" in failed["error"]


async def test_calls_inside_rpc_are_about_their_request_and_task(
    client, busy_market, order, lines
) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    call = {"jsonrpc": "2.0", "method": "tm_getTask", "params": [task_id], "id": 1}
    answer = await client.post("/rpc", json=[call])
    found = [(line["request"], line["task"]) for line in lines() if line["message"] == "looking"]
    assert found == [(answer.headers["x-request-id"], task_id)]


async def test_requests_at_the_same_time_have_ids_of_their_own(
    client, busy_market, order, lines
) -> None:
    answers = []

    async def post() -> None:
        answers.append(await client.post("/tasks", json=order))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(post)
    ids = {one.json()["task_id"]: one.headers["x-request-id"] for one in answers}
    queued = {line["task"]: line["request"] for line in lines() if "task" in line}
    assert queued == ids
    assert len(set(ids.values())) == 20


async def test_metrics_can_be_parsed_and_count_by_command_and_status(
    client, order, parse_metrics
) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    await client.get(f"/tasks/{task_id}")
    await client.get(f"/tasks/{UNKNOWN}")
    await client.get("/nowhere/" + task_id)
    good = {"jsonrpc": "2.0", "method": "tm_status", "id": 1}
    bad = {"jsonrpc": "2.0", "method": "tm_getTask", "params": [UNKNOWN], "id": 2}
    await client.post("/rpc", json=[good, bad])
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = parse_metrics(answer.text)
    assert found["tmnode_requests_total"] == {
        ("", ("command", command), ("status", status)): count
        for command, status, count in [
            ("submit", "201", 1),
            ("task", "200", 1),
            ("task", "404", 2),
            ("none", "404", 1),
            ("status", "200", 1),
            ("rpc", "200", 1),
        ]
    }
    assert found["tmnode_request_seconds"][("_count", ("command", "task"))] == 3
    assert found["tmnode_requests_held"] == {
        ("", ("command", "events")): 0, ("", ("command", "wait")): 0
    }  # fmt: skip
    assert found["tmnode_peers"] == {("",): 2}
    assert task_id not in answer.text
    again = parse_metrics((await client.get("/metrics")).text)
    assert again["tmnode_requests_total"][("", ("command", "metrics"), ("status", "200"))] == 1


async def test_requests_that_the_gate_refused_are_counted(service, parse_metrics) -> None:
    gate = Gate(build_app(service), 0)

    async def ask(path: str) -> bytes:
        sent = []

        async def send(message) -> None:
            sent.append(message)

        await gate(
            {
                "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
                "query_string": b"", "headers": [], "client": None, "server": None,
            },
            trio.sleep_forever,
            send,
        )  # fmt: skip
        return sent[-1]["body"]

    for _ in range(3):
        await ask("/tasks")
    found = parse_metrics((await ask("/metrics")).decode())
    assert found["tmnode_requests_refused_total"] == {("",): 3}
