"""`tmnode wallet deposit` and `reclaim`, as far as nothing is sent."""

import os

import pytest

from node.keys import Cost, make_keys, show_keys

MARKET = "cpc1w508d6qejxtdg4y5r3zarvary0c5xw7k32stzz"
HEX = "00" * 32


@pytest.fixture
def data_dir(tmp_path):
    make_keys(tmp_path, cost=Cost(passes=1, memory_bytes=8_192))
    return tmp_path


def test_a_notice_that_runs_is_said(terminal, door, data_dir) -> None:
    customer = show_keys(data_dir).address
    view = {
        "market": MARKET,
        "customer": customer,
        "amount": "5",
        "notice_height": 10,
        "free_height": 30,
    }
    status = {
        "height": 20,
        "last_hash": HEX,
        "network": "devnet",
        "mempool_size": 0,
        "epoch": 0,
    }
    door.answer(f"GET /deposit/{MARKET}/{customer}", view)
    door.answer("GET /status", status)
    chain = ["--l1", os.environ["TMNODE_API"], "--data-dir", str(data_dir)]
    result = terminal.run("wallet", "reclaim", MARKET, *chain)
    assert result.exit_code == 1
    assert "the notice runs until block 30, now is 20" in result.stderr
    assert [route for route, *_ in door.requests if route.startswith("POST")] == []


@pytest.mark.parametrize("command", [["deposit", "5"], ["reclaim", MARKET]])
def test_a_chain_has_to_be_named(terminal, command) -> None:
    result = terminal.run("wallet", *command)
    assert result.exit_code == 2
    assert "--l1" in result.stderr
