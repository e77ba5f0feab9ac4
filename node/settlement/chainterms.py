"""The chain's own terms for the money that it holds, asked for once it answers."""

from math import ceil
from typing import Protocol

import trio

from node.errors import ConfigError
from node.l1.errors import L1Error, L1Unavailable
from node.l1.escrow import MarketParameters, MarketView
from node.l1.patience import Patience

POLL_S = 1.0


class TermsSource(Protocol):
    """A chain that may hold money."""

    async def market(self) -> MarketView:
        """Its parameters; raises L1Malformed if it is of another profile, L1Unavailable."""


class Terms:
    """What the chain fixed, and why it is not known yet."""

    def __init__(self, chain: TermsSource, grace_blocks: int) -> None:
        """`grace_blocks` is the network's own part of the time that the chain gives an escrow."""
        self.known: MarketParameters | None = None
        self.learned = trio.Event()
        """Set once they are known."""
        self.obstacle = ""
        """A sentence if the chain can hold no money."""
        self._chain = chain
        self._grace_blocks = grace_blocks

    async def learn(self) -> MarketParameters:
        """Ask until the chain has told."""
        patience = Patience(POLL_S)
        while self.known is None:
            try:
                self.known = self._usable((await self._chain.market()).parameters)
            except L1Unavailable:
                await trio.sleep(patience.after_failure())
            except L1Error as error:
                self.obstacle = f"the L1 holds no escrows, which this network needs: {error}"
                await trio.sleep(patience.after_failure())
            except ConfigError as error:
                self.obstacle = str(error)
                await trio.sleep(patience.after_failure())
        self.obstacle = ""
        self.learned.set()
        return self.known

    def deadline_blocks(self, seconds: float, block_s: float, *, more: int = 0) -> int:
        """How many blocks away a deadline is that gives so many seconds, and `more` blocks: as far
        as the chain lets it be with the grace, from any of the next blocks on."""
        longest = 0 if self.known is None else self.known.max_escrow_blocks - self._grace_blocks
        return max(1, min(ceil(max(0.0, seconds) / block_s) + more, longest))

    def _usable(self, terms: MarketParameters) -> MarketParameters:
        most = terms.max_escrow_blocks
        if self._grace_blocks >= most:
            problem = (
                f"is {self._grace_blocks}, and the L1 takes no escrow for more than {most} blocks"
            )
            raise ConfigError(problem, field="economics.escrow_grace_blocks")
        return terms
