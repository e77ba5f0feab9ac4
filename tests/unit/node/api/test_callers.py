import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.api.callers import is_loopback, local_obstacle

SERVER = ("127.0.0.1", 8080)


def scope(peer="127.0.0.1", method="POST", server=SERVER, **headers) -> dict[str, object]:
    named = {"host": "127.0.0.1:8080", "content_type": "application/json", **headers}
    raw = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in named.items()
        if value is not None
    ]
    return {"client": (peer, 4000), "server": server, "method": method, "headers": raw}


@pytest.mark.parametrize(
    "request_scope",
    [
        scope(),
        scope(host="localhost:8080"),
        scope(host="LocalHost:8080"),
        scope(host="[::1]:8080", peer="::1"),
        scope(host="127.0.0.2:8080"),
        scope(peer="::ffff:127.0.0.1"),
        scope(origin="http://127.0.0.1:8080"),
        scope(content_type="application/json; charset=utf-8"),
        scope(method="GET", content_type=None),
        scope(host="localhost", server=("127.0.0.1", 80)),
        scope(host="[::1]", server=("::1", 80)),
    ],
)
def test_the_person_at_this_machine(request_scope) -> None:
    assert local_obstacle(request_scope) is None


@pytest.mark.parametrize(
    ("request_scope", "word"),
    [
        (scope(peer="192.168.0.7"), "another machine"),
        (scope(peer="::ffff:10.0.0.1"), "another machine"),
        (scope(peer="not an address"), "another machine"),
        ({**scope(), "client": None}, "another machine"),
        (scope(host="evil.example:8080"), "evil.example"),
        (scope(host="127.0.0.1.evil.example:8080"), "evil"),
        (scope(host="localhost.evil.example:8080"), "evil"),
        (scope(host="127.0.0.1:9090"), "9090"),
        (scope(host="127.0.0.1"), "Host"),
        (scope(host=None), "Host"),
        (scope(host="[::1"), "Host"),
        (scope(host="0.0.0.0:8080"), "Host"),
        (scope(origin="http://evil.example"), "evil.example"),
        (scope(origin="null"), "null"),
        (scope(origin="https://127.0.0.1:8080"), "web page"),
        (scope(origin="http://127.0.0.1:3000"), "web page"),
        (scope(content_type="text/plain"), "content type"),
        (scope(content_type=None), "content type"),
        (scope(content_type="application/x-www-form-urlencoded"), "content type"),
        (scope(x_forwarded_for="10.0.0.1"), "proxy"),
        (scope(forwarded="for=10.0.0.1"), "proxy"),
    ],
)
def test_who_might_be_somebody_else(request_scope, word) -> None:
    assert word in local_obstacle(request_scope)


@given(st.text(max_size=30))
def test_a_host_that_is_trusted_is_loopback(host: str) -> None:
    if local_obstacle(scope(host=host.encode("ascii", "ignore").decode())) is None:
        name = host.rpartition(":")[0].strip("[]").lower()
        assert name == "localhost" or is_loopback(name)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (("192.0.2.1", 1), {}),
        (("127.0.0.1", 1), {"Host": "evil.example:8080"}),
        (("127.0.0.1", 1), {"Origin": "http://evil.example"}),
        (("127.0.0.1", 1), {"X-Forwarded-For": "192.0.2.1"}),
    ],
)
async def test_strangers_read_and_do_not_spend(
    service, connect, order, market, peer, headers
) -> None:
    async with connect(service, peer) as stranger:
        refused = await stranger.post("/tasks", json=order, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["code"] == "unauthenticated"
        assert "local account" in refused.json()["detail"]
        assert (await stranger.get("/tasks", headers=headers)).status_code == 200
        assert (await stranger.get("/account", headers=headers)).status_code == 401
        call = {"jsonrpc": "2.0", "method": "tm_submitTask", "params": order, "id": 1}
        answer = await stranger.post("/rpc", json=call, headers=headers)
        assert answer.json()["error"]["code"] == -32006
    assert market.submitted == 0


async def test_strangers_do_not_cancel(service, connect, client, order) -> None:
    task_id = (await client.post("/tasks", json=order)).json()["task_id"]
    async with connect(service, ("192.0.2.1", 1)) as stranger:
        answer = await stranger.post(f"/tasks/{task_id}/cancel", json={})
        assert answer.status_code == 401
    without_type = await client.post(f"/tasks/{task_id}/cancel")
    assert without_type.status_code == 401
    assert "content type" in without_type.json()["detail"]


@pytest.mark.parametrize("credentials", ["Bearer tm_nothing", "Basic eDp5", "Bearer", "tm_x"])
async def test_wrong_credentials_are_refused_even_for_reading(client, credentials) -> None:
    answer = await client.get("/tasks", headers={"Authorization": credentials})
    assert (answer.status_code, answer.json()["field"]) == (401, "Authorization")
