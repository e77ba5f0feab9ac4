"""A validator's results on a chain that misbehaves: each in one transaction, whatever it takes."""

from typing import Any

import httpx
import pytest
import trio
import trio.testing

from node.l1.client import HttpL1Client
from node.l1.devchain.faults import Faults
from node.l1.devchain.server import build_app
from node.roles.submitter import ResultTotals
from tests.unit.node.roles.test_submitter import BLOCK_S, World
from tests.unit.node.settlement.support.driver import run_virtual
from tests.unit.node.settlement.test_money import MISBEHAVES as MONEY_MISBEHAVES

TOGETHER, EVERY_S = 10, 2.0
MISBEHAVES = {**MONEY_MISBEHAVES, "late_events": Faults(late_events=1)}


@pytest.mark.parametrize("results", [60, pytest.param(2_000, marks=pytest.mark.full, id="many")])
@pytest.mark.parametrize("fault", MISBEHAVES)
def test_every_result_gets_on_the_chain_once(fault: str, results: int) -> None:
    async def main() -> None:
        world = World(MISBEHAVES[fault], max_result_batch=25)
        async with world.running():
            if "answers" in fault or fault == "all":
                world.wrapped = lambda outside: over_http(world, outside)
            async with world.validator() as validator:
                for _ in range(results // TOGETHER):
                    validator.verify(TOGETHER)
                    await trio.sleep(EVERY_S)
                with trio.fail_after(3_600):
                    while validator.submitter.totals.results < results:  # noqa: ASYNC110 - under a virtual clock
                        await trio.sleep(BLOCK_S)
                await trio.sleep(2 * BLOCK_S)
                batches = world.batches()
                assert sum(batches) == results
                assert validator.submitter.totals == ResultTotals(results, len(batches))
                assert len(batches) <= results / 10
                told = {task_id for message in world.told for task_id in message.task_ids}
                assert len(told) == results

    run_virtual(main)


def over_http(world: World, outside: Any) -> Any:
    """The chain through its web application, which may lose answers; the network as it is."""
    if not hasattr(outside, "send"):
        return outside
    transport = httpx.ASGITransport(app=build_app(world.chain))
    return HttpL1Client("http://l1", httpx.AsyncClient(transport=transport, base_url="http://l1"))
