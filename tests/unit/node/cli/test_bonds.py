"""`tmnode wallet bond` and `unbond` where the chain holds the bonds."""

import os
from typing import Any

import msgspec
import pytest

from node.api.errors import problem
from node.errors import HeldByChain
from node.keys import Cost, KeyBinding, load_keys, make_keys, verify_binding
from node.l1.escrow import Bonding, Unbonding, read
from node.l1.keys import AccountKey
from node.l1.transactions import Transaction

MARKET = AccountKey(b"m" * 32).address
HEX = "00" * 32
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


@pytest.fixture
def data_dir(tmp_path):
    make_keys(tmp_path, cost=Cost(passes=1, memory_bytes=8_192))
    return tmp_path


def account(deposit_by: str) -> dict[str, object]:
    return {
        "address": "cpc1a",
        "available_cpc": "0.0",
        "reserved_cpc": "0.0",
        "earned_cpc": "0.0",
        "deposit_address": MARKET,
        "deposit_by": deposit_by,
    }


@pytest.fixture(autouse=True)
def _hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door does not work hashes out."""
    monkeypatch.setattr("node.l1.client.tx_hash", lambda _: HEX)


def sent(terminal, door, data_dir, what: str) -> Any:
    """What is handed in to the chain, and its payload, of which the form has been checked."""
    keys = load_keys(data_dir)
    door.answer("GET /account", account("DEPOSIT"))
    door.answer("GET /status", STATUS)
    address = keys.account.address
    door.answer(f"GET /nonce/{address}?pending=true", {"address": address, "nonce": 4})
    door.answer("POST /tx/send", {"status": "received", "tx_hash": HEX})
    chain = ["--l1", os.environ["TMNODE_API"], "--data-dir", str(data_dir)]
    result = terminal.run("wallet", what, "2.5", *chain)
    assert result.exit_code == 0, result.stderr
    [body] = [body for route, _, body in door.requests if route == "POST /tx/send"]
    tx = msgspec.convert(body, Transaction)
    assert (tx.from_address, tx.nonce) == (keys.account.address, 4)
    assert [route for route, *_ in door.requests if route.startswith("POST /")] == ["POST /tx/send"]
    return tx, read(tx)


def test_a_bond_is_for_the_node_whose_keys_are_here(terminal, door, data_dir) -> None:
    tx, form = sent(terminal, door, data_dir, "bond")
    assert isinstance(form, Bonding)
    assert (tx.to_address, tx.amount) == (MARKET, 25 * 10**17)
    keys, terms = load_keys(data_dir), form.binding
    assert form.public_key == keys.identity.public_key.hex()
    binding = KeyBinding(
        bytes.fromhex(form.public_key),
        bytes.fromhex(terms.account_public),
        bytes.fromhex(terms.ed25519_signature),
        bytes.fromhex(terms.account_signature),
    )
    assert verify_binding(binding, "cpc-test") == keys.account.address


def test_a_part_is_taken_back(terminal, door, data_dir) -> None:
    tx, form = sent(terminal, door, data_dir, "unbond")
    assert (tx.to_address or "", tx.amount) == ("", 0)
    assert form == Unbonding(market=MARKET, amount=form.amount)
    assert form.amount == 25 * 10**17


@pytest.mark.parametrize("what", ["bond", "unbond"])
def test_a_market_that_holds_them_needs_no_chain(terminal, door, data_dir, what: str) -> None:
    door.answer("GET /account", account("TRANSFER"))
    url = os.environ["TMNODE_API"]
    result = terminal.run("wallet", what, "1", "--l1", url, "--data-dir", str(data_dir))
    assert result.exit_code == 1
    assert "this market holds the bonds" in result.stderr
    assert [route for route, *_ in door.requests] == ["GET /account"]


@pytest.mark.parametrize("what", ["bond", "unbond"])
def test_a_market_that_does_not_says_how(terminal, door, what: str) -> None:
    error = HeldByChain("the chain holds the bonds", remedy="send it yourself, with --l1 URL")
    door.answer(f"POST /{what}", problem(error).body, 409)
    result = terminal.run("wallet", what, "1")
    assert result.exit_code == 1
    assert "with --l1 URL" in result.stderr
