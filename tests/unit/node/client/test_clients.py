"""Both clients over a transport that answers from a list."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
import trio

import node.api.errors
import node.errors
from node.api.answers import TaskAnswer
from node.api.errors import problem
from node.api.key_request import key_request_digest
from node.client import GOALS, AnswerLost, AsyncClient, Client, TaskFailed
from node.client.following import Goal
from node.errors import InvalidInput, NodeError, RewardBelowQuote, Unavailable
from node.l1.keys import AccountKey, verify_digest
from node.market.phases import ENDS, STATUS_OF, Phase

ID = "4f1c9a52-7d0e-8b3a-9c61-2e5d7f80a1b4"
ACCOUNT = {
    "address": "a",
    "available_cpc": "1.0",
    "reserved_cpc": "0.0",
    "earned_cpc": "0.0",
    "deposit_address": "b",
}
Handler = Callable[[httpx.Request], httpx.Response]


def task(status: str, phase: str, **more: Any) -> dict[str, Any]:
    return {
        "task_id": ID,
        "challenge_type": "synthetic",
        "status": status,
        "phase": phase,
        "reward": "1.0",
        "created_at": 1,
        "deadline": 2,
        "payload": {},
        "jobs": 1,
        **more,
    }


class Script:
    """Answers one after the other, and what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def blocking(handler: Handler, **options: Any) -> Client:
    return Client("http://node.test/", transport=httpx.MockTransport(handler), **options)


def concurrent(handler: Handler, **options: Any) -> AsyncClient:
    return AsyncClient("http://node.test/", transport=httpx.MockTransport(handler), **options)


def asked(script: Script) -> list[tuple[str, str]]:
    return [(request.method, str(request.url)) for request in script.requests]


def test_a_submission_as_it_is_sent() -> None:
    script = Script(httpx.Response(201, json={"task_id": ID, "status": "pending", "created_at": 1}))
    with blocking(script, api_key="tm_key") as client:
        taken = client.submit("synthetic", {"seed": "é"}, "10.0", idempotency_key="one")
    assert (taken.task_id, taken.status) == (ID, "pending")
    request = script.requests[0]
    assert (request.method, str(request.url)) == ("POST", "http://node.test/tasks")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer tm_key"
    assert request.headers["idempotency-key"] == "one"
    assert json.loads(request.content) == {
        "challenge_type": "synthetic",
        "payload": {"seed": "é"},
        "reward": "10.0",
    }


def test_every_method_reads_its_answer() -> None:
    page = {"tasks": [task("pending", "queued")], "total": 1, "limit": 2, "offset": 0}
    quote = {
        "challenge_type": "synthetic",
        "price_cpc": "0.5",
        "work_units": 1 << 60,
        "check_units": 2,
        "jobs": 1,
        "max_deadline_s": 3,
    }
    receipt = b'{"format":"tmnode-receipt-1"}\n'
    raw = httpx.Response(200, content=receipt)
    script = Script(quote, page, task("failed", "cancelled"), ACCOUNT, {"peers": []}, raw)
    with blocking(script) as client:
        assert client.quote("synthetic", {}).work_units == 1 << 60
        assert client.tasks(limit=2).tasks[0].phase == "queued"
        assert client.cancel(ID).status == "failed"
        assert client.account().available_cpc == "1.0"
        assert client.peers().peers == ()
        assert client.receipt(ID) == receipt


def test_money_that_moved_and_what_a_payout_pays() -> None:
    entry = {"cause": "c", "kind": "k", "at_ms": 1, "number": 2, "postings": []}
    script = Script(
        {"address": "a", "lines": [], "next": 7}, {"account": "burn", "entries": [entry]}
    )
    with blocking(script) as client:
        assert client.statement(start=5, limit=9).next == 7
        assert client.payout("ab", "a b/c").entries[0].number == 2
    assert asked(script) == [
        ("GET", "http://node.test/account/statement?start=5&limit=9"),
        ("GET", "http://node.test/payouts/ab/a%20b%2Fc"),
    ]


def test_members_that_a_newer_node_adds_do_not_disturb() -> None:
    with blocking(Script({**ACCOUNT, "new": 1})) as client:
        assert client.account().address == "a"


def errors_with_a_message() -> list[type[NodeError]]:
    found = [*vars(node.errors).values(), *vars(node.api.errors).values()]
    return [
        kind
        for kind in found
        if isinstance(kind, type)
        and issubclass(kind, NodeError)
        and kind.__init__ is NodeError.__init__
    ]


@pytest.mark.parametrize("kind", errors_with_a_message())
def test_an_error_arrives_as_it_was_raised(kind: type[NodeError]) -> None:
    answer = problem(kind("what is wrong", field="where", remedy="what to do"))
    reply = httpx.Response(answer.status, headers=answer.headers, content=answer.body)
    with blocking(Script(reply)) as client, pytest.raises(NodeError) as info:
        client.status()
    assert type(info.value) is kind
    assert str(info.value) == "where: what is wrong (what to do)"


def test_an_unknown_code_is_still_an_error_with_its_words() -> None:
    reply = httpx.Response(418, json={"code": "teapot", "detail": "short and stout"})
    with blocking(Script(reply)) as client, pytest.raises(NodeError, match="short and stout"):
        client.status()


@pytest.mark.parametrize("content", [b"", b"<html>bad gateway</html>", b"[1]", b"\xff"])
def test_an_error_that_is_no_problem_is_unavailable(content: bytes) -> None:
    with (
        blocking(Script(httpx.Response(502, content=content))) as client,
        pytest.raises(Unavailable, match="answered 502"),
    ):
        client.status()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"address": 5}', b"\xff", b"[" * 100_000])
def test_an_answer_that_cannot_be_read_is_unavailable(content: bytes) -> None:
    with (
        blocking(Script(httpx.Response(200, content=content))) as client,
        pytest.raises(Unavailable, match="cannot be read"),
    ):
        client.account()


def test_no_node_says_how_to_start_one() -> None:
    with (
        blocking(Script(httpx.ConnectError("refused"))) as client,
        pytest.raises(Unavailable, match="tmnode devnet"),
    ):
        client.status()


@pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.ReadError("reset")])
def test_a_lost_answer_is_not_the_same_as_no_node(error: httpx.HTTPError) -> None:
    with blocking(Script(error)) as client, pytest.raises(AnswerLost):
        client.status()


def test_the_environment_names_the_node_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMNODE_API", "http://other.test:81/base/")
    monkeypatch.setenv("TMNODE_API_KEY", "tm_env")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test")
    script = Script(ACCOUNT)
    with Client(transport=httpx.MockTransport(script)) as client:
        client.account()
    assert asked(script) == [("GET", "http://other.test:81/base/account")]
    assert script.requests[0].headers["authorization"] == "Bearer tm_env"


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://node", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not an address") as info:
        Client(url)
    assert info.value.field == "TMNODE_API"


def test_following_shows_every_change_until_it_is_completed() -> None:
    script = Script(
        task("pending", "queued"), task("in_progress", "leased"), task("completed", "verified")
    )
    with blocking(script) as client:
        seen = [one.phase for one in client.follow(ID, timeout_s=90)]
    assert seen == ["queued", "leased", "verified"]
    assert [url.partition(ID)[2] for _, url in asked(script)] == [
        "",
        "/wait?phase=queued&timeout=30.0",
        "/wait?phase=leased&timeout=30.0",
    ]


def test_following_goes_on_to_the_wanted_phase_or_beyond() -> None:
    script = Script(task("completed", "verified"), task("completed", "settled"))
    with blocking(script) as client:
        seen = [one.phase for one in client.follow(ID, until="anchored")]
    assert seen == ["verified", "settled"]


def test_following_ends_with_the_task_s_failure() -> None:
    why = {"code": "deadline_exceeded", "message": "nobody took it"}
    script = Script(task("failed", "refunded", error=why))
    with blocking(script) as client, pytest.raises(TaskFailed) as info:
        list(client.follow(ID))
    assert str(info.value) == f"{ID}: failed, deadline_exceeded: nobody took it"


RECLAIMED = {"code": "reclaimed", "message": "nobody released the reward"}


@pytest.mark.parametrize("until", ["anchored", "settled"])
def test_following_ends_with_a_task_that_is_never_paid(until: str) -> None:
    """One request more would be one too many: the script has no answer to it."""
    script = Script(task("completed", "verified"), task("completed", "reclaimed", error=RECLAIMED))
    with blocking(script) as client, pytest.raises(TaskFailed) as info:
        list(client.follow(ID, until=until))
    assert str(info.value) == f"{ID}: ended reclaimed: nobody released the reward"


@pytest.mark.parametrize("until", ["completed", "verified"])
def test_whoever_wants_the_output_has_it_of_a_reclaimed_task(until: str) -> None:
    script = Script(task("completed", "reclaimed", error=RECLAIMED))
    with blocking(script) as client:
        assert [one.phase for one in client.follow(ID, until=until)] == ["reclaimed"]


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("phase", STATUS_OF)
def test_every_end_ends_every_waiting(phase: Phase, goal: str) -> None:
    answer = msgspec.convert(task(STATUS_OF[phase], phase), TaskAnswer)
    try:
        is_over = Goal(goal, 10.0).next_call(answer, 0.0) is None
    except TaskFailed:
        is_over = True
        assert phase in ENDS
    assert is_over or phase not in ENDS


def test_following_ends_when_time_is_up() -> None:
    script = Script(task("pending", "queued"))
    with blocking(script) as client, pytest.raises(Unavailable, match="phase queued, and time"):
        list(client.follow(ID, timeout_s=0))


async def test_the_concurrent_client_asks_the_same() -> None:
    script = Script(ACCOUNT, task("pending", "queued"), {"peers": []})
    async with concurrent(script) as client:
        assert (await client.account()).deposit_address == "b"
        assert (await client.wait(ID, phase="x", timeout_s=1)).phase == "queued"
        assert (await client.peers()).peers == ()
    assert asked(script) == [
        ("GET", "http://node.test/account"),
        ("GET", f"http://node.test/tasks/{ID}/wait?phase=x&timeout=1"),
        ("GET", "http://node.test/peers"),
    ]


async def test_the_concurrent_client_raises_the_same() -> None:
    answer = problem(RewardBelowQuote("is below 2.0 CPC", field="reward"))
    reply = httpx.Response(answer.status, content=answer.body)
    async with concurrent(Script(reply, httpx.ConnectError("refused"))) as client:
        with pytest.raises(RewardBelowQuote, match="is below"):
            await client.submit("synthetic", {}, "1.0")
        with pytest.raises(Unavailable, match="no node answers"):
            await client.status()


async def test_the_concurrent_client_follows(autojump_clock: trio.testing.MockClock) -> None:
    script = Script(task("pending", "queued"), task("completed", "verified"))
    async with concurrent(script) as client:
        seen = [one.phase async for one in client.follow(ID)]
    assert seen == ["queued", "verified"]


@pytest.mark.parametrize(
    "name",
    [name for name in vars(Client) if not name.startswith("_") and name != "ask"],
)
def test_both_clients_have_the_same_methods(name: str) -> None:
    assert callable(getattr(AsyncClient, name))


WITHDRAWAL = {
    "withdrawal_id": "ab",
    "address": "a",
    "amount_cpc": "1.0",
    "fee_cpc": "0.1",
    "status": "pending",
    "tx_hash": None,
    "height": None,
}


async def test_a_withdrawal_is_looked_at_with_the_same_key_until_it_is_in_a_block(
    autojump_clock: trio.abc.Clock,
) -> None:
    script = Script(WITHDRAWAL, WITHDRAWAL, {**WITHDRAWAL, "status": "confirmed", "height": 3})
    async with concurrent(script) as client:
        done = await client.withdraw("1.0", idempotency_key="k", wait_s=60)
    assert (done.status, done.height) == ("confirmed", 3)
    assert {request.headers["idempotency-key"] for request in script.requests} == {"k"}
    assert trio.current_time() == pytest.approx(1.0)
    script = Script(*[WITHDRAWAL] * 9)
    async with concurrent(script) as client:
        assert (await client.withdraw("1.0", idempotency_key="k", wait_s=2)).status == "pending"
        assert len(script.requests) == 5
        assert (await client.withdraw("1.0", idempotency_key="k")).status == "pending"
        assert len(script.requests) == 6


def test_an_api_key_is_asked_for_with_a_signed_challenge() -> None:
    account = AccountKey(bytes([7]) * 32)
    key = {"key": "tm_x", "address": account.address, "spend_limit": "2.0"}
    script = Script({"challenge": "5f", "expires_at": 9}, httpx.Response(201, json=key))
    with blocking(script) as client:
        assert client.create_key(account, "cpc-test", "2.0").key == "tm_x"
    assert [path for _, path in asked(script)] == [
        "http://node.test/account/challenge",
        "http://node.test/account/keys",
    ]
    body = json.loads(script.requests[1].content)
    digest = key_request_digest("cpc-test", account.address, "5f", "2.0")
    assert verify_digest(account.public_key, digest, bytes.fromhex(body["signature"]))
