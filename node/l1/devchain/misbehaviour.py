"""A chain that misbehaves on purpose: it forgets, gives blocks up, and rewrites transfers."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from node.l1.devchain.chain import Chain, Proposal, Tip
from node.l1.devchain.faults import ROLLED_BACK_EVERY, Faults
from node.l1.devchain.mempool import Mempool, Waiting
from node.l1.devchain.receipts import Receipts
from node.l1.devchain.records import Records
from node.l1.devchain.state import State
from node.l1.transactions import Transaction, tx_digest
from storage.database import Database
from storage.store import Batch


class _Before(NamedTuple):
    """The chain before a block, and what the block took."""

    state: State
    tip: Tip
    included: tuple[Waiting, ...]


class Misbehaviour:
    """Does to a chain what its faults say; does nothing without any."""

    def __init__(
        self,
        faults: Faults,
        chain: Chain,
        records: Records,
        mempool: Mempool,
        receipts: Receipts,
        db: Database,
    ) -> None:
        self._faults = faults
        self._chain = chain
        self._records = records
        self._mempool = mempool
        self._receipts = receipts
        self._db = db
        self._blocks = self._transfers = 0
        self._before: deque[_Before] = deque(maxlen=faults.rolls_back)

    def rewritten(self, candidates: Iterable[Waiting]) -> list[Waiting]:
        """The next block's candidates, some of them other transactions with the same hash."""
        found = list(candidates)
        for index, waiting in enumerate(found) if self._faults.rewrites else ():
            other = _with_the_same_hash(waiting.tx)
            if other is not None:
                self._transfers += 1
                if self._transfers % self._faults.rewrites == 0:
                    found[index] = msgspec.structs.replace(waiting, tx=other)
        return found

    def before(self, proposal: Proposal) -> None:
        """A block is about to be adopted."""
        if self._faults.rolls_back:
            old = _Before(self._chain.state.copy(), self._chain.tip, proposal.included)
            self._before.append(old)

    def before_block(self) -> None:
        """A block is due, for which everything waits that came since the last one."""
        self._blocks += 1
        if self._faults.forgets and self._blocks % self._faults.forgets == 0:
            self._mempool.take_all()
            self._receipts.forget()

    async def after_block(self, now: float) -> None:
        """A block was adopted."""
        if self._before and self._blocks % ROLLED_BACK_EVERY == 0:
            await self._roll_back(now)

    async def _roll_back(self, now: float) -> None:
        """Give the last blocks up; what they took waits again, before all that waits already."""
        gone = [waiting for block in self._before for waiting in block.included]
        first, batch = self._before[0], Batch()
        self._records.restore(batch, self._chain.state, self._chain.tip, first.state, first.tip)
        for waiting in gone:
            self._records.forget_place(batch, waiting.digest)
        self._before.clear()
        self._chain.restore(first.state, first.tip)
        for waiting in (*gone, *self._mempool.take_all()):
            again = msgspec.structs.replace(waiting, since=now)
            self._mempool.take_back(again, first.state)
        await self._db.commit(batch)


def _with_the_same_hash(tx: Transaction) -> Transaction | None:
    """The TRANSFER that the same signature fits, the amount's first digit being the recipient's
    last character: the hash has no separators. None if there is none."""
    digits = str(tx.amount)
    if tx.tx_type != "TRANSFER" or len(digits) < 2 or digits[1] == "0":
        return None
    to_address = f"{tx.to_address}{digits[0]}"
    other = msgspec.structs.replace(tx, to_address=to_address, amount=int(digits[1:]))
    assert tx_digest(other) == tx_digest(tx)
    return other
