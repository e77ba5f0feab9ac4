"""A chain of the `market` profile, and a way to send it what held money is moved by."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from node.l1.devchain.holdings import units_of
from node.l1.escrow import MarketParameters
from node.l1.keys import AccountKey
from node.l1.transactions import Draft
from node.verification.onchain import MarketProfile

CHAIN = "cpc-devnet-1"
SMALL = MarketParameters(
    deposit_notice_blocks=3, max_escrow_blocks=50, unbonding_blocks=4, slash_bp=2_500
)


class Held:
    """A running chain with block 0, and its parties, who have 1000 CPC each."""

    def __init__(self, world: Any, parties: Any) -> None:
        self.world = world
        self.parties = parties
        self.fees = 0

    async def send(self, sender: AccountKey, *drafts: Draft) -> list[str]:
        """Why each is refused, empty if it is not."""
        problems = []
        for draft in drafts:
            nonce = self.world.chain.first_free_nonce(sender.address)
            outcome = await self.world.client.send(draft.signed(sender, nonce))
            problems.append(outcome.reason)
        return problems

    async def included(self, sender: AccountKey, *drafts: Draft) -> None:
        """Send, and make the block that holds it."""
        before = len(self.world.transactions())
        assert await self.send(sender, *drafts) == [""] * len(drafts)
        await self.world.mine()
        assert len(self.world.transactions()) == before + len(drafts)

    async def refused(self, sender: AccountKey, draft: Draft) -> str:
        """Why it is refused at the door."""
        (problem,) = await self.send(sender, draft)
        assert problem.startswith("rejected: ")
        return problem.removeprefix("rejected: ")

    def balance(self, address: str) -> int:
        return int(self.world.chain.account(address).balance)

    @property
    def height(self) -> int:
        """Of the newest block."""
        return int(self.world.chain.tip.height)

    def gained(self, address: str, before: int) -> int:
        """What an account has more than before, but for the fees that it paid since block 0."""
        paid = sum(
            tx["gas_limit"] * tx["gas_price"]
            for tx in self.world.transactions()
            if tx["from_address"] == address
        )
        return self.balance(address) + paid - before

    def total(self) -> int:
        """All money there is, wherever it is."""
        state = self.world.chain._chain.state
        accounts = sum(one.balance for one in state.accounts.values())
        held = sum(map(units_of, state.holdings.records.values()))
        return int(accounts + held + state.burned)

    def minted(self) -> int:
        """Rewards of all blocks so far."""
        return (self.height + 1) * 10 * 10**18


@pytest.fixture(scope="session")
def make_market_world(make_world: Callable[..., Any], key: Any, parties: Any) -> Any:
    def make(**changes: Any) -> Any:
        everybody = (*(key(number) for number in range(1, 6)), *parties.accounts)
        world = make_world(
            alloc={one.address: 10**21 for one in everybody},
            profile=MarketProfile(CHAIN),
            **changes,
        )
        genesis = msgspec.structs.replace(world.config.genesis, market=SMALL)
        world.config = msgspec.structs.replace(world.config, genesis=genesis)
        return world

    return make


@pytest.fixture
async def held(make_market_world: Any, parties: Any) -> AsyncIterator[Held]:
    world = make_market_world()
    async with world.running():
        await world.mine()
        yield Held(world, parties)
