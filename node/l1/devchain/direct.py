"""The client's twin in memory: a development chain in the same process, without HTTP.

For simulations under a virtual clock, of which a web framework would be most of the cost.
"""

import msgspec
import trio

from node.l1.blocks import Block
from node.l1.client import SendOutcome, Status, Validator
from node.l1.devchain.heldviews import bond_view, deposit_view, escrow_view, market_view
from node.l1.devchain.node import DevChain
from node.l1.escrow import BondView, DepositView, EscrowView, MarketView
from node.l1.transactions import Transaction


class DirectClient:
    """A `MarketClient` that calls the chain."""

    def __init__(self, chain: DevChain) -> None:
        self._chain = chain

    async def status(self) -> Status:
        await trio.lowlevel.checkpoint()
        tip = self._chain.tip
        return Status(tip.height, tip.block_hash, "devnet", 0, 0)

    async def block(self, height: int) -> Block | None:
        await trio.lowlevel.checkpoint()
        content = self._chain.block(height)
        return None if content is None else msgspec.json.decode(content, type=Block)

    async def balance(self, address: str) -> int:
        await trio.lowlevel.checkpoint()
        return self._chain.account(address).balance

    async def nonce(self, address: str, *, pending: bool) -> int:
        await trio.lowlevel.checkpoint()
        if pending:
            return self._chain.first_free_nonce(address)
        return self._chain.account(address).nonce

    async def send(self, tx: Transaction) -> SendOutcome:
        await trio.lowlevel.checkpoint()
        _, problem = self._chain.submit(tx)
        if problem == "already_in_pool":
            return SendOutcome("known")
        return SendOutcome("rejected", problem) if problem else SendOutcome("accepted")

    async def validators(self) -> tuple[Validator, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(
            Validator(one.address, one.pub_key, one.power, one.is_active)
            for one in self._chain.validators
        )

    async def deposit(self, market: str, customer: str) -> DepositView:
        await trio.lowlevel.checkpoint()
        return deposit_view(self._chain, market, customer)

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        await trio.lowlevel.checkpoint()
        return escrow_view(self._chain, escrow_id)

    async def bond(self, market: str, address: str) -> BondView:
        await trio.lowlevel.checkpoint()
        return bond_view(self._chain, market, address)

    async def market(self) -> MarketView:
        await trio.lowlevel.checkpoint()
        return market_view(self._chain)
