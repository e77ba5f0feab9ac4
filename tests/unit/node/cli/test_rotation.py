"""`tmnode keys rotate`: what stands against it, and what it says."""

from pathlib import Path

import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.cli.rotation import ON_THE_WAY
from node.keys import Cost, load_keys, make_keys
from node.l1.outbound import OutboundBook
from node.l1.transactions import transfer
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.ledger import Ledger
from storage.database import Database, open_database
from storage.leveldb import open_leveldb
from storage.store import Batch

CHEAP = Cost(passes=1, memory_bytes=8_192)
ROOT = Path(__file__).parents[4]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_keys(tmp_path)
    return tmp_path


def fill(home: Path, write) -> None:
    """A node has been here and left something behind."""

    async def work() -> None:
        with open_leveldb(home / "db") as store:
            async with open_database(store) as db:
                batch = Batch()
                write(db, batch)
                await db.commit(batch)

    trio.run(work)


def rotate(terminal, home: Path, *options: str):
    return terminal.run("keys", "rotate", "--data-dir", str(home), *options)


def credit(target: str):
    def write(db: Database, batch: Batch) -> None:
        postings = move(accounts.L1, target, 5 * UNITS_PER_CPC)
        Ledger(db).post(batch, cause="deposit:1", kind="deposit", postings=postings, at_ms=1)

    return write


def send(home: Path):
    def write(db: Database, batch: Batch) -> None:
        key = load_keys(home).account
        draft = transfer(key.address, 5)
        OutboundBook(db, key.address).add(batch, "payout:1", draft.signed(key, 0))

    return write


def test_the_keys_are_exchanged_and_listed(terminal, home) -> None:
    old = load_keys(home)
    said = terminal.json("keys", "rotate", "--data-dir", str(home))
    new = load_keys(home)
    assert said["peer_id"] == new.identity.peer_id != old.identity.peer_id
    assert said["address"] == new.account.address != old.account.address
    assert said["old_address"] == old.account.address
    assert said["archived"] == "0001"
    listed = terminal.json("keys", "archive", "--data-dir", str(home))["archive"]
    assert [(one["name"], one["keys"]["address"]) for one in listed] == [
        ("0001", old.account.address)
    ]
    for secret in (*map(bytes.hex, (new.identity.seed, new.account.private)),):
        assert secret not in str(said)
    assert rotate(terminal, home, "--back-to", "0001").exit_code == 0
    assert load_keys(home).account.private == old.account.private


def test_not_while_the_node_runs(terminal, home) -> None:
    before = load_keys(home)
    with open_leveldb(home / "db"):
        result = rotate(terminal, home)
    assert result.exit_code == 1
    assert "a node runs here, process " in result.stderr
    assert "stop it first" in result.stderr
    assert load_keys(home).identity.seed == before.identity.seed
    assert rotate(terminal, home).exit_code == 0


@pytest.mark.parametrize(
    ("what", "refuses", "says"),
    [
        ("transaction", {"peer", "account"}, "1 transactions of cpc1"),
        ("balance", {"account"}, "the ledger holds 5.0 CPC (customer), which lie in the old"),
        ("fees", {"account"}, "the ledger holds 5.0 CPC (fees)"),
        ("task", {"peer", "account"}, "1 tasks are open"),
        *((table, {"peer", "account"}, "1 results or batches") for table in ON_THE_WAY),
    ],
)
@pytest.mark.parametrize("which", ["peer", "account"])
def test_not_while_something_depends_on_them(
    terminal, home, what: str, refuses: set[str], says: str, which: str
) -> None:
    def row(db: Database, batch: Batch) -> None:
        batch.put(bytes([len(what)]) + what.encode() + b"key", b"value")

    writers = {
        "transaction": send(home),
        "balance": credit(accounts.customer("cpc1x")),
        "fees": credit(accounts.FEES),
        "task": credit(accounts.reserved("4f1c")),
    }
    fill(home, writers.get(what, row))
    before = load_keys(home)
    result = rotate(terminal, home, "--key", which)
    if which in refuses:
        assert result.exit_code == 1
        assert says in result.stderr
        assert load_keys(home) == before or load_keys(home).identity.seed == before.identity.seed
        assert not (home / "keys" / "archive").exists()
    else:
        assert result.exit_code == 0, result.stderr


def test_the_tables_that_are_looked_at_are_the_validators() -> None:
    source = (ROOT / "node" / "roles" / "submitter.py").read_text()
    assert all(f'Table(db, "{name}"' in source for name in ON_THE_WAY)


def test_sealed_keys_need_their_passphrase(terminal, tmp_path, monkeypatch) -> None:
    make_keys(tmp_path, "right", CHEAP)
    monkeypatch.setenv("TMNODE_PASSPHRASE", "wrong")
    result = rotate(terminal, tmp_path)
    assert (result.exit_code, "does not open" in result.stderr) == (1, True)
    monkeypatch.delenv("TMNODE_PASSPHRASE")
    assert "a passphrase is needed" in rotate(terminal, tmp_path).stderr
    monkeypatch.setenv("TMNODE_PASSPHRASE", "right")
    assert rotate(terminal, tmp_path).exit_code == 0
    load_keys(tmp_path, "right")


def test_archived_keys_are_exported(terminal, home, tmp_path, monkeypatch) -> None:
    old = load_keys(home)
    assert rotate(terminal, home).exit_code == 0
    monkeypatch.setenv("TMNODE_PASSPHRASE", "secret")
    file, new = str(tmp_path / "export"), str(tmp_path / "other")
    terminal.json("keys", "export", file, "--archived", "0001", "--data-dir", str(home))
    terminal.json("keys", "restore", file, "--data-dir", new, "--unsealed")
    assert load_keys(Path(new)).account.private == old.account.private
    result = terminal.run("keys", "export", file, "--archived", "7", "--data-dir", str(home))
    assert "7: is not in the archive" in result.stderr
