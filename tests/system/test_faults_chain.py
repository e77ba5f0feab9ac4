"""The L1 goes away: tasks go on, money waits, and afterwards everything is there exactly once."""

import json

import pytest

from node.devnet.layout import free_ports, write_layout

pytestmark = pytest.mark.system


def test_tasks_complete_without_the_chain_and_are_paid_after_it(net) -> None:
    """SIGKILL of the chain with transactions in its pool, which it forgets.

    A node that needed the chain to complete a task would fail the first half, one that sends a
    transaction once the second, and one that signs anew what it cannot find would pay twice.
    """
    before = net.post()
    net.until(net.transfers_waiting, "a TRANSFER of the market's waits for its block")
    net.kill("l1")
    net.until(
        lambda: any("L1 has not answered" in line for line in net.status("market").waiting),
        "the market says so",
    )
    during = [net.post() for _ in range(4)]
    for task_id in during:
        assert net.completed(task_id).phase == "verified"
    net.start("l1")
    for task_id in (before, *during):
        net.receipt(task_id)
    net.check_payments()
    net.check_books()


def test_another_node_of_the_chain_is_asked(running, tmp_path) -> None:
    """The first address answers nothing, ever: the deposit is seen through the second."""
    layout = write_layout(tmp_path, validators=0, workers=0, api_port=0)
    (silent,) = free_ports(1)
    text = layout.network_file.read_text()
    first = f"l1_url = {json.dumps(layout.l1_url)}"
    assert first in text
    both = f'l1_url = "http://127.0.0.1:{silent}"\nl1_more_urls = [{json.dumps(layout.l1_url)}]'
    layout.network_file.write_text(text.replace(first, both))
    with running(layout) as net:
        assert net.client.account().available_cpc == "100000.0"
        assert f"asking {layout.l1_url} from now on" in net.log("market")
