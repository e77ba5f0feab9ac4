"""The L1 goes away: tasks go on, money waits, and afterwards everything is there exactly once."""

import pytest

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
