"""Which back end a market's books are for: it cannot change while they hold anything."""

import msgspec

from node.errors import ConfigError
from node.settlement.accounts import L1
from node.settlement.ledger import Ledger
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class _Backend(msgspec.Struct, frozen=True):
    name: str


def check_backend(db: Database, name: str) -> None:
    """Note the back end; raises ConfigError if the books hold money of another one's."""
    table = Table(db, "settlement/backend", _Backend)
    known, held = table.get(b""), -Ledger(db).balance(L1)
    before = "transfer" if known is None else known.name
    if held and before != name:
        raise ConfigError(
            f"is {name}, but the market holds money by {before}",
            field="economics.settlement",
            remedy=f"let everybody withdraw by {before} first, or use another data directory",
        )
    if known is None or known.name != name:
        batch = Batch()
        table.put(batch, b"", _Backend(name))
        db.stage(batch)
