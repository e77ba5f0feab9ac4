"""`tmnode wallet repay`: what is handed in to the chain, and what is not."""

import os
from pathlib import Path
from typing import Any

import pytest

from node.keys import Cost, make_keys, show_keys

MARKET, BACKER = (
    "cpc1w508d6qejxtdg4y5r3zarvary0c5xw7k32stzz",
    "cpc1we7t3vhwcgxkelznr06du3tvzurh3cnpf2ee7g",
)
UNITS = 10**18


class Debtor:
    """A customer with a data directory, at a market and a chain behind one door."""

    def __init__(self, terminal: Any, door: Any, folder: Path) -> None:
        make_keys(folder, cost=Cost(passes=1, memory_bytes=8_192))
        self.address = show_keys(folder).address
        self._terminal = terminal
        self._door = door
        self._folder = str(folder)

    def owes(self, owed: str, *, by: str = "DEPOSIT") -> None:
        account = {
            "address": self.address,
            "available_cpc": "0.0",
            "reserved_cpc": "0.0",
            "earned_cpc": "0.0",
            "deposit_address": MARKET,
            "deposit_by": by,
            "credit_limit_cpc": "5.0",
            "owed_cpc": owed,
            "credit_backer": BACKER,
        }
        self._door.answer(f"GET /account?address={self.address}", account)
        nonce = {"address": self.address, "nonce": 3}
        self._door.answer(f"GET /nonce/{self.address}?pending=true", nonce)
        self._door.answer("POST /tx/send", b"seen", status=422)

    def repay(self, amount: str) -> Any:
        chain = ["--l1", os.environ["TMNODE_API"], "--data-dir", self._folder]
        return self._terminal.run("wallet", "repay", amount, *chain)

    @property
    def sent(self) -> list[Any]:
        return [body for route, _, body in self._door.requests if route.startswith("POST")]


@pytest.fixture
def debtor(terminal: Any, door: Any, tmp_path: Path) -> Debtor:
    return Debtor(terminal, door, tmp_path)


@pytest.mark.parametrize(("amount", "units"), [("1.5", 3 * UNITS // 2), ("all", 2 * UNITS)])
def test_a_debt_is_paid_into_the_backer_s_deposit(debtor: Debtor, amount: str, units: int) -> None:
    debtor.owes("2.0")
    result = debtor.repay(amount)
    assert "the chain refuses: schema: seen" in result.stderr  # which is all that this one does
    (tx,) = debtor.sent
    assert (tx["tx_type"], tx["to_address"], int(tx["amount"])) == ("DEPOSIT", MARKET, units)
    assert tx["payload"] == {"customer": BACKER}
    assert tx["from_address"] == debtor.address


def test_a_market_that_holds_the_money_takes_a_transfer(debtor: Debtor) -> None:
    debtor.owes("2.0", by="TRANSFER")
    debtor.repay("2")
    (tx,) = debtor.sent
    assert (tx["tx_type"], tx["to_address"], tx["payload"]) == ("TRANSFER", MARKET, {})


@pytest.mark.parametrize(
    ("owed", "amount", "said"),
    [
        ("2.0", "2.000000000000000001", "is more than is owed, 2.0 CPC"),
        ("0.0", "1", "owes nothing"),
        ("0.0", "all", "owes nothing"),
        ("2.0", "much", "amount"),
    ],
)
def test_nothing_is_given_away(debtor: Debtor, owed: str, amount: str, said: str) -> None:
    debtor.owes(owed)
    result = debtor.repay(amount)
    assert result.exit_code == 1
    assert said in result.stderr
    assert debtor.sent == []
