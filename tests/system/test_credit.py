"""Credit and payouts on demand, with the command line against real processes."""

import json
import subprocess
import sys

import pytest

from node.amounts import parse_cpc
from node.client import Client
from node.devnet.layout import Layout, write_layout
from node.l1.client import HttpL1Client
from tests.system.support.networks import Net, add_to_network
from tests.system.support.waiting import DONE_S

pytestmark = [pytest.mark.system, pytest.mark.full]

PAYLOAD = {"seed": "s", "matrix_size": 64, "iterations": 2}


def tmnode(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "node.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_customer_buys_on_credit_and_its_worker_is_paid(tmp_path, running) -> None:
    layout = write_layout(tmp_path, validators=3, workers=2, api_port=0)
    operator, borrower = layout.customer.account.address, layout.workers[1]
    text = layout.market.config.read_text()
    layout.market.config.write_text(f'{text}\n[market]\noperator = "{operator}"\n')
    with running(layout) as net:
        address, place = borrower.keys.account.address, str(layout.market.directory)
        given = tmnode("wallet", "credit", address, "25", "--data-dir", place)
        (line,) = given["credit"]
        assert (line["limit_cpc"], line["owed_cpc"], line["backer"]) == ("25.0", "0.0", operator)
        url = layout.market.api_url
        key = tmnode("wallet", "key", "--data-dir", str(borrower.directory), "--api", url)["key"]
        with Client(url, api_key=key) as client:
            task = client.submit("synthetic", PAYLOAD, "10.0")
            list(client.follow(task.task_id, until="settled", timeout_s=DONE_S))
            account = client.account()
            assert (account.available_cpc, account.owed_cpc) == ("0.0", "10.0")
            assert client.statement().owed_cpc == "10.0"
            terms = client.pay_terms(threshold="20.0")
            assert (terms.address, terms.threshold_cpc) == (address, "20.0")
        (line,) = tmnode("wallet", "credit", "--data-dir", place)["credit"]
        assert line["owed_cpc"] == "10.0"
        audit = tmnode("wallet", "audit", "--data-dir", place, "--l1", layout.l1_url)
        assert (audit["owed_cpc"], audit["findings"]) == ("10.0", [])
        paid = tmnode("wallet", "credit", address, "0", "--write-off", "--data-dir", place)
        assert (paid["credit"][0]["limit_cpc"], paid["credit"][0]["owed_cpc"]) == ("0.0", "0.0")
        assert tmnode("wallet", "unclaimed", "--data-dir", place) == {"unclaimed": []}
        assert net.status("market").overdue == ()


def test_a_customer_buys_out_of_the_operator_s_deposit_and_repays(tmp_path, running) -> None:
    """On a chain that holds the money."""
    layout = write_layout(tmp_path, validators=3, workers=2, api_port=0, settlement="escrow")
    add_to_network(layout, {"[economics]": "dispute_window_s = 0.5\n"})
    operator, borrower = layout.customer.account.address, layout.validators[0]
    text = layout.market.config.read_text()
    layout.market.config.write_text(f'{text}\n[market]\noperator = "{operator}"\n')
    with running(layout) as net:
        address, place = borrower.keys.account.address, str(layout.market.directory)
        url, own = layout.market.api_url, str(borrower.directory)
        (line,) = tmnode("wallet", "credit", address, "25", "--data-dir", place)["credit"]
        assert (line["limit_cpc"], line["owed_cpc"], line["backer"]) == ("25.0", "0.0", operator)
        key = tmnode("wallet", "key", "--data-dir", own, "--api", url)["key"]
        before = held_of(net, layout, operator)
        with Client(url, api_key=key) as client:
            task = client.submit("synthetic", PAYLOAD, "10.0")
            list(client.follow(task.task_id, until="settled", timeout_s=DONE_S))
            assert client.task(task.task_id).phase == "settled"
            account = client.account()
            shown = (account.available_cpc, account.owed_cpc, account.credit_backer)
            assert shown == ("0.0", "10.0", operator)
            assert before - held_of(net, layout, operator) == parse_cpc("10")
            assert held_of(net, layout, address) == 0
            audit = tmnode("wallet", "audit", "--data-dir", place, "--l1", layout.l1_url)
            assert (audit["owed_cpc"], audit["findings"]) == ("10.0", [])
            chain = ["--l1", layout.l1_url, "--data-dir", own, "--api", url]
            assert tmnode("wallet", "repay", "4", *chain)["address"] == operator
            net.until(lambda: client.account().owed_cpc == "6.0", "a block has the repayment")
            kinds = [one.kind for one in client.statement().lines if one.account == "credit"]
            assert kinds == ["credit", "reserve", "repay"]
        assert before - held_of(net, layout, operator) == parse_cpc("6")
        paid = tmnode("wallet", "credit", address, "0", "--write-off", "--data-dir", place)
        assert (paid["credit"][0]["limit_cpc"], paid["credit"][0]["owed_cpc"]) == ("0.0", "0.0")
        audit = tmnode("wallet", "audit", "--data-dir", place, "--l1", layout.l1_url)
        assert (audit["owed_cpc"], audit["findings"]) == ("0.0", [])
        assert net.status("market").overdue == ()


def held_of(net: Net, layout: Layout, address: str) -> int:
    """What the chain holds of somebody's at the market."""

    async def held(chain: HttpL1Client) -> int:
        return (await chain.deposit(layout.market.keys.account.address, address)).amount

    return net.ask_chain(held)
