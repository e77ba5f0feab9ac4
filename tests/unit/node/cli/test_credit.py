"""`tmnode wallet credit`, `unclaimed` and `fees`, over a control socket with the real desks."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.control import serve_control
from node.control_messages import Controls
from node.l1.client import L1Client
from node.l1.keys import AccountKey
from node.l1.sender import Sender
from node.settlement import accounts
from node.settlement.credit import CreditDesk, Credits
from node.settlement.entries import move
from node.settlement.feedesk import FeeDesk
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from node.settlement.transfer import TransferSettlement
from node.settlement.unclaimed import UnclaimedDesk
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

RULES = SettlementParameters()
EPOCH = ("1970-01-01", "00:00:00", "UTC")
OPERATOR, CUSTOMER, MARKET = (AccountKey(bytes([n]) * 32).address for n in (1, 2, 3))


class Running(threading.Thread):
    """A market's control socket, until `stop`."""

    def __init__(self, data_dir: Path, operator: str = OPERATOR) -> None:
        super().__init__()
        self.operator = operator
        self.data_dir = data_dir
        self.ready = threading.Event()

    def run(self) -> None:
        trio.run(self._serve)

    async def _serve(self) -> None:
        async with open_database(MemoryStore()) as db, trio.open_nursery() as nursery:
            ledger, batch = Ledger(db), Batch()
            paid_in = move(accounts.L1, accounts.customer(OPERATOR), 9 * UNITS_PER_CPC)
            ledger.post(batch, cause="d", kind="deposit", postings=paid_in, at_ms=0)
            found = move(accounts.L1, accounts.UNCLAIMED, 2 * UNITS_PER_CPC)
            ledger.post(batch, cause="lost:x", kind="lost", postings=found, at_ms=0)
            db.stage(batch)
            book = Credits(db, ledger)
            desk = CreditDesk(db, book, operator=OPERATOR, market=MARKET, now_ms=lambda: 0)
            nobodys = UnclaimedDesk(db, ledger, lambda: 0)
            sender = Sender(AccountKey(bytes([3]) * 32), db, cast("L1Client", object()))
            settlement = TransferSettlement(
                db, sender, RULES, chain_id="c", address=MARKET, clock_ms=lambda: 0
            )
            fees = FeeDesk(db, settlement, self.operator, lambda: 0)
            controls = Controls(db.backup, desk, nobodys, fees)
            await nursery.start(serve_control, self.data_dir, controls)
            self.token, self.scope = trio.lowlevel.current_trio_token(), nursery.cancel_scope
            self.ready.set()

    def stop(self) -> None:
        self.token.run_sync_soon(self.scope.cancel)
        self.join()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    running = Running(tmp_path)
    running.start()
    running.ready.wait(30)
    yield tmp_path
    running.stop()


def test_credit_is_given_on_the_market_s_own_machine(terminal, data_dir) -> None:
    place = ["--data-dir", str(data_dir)]
    assert terminal.json("wallet", "credit", *place) == {"credit": []}
    line = {"address": CUSTOMER, "limit_cpc": "4.5", "owed_cpc": "0.0", "backer": OPERATOR}
    assert terminal.json("wallet", "credit", CUSTOMER, "4.5", *place) == {"credit": [line]}
    shown = terminal.run("wallet", "credit", *place).stdout
    assert shown.splitlines()[1].split() == [CUSTOMER, "4.5", "0.0", OPERATOR]
    refused = terminal.run("wallet", "credit", CUSTOMER, "9.5", *place)
    assert refused.exit_code == 1
    assert "0.5 CPC are missing (pay in from" in refused.stderr
    assert terminal.run("wallet", "credit", CUSTOMER, "4.5", "--write-off", *place).exit_code == 0


def test_a_limit_without_a_customer_is_no_command(terminal, tmp_path) -> None:
    result = terminal.run("wallet", "credit", CUSTOMER, "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert "both ADDRESS and LIMIT" in result.stderr
    absent = terminal.run("wallet", "credit", "--data-dir", str(tmp_path))
    assert absent.exit_code != 0
    assert "no node runs there" in absent.stderr


def test_unclaimed_money_is_given_to_whom_it_belongs(terminal, data_dir) -> None:
    place = ["--data-dir", str(data_dir)]
    line = {"number": 1, "at_ms": 0, "cause": "lost:x", "amount_cpc": "2.0"}
    assert terminal.json("wallet", "unclaimed", *place) == {"unclaimed": [line]}
    shown = terminal.run("wallet", "unclaimed", "1", CUSTOMER, *place)
    assert shown.stdout.splitlines()[1].split() == ["1", *EPOCH, "2.0", "lost:x"]
    assert terminal.json("wallet", "unclaimed", *place) == {"unclaimed": []}
    again = terminal.run("wallet", "unclaimed", "1", OPERATOR, *place)
    assert (again.exit_code, "given to somebody else" in again.stderr) == (1, True)
    assert terminal.run("wallet", "unclaimed", "1", *place).exit_code == 2


def test_the_operator_gives_for_the_chain_s_fees_once(terminal, data_dir) -> None:
    place = ["--data-dir", str(data_dir)]
    assert terminal.json("wallet", "fees", *place)["fees_cpc"] == "0.0"
    for _ in range(2):
        given = terminal.json("wallet", "fees", "1.5", "--idempotency-key", "k", *place)
        assert given == {"fees_cpc": "1.5", "idempotency_key": "k"}
    assert terminal.json("wallet", "fees", "1.5", *place)["fees_cpc"] == "3.0"
    for amount, key, said in (("7.0", "l", "1.0 CPC are missing"), ("2.0", "k", "already entry")):
        refused = terminal.run("wallet", "fees", amount, "--idempotency-key", key, *place)
        assert (refused.exit_code, said in refused.stderr) == (1, True)


def test_without_an_operator_nobody_gives(terminal, tmp_path) -> None:
    running = Running(tmp_path, operator="")
    running.start()
    running.ready.wait(30)
    refused = terminal.run("wallet", "fees", "1.0", "--data-dir", str(tmp_path))
    running.stop()
    assert "market.operator: is not set in the node file" in refused.stderr
