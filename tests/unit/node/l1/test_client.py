"""The HTTP client: answers, typed errors, bounds, the one retry."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import trio

from node.l1.client import HttpL1Client, SendOutcome, Validator
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.keys import AccountKey
from node.l1.transactions import transfer

Answers = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def ask(key: Callable[[int], AccountKey]) -> Callable[[Answers], HttpL1Client]:
    """A client of an L1 that is a function."""

    def client(answer: Answers, **options: Any) -> HttpL1Client:
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        return HttpL1Client("http://l1/", http, **options)

    return client


def always(status: int, text: str) -> Answers:
    return lambda _request: httpx.Response(status, text=text)


async def test_against_the_development_chain(world: Any, key: Callable[[int], AccountKey]) -> None:
    client, one = world.client, key(1)
    status = await client.status()
    assert (status.height, status.network, status.epoch) == (0, "devnet", 0)
    assert await client.balance(one.address) == 10**21
    assert await client.balance("any text at all?") == 0
    tx = transfer(key(6).address, 10**20).signed(one, 0)
    assert await client.send(tx) == SendOutcome("accepted")
    assert await client.send(tx) == SendOutcome("known", "already_in_pool")
    assert await client.nonce(one.address, pending=True) == 1
    assert await client.nonce(one.address, pending=False) == 0
    await world.mine()
    assert await client.send(tx) == SendOutcome("rejected", "nonce_too_low")
    block = await client.block(1)
    assert block is not None
    assert block.txs == (tx,)
    assert await client.block(2) is None
    assert await client.balance(key(6).address) == 10**20
    proposer = world.config.proposer
    assert await client.validators() == (
        Validator(proposer.validator_address, proposer.public_key.hex(), 2 * 10**21, True),
    )


async def test_integers_of_any_size(ask: Callable[..., HttpL1Client]) -> None:
    digits = "123456789012345678901234567890"
    answer = f'{{"address":"a","balance":"{digits}","nonce":{digits},"pending":false}}'
    assert await ask(always(200, answer)).balance("a") == int(digits)
    assert await ask(always(200, answer)).nonce("a", pending=False) == int(digits)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_failures_of_the_server_are_temporary(
    ask: Callable[..., HttpL1Client], status: int
) -> None:
    with pytest.raises(L1Unavailable, match=str(status)):
        await ask(always(status, "Internal Server Error")).status()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"height":',
        '{"height":"0","last_hash":"","network":"","mempool_size":0,"epoch":0}',
        '{"height":1,"last_hash":"xy","network":"","mempool_size":0,"epoch":0}',
        "[" * 100_000,
    ],
)
async def test_nonsense_is_malformed(ask: Callable[..., HttpL1Client], body: str) -> None:
    with pytest.raises(L1Malformed):
        await ask(always(200, body)).status()


async def test_a_balance_that_is_no_number(ask: Callable[..., HttpL1Client]) -> None:
    for text in ("", "-1", "1.5", "٣", "1e3"):
        with pytest.raises(L1Malformed, match="balance"):
            await ask(always(200, f'{{"balance":"{text}"}}')).balance("a")


async def test_the_block_that_was_asked_for(
    ask: Callable[..., HttpL1Client], vectors: dict[str, Any]
) -> None:
    client = ask(always(200, vectors["blocks"][1]["block_json_text"]))
    assert await client.block(17) is not None
    with pytest.raises(L1Malformed, match="asked for block 16, got 17"):
        await client.block(16)


async def test_an_answer_without_end_is_cut(ask: Callable[..., HttpL1Client]) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            await trio.lowlevel.checkpoint()
            sent += 1 << 20
            yield bytes(1 << 20)

    client = ask(lambda _request: httpx.Response(200, content=endless()), max_block_bytes=4 << 20)
    with pytest.raises(L1Malformed, match="over"):
        await client.block(1)
    assert sent <= 6 << 20


async def test_compressed_answers_are_not_unpacked(ask: Callable[..., HttpL1Client]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"\x1f\x8b")

    with pytest.raises(L1Malformed):
        await ask(answer).status()


async def test_a_silent_server(
    ask: Callable[..., HttpL1Client], autojump_clock: trio.testing.MockClock
) -> None:
    async def silent(_request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(L1Unavailable, match=r"no answer in 7\.5 s"):
        await ask(silent, timeout_s=7.5).status()
    assert trio.current_time() == 7.5


@pytest.mark.parametrize(
    "failure", [httpx.RemoteProtocolError("closed"), httpx.ReadError(""), httpx.WriteError("")]
)
async def test_a_connection_closed_while_idle_is_tried_once_more(
    ask: Callable[..., HttpL1Client], failure: httpx.TransportError, vectors: dict[str, Any]
) -> None:
    answers: Iterator[str] = iter(["", vectors["blocks"][0]["block_json_text"]])

    def answer(_request: httpx.Request) -> httpx.Response:
        text = next(answers)
        if not text:
            raise failure
        return httpx.Response(200, text=text)

    assert await ask(answer).block(0) is not None


async def test_but_only_once(ask: Callable[..., HttpL1Client]) -> None:
    tries = 0

    def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        raise httpx.RemoteProtocolError("closed")

    with pytest.raises(L1Unavailable, match="closed"):
        await ask(answer).status()
    assert tries == 2


async def test_nobody_there(ask: Callable[..., HttpL1Client]) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(L1Unavailable, match="ConnectError: refused"):
        await ask(answer).status()


async def test_what_may_be_said_to_a_transaction(
    ask: Callable[..., HttpL1Client], key: Callable[[int], AccountKey]
) -> None:
    tx = transfer(key(2).address, 1).signed(key(1), 0)
    outcome = await ask(always(422, '{"detail":[]}')).send(tx)
    assert outcome == SendOutcome("rejected", 'schema: {"detail":[]}')
    with pytest.raises(L1Unavailable, match="No module"):
        await ask(always(400, '{"detail":"No module named \'protocol\'"}')).send(tx)
    with pytest.raises(L1Malformed, match="404"):
        await ask(always(404, "{}")).send(tx)
    with pytest.raises(L1Malformed, match="hashes"):
        await ask(always(200, '{"tx_hash":"00","status":"received"}')).send(tx)
