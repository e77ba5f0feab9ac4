"""Real processes on a chain that holds the money: paid, given back, taken out, and the books."""

import json
import subprocess
import sys

import pytest

from node.amounts import UNITS_PER_CPC, parse_cpc
from node.devnet.layout import Layout, write_layout
from node.l1.escrow import MarketView
from tests.system.support.networks import add_to_network

pytestmark = [pytest.mark.system, pytest.mark.full]

REWARD = 10 * UNITS_PER_CPC
BLOCKS = 15
SOON = {"[economics]": "dispute_window_s = 0.5\n"}


class CommandFailed(Exception):
    """What it said."""


def tmnode(*arguments: str) -> dict:
    command = [sys.executable, "-m", "node.cli", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        raise CommandFailed(done.stderr.decode())
    return json.loads(done.stdout)


def audit(layout: Layout) -> dict:
    directory = str(layout.market.directory)
    return tmnode("wallet", "audit", "--data-dir", directory, "--l1", layout.l1_url)


def short_notice(layout: Layout) -> None:
    """The chain's own number of blocks, before there is a chain."""
    path = layout.directory / "l1" / "genesis.json"
    genesis = json.loads(path.read_bytes())
    path.write_text(json.dumps({**genesis, "market": {"deposit_notice_blocks": BLOCKS}}))


def test_a_market_that_never_has_its_customers_money(tmp_path, running) -> None:
    layout = write_layout(tmp_path, validators=3, workers=2, api_port=0, settlement="escrow")
    add_to_network(layout, SOON)
    short_notice(layout)
    with running(layout) as net:

        async def held(chain) -> MarketView:
            return await chain.market()

        def settled(task_id: str) -> bool:
            return net.client.task(task_id).phase == "settled"

        before = parse_cpc(net.client.account().available_cpc)
        tasks = [net.post() for _ in range(3)]
        net.until(lambda: all(map(settled, tasks)), "all tasks are settled on the chain")
        view = net.ask_chain(held)
        assert (view.deposits, view.escrows) == (before - 3 * REWARD, 0)
        assert view.burned >= 3 * REWARD * 6 // 10

        for worker in net.workers:
            net.freeze(worker)  # before it can have a result
        long = net.post()
        net.until(lambda: net.ask_chain(held).escrows == REWARD, "the chain holds the reward")
        net.kill("market")
        net.start("market")
        net.client.cancel(long)
        net.thaw(*net.workers)
        assert net.client.task(long).phase == "refunded"
        net.until(lambda: net.ask_chain(held).escrows == 0, "the reward is back in the deposit")
        wanted = before - 3 * REWARD
        net.until(lambda: parse_cpc(net.client.account().available_cpc) == wanted, "credited")

        again = net.post()
        net.until(lambda: settled(again), "the market goes on")
        for what in ("fees", "unclaimed"):
            with pytest.raises(CommandFailed, match="the chain holds the customers' money"):
                tmnode("wallet", what, "--data-dir", str(layout.market.directory))
        found = audit(layout)
        assert (found["findings"], found["on_chain_cpc"]) == ([], found["held_cpc"])

        place = ["--api", layout.market.api_url]
        taken = tmnode("wallet", "withdraw", "all", "--wait", "30s", *place)
        assert taken["status"] == "confirmed"
        assert taken["fee_cpc"] == "0.0"
        net.until(lambda: net.ask_chain(held).deposits == 0, "the deposit is paid out")
        lines = tmnode("wallet", "statement", *place)["lines"]
        kinds = {one["kind"] for one in lines}
        assert kinds == {"deposit", "reserve", "refund", "withdraw"}
        net.until(lambda: audit(layout)["held_cpc"] == "0.0", "the books are empty")

        own = ["--l1", layout.l1_url, "--data-dir", str(layout.directory / "customer")]
        assert tmnode("wallet", "deposit", "7", *own, *place)["kind"] == "DEPOSIT"
        net.until(lambda: parse_cpc(net.client.account().available_cpc), "credited")
        net.kill("market")  # what follows needs it for nothing
        market = layout.market.keys.account.address
        notice = tmnode("wallet", "reclaim", market, *own)
        assert (notice["amount_cpc"], notice["note"].startswith("notice")) == ("7.0", True)
        customer = layout.customer.account.address

        async def notice_height(chain) -> int | None:
            return (await chain.deposit(market, customer)).notice_height

        net.until(lambda: net.ask_chain(notice_height) is not None, "a block has the notice")
        with pytest.raises(CommandFailed, match="runs until"):
            tmnode("wallet", "reclaim", market, *own)
        net.wait_blocks(BLOCKS + 1)
        assert tmnode("wallet", "reclaim", market, *own)["kind"] == "WITHDRAW"
        net.until(lambda: net.ask_chain(held).deposits == 0, "the customer has it back")
        net.start("market")
        net.until(lambda: net.client.account().available_cpc == "0.0", "the market sees it too")
