"""Deposits that are in a block and not credited yet, since too few blocks follow it.

Nothing is booked here: it is for showing. The last blocks may still be given up for others, so they
are read again whenever the tip moves.
"""

import logging

import msgspec
import trio

from node.amounts import Amount
from node.l1.client import L1Client
from node.l1.errors import L1Error
from node.l1.follower import Follower

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
MAX_BLOCKS = 512
"""Below the tip that are looked at; a reader that lags more is not ready anyway."""
AGAIN = 8
"""Blocks that are read again."""


class Arriving(msgspec.Struct, frozen=True):
    """A deposit on its way."""

    sender: str
    amount: Amount
    height: int
    seen_s: float
    """On trio's clock."""


class Arrivals:
    """Watches for deposits to `address` that `follower` has not delivered yet.

    `by` is the type of transaction that pays in.
    """

    def __init__(
        self, client: L1Client, follower: Follower, address: str, by: str = "TRANSFER"
    ) -> None:
        self._client = client
        self._follower = follower
        self._address = address
        self._by = by
        self._tip = (-1, "")
        self._blocks: dict[int, dict[str, Arriving]] = {}

    def found(self) -> tuple[Arriving, ...]:
        """What is on its way now, the longest seen first."""
        read = self._follower.height
        blocks = sorted(self._blocks.items())
        return tuple(
            one
            for height, found in blocks
            if read is None or height > read
            for one in found.values()
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look until cancelled."""
        task_status.started()
        while True:
            try:
                await self._look()
            except L1Error as error:
                log.debug("cannot look for deposits: %s", error)
            await trio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        status = await self._client.status()
        read = self._follower.height
        if read is None or (status.height, status.last_hash) == self._tip:
            return
        first = max(read + 1, status.height - MAX_BLOCKS + 1)
        known = {height: found for height, found in self._blocks.items() if height >= first}
        for height in range(max(first, max(known, default=0) - AGAIN + 1), status.height + 1):
            known[height] = await self._in_block(height)
        self._blocks, self._tip = known, (status.height, status.last_hash)

    async def _in_block(self, height: int) -> dict[str, Arriving]:
        block, before = await self._client.block(height), self._blocks.get(height, {})
        found = {}
        for tx in block.txs if block is not None else ():
            if tx.tx_type == self._by and tx.to_address == self._address != tx.from_address:
                key = f"{tx.from_address}:{tx.nonce}"
                known = before.get(key)
                seen_s = trio.current_time() if known is None else known.seen_s
                found[key] = Arriving(tx.from_address[:100], Amount(tx.amount), height, seen_s)
        return found
