"""A development chain in memory, its client, and ways to break both."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from node.amounts import Amount
from node.keys import KeyBinding, bind
from node.l1.client import HttpL1Client
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.node import DevChain, open_chain
from node.l1.devchain.server import App, build_app
from node.l1.escrow import (
    Act,
    Approval,
    Award,
    Claim,
    Member,
    Opening,
    Payee,
    ShareTerms,
    escrow_id_of,
    sign_award,
    sign_claim,
    sign_claims,
    sign_refund,
)
from node.l1.keys import AccountKey
from node.split import Shares
from node.verification.acts import SignedResult, SignedVerdict
from node.verification.author import Author
from node.verification.evidence import ATTESTED
from node.verification.jsonable import to_jsonable
from node.verification.statements import ComputeResult, Verdict, seal_result, sign_verdict
from p2p.identity import Identity
from storage.database import open_database
from storage.memory import MemoryStore
from tests.unit.node.settlement.support.tasks import task_id_of

GENESIS_TIME = 1_700_000_000
VECTORS = Path(__file__).parents[3] / "vectors"

Hook = Callable[[httpx.Request], None]


def key_of(number: int) -> AccountKey:
    """The same key for the same number."""
    return AccountKey(number.to_bytes(32, "big"))


class World:
    """A chain without sockets. Its clock moves when told to, or is trio's if it is `virtual`."""

    chain: DevChain
    app: App

    def __init__(self, config: DevChainConfig, *, virtual: bool) -> None:
        self.config = config
        self.store = MemoryStore()
        self.seconds = 0.0
        self.virtual = virtual
        self.started_at: float | None = None
        self.down = False
        self.requests: list[str] = []
        self.before_request: Hook = _nothing
        self.after_request: Hook = _nothing
        self.http = httpx.AsyncClient(transport=_Transport(self), base_url="http://l1")
        self.client = HttpL1Client("http://l1", self.http)

    def now(self) -> float:
        if self.started_at is None:
            self.started_at = trio.current_time()
        passed = trio.current_time() - self.started_at if self.virtual else self.seconds
        return self.config.genesis.genesis_time + passed

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The chain's process: leaving it forgets all that is only in memory."""
        async with open_database(self.store) as db:
            self.chain = await open_chain(self.config, db, self.now)
            self.app = build_app(self.chain)
            yield

    async def mine(self, count: int = 1) -> None:
        """Move the clock to the next slots and make their blocks."""
        for _ in range(count):
            await self.mine_until((self.chain.tip.height + 1) * self.config.block_time_s)

    async def mine_until(self, seconds: float) -> None:
        """Move the clock, making every block that is due on the way in its slot."""
        block_time_s = self.config.block_time_s
        while (slot := (self.chain.tip.height + 1) * block_time_s) <= seconds:
            self.seconds = max(self.seconds, slot)
            await self.chain.produce()
        self.seconds = max(self.seconds, seconds)

    def blocks(self) -> list[dict[str, Any]]:
        """All blocks so far, as JSON."""
        contents = [self.chain.block(height) for height in range(self.chain.tip.height + 1)]
        return [json.loads(content) for content in contents if content]

    def transactions(self) -> list[dict[str, Any]]:
        """Everything that is in a block."""
        return [tx for block in self.blocks() for tx in block["txs"]]


class Parties:
    """A market (key 1), its customer (2), a worker (3), and five validators, of whom three must
    sign; each has a node's key."""

    chain_id = "cpc-devnet-1"

    def __init__(self) -> None:
        self.market, self.customer, self.worker = (key_of(number) for number in (1, 2, 3))
        signers = [Identity.from_seed(bytes([number]) * 32) for number in range(1, 6)]
        self.signers = sorted(signers, key=lambda one: one.public_key)
        self.accounts = [key_of(20 + number) for number in range(5)]
        """Of the validators, in the order of their keys."""
        self.stranger = Identity.from_seed(bytes([77]) * 32)
        self.worker_identity = Identity.from_seed(bytes([78]) * 32)

    def opening(self, task: str = "task", **changes: Any) -> Opening:
        members = tuple(
            Member(address=account.address, public_key=signer.public_key.hex())
            for account, signer in zip(self.accounts, self.signers, strict=True)
        )
        fields: dict[str, Any] = {
            "task_id": task_id_of(task),
            "customer": self.customer.address,
            "amount": Amount(10**19),
            "validators": members,
            "k": 3,
            "deadline": 20,
            "grace": 5,
            "shares": ShareTerms.of(Shares()),
            "fee_reserve": Amount(10**9),
            "burn_address": "cpc1burn" + "0" * 34,
            "treasury_address": "cpc1treasury" + "0" * 42,
        }
        return Opening(**{**fields, **changes})

    def name_of(self, opening: Opening, market: AccountKey | None = None) -> str:
        """The id of the escrow that an opening makes; of the market's, if of no other."""
        return escrow_id_of(self.chain_id, (market or self.market).address, opening.task_id)

    def claim(self, **changes: Any) -> Claim:
        checked = sorted(one.address for one in self.accounts[:3])
        fields: dict[str, Any] = {
            "workers": (Payee(address=self.worker.address, weight=7),),
            "validators": tuple(Payee(address=one, weight=2) for one in checked),
            "orchestrator": checked[0],
            "results": "ab" * 32,
        }
        return Claim(**{**fields, **changes})

    def approvals(self, opening: Opening, claim: Claim, count: int = 3) -> list[Approval]:
        """By the first so many validators."""
        name = self.name_of(opening)
        return [sign_claim(one, self.chain_id, name, claim) for one in self.signers[:count]]

    def approved(self, claims: Mapping[str, Claim], count: int = 3) -> list[Approval]:
        """The same for the claims of some escrows together."""
        return [sign_claims(one, self.chain_id, claims) for one in self.signers[:count]]

    def refusals(self, opening: Opening, count: int = 3) -> list[Approval]:
        """The same for a refund."""
        name = self.name_of(opening)
        return [sign_refund(one, self.chain_id, name) for one in self.signers[:count]]

    def award(self, **changes: Any) -> Award:
        """That a worker's result is false, by two jurors; without `outcome` it is overturned."""
        jurors = tuple(sorted(key_of(number).address for number in (31, 32)))
        fields: dict[str, Any] = {
            "outcome": "overturned",
            "jurors": jurors,
            "false": ("ab" * 32,),
            "culprits": (self.worker.address,),
        }
        keys = (self.worker_identity.public_key.hex(),)
        fields["keys"] = keys if changes.get("culprits", keys) else ()
        return Award(**{**fields, **changes})

    def awarded(self, opening: Opening, award: Award, count: int = 3) -> list[Approval]:
        """Signatures under an award."""
        name = self.name_of(opening)
        return [sign_award(one, self.chain_id, name, award) for one in self.signers[:count]]

    def binding(self, index: int) -> KeyBinding:
        """Of a validator's two keys."""
        return bind(self.signers[index], self.accounts[index], self.chain_id)

    def worker_binding(self) -> KeyBinding:
        """Of the worker's."""
        return bind(self.worker_identity, self.worker, self.chain_id)

    def computed(self, task_id: str, result_hash: str = "ab" * 32, nonce: int = 6) -> Act:
        """The worker's: that this is its result."""
        address = self.worker.address
        bare = ComputeResult(task_id, address, result_hash, "", nonce)
        author = Author(self.worker_identity, self.worker_binding(), address, self.chain_id)
        signed = seal_result(bare, bytes(32), ATTESTED, author)
        return Act(address=address, evidence=to_jsonable(SignedResult(signed)))

    def vouched(self, index: int, task_id: str, **changes: Any) -> Act:
        """A validator's: that the worker's result is valid."""
        fields: dict[str, Any] = {
            "task_id": task_id,
            "epoch": 1,
            "redraw": 0,
            "nonce": 6,
            "worker_address": self.worker.address,
            "result_hash": b"\xab" * 32,
            "finding": "valid",
            "seed": bytes(32),
            "validator_key": b"",
        }
        verdict = Verdict(**{**fields, **changes})
        signed = sign_verdict(verdict, self.chain_id, self.signers[index])
        return Act(
            address=self.accounts[index].address, evidence=to_jsonable(SignedVerdict(signed))
        )


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, world: World) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._world.requests.append(f"{request.method} {request.url.path}")
        if self._world.down:
            raise httpx.ConnectError("connection refused")
        self._world.before_request(request)
        # The application of the moment: a client outlives the process it talks to.
        transport = httpx.ASGITransport(app=self._world.app)
        response = await transport.handle_async_request(request)
        self._world.after_request(request)
        return response


def _nothing(_request: httpx.Request) -> None:
    pass


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    return json.loads((VECTORS / "l1.json").read_text())


@pytest.fixture(scope="session")
def http_vectors() -> dict[str, Any]:
    return json.loads((VECTORS / "l1-http.json").read_text())


@pytest.fixture(scope="session")
def parties() -> Parties:
    return Parties()


@pytest.fixture(scope="session")
def key() -> Callable[[int], AccountKey]:
    return key_of


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    """A world whose keys 1 to 5 have 1000 CPC each, unless the genesis says otherwise."""

    def make(*, virtual: bool = False, **changes: Any) -> World:
        alloc = changes.pop("alloc", {key_of(number).address: 10**21 for number in range(1, 6)})
        genesis_time = changes.pop("genesis_time", GENESIS_TIME)
        genesis = Genesis(alloc=alloc, genesis_time=genesis_time)
        config = DevChainConfig(
            proposer=key_of(99), genesis=genesis, data_dir=Path("unused"), **changes
        )
        return World(config, virtual=virtual)

    return make


@pytest.fixture
async def world(make_world: Callable[..., World]) -> AsyncIterator[World]:
    """A running chain with block 0."""
    world = make_world()
    async with world.running():
        await world.mine()
        yield world
