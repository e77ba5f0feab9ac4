"""Which back end a market's books are for: it cannot change while they hold anything."""

from functools import partial

import msgspec

from node.config import NetworkConfig
from node.errors import ConfigError
from node.l1.sender import Sender
from node.settlement.accounts import L1
from node.settlement.chainterms import TermsSource
from node.settlement.escrow import EscrowSettlement
from node.settlement.ledger import Ledger
from node.settlement.network import settlement_parameters
from node.settlement.outbox import Clock
from node.settlement.transfer import TransferSettlement
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class _Backend(msgspec.Struct, frozen=True):
    name: str


def back_end_of(
    config: NetworkConfig,
    db: Database,
    sender: Sender,
    *,
    address: str,
    clock_ms: Clock,
    chain: TermsSource,
) -> TransferSettlement | EscrowSettlement:
    """The settlement that a network file names, of the market whose L1 account is `address`."""
    is_held = config.economics.settlement == "escrow"
    back_end = partial(EscrowSettlement, chain=chain) if is_held else TransferSettlement
    return back_end(
        db,
        sender,
        settlement_parameters(config),
        chain_id=config.network.chain_id,
        address=address,
        clock_ms=clock_ms,
    )


def check_backend(db: Database, name: str) -> None:
    """Note the back end; raises ConfigError if the books hold money of another one's."""
    before, held = backend_of(db), -Ledger(db).balance(L1)
    if held and before != name:
        raise ConfigError(
            f"is {name}, but the market holds money by {before}",
            field="economics.settlement",
            remedy=f"let everybody withdraw by {before} first, or use another data directory",
        )
    if before != name:
        batch = Batch()
        _table(db).put(batch, b"", _Backend(name))
        db.stage(batch)


def backend_of(db: Database) -> str:
    """The back end that the books are for: `transfer`, or `escrow`."""
    known = _table(db).get(b"")
    return "transfer" if known is None else known.name


def _table(db: Database) -> Table[_Backend]:
    return Table(db, "settlement/backend", _Backend)
