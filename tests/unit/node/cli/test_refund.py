"""`tmnode wallet refund`: what the chain would take, and what it would not."""

import os
from pathlib import Path
from typing import Any

import pytest

from node.keys import Cost, make_keys, show_keys
from node.l1.escrow import escrow_id_of

MARKET = "cpc1w508d6qejxtdg4y5r3zarvary0c5xw7k32stzz"
TASK = "550e8400-e29b-41d4-a716-446655440000"
HEX = "00" * 32
ESCROW = escrow_id_of("cpc-devnet-1", MARKET, TASK)
OPENING = {
    "task_id": TASK,
    "customer": "cpc1customer",
    "amount": "5",
    "validators": [{"public_key": HEX, "address": MARKET}],
    "k": 1,
    "deadline": 90,
    "grace": 10,
    "shares": {"burn": 6000, "workers": 2500, "validators": 1000, "treasury": 500,
               "orchestrator": 2500},
    "fee_reserve": "0",
    "burn_address": "cpc1burn",
    "treasury_address": "cpc1treasure",
}  # fmt: skip


@pytest.fixture
def chain(door: Any, tmp_path: Any) -> list[str]:
    """Options for the chain behind `door`."""
    make_keys(tmp_path, cost=Cost(passes=1, memory_bytes=8_192))
    return ["--l1", os.environ["TMNODE_API"], "--data-dir", str(tmp_path)]


def escrow(**changes: object) -> dict[str, object]:
    about: dict[str, object] = {
        "escrow_id": ESCROW,
        "market": MARKET,
        "status": "open",
        "customer": "cpc1customer",
        "amount": "5000000000000000000",
        "opened_height": 1,
        "closed_height": None,
        "claim": None,
        "opening": OPENING,
    }
    return {**about, **changes}


def answer(door: Any, height: int, view: dict[str, object]) -> None:
    status = {"height": height, "last_hash": HEX, "network": "d", "mempool_size": 0, "epoch": 0}
    door.answer("GET /status", status)
    door.answer(f"GET /escrow/{ESCROW}", view)


def sent(door: Any) -> list[Any]:
    return [body for route, _, body in door.requests if route == "POST /tx/send"]


@pytest.mark.parametrize(
    ("height", "view", "why"),
    [
        (99, escrow(), "anybody may have it refunded after block 100, now is 99"),
        (
            120,
            escrow(appeal={"fee": "1", "deadline": 150}),
            "anybody may have it refunded after block 160, now is 120",
        ),
        (
            120,
            escrow(status="settled", closed_height=80, claim=HEX, opening=None),
            "the escrow is settled since block 80",
        ),
    ],
)
def test_what_the_chain_would_not_take_is_not_sent(
    terminal: Any, door: Any, chain: list[str], height: int, view: dict[str, object], why: str
) -> None:
    answer(door, height, view)
    result = terminal.run("wallet", "refund", MARKET, TASK, *chain)
    assert result.exit_code == 1
    assert why in result.stderr
    assert sent(door) == []


def test_a_task_without_an_escrow_has_nothing_to_come_back(
    terminal: Any, door: Any, chain: list[str]
) -> None:
    answer(door, 120, escrow())
    del door.answers[f"GET /escrow/{ESCROW}"]
    result = terminal.run("wallet", "refund", MARKET, TASK, *chain)
    assert result.exit_code == 1
    assert "no escrow for this task of the market's" in result.stderr
    assert sent(door) == []


def test_it_is_sent_when_its_time_has_come(
    terminal: Any, door: Any, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.l1.client.tx_hash", lambda _: HEX)
    answer(door, 100, escrow())
    address = show_keys(Path(chain[-1])).address
    door.answer(f"GET /nonce/{address}?pending=true", {"address": address, "nonce": 3})
    door.answer("POST /tx/send", {"status": "received", "tx_hash": HEX})
    result = terminal.run("wallet", "refund", MARKET, TASK, *chain)
    assert result.exit_code == 0, result.stderr
    said = result.stdout
    assert "ESCROW_REFUND" in said
    assert "5.0 CPC" in said
    [tx] = sent(door)
    assert (tx["tx_type"], tx["nonce"], tx["from_address"]) == ("ESCROW_REFUND", 3, address)
    assert tx["payload"]["escrow_id"] == ESCROW
    assert tx["payload"]["signatures"] == []
