"""Several nodes of one chain behind one client: who fails is replaced, who lies is noticed."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import trio

from node.l1.blocks import Block, block_hash
from node.l1.client import MarketClient, SendOutcome, Status, Validator
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.escrow import BondView, DepositView, EscrowView, MarketView
from node.l1.transactions import Transaction

log = logging.getLogger(__name__)

COMPARE_S = 2.0
"""For the other nodes to show the same block; who takes longer is passed over."""
LEFT_ALONE_S = 30.0
"""How long a node that did not answer is not asked for comparison."""

T = TypeVar("T")


class SeveralClients:
    """A `MarketClient` over nodes by name, of which one at a time is asked.

    It stays with one, as pool and receipts are a node's own, until that gives no usable answer.
    A block is given only if no other node that answers has another one in its place: then
    L1Malformed names the two, until they agree or the operator takes one out.
    """

    def __init__(self, clients: Mapping[str, MarketClient]) -> None:
        """`clients` are in the order of preference, at least one."""
        self._clients = dict(clients)
        self._current = next(iter(self._clients))
        self._left_alone_until_s: dict[str, float] = {}

    async def status(self) -> Status:
        return await self._ask(lambda client: client.status())

    async def block(self, height: int) -> Block | None:
        name, block = await self._asked(lambda client: client.block(height))
        if block is not None:
            await self._compare(name, height, block)
        return block

    async def balance(self, address: str) -> int:
        return await self._ask(lambda client: client.balance(address))

    async def nonce(self, address: str, *, pending: bool) -> int:
        return await self._ask(lambda client: client.nonce(address, pending=pending))

    async def send(self, tx: Transaction) -> SendOutcome:
        return await self._ask(lambda client: client.send(tx))

    async def validators(self) -> tuple[Validator, ...]:
        return await self._ask(lambda client: client.validators())

    async def deposit(self, market: str, customer: str) -> DepositView:
        return await self._ask(lambda client: client.deposit(market, customer))

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        return await self._ask(lambda client: client.escrow(escrow_id))

    async def bond(self, market: str, address: str) -> BondView:
        return await self._ask(lambda client: client.bond(market, address))

    async def market(self) -> MarketView:
        return await self._ask(lambda client: client.market())

    async def _ask(self, question: Callable[[MarketClient], Awaitable[T]]) -> T:
        _, answer = await self._asked(question)
        return answer

    async def _asked(self, question: Callable[[MarketClient], Awaitable[T]]) -> tuple[str, T]:
        """Who answered, the current node or the next one that does, and what."""
        failures = []
        for _ in self._clients:
            name = self._current
            try:
                return name, await question(self._clients[name])
            except (L1Unavailable, L1Malformed) as error:
                failures.append(error)
                self._turn_from(name, error)
        raise failures[-1]

    def _turn_from(self, name: str, error: Exception) -> None:
        """Go on to the node after this one, unless another task has done so meanwhile."""
        self._leave_alone(name)
        if self._current == name and len(self._clients) > 1:
            names = list(self._clients)
            self._current = names[(names.index(name) + 1) % len(names)]
            log.warning("%s: %s; asking %s from now on", name, error, self._current)

    async def _compare(self, name: str, height: int, block: Block) -> None:
        """Raise L1Malformed if another node has another block at this height."""
        others: dict[str, Block] = {}
        async with trio.open_nursery() as nursery:
            for other in self._to_compare(name):
                nursery.start_soon(self._look, other, height, others)
        for other, found in others.items():
            if block_hash(found.header) != block_hash(block.header):
                raise L1Malformed(f"block {height}: {name} and {other} have different ones")

    async def _look(self, name: str, height: int, found: dict[str, Block]) -> None:
        """Note a node's block; a node that does not answer soon is left alone for a while."""
        with suppress(L1Unavailable, L1Malformed), trio.move_on_after(COMPARE_S):
            block = await self._clients[name].block(height)
            if block is not None:
                found[name] = block
            return
        self._leave_alone(name)

    def _leave_alone(self, name: str) -> None:
        self._left_alone_until_s[name] = trio.current_time() + LEFT_ALONE_S

    def _to_compare(self, current: str) -> list[str]:
        now_s = trio.current_time()
        return [
            name
            for name in self._clients
            if name != current and self._left_alone_until_s.get(name, 0.0) <= now_s
        ]
