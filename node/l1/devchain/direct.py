"""The client's twin in memory: a development chain in the same process, without HTTP.

For simulations under a virtual clock, of which a web framework would be most of the cost.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec
import trio

from node.l1.blocks import Block
from node.l1.client import SendOutcome, Status, Validator
from node.l1.devchain.answers import Answers
from node.l1.devchain.faults import LATE_S
from node.l1.devchain.heldviews import bond_view, deposit_view, escrow_view, market_view
from node.l1.devchain.node import DevChain
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.escrow import BondView, DepositView, EscrowView, MarketView
from node.l1.transactions import Transaction

T = TypeVar("T")


class DirectClient:
    """A `MarketClient` that calls the chain, whose faults spoil answers as they do over HTTP."""

    def __init__(self, chain: DevChain) -> None:
        self._chain = chain
        self._answers = Answers(chain.config.faults)

    async def status(self) -> Status:
        return await self._answer(self._status)

    async def block(self, height: int) -> Block | None:
        return await self._answer(lambda: self._block(height))

    async def balance(self, address: str) -> int:
        return await self._answer(lambda: self._chain.account(address).balance)

    async def nonce(self, address: str, *, pending: bool) -> int:
        return await self._answer(lambda: self._nonce(address, pending))

    async def send(self, tx: Transaction) -> SendOutcome:
        return await self._answer(lambda: self._send(tx))

    async def validators(self) -> tuple[Validator, ...]:
        return await self._answer(self._validators)

    async def deposit(self, market: str, customer: str) -> DepositView:
        return await self._answer(lambda: deposit_view(self._chain, market, customer))

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        return await self._answer(lambda: escrow_view(self._chain, escrow_id))

    async def bond(self, market: str, address: str) -> BondView:
        return await self._answer(lambda: bond_view(self._chain, market, address))

    async def market(self) -> MarketView:
        return await self._answer(lambda: market_view(self._chain))

    async def _answer(self, question: Callable[[], T]) -> T:
        """Do what is asked, whatever becomes of the answer."""
        await trio.lowlevel.checkpoint()
        spoiling, answer = self._answers.next(), question()
        if spoiling == "lost":
            raise L1Unavailable("busy")
        if spoiling == "cut":
            raise L1Malformed("an answer ends in the middle")
        if spoiling == "late":
            await trio.sleep(LATE_S)
        return answer

    def _status(self) -> Status:
        tip = self._chain.tip
        return Status(tip.height, tip.block_hash, "devnet", 0, 0)

    def _block(self, height: int) -> Block | None:
        content = self._chain.block(height)
        return None if content is None else msgspec.json.decode(content, type=Block)

    def _nonce(self, address: str, pending: bool) -> int:
        if pending:
            return self._chain.first_free_nonce(address)
        return self._chain.account(address).nonce

    def _send(self, tx: Transaction) -> SendOutcome:
        _, problem = self._chain.submit(tx)
        if problem == "already_in_pool":
            return SendOutcome("known")
        return SendOutcome("rejected", problem) if problem else SendOutcome("accepted")

    def _validators(self) -> tuple[Validator, ...]:
        return tuple(
            Validator(one.address, one.pub_key, one.power, one.is_active)
            for one in self._chain.validators
        )
