"""`tmnode keys rotate` and `tmnode keys archive`, and what stands against a rotation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from node.cli.options import PATH, data_dir_option, json_option
from node.cli.output import pairs, print_answer, table
from node.cli.secrets import needed_passphrase, passphrase_for
from node.errors import Conflict
from node.keys import (
    archived_folder,
    archived_keys,
    paths_in,
    restore_archived,
    rotate_keys,
    show_from,
    show_keys,
)
from node.keys.content import Kind

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import KeyValueStore

KINDS: dict[str, tuple[Kind, ...]] = {
    "peer": ("ed25519",),
    "account": ("secp256k1",),
    "both": ("ed25519", "secp256k1"),
}
ON_THE_WAY = ("pending-results", "result-batches")
"""Tables of a validator that hold something only while a result is on its way to the chain."""


@click.command()
@data_dir_option
@click.option(
    "--key", "which", type=click.Choice(list(KINDS)), default="both", show_default=True,
    help="Which to exchange: the peer's Ed25519 key, the L1 account's, or both.",
)  # fmt: skip
@click.option("--back-to", metavar="NAME", help="Take archived keys again, both, instead of new.")
@click.option("--passphrase-file", type=PATH, help="File whose first line is the passphrase.")
@json_option
def rotate(
    data_dir: Path,
    which: str,
    back_to: str | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Exchange a stopped node's keys for new ones; the old ones stay in keys/archive.

    Refused while the node runs, while it has transactions or results on their way to the chain,
    while a market has open tasks, and, for the account, while a market's ledger holds anything.
    Other nodes take the new peer id for a new node. What the old account has on the chain stays
    there: `tmnode keys rotate --back-to NAME` brings its key back.
    """
    before = show_keys(data_dir)
    with _stopped(data_dir, before.address, _kinds(which, back_to)):
        if back_to is None:
            passphrase = passphrase_for(data_dir, passphrase_file)
            rotate_keys(data_dir, passphrase, kinds=KINDS[which])
        else:
            sealed = show_from(paths_in(archived_folder(data_dir, back_to))).sealed
            passphrase = needed_passphrase(passphrase_file, new=False) if sealed else None
            restore_archived(data_dir, back_to, passphrase)
    about = {
        **msgspec.structs.asdict(show_keys(data_dir)),
        "archived": archived_keys(data_dir)[-1].name,
        "old_peer_id": before.peer_id,
        "old_address": before.address,
    }
    print_answer(about, pairs(about), as_json=as_json)


@click.command()
@data_dir_option
@json_option
def archive(data_dir: Path, as_json: bool) -> None:
    """List the keys that a node has had, oldest first."""
    found = archived_keys(data_dir)
    head = ("name", "peer id", "address", "sealed")
    rows = ((one.name, one.keys.peer_id, one.keys.address, one.keys.sealed) for one in found)
    print_answer({"archive": found}, table(head, rows), as_json=as_json)


def _kinds(which: str, back_to: str | None) -> tuple[Kind, ...]:
    return KINDS["both" if back_to is not None else which]


@contextmanager
def _stopped(data_dir: Path, address: str, kinds: Sequence[Kind]) -> Iterator[None]:
    """Keep the data directory from any node; raises Conflict with what is still open."""
    import trio

    from storage.errors import StoreLocked
    from storage.leveldb import open_leveldb

    try:
        with open_leveldb(data_dir / "db") as store:
            found = trio.run(_open_things, store, address, kinds)
            if found:
                remedy = "start the node, and rotate when it has done with them"
                raise Conflict("; ".join(found), field=str(data_dir), remedy=remedy)
            yield
    except StoreLocked as error:
        problem = f"a node runs here, process {error.owner}"
        raise Conflict(problem, field=str(data_dir), remedy="stop it first") from error


async def _open_things(store: "KeyValueStore", address: str, kinds: Sequence[Kind]) -> list[str]:
    from storage.database import open_database

    async with open_database(store) as db:
        return [*_on_the_way(db, address), *_held(db, kinds)]


def _on_the_way(db: "Database", address: str) -> Iterator[str]:
    from node.l1.outbound import OutboundBook

    transactions = sum(1 for _ in OutboundBook(db, address).open_records())
    if transactions:
        yield f"{transactions} transactions of {address} are in no block yet"
    results = sum(_rows(db, name) for name in ON_THE_WAY)
    if results:
        yield f"{results} results or batches of results are on their way to the chain"


def _held(db: "Database", kinds: Sequence[Kind]) -> Iterator[str]:
    from node.amounts import format_cpc
    from node.settlement.accounts import L1
    from node.settlement.ledger import Ledger

    holdings = [(name, units) for name, units in Ledger(db).holdings() if name != L1]
    tasks = sum(name.startswith("reserved:") for name, _ in holdings)
    if tasks:
        yield f"{tasks} tasks are open, drawn with the old peer key"
    if "secp256k1" in kinds and holdings:
        units = format_cpc(sum(units for _, units in holdings))
        names = ", ".join(sorted({name.partition(":")[0] for name, _ in holdings}))
        yield f"the ledger holds {units} CPC ({names}), which lie in the old account"


def _rows(db: "Database", table_name: str) -> int:
    prefix = bytes([len(table_name)]) + table_name.encode()
    return sum(1 for _ in db.scan(prefix, prefix[:-1] + bytes([prefix[-1] + 1])))
