"""What a market really handed to the chain, and what the chain said of it, seen from between them.

From this a test knows that a fault did strike, and what: a run in which nothing went wrong shows
nothing about faults.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from node.l1.client import L1Client, SendOutcome
from node.l1.devchain.node import DevChain
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.transactions import Transaction, tx_hash

EVERY_TASK = ("ESCROW_OPEN", "ESCROW_SETTLE")
"""What a market sends for each result; refunds and withdrawals are too few in a small run for a
fault to strike them for certain."""


class Witness:
    """An `L1Client` that notes what becomes of transactions; everything else passes through."""

    def __init__(self, inner: L1Client, chain: DevChain) -> None:
        self._inner = inner
        self._chain = chain
        self._types: dict[str, str] = {}
        self._taken: Counter[str] = Counter()
        self._unsaid: Counter[str] = Counter()
        self._confirmed: Counter[str] = Counter()
        self.questions = self.failures = 0
        """How often the chain was asked anything, and how often no usable answer came."""
        self.waited_s = 0.0
        """For all answers."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def asked(*args: Any, **kwargs: Any) -> Any:
            return await self._asked(lambda: method(*args, **kwargs))

        return asked

    async def send(self, tx: Transaction) -> SendOutcome:
        name = tx_hash(tx)
        self._types[name] = tx.tx_type
        try:
            outcome: SendOutcome = await self._asked(lambda: self._inner.send(tx))
        except (L1Unavailable, L1Malformed):
            self._unsaid[name] += self._chain.first_free_nonce(tx.from_address) > tx.nonce
            raise
        self._taken[name] += outcome.status == "accepted"
        return outcome

    async def _asked(self, question: Callable[[], Any]) -> Any:
        self.questions += 1
        began_s = trio.current_time()
        try:
            return await question()
        except (L1Unavailable, L1Malformed):
            self.failures += 1
            raise
        finally:
            self.waited_s += trio.current_time() - began_s

    def taken_again(self) -> Counter[str]:
        """By type: transactions that the chain had taken, lost, and was handed again."""
        return self._by_type(self._taken, least=2)

    def taken_unsaid(self) -> Counter[str]:
        """By type: transactions that the chain took and did not say so."""
        return self._by_type(self._unsaid, least=1)

    def rolled_back(self) -> Counter[str]:
        """By type: transactions that were in a block, and then in another one."""
        return self._by_type(self._confirmed, least=2)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear what the chain says of blocks, also of those that it gives up later."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            yield
            nursery.cancel_scope.cancel()

    async def _listen(self) -> None:
        async for frame in self._chain.events.frames():
            if frame.startswith(b"data: "):
                event = json.loads(frame[6:])
                self._confirmed[event["tx_hash"]] += event["type"] == "tx_confirmed"

    def _by_type(self, times: Counter[str], *, least: int) -> Counter[str]:
        names = (name for name, count in times.items() if count >= least)
        return Counter(self._types[name] for name in names if name in self._types)
