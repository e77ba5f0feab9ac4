"""Following the chain: every confirmed block, in order, once.

The position is written in the batch into which the handler writes, so that a crash keeps both or
neither. A block whose handler wrote nothing may come again after a crash, which leaves no trace
either way. What is delivered has been checked: it follows the block before it, its header covers
its transactions and results, and a pinned proposer signed it if any are pinned.
"""

import logging
from collections.abc import Callable, Collection

import msgspec
import trio

from node.l1.blocks import BEFORE_FIRST, Block, block_hash, check_proposer, check_roots
from node.l1.client import L1Client
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.patience import Patience
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

log = logging.getLogger(__name__)

Handler = Callable[[Batch, Block], None]

FLUSH_EVERY = 64  # blocks between waits for the disk while catching up
REMEMBER_EVERY = 32  # blocks after which the position is written though no handler wrote


class Position(msgspec.Struct, frozen=True):
    """The last delivered block; without a hash nothing was delivered yet."""

    height: int
    block_hash: str = ""


class Follower:
    """Delivers confirmed blocks to `handler(batch, block)`, which is synchronous."""

    def __init__(
        self,
        client: L1Client,
        db: Database,
        handler: Handler,
        *,
        name: str = "l1-follower",
        start_height: int | None = 0,
        confirmations: int = 1,
        proposer_keys: Collection[bytes] = (),
        poll_s: float = 1.0,
        accept_unverified: Collection[int] = (),
    ) -> None:
        """Go on from the position stored under `name`, else begin at `start_height`.

        Args:
            start_height: First block to deliver; None for the one after the tip at first contact.
            confirmations: A block counts as confirmed when this many, itself included, are there.
            proposer_keys: Compressed public keys, one of which must have signed each block.
            poll_s: Seconds between looks at the tip.
            accept_unverified: Heights of blocks whose roots are not compared. The chain stores NaN
                in a payload as null, so that anybody can make a block that never matches its
                header; whoever runs the node may decide to take such a block as it is.
        """
        if confirmations < 1:
            raise ValueError("a block is confirmed by itself at the least: confirmations >= 1")
        self._client = client
        self._db = db
        self._handler = handler
        self._table = Table(db, name, Position)
        self._start_height = start_height
        self._confirmations = confirmations
        self._proposer_keys = proposer_keys
        self._accept_unverified = accept_unverified
        self._patience = Patience(poll_s)
        self._position = self._table.get(b"")

    @property
    def height(self) -> int | None:
        """Of the last delivered block; None before the first contact."""
        return None if self._position is None else self._position.height

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; raises StorageFailed, and what the handler raises."""
        task_status.started()
        while True:
            try:
                await self.catch_up()
                pause = self._patience.after_success()
            except (L1Unavailable, L1Malformed) as error:
                if not self._patience.failing:
                    log.warning("cannot follow the chain: %s", error)
                pause = self._patience.after_failure()
            await trio.sleep(pause)

    async def catch_up(self) -> None:
        """Deliver what is confirmed now, durably; raises L1Unavailable and L1Malformed."""
        tip = (await self._client.status()).height
        position = self._begin(tip)
        try:
            while tip - position.height >= self._confirmations:
                block = await self._client.block(position.height + 1)
                if block is None:  # the tip runs ahead of the blocks while one is being stored
                    break
                self._check(block, position)
                position = self._deliver(block)
                self._patience.progressed()
                if position.height % FLUSH_EVERY == 0:
                    await self._db.flushed()
        finally:
            self._position = position
        await self._db.flushed()

    def _begin(self, tip: int) -> Position:
        if self._position is None:
            start = tip + 1 if self._start_height is None else self._start_height
            self._position = Position(start - 1)
            batch = Batch()
            self._table.put(batch, b"", self._position)
            self._db.stage(batch)
        return self._position

    def _check(self, block: Block, before: Position) -> None:
        header = block.header
        expected = before.block_hash or (BEFORE_FIRST if header.height == 0 else header.prev_hash)
        if header.height != before.height + 1:
            raise L1Malformed(f"block {header.height} came after {before.height}")
        if header.prev_hash != expected:
            raise L1Malformed(f"block {header.height} does not follow the one seen before it")
        if header.height not in self._accept_unverified:
            check_roots(block)
        if self._proposer_keys:
            check_proposer(block, self._proposer_keys)

    def _deliver(self, block: Block) -> Position:
        position = Position(block.header.height, block_hash(block.header))
        batch = Batch()
        self._handler(batch, block)
        if batch or position.height % REMEMBER_EVERY == 0:
            self._table.put(batch, b"", position)
            self._db.stage(batch)
        return position
