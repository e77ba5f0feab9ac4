"""Bad input at the door of a real market: each mistake is named, and none costs anything.

Without the checks at the door some of these would reach the ledger or a worker; without one
atomic reservation a refused task would keep its reward, which the balances at the end show.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from node.api.accounts import key_request_digest
from node.devnet.chain import CHAIN_ID
from node.l1.keys import AccountKey

pytestmark = pytest.mark.system

PAYLOAD = {"seed": "s", "matrix_size": 64, "iterations": 2}
ORDER = {"challenge_type": "synthetic", "payload": PAYLOAD, "reward": "10.0"}


class Case(NamedTuple):
    """What is sent in the place of a good order, and what the market says to it."""

    name: str
    change: dict[str, Any]
    status: int
    code: str
    field: str
    remedy: str = ""


def with_payload(**changes: object) -> dict[str, Any]:
    return {"payload": {**PAYLOAD, **changes}}


CASES = [
    Case(
        "unknown-kind",
        {"challenge_type": "mining"},
        400,
        "invalid_input",
        "challenge_type",
        "use one of inference, training, rendering, synthetic",
    ),
    Case("kind-is-a-number", {"challenge_type": 7}, 400, "invalid_input", "challenge_type"),
    Case(
        "kind-not-offered",
        {"challenge_type": "training"},
        422,
        "workload_unavailable",
        "challenge_type",
        "one of synthetic",
    ),
    Case("payload-is-a-list", {"payload": []}, 400, "invalid_input", "payload"),
    Case("payload-is-empty", {"payload": {}}, 400, "invalid_input", "payload.seed"),
    Case(
        "size-is-text", with_payload(matrix_size="64"), 400, "invalid_input", "payload.matrix_size"
    ),
    Case(
        "size-is-true", with_payload(matrix_size=True), 400, "invalid_input", "payload.matrix_size"
    ),
    Case(
        "size-is-a-fraction",
        with_payload(matrix_size=64.5),
        400,
        "invalid_input",
        "payload.matrix_size",
    ),
    Case(
        "size-is-negative",
        with_payload(matrix_size=-64),
        400,
        "invalid_input",
        "payload.matrix_size",
    ),
    Case(
        "size-is-absurd",
        with_payload(matrix_size=1 << 40),
        400,
        "invalid_input",
        "payload.matrix_size",
        "from 1 to 8192",
    ),
    Case(
        "too-much-to-check",
        with_payload(matrix_size=8192, iterations=5000),
        422,
        "task_too_large",
        "payload.iterations",
        "at most 4849 iterations",
    ),
    Case("no-iterations", with_payload(iterations=0), 400, "invalid_input", "payload.iterations"),
    Case("seed-is-long", with_payload(seed="x" * 257), 400, "invalid_input", "payload.seed"),
    Case("unknown-member", {"rewards": "10.0"}, 400, "invalid_input", "rewards", "known fields"),
    Case("reward-is-a-number", {"reward": 10.0}, 400, "invalid_input", "reward", '"10.0"'),
    Case("reward-is-no-number", {"reward": "NaN"}, 400, "invalid_input", "reward"),
    Case("reward-is-infinite", {"reward": "1e999"}, 400, "invalid_input", "reward"),
    Case("reward-is-negative", {"reward": "-10.0"}, 400, "invalid_input", "reward"),
    Case("reward-is-zero", {"reward": "0.0"}, 400, "invalid_input", "reward", "quote"),
    Case(
        "reward-has-19-decimals",
        {"reward": "10.0000000000000000001"},
        400,
        "invalid_input",
        "reward",
    ),
    Case(
        "reward-is-absurd",
        {"reward": "1000000.000000000000000001"},
        400,
        "invalid_input",
        "reward",
        "offer at most 1000000.0",
    ),
    Case("reward-is-huge", {"reward": "9" * 80}, 400, "invalid_input", "reward"),
    Case(
        "reward-below-quote",
        {"reward": "0.0009"},
        422,
        "reward_below_quote",
        "reward",
        "offer at least 0.001",
    ),
    Case("deadline-is-past", {"deadline": 1_000_000_000}, 400, "invalid_input", "deadline"),
    Case("deadline-is-far", {"deadline": 1 << 62}, 400, "invalid_input", "deadline"),
    Case("deadline-is-text", {"deadline": "tomorrow"}, 400, "invalid_input", "deadline"),
]


class Money(NamedTuple):
    """What two customers have, and how many tasks there are."""

    rich: Any
    poor: Any
    tasks: int


@pytest.fixture
def http(net) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=net.layout.market.api_url, verify=False, timeout=30) as client:
        yield client


@pytest.fixture
def poor() -> AccountKey:
    """An account that never paid anything in."""
    return AccountKey(b"\x2a" * 32)


@pytest.fixture
def unharmed(net, poor) -> Iterator[None]:
    """Afterwards everybody has what they had, and nothing was bought."""

    def money() -> Money:
        accounts = net.client.account(), net.client.account(poor.address)
        return Money(*accounts, len(net.tasks()))

    before = money()
    yield
    assert money() == before


def refused(answer: httpx.Response, status: int, code: str, field: str | None) -> str:
    """The remedy of a problem that is the one expected."""
    said = answer.json()
    assert (answer.status_code, said["code"], said["field"]) == (status, code, field), said
    assert answer.headers["content-type"] == "application/problem+json"
    assert said["detail"]
    return said["remedy"] or ""


def test_bad_orders(http, unharmed) -> None:
    for case in CASES:
        answer = http.post("/tasks", json={**ORDER, **case.change})
        assert case.remedy in refused(answer, case.status, case.code, case.field), case.name


def test_missing_and_unknown_members(http, unharmed) -> None:
    for name in ORDER:
        answer = http.post("/tasks", json={k: v for k, v in ORDER.items() if k != name})
        assert refused(answer, 400, "invalid_input", name)
    answer = http.post("/tasks", json={**ORDER, **with_payload(sead="s")})
    assert answer.json()["field"].startswith("payload.")
    assert "did you mean seed?" in answer.json()["remedy"]


BODIES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "half": lambda: json.dumps(ORDER).encode()[:-5],
    "nan": lambda: json.dumps({**ORDER, "reward": float("nan")}).encode(),
    "infinity": lambda: json.dumps({**ORDER, "deadline": float("inf")}).encode(),
    "65 bits": lambda: json.dumps({**ORDER, "deadline": 1 << 64}).encode(),
    "deep": lambda: b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "twice": lambda: b'{"reward":"1.0","reward":"2.0"}',
    "latin-1": lambda: b'{"challenge_type":"\xe9"}',
    "surrogate": lambda: b'{"challenge_type":"\\ud800"}',
}


def test_broken_json(http, unharmed) -> None:
    for name, body in BODIES.items():
        headers = {"Content-Type": "application/json"}
        answer = http.post("/tasks", content=body(), headers=headers)
        assert refused(answer, 400, "malformed_json", None), name


def test_a_body_of_100_mb_is_not_read(http, net, unharmed) -> None:
    """The announced length is enough to refuse it; without that bound the node would hold it."""
    began = time.monotonic()
    body = b" " * (100 << 20)
    try:
        answer = http.post("/tasks", content=body, headers={"Content-Type": "application/json"})
    except httpx.WriteError:
        pass  # refused and hung up while we were still sending
    else:
        refused(answer, 413, "body_too_large", None)
    assert time.monotonic() - began < 10
    assert http.get("/healthz").status_code == 200


def test_malformed_and_unknown_ids(http, unharmed) -> None:
    unknown = "00000000-0000-8000-8000-000000000000"
    for place in ("", "/wait", "/receipt"):
        for wrong in ("1", unknown[:-1], unknown.replace("0", "g"), "%00", "..%2F..%2Fkeys"):
            answer = http.get(f"/tasks/{wrong}{place}")
            assert answer.status_code in (400, 404), wrong
        refused(http.get(f"/tasks/{unknown}{place}"), 404, "not_found", "task_id")
    refused(http.post("/tasks/1/cancel", json={}), 400, "invalid_input", "task_id")
    refused(http.get("/artifacts/1"), 400, "invalid_input", "sha256")
    refused(http.get(f"/artifacts/{'0' * 64}"), 404, "not_found", "sha256")
    refused(http.get("/tasks", params={"status": "done"}), 400, "invalid_input", "status")
    refused(http.get("/tasks", params={"limit": "0"}), 400, "invalid_input", "limit")


def test_wrong_headers(http, unharmed) -> None:
    body = json.dumps(ORDER).encode()
    form = http.post("/tasks", content=body, headers={"Content-Type": "text/plain"})
    assert form.status_code in (401, 415)
    json_type = {"Content-Type": "application/json"}
    foreign = http.post("/tasks", content=body, headers={**json_type, "Origin": "http://evil"})
    refused(foreign, 401, "unauthenticated", "Authorization")
    unknown = {**json_type, "Authorization": "Bearer tm_unknown"}
    refused(
        http.post("/tasks", content=body, headers=unknown), 401, "unauthenticated", "Authorization"
    )
    bad_key = {**json_type, "Idempotency-Key": "k" * 129}
    refused(
        http.post("/tasks", content=body, headers=bad_key), 400, "invalid_input", "idempotency_key"
    )


def test_an_account_with_nothing_buys_nothing(http, poor, unharmed) -> None:
    """With an API key of its own, made from a signed challenge like any customer's."""
    key = {"Authorization": f"Bearer {api_key(http, poor)}"}
    answer = http.post("/tasks", json=ORDER, headers=key)
    refused(answer, 402, "insufficient_funds", "reward")
    assert http.get("/account", headers=key).json()["address"] == poor.address


def api_key(http: httpx.Client, owner: AccountKey) -> str:
    asked = http.post("/account/challenge", json={"address": owner.address})
    assert asked.status_code == 200, asked.text
    challenge = asked.json()["challenge"]
    digest = key_request_digest(CHAIN_ID, owner.address, challenge, None)
    request = {
        "address": owner.address,
        "public_key": owner.public_key.hex(),
        "challenge": challenge,
        "signature": owner.sign_digest(digest).hex(),
    }
    return str(http.post("/account/keys", json=request).json()["key"])


def test_a_key_stands_for_one_order(net, http) -> None:
    """The same key with another order is a conflict, with the same one the same task."""
    headers = {"Idempotency-Key": f"order-{time.time_ns()}"}
    first = http.post("/tasks", json=ORDER, headers=headers).json()
    other = http.post("/tasks", json={**ORDER, "reward": "11.0"}, headers=headers)
    refused(other, 409, "conflict", "Idempotency-Key")
    again = http.post("/tasks", json=ORDER, headers=headers).json()
    assert again["task_id"] == first["task_id"]
    net.completed(first["task_id"])
