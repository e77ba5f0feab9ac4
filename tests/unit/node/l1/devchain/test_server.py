"""The HTTP interface beyond the captured conversation: the short way in, refusals, CORS, events."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from node.l1.devchain.faults import Faults
from node.l1.devchain.intake import LooseTransaction, read_exact
from node.l1.devchain.server import MAX_BODY_BYTES
from node.l1.keys import AccountKey
from node.l1.transactions import Transaction, transfer, tx_hash

Key = Callable[[int], AccountKey]
JSON = {"content-type": "application/json"}


@pytest.fixture
def body(key: Key) -> dict[str, Any]:
    return msgspec.to_builtins(transfer(key(2).address, 5, payload={"a": [1.5]}).signed(key(1), 0))


async def post(world: Any, body: Any, **headers: str) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return await world.http.post("/tx/send", content=text, headers={**JSON, **headers})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"amount": "5", "nonce": "0", "fee": 21_000_000.0},
        {"nonce": False},
        {"unknown": {"x": 1}, "timestamp": 1},
    ],
)
async def test_loose_and_exact_json_mean_the_same(
    world: Any, body: dict[str, Any], change: dict[str, Any]
) -> None:
    answer = await post(world, {**body, **change})
    expected = tx_hash(msgspec.convert(body, Transaction))
    assert answer.json() == {"tx_hash": expected, "status": "received"}


async def test_both_ways_in_answer_alike(world: Any, body: dict[str, Any]) -> None:
    """With an Origin the routes answer, without one the short way does."""
    for one in (body, body, {**body, "gas_price": 1}):
        short = await post(world, one)
        long = await post(world, one, origin="http://dashboard")
        assert long.headers["access-control-allow-origin"] == "http://dashboard"
        if short.json()["status"] == "rejected":
            assert short.text == long.text
        assert short.headers["content-type"] == long.headers["content-type"]


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(), one, max_size=2),
            max_leaves=5,
        ),
        max_size=3,
    ),
    st.integers(-(10**30), 10**30),
)
def test_both_ways_in_read_the_same(payload: dict[str, Any], amount: int) -> None:
    fields = {
        "tx_type": "TRANSFER",
        "from_address": "cpc1é",
        "amount": amount,
        "nonce": 1,
        "payload": payload,
    }
    text = json.dumps(fields)
    exact = read_exact(text.encode())
    if exact is not None:
        loose = LooseTransaction.model_validate_json(text).exact()
        assert tx_hash(exact) == tx_hash(loose)
        assert exact == loose


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": NaN}', "NaN"),
        ('{"a": [Infinity]}', "NaN"),
        ('{"a": -Infinity}', "NaN"),
        ('{"a": 1e999}', "NaN"),
        (r'{"a": "\ud800"}', "surrogate"),
        (r'{"\udfff": 1}', "surrogate"),
    ],
)
@pytest.mark.parametrize("origin", [{}, {"origin": "http://dashboard"}])
async def test_what_cannot_be_stored_is_refused(
    world: Any, body: dict[str, Any], text: str, problem: str, origin: dict[str, str]
) -> None:
    spoiled = json.dumps(body).replace('{"a": [1.5]}', text)
    answer = await post(world, spoiled, **origin)
    assert answer.status_code == 422
    (detail,) = answer.json()["detail"]
    assert detail["type"] == "value_error"
    assert problem in detail["msg"]
    assert world.chain.mempool.size == 0


async def test_half_a_pair_in_any_field(world: Any, body: dict[str, Any]) -> None:
    for field in ("to_address", "from_address", "pub_key"):
        answer = await post(world, {**body, field: "\ud800"})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "[" * 5_000, '{"tx_type":', "\x00", '{"amount": ' + "9" * 5_000],
)
async def test_broken_bodies_are_refused_and_do_no_harm(world: Any, text: str) -> None:
    assert (await post(world, text)).status_code in (400, 422)
    raw = await world.http.post("/tx/send", content=b"\xff\xfe{}", headers=JSON)
    assert raw.status_code in (400, 422)
    assert (await world.http.get("/status")).json()["mempool_size"] == 0


async def test_several_mistakes_at_once(world: Any) -> None:
    answer = await post(world, {"tx_type": 5, "nonce": None, "payload": [], "fee": "x"})
    details = {error["loc"][-1]: error["type"] for error in answer.json()["detail"]}
    assert details == {
        "tx_type": "enum",
        "from_address": "missing",
        "amount": "missing",
        "nonce": "int_type",
        "payload": "dict_type",
        "fee": "int_parsing",
    }


async def test_large_transactions_are_taken_up_to_a_bound(world: Any, key: Key) -> None:
    big = transfer(key(2).address, 1, payload={"x": "y" * (3 << 20)}).signed(key(1), 0)
    assert (await world.client.send(big)).status == "accepted"
    await world.mine()
    block = await world.client.block(1)
    assert block.txs == (big,)

    async def endless() -> Any:
        for _ in range(MAX_BODY_BYTES // (1 << 20) + 1):
            yield bytes(1 << 20)

    answer = await world.http.post("/tx/send", content=endless(), headers=JSON)
    assert answer.status_code == 413


async def test_preflight(world: Any) -> None:
    headers = {"origin": "http://dashboard", "access-control-request-method": "POST"}
    answer = await world.http.options("/tx/send", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://dashboard"


async def test_what_there_is_of_staking(world: Any, key: Key) -> None:
    proposer = world.config.proposer.validator_address
    validator = (await world.http.get(f"/validator/{proposer}")).json()
    assert (await world.http.get("/validators")).json()["validators"] == [validator]
    performance = (await world.http.get(f"/validator/{proposer}/performance")).json()
    assert performance["blocks_proposed"] == 1
    assert len(performance) == 14
    board = (await world.http.get("/validators/leaderboard")).json()
    assert [one["address"] for one in board["leaderboard"]] == [proposer]
    assert (await world.http.get("/validators/jailed")).json()["jailed_count"] == 0
    unknown = await world.http.get("/validator/x")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Validator not found"})
    for name in ("delegations", "rewards", "unbonding"):
        answer = await world.http.get(f"/delegator/{key(1).address}/{name}")
        assert answer.json()["delegator"] == key(1).address
    assert (await world.http.get("/snapshots")).json() == []
    assert (await world.http.get("/snapshots/1")).status_code == 404
    assert (await world.http.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize("height", [2**63, 2**64, -(2**64)])
async def test_heights_beyond_64_bits(world: Any, height: int) -> None:
    answer = await world.http.get(f"/block/{height}")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["connection"] == "close"


async def test_heights_within(world: Any) -> None:
    assert (await world.http.get(f"/block/{2**63 - 1}")).status_code == 404


async def test_receipts(world: Any, key: Key) -> None:
    tx = transfer(key(2).address, 5).signed(key(1), 0)
    await world.client.send(tx)
    await world.mine(3)
    receipt = (await world.http.get(f"/tx/{tx_hash(tx)}/receipt")).json()
    assert receipt["confirmations"] == 3
    for nonsense in ("x", "zz" * 32, "00" * 32):
        assert (await world.http.get(f"/tx/{nonsense}/receipt")).status_code == 404


class Listener:
    """A subscriber of the event stream, speaking ASGI itself: httpx waits for the end."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.frames: list[tuple[float, bytes]] = []
        self.headers: dict[str, str] = {}
        self._gone = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        request = [{"type": "http.request"}]

        async def receive() -> Any:
            if request:
                return request.pop()
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                pairs = message["headers"]
                self.headers = {name.decode(): value.decode() for name, value in pairs}
            elif message["body"]:
                self.frames.append((trio.current_time(), message["body"]))
                if len(self.frames) == 1:
                    task_status.started()

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/events/stream",
            "query_string": b"",
            "headers": [],
        }
        await self._world.app(scope, receive, send)

    def leave(self) -> None:
        self._gone.set()


def captured_frames(capture: dict[str, Any]) -> list[bytes]:
    """The frames of a raw capture, out of their HTTP chunks."""
    raw = "".join(one["raw_text"] for one in capture["received"])
    chunks = raw.partition("\r\n\r\n")[2].split("\r\n")
    return [chunk.encode() for chunk in chunks[1::2]]


async def test_the_captured_event_stream(
    make_world: Callable[..., Any], autojump_clock: MockClock, http_vectors: dict[str, Any]
) -> None:
    """The same bytes in the same bursts, when events are looked after as late as they were."""
    world = make_world(virtual=True, faults=Faults(late_events=1))
    capture = captured_frames(http_vectors["sse"])
    bursts: list[list[bytes]] = [[]]
    for frame in capture[1:]:
        bursts[-1].append(frame)
        if frame == b": ping\n\n":
            bursts.append([])
    async with world.running(), trio.open_nursery() as nursery:
        listener = Listener(world)
        await nursery.start(listener.run)
        for burst in bursts[:-1]:
            for frame in burst[:-1]:
                world.chain.events.emit(json.loads(frame.removeprefix(b"data: ")))
            await trio.sleep(15.001)
        assert [frame for _, frame in listener.frames] == capture
        assert listener.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert listener.headers["cache-control"] == "no-cache"
        assert listener.headers["x-accel-buffering"] == "no"
        nursery.cancel_scope.cancel()


async def test_events_of_a_block_come_at_once(
    make_world: Callable[..., Any], autojump_clock: MockClock, key: Key
) -> None:
    world = make_world(virtual=True)
    async with world.running(), trio.open_nursery() as nursery:
        listener = Listener(world)
        await nursery.start(listener.run)
        await trio.sleep(17)
        tx = transfer(key(2).address, 5).signed(key(1), 0)
        await world.client.send(tx)
        await world.chain.produce()
        await trio.sleep(1)
        event = {"type": "tx_confirmed", "tx_hash": tx_hash(tx), "block_height": 0}
        assert listener.frames == [
            (0, b": ping\n\n"),
            (15, b": ping\n\n"),
            (17, f"data: {json.dumps(event)}\n\n".encode()),
        ]
        nursery.cancel_scope.cancel()


async def test_the_captured_expiry_event(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    http_vectors: dict[str, Any],
    key: Key,
) -> None:
    world = make_world(virtual=True, tx_ttl_s=8.0)
    async with world.running(), trio.open_nursery() as nursery:
        listener = Listener(world)
        await nursery.start(listener.run)
        tx = transfer(key(2).address, 5).signed(key(1), 1)
        await world.client.send(tx)
        await trio.sleep(9)
        world.chain.expire()
        await trio.sleep(1)
        frames = captured_frames(http_vectors["sse_expiry"])
        expected = json.loads(frames[1].removeprefix(b"data: "))
        event = json.loads(listener.frames[1][1].removeprefix(b"data: "))
        assert event == {**expected, "tx_hash": tx_hash(tx)}
        assert list(event) == list(expected)
        nursery.cancel_scope.cancel()


async def test_a_subscriber_that_leaves_is_forgotten(
    make_world: Callable[..., Any], autojump_clock: MockClock
) -> None:
    world = make_world(virtual=True)
    async with world.running():
        async with trio.open_nursery() as nursery:
            listener = Listener(world)
            await nursery.start(listener.run)
            assert len(world.chain.events._subscribers) == 1
            listener.leave()
        assert len(world.chain.events._subscribers) == 0


async def test_closing_ends_the_streams(
    make_world: Callable[..., Any], autojump_clock: MockClock
) -> None:
    world = make_world(virtual=True)
    async with world.running(), trio.open_nursery() as nursery:
        await nursery.start(Listener(world).run)
        world.chain.events.close()  # and the nursery waits for nothing


async def test_a_slow_subscriber_loses_events_and_nobody_waits(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.l1.devchain.events.MAX_WAITING", 3)
    frames = world.chain.events.frames()
    assert await anext(frames) == b": ping\n\n"
    for number in range(10):
        world.chain.events.emit({"number": number})
    assert [await anext(frames) for _ in range(3)] == [
        f'data: {{"number": {number}}}\n\n'.encode() for number in range(3)
    ]
    await frames.aclose()
