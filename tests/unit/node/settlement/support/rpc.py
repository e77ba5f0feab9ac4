"""Nodes of a chain that fail for a while, or show another chain than the others do."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from node.l1.blocks import NO_TXS_ROOT, Block, compute_root, l1_merkle_root
from node.l1.client import L1Client
from node.l1.errors import L1Unavailable
from node.l1.transactions import tx_digest

EVERY_S, LASTS_S = 62.0, 25.0
"""Of each of these so much is bad: five blocks, which is longer than a sender waits for one. It
begins at every time between two blocks, in the first one after escrows of a wave are open."""


def is_bad_time() -> bool:
    """Whether it is now."""
    return trio.current_time() % EVERY_S >= EVERY_S - LASTS_S


class Stormy:
    """A node that in bad times answers 503 to everything, of which it does every other thing."""

    def __init__(self, inner: L1Client) -> None:
        self._inner = inner
        self._refused = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def asked(*args: Any, **kwargs: Any) -> Any:
            if not is_bad_time():
                return await method(*args, **kwargs)
            self._refused += 1
            if self._refused % 2:
                await method(*args, **kwargs)
            raise L1Unavailable("503")

        return asked


class Forger:
    """A node that in bad times shows blocks without their last transaction, and fitting headers."""

    def __init__(self, inner: L1Client) -> None:
        self._inner = inner
        self.forged = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def block(self, height: int) -> Block | None:
        block = await self._inner.block(height)
        if block is None or not block.txs or not is_bad_time():
            return block
        self.forged += 1
        txs = block.txs[:-1]
        root = l1_merkle_root([tx_digest(tx) for tx in txs]).hex() if txs else NO_TXS_ROOT
        header = msgspec.structs.replace(block.header, tx_root=root, compute_root=compute_root(txs))
        return msgspec.structs.replace(block, txs=txs, header=header)
