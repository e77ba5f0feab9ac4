"""The L1's HTTP RPC: what it answers, or a typed error.

`L1Client` is what the node depends on. `HttpL1Client` speaks to a real node or to the development
chain over a connection pool that its owner opens and closes. Answers are read up to a bound, then
parsed with integers of any size. Sending is repeatable: the same signed bytes are `known` the
second time.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import trio

from node.amounts import Amount
from node.certificates import needs_certificates
from node.l1.blocks import Block
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.escrow import BondView, DepositView, EscrowView, MarketView
from node.l1.transactions import Transaction, tx_hash

DEFAULT_TIMEOUT_S = 10.0
MAX_BLOCK_BYTES = 64 << 20
MAX_ANSWER_BYTES = 1 << 20

T = TypeVar("T")


class Status(msgspec.Struct, frozen=True):
    """`/status`: where the chain is."""

    height: int
    """Of the newest block; -1 before block 0."""
    last_hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    network: str
    mempool_size: int
    epoch: int


class Validator(msgspec.Struct, frozen=True):
    """What of a validator matters here: who proposes, with which key."""

    address: str
    pq_pub_key: str
    """Hex of the compressed secp256k1 key that signs blocks."""
    power: int
    is_active: bool


class SendOutcome(msgspec.Struct, frozen=True):
    """What the L1 said to a transaction."""

    status: Literal["accepted", "known", "rejected"]
    """`known`: it has it already."""
    reason: str = ""
    """The L1's own words for a rejection."""


class L1Client(Protocol):
    """The L1, as much of it as the node uses.

    Every method raises L1Unavailable when there is no usable answer, and L1Malformed for one that
    breaks the chain's rules.
    """

    async def status(self) -> Status:
        """Where the chain is."""

    async def block(self, height: int) -> Block | None:
        """A block, unverified; None above the tip."""

    async def balance(self, address: str) -> int:
        """Confirmed units of 10^-18 CPC; 0 for an account that never was."""

    async def nonce(self, address: str, *, pending: bool) -> int:
        """The next confirmed nonce, or the first one free counting what waits for a block."""

    async def send(self, tx: Transaction) -> SendOutcome:
        """Hand in a signed transaction."""

    async def validators(self) -> tuple[Validator, ...]:
        """Who proposes blocks."""


class MarketClient(L1Client, Protocol):
    """A chain of the `market` profile; on any other these raise L1Malformed, but for `escrow`."""

    async def deposit(self, market: str, customer: str) -> DepositView:
        """What a customer has at a market."""

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        """An escrow, open or closed; None for an id that was never used."""

    async def bond(self, market: str, address: str) -> BondView:
        """What vouches for the key of an account's node at a market."""

    async def market(self) -> MarketView:
        """The chain's parameters, and all that it holds."""


class _Balance(msgspec.Struct):
    balance: str


class _Nonce(msgspec.Struct):
    nonce: int


class _Validators(msgspec.Struct):
    validators: tuple[Validator, ...]


class _Sent(msgspec.Struct):
    tx_hash: str
    status: Literal["received", "rejected"]
    error: str = ""


class HttpL1Client:
    """The L1 behind a URL."""

    def __init__(
        self,
        url: str,
        http: httpx.AsyncClient,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_block_bytes: int = MAX_BLOCK_BYTES,
    ) -> None:
        """`timeout_s` bounds each request as a whole, the retry included."""
        self._url = url.rstrip("/")
        self._http = http
        self._timeout_s = timeout_s
        self._max_block_bytes = max_block_bytes

    async def status(self) -> Status:
        return _decoded(await self._get("/status"), Status)

    async def block(self, height: int) -> Block | None:
        answer = await self._ask("GET", f"/block/{height}", limit=self._max_block_bytes)
        if answer.code == 404:
            return None
        block = _decoded(answer.body(), Block)
        if block.header.height != height:
            raise L1Malformed(f"asked for block {height}, got {block.header.height}")
        return block

    async def balance(self, address: str) -> int:
        text = _decoded(await self._get(f"/balance/{quote(address, safe='')}"), _Balance).balance
        if not (text.isascii() and text.isdigit()):
            raise L1Malformed(f"a balance of {text[:40]!r}")
        return int(text)

    async def nonce(self, address: str, *, pending: bool) -> int:
        flag = "true" if pending else "false"
        path = f"/nonce/{quote(address, safe='')}?pending={flag}"
        return _decoded(await self._get(path), _Nonce).nonce

    async def send(self, tx: Transaction) -> SendOutcome:
        answer = await self._ask("POST", "/tx/send", content=msgspec.json.encode(tx))
        if answer.code == 422:
            return SendOutcome("rejected", f"schema: {answer.text}")
        if answer.code == 400:  # an exception while adding: it may be in the pool all the same
            raise L1Unavailable(f"/tx/send: {answer.text}")
        sent = _decoded(answer.body(), _Sent)
        if sent.tx_hash != tx_hash(tx):
            raise L1Malformed(f"the L1 hashes transaction {tx_hash(tx)} to {sent.tx_hash[:80]}")
        if sent.status == "received":
            return SendOutcome("accepted")
        if sent.error == "already_in_pool":
            return SendOutcome("known", sent.error)
        return SendOutcome("rejected", sent.error)

    async def validators(self) -> tuple[Validator, ...]:
        return _decoded(await self._get("/validators"), _Validators).validators

    async def deposit(self, market: str, customer: str) -> DepositView:
        path = f"/deposit/{quote(market, safe='')}/{quote(customer, safe='')}"
        return _decoded(await self._get(path), DepositView)

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        answer = await self._ask("GET", f"/escrow/{quote(escrow_id, safe='')}")
        if answer.code == 404:
            return None
        view = _decoded(answer.body(), EscrowView)
        if view.escrow_id != escrow_id:
            raise L1Malformed(f"asked for escrow {escrow_id}, got {view.escrow_id[:80]}")
        return view

    async def bond(self, market: str, address: str) -> BondView:
        path = f"/bond/{quote(market, safe='')}/{quote(address, safe='')}"
        return _decoded(await self._get(path), BondView)

    async def market(self) -> MarketView:
        return _decoded(await self._get("/market"), MarketView)

    async def _get(self, path: str) -> bytes:
        return (await self._ask("GET", path)).body()

    async def _ask(
        self, method: str, path: str, *, content: bytes | None = None, limit: int = MAX_ANSWER_BYTES
    ) -> "_Answer":
        """One exchange; a connection that the server had closed while idle is tried once more."""
        request = self._request(method, path, content)
        with trio.move_on_after(self._timeout_s):
            try:
                return await self._exchange(request, limit)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                return await self._last_exchange(self._request(method, path, content), limit)
            except httpx.TransportError as error:
                raise L1Unavailable(f"{path}: {_named(error)}") from error
        raise L1Unavailable(f"{path}: no answer in {self._timeout_s} s")

    def _request(self, method: str, path: str, content: bytes | None) -> httpx.Request:
        # Uncompressed, so that the bound on what is read is a bound on what is held.
        headers = {"accept-encoding": "identity"}
        if content is not None:
            headers["content-type"] = "application/json"
        url = self._url + path
        # The deadline is the caller's scope, so httpx keeps no clocks of its own.
        extensions = {"timeout": httpx.Timeout(None).as_dict()}
        return self._http.build_request(
            method, url, content=content, headers=headers, extensions=extensions
        )

    async def _last_exchange(self, request: httpx.Request, limit: int) -> "_Answer":
        try:
            return await self._exchange(request, limit)
        except httpx.TransportError as error:
            raise L1Unavailable(f"{request.url.path}: {_named(error)}") from error

    async def _exchange(self, request: httpx.Request, limit: int) -> "_Answer":
        response = await self._http.send(request, stream=True)
        path = request.url.path
        try:
            body = await _read(response, limit, path)
        finally:
            await response.aclose()
        if response.status_code >= 500:
            raise L1Unavailable(f"{path}: HTTP {response.status_code}")
        return _Answer(path, response.status_code, body)


@asynccontextmanager
async def open_l1_client(url: str) -> AsyncIterator[HttpL1Client]:
    """A client with connections of its own."""
    async with httpx.AsyncClient(verify=needs_certificates(url)) as http:
        yield HttpL1Client(url, http)


class _Answer(msgspec.Struct, frozen=True):
    path: str
    code: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content[:300].decode(errors="replace")

    def body(self) -> bytes:
        """The body of a success; raises L1Malformed for any other."""
        if self.code != 200:
            raise L1Malformed(f"{self.path}: HTTP {self.code} {self.text}")
        return self.content


async def _read(response: httpx.Response, limit: int, path: str) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise L1Malformed(f"{path}: an answer compressed unasked")
    body = bytearray()
    # Cancelled rather than left by an exception, so that httpx's nested generators all end.
    with trio.CancelScope() as reading:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                reading.cancel()
    if len(body) > limit:
        raise L1Malformed(f"{path}: an answer of over {limit} bytes")
    return bytes(body)


def _decoded(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape, dec_hook=_from_wire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise L1Malformed(f"{shape.__name__.strip('_').lower()}: {error}") from error


def _from_wire(kind: type[Any], value: object) -> object:
    return Amount.from_wire(value) if kind is Amount else value


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
