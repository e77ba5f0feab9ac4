"""`tmnode wallet audit`: a market's books, recomputed from their entries."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from node.cli.failures import FAILED
from node.cli.options import data_dir_option, json_option
from node.cli.output import found_text, print_answer

if TYPE_CHECKING:
    from node.settlement.audit import AuditReport
    from node.settlement.solvency import Solvency
    from storage.database import Database

TRIES = 5


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found; `findings` are sentences, and none if all is well."""

    entries: int
    accounts: int
    held_cpc: str
    owed_cpc: str = "0.0"
    """By customers, for tasks on credit."""
    leaving_cpc: str | None = None
    on_chain_cpc: str | None = None
    findings: tuple[str, ...]


@click.command()
@data_dir_option
@click.option("--l1", metavar="URL", help="Compare with the chain behind this URL, too.")
@json_option
@click.pass_context
def audit(ctx: click.Context, data_dir: Path, l1: str | None, as_json: bool) -> None:
    """Recompute a market's books from their entries, while it goes on if it runs.

    Works on a copy of the database. Balances, numbers and indexes are derived once more, and with
    --l1 the chain is asked whether it has what the books owe: the market's account, or where the
    chain itself holds the money, its deposits and escrows. Exit code 1 if anything is wrong.
    """
    import trio

    with tempfile.TemporaryDirectory(prefix="tmnode-audit-") as folder:
        copy, on_chain = _copied(data_dir, Path(folder), l1)
        found = trio.run(_audit, copy, on_chain, data_dir, l1)
    print_answer(found, _text(found), as_json=as_json)
    ctx.exit(FAILED if found.findings else 0)


def _copied(data_dir: Path, folder: Path, l1: str | None) -> tuple[Path, int | None]:
    """A copy of the store, and the units that the chain had for the market at that moment.

    Copied again when the chain's balance changed meanwhile: the two would not fit each other.
    """
    from node.cli.backup import copy_of

    for number in range(TRIES):
        before = _balance(data_dir, l1)
        copy_of(data_dir, folder / str(number))
        on_chain = _balance(data_dir, l1)
        if on_chain == before:
            break
    return folder / str(number) / "store", on_chain


def _balance(data_dir: Path, l1: str | None) -> int | None:
    if l1 is None:
        return None
    import trio

    from node.keys import show_keys
    from node.l1.client import open_l1_client

    async def ask(url: str) -> int:
        async with open_l1_client(url) as client:
            return await client.balance(show_keys(data_dir).address)

    return trio.run(ask, l1)


async def _audit(store_path: Path, on_chain: int | None, data_dir: Path, l1: str | None) -> Audit:
    from node.settlement.backend import backend_of
    from node.settlement.ledger import Ledger
    from node.settlement.solvency import solvency
    from storage.database import open_database
    from storage.leveldb import open_leveldb

    with open_leveldb(store_path, create=False) as store:
        async with open_database(store) as db:
            ledger = Ledger(db)
            report = ledger.audit()
            if backend_of(db) == "escrow":
                return await _held(db, report, data_dir, l1)
            chain = None if on_chain is None else solvency(ledger, report, on_chain)
    return _found(report, chain)


async def _held(db: "Database", books: "AuditReport", data_dir: Path, l1: str | None) -> Audit:
    """The same for money that the chain holds."""
    from node.keys import show_keys
    from node.l1.client import open_l1_client
    from node.settlement.escrow_audit import (
        held_by_chain,
        held_solvency,
        short_backers,
        with_credit,
    )
    from node.settlement.escrow_credit import EscrowCredits
    from node.settlement.escrows import EscrowBook
    from node.settlement.ledger import Ledger
    from node.settlement.notices import NoticeBook

    ledger, book = Ledger(db), EscrowBook(db)
    credit = EscrowCredits(db, ledger, NoticeBook(db))
    report = with_credit(books, credit)
    if l1 is None:
        return _found(report, None)
    market = show_keys(data_dir).address
    async with open_l1_client(l1) as client:
        held = await held_by_chain(client, ledger, book, credit, market)
        short = await short_backers(client, ledger, credit, market)
    found = _found(report, held_solvency(ledger, book, report, held))
    return msgspec.structs.replace(found, findings=found.findings + short)


def _found(report: "AuditReport", chain: "Solvency | None") -> Audit:
    from node.amounts import format_cpc

    return Audit(
        entries=report.entries,
        accounts=report.accounts,
        held_cpc=format_cpc(report.held),
        owed_cpc=format_cpc(report.owed),
        leaving_cpc=None if chain is None else format_cpc(chain.leaving),
        on_chain_cpc=None if chain is None else format_cpc(chain.on_chain),
        findings=report.findings + (() if chain is None else chain.findings),
    )


def _text(found: Audit) -> str:
    about = {
        "entries": found.entries,
        "accounts": found.accounts,
        "held for others": f"{found.held_cpc} CPC",
        "owed on credit": f"{found.owed_cpc} CPC" if found.owed_cpc != "0.0" else None,
        "on their way": found.leaving_cpc and f"{found.leaving_cpc} CPC",
        "on the chain": found.on_chain_cpc and f"{found.on_chain_cpc} CPC",
    }
    return found_text(about, found.findings)
