"""A market takes a result, and its orchestrator dies before it hears so.

The result is paid; it must get its place on the chain as well, or there would never be a receipt.
"""

import pytest

pytestmark = pytest.mark.system

MINUTE_S = 60


def test_the_result_is_anchored(altered) -> None:
    """The orchestrator comes back late: by its clock, put on a minute, the lease is over."""
    net = altered.net
    with altered.altered(*net.validators, dies_unheard=True):
        task_id = net.post()
        net.completed(task_id)
        victim = net.until(lambda: unheard(altered), "an orchestrator has reported")
        net.until(lambda: victim not in net.running, "it has died")
    with altered.altered(victim, clock=MINUTE_S):
        net.heal()
        net.receipt(task_id)
    net.check_payments()


def unheard(altered) -> str | None:
    return next((name for name in altered.net.validators if altered.notes(name)), None)
