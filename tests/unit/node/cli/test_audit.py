"""`tmnode wallet audit`, on the store of a market that does not run."""

import json
import os

import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.keys import Cost, make_keys, show_keys
from node.settlement.entries import move
from node.settlement.ledger import Balance, Ledger
from storage.database import open_database
from storage.leveldb import open_leveldb
from storage.store import Batch

CPC = UNITS_PER_CPC


@pytest.fixture
def data_dir(tmp_path):
    make_keys(tmp_path, cost=Cost(passes=1, memory_bytes=8_192))
    return tmp_path


def keep(data_dir, *, spoil: bool = False) -> None:
    """Ten CPC of a customer's, of which three are on their way out."""

    async def write() -> None:
        with open_leveldb(data_dir / "db") as store:
            async with open_database(store) as db:
                ledger, batch = Ledger(db), Batch()
                post(ledger, batch, "deposit", move("l1", "customer:cpc1a", 10 * CPC))
                post(ledger, batch, "withdraw", move("customer:cpc1a", "outbox:w", 3 * CPC))
                if spoil:
                    ledger.balances.put(batch, b"customer:cpc1a", Balance(Amount(8 * CPC)))
                await db.commit(batch)

    trio.run(write)


def post(ledger: Ledger, batch: Batch, cause: str, postings) -> None:
    ledger.post(batch, cause=cause, kind=cause, postings=postings, at_ms=1)


def audited(terminal, data_dir, door, *balances: int, code: int = 0) -> dict:
    for units in balances:
        answer = {"address": "", "balance": str(units), "nonce": 0}
        door.answer(f"GET /balance/{show_keys(data_dir).address}", answer)
    chain = ["--l1", os.environ["TMNODE_API"]] if balances else []
    result = terminal.run("wallet", "audit", "--data-dir", str(data_dir), *chain, "--json")
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)


def test_sound_books(terminal, data_dir, door) -> None:
    keep(data_dir)
    assert audited(terminal, data_dir, door) == {
        "entries": 2,
        "accounts": 3,
        "held_cpc": "10.0",
        "owed_cpc": "0.0",
        "leaving_cpc": None,
        "on_chain_cpc": None,
        "findings": [],
    }
    text = terminal.run("wallet", "audit", "--data-dir", str(data_dir)).stdout
    assert text.splitlines() == [
        "entries          2",
        "accounts         3",
        "held for others  10.0 CPC",
        "- nothing is wrong",
    ]


def test_what_customers_owe_is_said(terminal, data_dir, door) -> None:
    keep(data_dir)

    async def lend() -> None:
        with open_leveldb(data_dir / "db") as store:
            async with open_database(store) as db:
                ledger, batch = Ledger(db), Batch()
                post(ledger, batch, "credit", move("customer:cpc1a", "credit:cpc1b", 5 * CPC))
                post(ledger, batch, "reserve", move("customer:cpc1b", "reserved:t", 2 * CPC))
                await db.commit(batch)

    trio.run(lend)
    found = audited(terminal, data_dir, door)
    assert (found["held_cpc"], found["owed_cpc"], found["findings"]) == ("10.0", "2.0", [])
    text = terminal.run("wallet", "audit", "--data-dir", str(data_dir)).stdout
    assert "owed on credit   2.0 CPC\n" in text


def test_a_balance_that_the_entries_do_not_make(terminal, data_dir, door) -> None:
    keep(data_dir, spoil=True)
    (first, _) = audited(terminal, data_dir, door, code=1)["findings"]
    assert first == f"customer:cpc1a holds {8 * CPC} units, its entries say {7 * CPC}"


@pytest.mark.parametrize("units", [7 * CPC, 10 * CPC, 11 * CPC])
def test_the_chain_has_what_the_books_owe(terminal, data_dir, door, units: int) -> None:
    """Whether or not the payment on its way has left already, and with money besides."""
    keep(data_dir)
    found = audited(terminal, data_dir, door, units)
    assert (found["leaving_cpc"], found["on_chain_cpc"]) == ("3.0", f"{units // CPC}.0")


def test_a_unit_that_is_missing_on_the_chain(terminal, data_dir, door) -> None:
    keep(data_dir)
    found = audited(terminal, data_dir, door, 7 * CPC - 1, code=1)
    (finding,) = found["findings"]
    assert finding == (
        "the account on the chain has 6.999999999999999999 CPC, the books owe 7.0 CPC"
    )


def test_what_moved_meanwhile_is_looked_at_again(terminal, data_dir, door) -> None:
    """The chain moved between the two looks, and did not at the second copy."""
    keep(data_dir)
    found = audited(terminal, data_dir, door, 12 * CPC, 2 * CPC, 7 * CPC)
    assert found["on_chain_cpc"] == "7.0"


def test_a_folder_without_a_database(terminal, data_dir) -> None:
    result = terminal.run("wallet", "audit", "--data-dir", str(data_dir))
    assert result.exit_code == 1
    assert "cannot be opened as a store" in result.stderr
