"""Real processes: a bond at the chain; a dispute that jury, validators and chain decide."""

import json
import subprocess
import sys

import pytest

from node.amounts import UNITS_PER_CPC, parse_cpc
from node.devnet.layout import write_layout
from node.l1.escrow import BondView, MarketView
from tests.system.support.networks import add_to_network

pytestmark = [pytest.mark.system, pytest.mark.full]

REWARD = 10 * UNITS_PER_CPC
WINDOW = {"[economics]": "dispute_window_s = 20.0\n"}


def tmnode(*arguments: str) -> dict:
    command = [sys.executable, "-m", "node.cli", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_bond_and_a_dispute_where_the_chain_holds_the_money(tmp_path, running) -> None:
    layout = write_layout(tmp_path, validators=6, workers=2, api_port=0, settlement="escrow")
    add_to_network(layout, WINDOW)
    seat, market = layout.validators[0], layout.market.keys.account.address
    owner = seat.keys.account.address
    with running(layout) as net:
        place = ["--api", layout.market.api_url]
        own = ["--l1", layout.l1_url, "--data-dir", str(seat.directory), *place]

        async def bond(chain) -> BondView:
            return await chain.bond(market, owner)

        async def held(chain) -> MarketView:
            return await chain.market()

        assert tmnode("wallet", "bond", "2.5", *own)["kind"] == "BOND"
        net.until(lambda: net.client.bond_of(owner).bonded_cpc == "2.5", "the market sees the bond")
        found = net.ask_chain(bond)
        assert found.public_key == seat.keys.identity.public_key.hex()

        before = parse_cpc(net.client.account().available_cpc)
        task = net.post()
        net.until(lambda: net.client.task(task).status == "completed", "the task is completed")
        fee = parse_cpc(net.client.task(task).result.appeal_fee_cpc)
        tmnode("task", "appeal", task, "--reason", "it looks wrong", *place)
        net.until(lambda: net.client.task(task).appeal.outcome == "upheld", "the jury has said it")
        net.until(lambda: net.client.task(task).phase == "settled", "the chain has paid")
        spent = before - parse_cpc(net.client.account().available_cpc)
        assert spent == REWARD + fee
        view = net.ask_chain(held)
        assert (view.deposits, view.escrows) == (before - spent, 0)
        assert view.bonds == parse_cpc("2.5")

        assert tmnode("wallet", "unbond", "1", *own)["kind"] == "UNBOND"
        net.until(lambda: net.client.bond_of(owner).unbonding_cpc == "1.0", "it is on its way back")
        directory = str(layout.market.directory)
        found = tmnode("wallet", "audit", "--data-dir", directory, "--l1", layout.l1_url)
        assert (found["findings"], found["on_chain_cpc"]) == ([], found["held_cpc"])
