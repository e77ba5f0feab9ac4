"""Money that is nobody's account yet: deposits by strangers, and payments that the chain lost.

    claim     unclaimed -> customer

The operator decides whose it is, entry by entry; each is given once.
"""

from collections.abc import Callable, Iterator

from node.errors import Conflict, InvalidInput, NotFound
from node.l1.errors import BadAddress
from node.l1.keys import check_address
from node.settlement import accounts
from node.settlement.accounts import UNCLAIMED
from node.settlement.entries import Entry, move
from node.settlement.errors import LedgerConflict
from node.settlement.ledger import Ledger
from storage.database import Database
from storage.store import Batch


def unclaimed_entries(ledger: Ledger) -> Iterator[Entry]:
    """What came in and was not given to anybody, oldest first."""
    for entry in ledger.entries(UNCLAIMED):
        if entry.amount(UNCLAIMED) > 0 and ledger.find(_cause(entry.sequence)) is None:
            yield entry


class UnclaimedDesk:
    """Where a market's operator gives it away, over the control socket and nowhere else."""

    def __init__(self, db: Database, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._ledger = ledger
        self._now_ms = now_ms

    def entries(self) -> Iterator[Entry]:
        """What nobody was given yet, oldest first."""
        return unclaimed_entries(self._ledger)

    async def give(self, number: int, address: str) -> Entry:
        """Give what the ledger's entry `number` left unclaimed to a customer; returns it once that
        is durable. Again, it is the same.

        Raises:
            InvalidInput: the address is no account.
            NotFound: no entry of this number left anything unclaimed.
            Conflict: it was given to somebody else.
        """
        try:
            check_address(address)
        except BadAddress as error:
            raise InvalidInput(error.problem, field="address", remedy="copy all of it") from error
        entry = next(self._ledger.entries(UNCLAIMED, start=number, limit=1), None)
        if entry is None or entry.sequence != number or entry.amount(UNCLAIMED) <= 0:
            raise NotFound("nothing unclaimed has this number", field="number")
        self._post(entry, address)
        await self._db.flushed()
        return entry

    def _post(self, entry: Entry, address: str) -> None:
        batch, cause = Batch(), _cause(entry.sequence)
        postings = move(UNCLAIMED, accounts.customer(address), entry.amount(UNCLAIMED))
        try:
            self._ledger.post(
                batch, cause=cause, kind="claim", postings=postings, at_ms=self._now_ms()
            )
        except LedgerConflict as error:
            raise Conflict("it was given to somebody else", field="number") from error
        if batch:
            self._db.stage(batch)


def _cause(number: int) -> str:
    return f"claim:{number}"
