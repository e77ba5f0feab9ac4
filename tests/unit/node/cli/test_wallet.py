"""`tmnode wallet`: looking, taking money out, making API keys."""

import csv
import json
from pathlib import Path

import pytest

from node.api.errors import problem
from node.api.key_request import key_request_digest
from node.errors import InsufficientFunds
from node.keys import Cost, make_keys
from node.l1.keys import verify_digest

CHEAP = Cost(passes=1, memory_bytes=8_192)
ACCOUNT = {
    "address": "cpc1a",
    "available_cpc": "5.0",
    "reserved_cpc": "0.5",
    "earned_cpc": "0.0",
    "deposit_address": "cpc1m",
    "withdrawal_fee_cpc": "0.25",
    "credit_limit_cpc": "0.0",
    "owed_cpc": "0.0",
    "credit_backer": "",
    "deposit_by": "TRANSFER",
    "bonded_cpc": "3.0",
    "unbonding_cpc": "0.125",
}
STATUS = {
    "version": "0",
    "chain_id": "cpc-test",
    "peer_id": "12D3",
    "address": "cpc1",
    "roles": ["market"],
    "uptime_s": 1.0,
    "peers": 0,
    "l1_height": 1,
    "counts": {},
}


def withdrawal(status: str, height: int | None = None) -> dict[str, object]:
    return {
        "withdrawal_id": "ab",
        "address": "cpc1a",
        "amount_cpc": "4.0",
        "fee_cpc": "0.25",
        "status": status,
        "tx_hash": "0xcd",
        "height": height,
    }


def test_an_account_is_shown_with_and_without_show(terminal, door) -> None:
    door.answer("GET /account", ACCOUNT)
    door.answer("GET /account?address=cpc1a", ACCOUNT)
    for arguments in ([], ["show"], ["cpc1a"], ["show", "cpc1a"]):
        assert terminal.json("wallet", *arguments) == ACCOUNT


def test_what_is_owed_is_shown_where_there_is_credit(terminal, door) -> None:
    door.answer("GET /account", ACCOUNT)
    assert "owed" not in terminal.run("wallet").stdout
    lent = {"credit_limit_cpc": "2.0", "owed_cpc": "0.5"}
    door.answers.clear()
    door.answer("GET /account", {**ACCOUNT, **lent, "credit_backer": "cpc1b"})
    shown = terminal.run("wallet").stdout
    assert "credit limit  2.0 CPC\nowed          0.5 CPC\nbacked by     cpc1b\n" in shown
    line = statement_line(0, "customer", "reserve", "-0.5")
    page = {"address": "cpc1a", "lines": [line], "next": None, **lent}
    door.answer("GET /account/statement?start=0&limit=200", page)
    assert terminal.run("wallet", "statement").stdout.endswith("owed          0.5 CPC\n")
    found = terminal.json("wallet", "statement")
    assert found["lines"][0]["balance_cpc"] == "-0.5"
    assert (found["credit_limit_cpc"], found["owed_cpc"]) == ("2.0", "0.5")


BOND = {
    "address": "cpc1a",
    "bonded_cpc": "3.0",
    "unbonding_cpc": "1.0",
    "release_at": 1_700_000_000,
}


@pytest.mark.parametrize("what", ["bond", "unbond"])
def test_a_bond_is_changed_under_a_key(terminal, door, what: str) -> None:
    door.answer(f"POST /{what}", BOND)
    said = terminal.json("wallet", what, "2.0")
    ((_, headers, body),) = door.requests
    assert (headers["Idempotency-Key"], body) == (said["idempotency_key"], {"amount": "2.0"})
    assert said == {**BOND, "idempotency_key": said["idempotency_key"]}
    text = terminal.run("wallet", what, "2.0", "--idempotency-key", "mine").stdout
    assert "free again  2023-11-14 22:13:20 UTC\n" in text
    assert "key         mine\n" in text


@pytest.mark.parametrize("what", ["bond", "unbond"])
def test_a_lost_change_of_a_bond_says_how_to_repeat_it(terminal, door, what: str) -> None:
    door.answer(f"POST /{what}", None)
    result = terminal.run("wallet", what, "2.0", "--json")
    assert result.exit_code == 1
    assert "--idempotency-key" in result.stderr


def test_a_bond_is_shown_with_the_account(terminal, door) -> None:
    door.answer("GET /account", ACCOUNT)
    text = terminal.run("wallet", "show").stdout
    assert "bonded      3.0 CPC\n" in text
    assert "unbonding   0.125 CPC\n" in text


def statement_line(number: int, account: str, kind: str, amount: str) -> dict[str, object]:
    return {
        "number": number,
        "at": 1_700_000_000.5,
        "account": account,
        "kind": kind,
        "about": f"{kind} {number}",
        "amount_cpc": amount,
    }


def a_statement(door) -> None:
    pages = [
        [
            statement_line(0, "customer", "deposit", "5.0"),
            statement_line(1, "customer", "reserve", "-1.25"),
        ],
        [
            statement_line(7, "worker", "mature", "0.000000000000000001"),
            statement_line(9, "customer", "refund", "1.25"),
        ],
    ]
    for start, lines, following in ((0, pages[0], 4), (4, pages[1], None)):
        page = {"address": "cpc1a", "lines": lines, "next": following}
        door.answer(f"GET /account/statement?start={start}&limit=200", page)


def test_a_statement_is_shown_to_its_end_with_balances(terminal, door) -> None:
    a_statement(door)
    lines = terminal.json("wallet", "statement")["lines"]
    assert [(one["number"], one["account"], one["balance_cpc"]) for one in lines] == [
        (0, "customer", "5.0"),
        (1, "customer", "3.75"),
        (7, "worker", "0.000000000000000001"),
        (9, "customer", "5.0"),
    ]
    head, first, *_ = terminal.run("wallet", "statement").stdout.splitlines()
    assert head.split() == ["TIME", "AS", "WHAT", "AMOUNT", "CPC", "BALANCE", "CPC", "ABOUT"]
    assert first.startswith("2023-11-14 22:13:20 UTC  customer  deposit  5.0")


def test_a_statement_for_a_spreadsheet(terminal, door) -> None:
    a_statement(door)
    rows = list(csv.DictReader(terminal.run("wallet", "statement", "--csv").stdout.splitlines()))
    assert [row["amount_cpc"] for row in rows] == ["5.0", "-1.25", "0.000000000000000001", "1.25"]
    assert {row["about"] for row in rows} == {"deposit 0", "reserve 1", "mature 7", "refund 9"}


def test_a_withdrawal_says_its_key(terminal, door) -> None:
    door.answer("POST /account/withdraw", withdrawal("pending"))
    said = terminal.json("wallet", "withdraw", "4.0")
    key = said["idempotency_key"]
    assert said["status"] == "pending"
    ((_, headers, body),) = door.requests
    assert (headers["Idempotency-Key"], body) == (key, {"amount": "4.0"})
    text = terminal.run("wallet", "withdraw", "4.0", "--idempotency-key", "mine").stdout
    assert "key          mine\n" in text
    assert "fee          0.25 CPC\n" in text
    assert "block" not in text


def test_all_is_what_is_there_less_the_fee(terminal, door) -> None:
    door.answer("GET /account", ACCOUNT)
    door.answer("POST /account/withdraw", withdrawal("pending"))
    terminal.json("wallet", "withdraw", "all")
    assert door.requests[-1][2] == {"amount": "4.75"}
    door.answers.clear()
    door.answer("GET /account", {**ACCOUNT, "available_cpc": "0.1"})
    door.answer("POST /account/withdraw", withdrawal("pending"))
    terminal.json("wallet", "withdraw", "all")
    assert door.requests[-1][2] == {"amount": "0.0"}, "which the market refuses"


def test_waiting_asks_again_with_the_same_key(terminal, door) -> None:
    door.answer("POST /account/withdraw", withdrawal("pending"))
    door.answer("POST /account/withdraw", withdrawal("confirmed", 12))
    said = terminal.json("wallet", "withdraw", "4.0", "--wait", "1m")
    assert (said["status"], said["height"]) == ("confirmed", 12)
    first, second = (headers["Idempotency-Key"] for _, headers, _ in door.requests)
    assert first == second


def test_a_lost_answer_says_how_to_repeat_it(terminal, door) -> None:
    door.answer("POST /account/withdraw", None)
    result = terminal.run("wallet", "withdraw", "4.0", "--json")
    assert result.exit_code == 1
    key = door.requests[0][1]["Idempotency-Key"]
    assert f"--idempotency-key {key}" in json.loads(result.stdout)["error"]["remedy"]


def test_a_refusal_is_one_line(terminal, door) -> None:
    refusal = problem(InsufficientFunds("1.0 CPC are missing", field="amount", remedy="less"))
    door.answer("POST /account/withdraw", refusal.body, refusal.status)
    result = terminal.run("wallet", "withdraw", "4.0")
    assert (result.exit_code, result.stderr) == (1, "error: amount: 1.0 CPC are missing (less)\n")


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_an_api_key_is_made_with_the_accounts_key(
    terminal, door, tmp_path: Path, monkeypatch, passphrase: str | None
) -> None:
    keys = make_keys(tmp_path, passphrase, CHEAP)
    if passphrase is not None:
        monkeypatch.setenv("TMNODE_PASSPHRASE", passphrase)
    address = keys.account.address
    door.answer("GET /status", STATUS)
    door.answer("POST /account/challenge", {"challenge": "5f", "expires_at": 9})
    made = {"key": "tm_x", "address": address, "spend_limit": "2.0"}
    door.answer("POST /account/keys", made, 201)
    arguments = ["--data-dir", str(tmp_path), "--spend-limit", "2.0"]
    assert terminal.json("wallet", "key", *arguments) == made
    body = door.requests[-1][2]
    digest = key_request_digest("cpc-test", address, "5f", "2.0")
    signature = bytes.fromhex(body.pop("signature"))
    assert verify_digest(keys.account.public_key, digest, signature)
    assert body == {
        "address": address,
        "public_key": keys.account.public_key.hex(),
        "challenge": "5f",
        "spend_limit": "2.0",
    }
