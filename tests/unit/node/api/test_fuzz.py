"""Whatever a stranger sends, the answer is a refusal that says why, never a 500."""

import json
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from node.api.commands import BY_METHOD, COMMANDS
from node.api.rest import build_app
from node.api.service import Service

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for command in COMMANDS for name in command.params.__struct_fields__})
likely = st.sampled_from(
    ["synthetic", "training", "10.0", "0", "cpc1local", "00000000-0000-0000-0000-000000000001"]
)
objects = st.dictionaries(st.sampled_from(FIELDS) | text, likely | values, max_size=6)
paths = st.sampled_from([command.path for command in COMMANDS] + ["/rpc", "/docs", "/x"])
names = st.sampled_from(["tm_x", *BY_METHOD])


@pytest.fixture(scope="module")
def exchange(twin) -> Callable[..., httpx.Response]:
    service = Service(node=twin.TwinNode(), market_role=twin.TwinMarket(), local_account=twin.LOCAL)
    app = build_app(service)

    def send(method: str, path: str, **sent: object) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.request(method, path, **sent)

        return trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))

    return send


def assert_explained(answer: httpx.Response) -> None:
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["code"] != "internal"
        assert answer.json()["detail"]


@settings(max_examples=60, deadline=None)
@given(path=paths, body=st.binary(max_size=300) | (objects | values).map(json.dumps))
def test_bodies(exchange, path, body) -> None:
    path = path.replace("{task_id}", "00000000-0000-0000-0000-000000000001")
    headers = {"content-type": "application/json"}
    assert_explained(exchange("POST", path, content=body, headers=headers))


@settings(max_examples=60, deadline=None)
@given(path=paths, part=text, query=st.dictionaries(st.sampled_from(FIELDS) | text, text))
def test_paths_and_queries(exchange, path, part, query) -> None:
    for name in ("{task_id}", "{sha256}"):
        path = path.replace(name, quote(part, safe=""))
    assert_explained(exchange("GET", path, params=query))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "range",
                    "host",
                    "origin",
                    "authorization",
                    "idempotency-key",
                    "content-type",
                    "content-length",
                    "if-range",
                    "x-forwarded-for",
                ]
            ),
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
        ),
        max_size=5,
    )
)
def test_headers(exchange, headers) -> None:
    for method, path in (
        ("GET", "/account"),
        ("POST", "/tasks"),
        ("GET", f"/artifacts/{'a' * 64}"),
    ):
        sent = {"content": b"{}"} if method == "POST" else {}
        assert_explained(exchange(method, path, headers=headers, **sent))


request = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "method": names | values,
        "params": objects | values,
        "id": scalars | values,
    },
)
whole = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": names, "params": objects | st.lists(likely | values)},
    optional={"id": st.integers(0, 9)},
)


@settings(max_examples=60, deadline=None)
@given(value=st.one_of(whole, request, st.lists(whole | request | values, max_size=4)))
def test_rpc(exchange, value) -> None:
    headers = {"content-type": "application/json"}
    answer = exchange("POST", "/rpc", content=json.dumps(value), headers=headers)
    assert answer.status_code in (200, 204)
    if answer.status_code == 200:
        responses = answer.json()
        for response in responses if isinstance(responses, list) else [responses]:
            assert response["jsonrpc"] == "2.0"
            assert ("result" in response) != ("error" in response)
            assert response.get("error", {}).get("code") != -32603, response
