"""Thousands of results paid by a chain that holds the money and misbehaves: each once.

Each run shows that its fault struck: openings and claims were lost, given up with their block, or
taken without an answer.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from node.l1.devchain.faults import Faults
from node.l1.escrow import bundling
from node.l1.keys import AccountKey
from node.l1.several import SeveralClients
from node.settlement import escrow_closings, escrow_openings
from tests.unit.node.settlement.support.driver import run_virtual
from tests.unit.node.settlement.support.rpc import Forger, Stormy, is_bad_time
from tests.unit.node.settlement.support.throng import Check, Throng
from tests.unit.node.settlement.support.throng_ends import check_ends, check_while_running
from tests.unit.node.settlement.support.witness import EVERY_TASK, Witness

Key = Callable[[int], AccountKey]
RESULTS, FEW, TOGETHER = 2_000, 300, 4


def not_at_all(witness: Witness) -> bool:
    """A market reads neither receipts nor events, and sends no TRANSFER."""
    return not witness.failures


def lost_from_the_pool(witness: Witness) -> bool:
    return all(witness.taken_again()[kind] for kind in EVERY_TASK)


def given_up_with_its_block(witness: Witness) -> bool:
    return all(witness.rolled_back()[kind] for kind in EVERY_TASK)


def taken_without_an_answer(witness: Witness) -> bool:
    return all(witness.taken_unsaid()[kind] for kind in EVERY_TASK)


def answered_late(witness: Witness) -> bool:
    return witness.waited_s > witness.questions / 20


def in_every_way(witness: Witness) -> bool:
    ways = lost_from_the_pool, given_up_with_its_block, taken_without_an_answer, answered_late
    return all(way(witness) for way in ways)


FORGETS, ROLLS_BACK = Faults(forgets=2), Faults(rolls_back=3)
LOST, CUT, LATE = Faults(lost_answers=7), Faults(cut_answers=7), Faults(late_answers=40)
ALL = Faults(
    stuck_receipts=1,
    late_events=1,
    rewrites=1,
    forgets=3,
    rolls_back=2,
    lost_answers=11,
    cut_answers=13,
    late_answers=40,
)
RUNS: dict[str, tuple[Faults, Callable[[Witness], bool]]] = {
    "stuck_receipts": (Faults(stuck_receipts=1), not_at_all),
    "late_events": (Faults(late_events=1), not_at_all),
    "rewrites": (Faults(rewrites=1), not_at_all),
    "forgets": (FORGETS, lost_from_the_pool),
    "rolls_back": (ROLLS_BACK, given_up_with_its_block),
    "lost_answers": (LOST, taken_without_an_answer),
    "cut_answers": (CUT, taken_without_an_answer),
    "late_answers": (LATE, answered_late),
    "all": (ALL, in_every_way),
}


@pytest.fixture(autouse=True)
def _few_together(monkeypatch: pytest.MonkeyPatch, results: int) -> None:
    """Where few results are paid, fewer of them share a transaction, for the faults to strike."""
    if results == FEW:
        for module in (escrow_openings, escrow_closings, bundling):
            monkeypatch.setattr(module, "MAX_ESCROWS", TOGETHER)


async def sell(
    world: Any,
    key: Key,
    results: int,
    *,
    nodes: Callable[[Any], Any] = lambda client: client,
    check: Check = check_while_running,
    is_mortal: bool = False,
) -> tuple[Witness, Throng]:
    """Have so many results paid, over the nodes that are made of the chain's client."""
    depth = 1 + world.faults.rolls_back
    world.parameters = msgspec.structs.replace(world.parameters, confirmations=depth)
    throng = Throng(world, key, results, is_mortal=is_mortal)
    async with world.running():
        witness = world.client = Witness(nodes(world.client), world.chain)
        async with witness.listening():
            await throng.run(check, check_ends)
    return witness, throng


many = pytest.mark.parametrize(
    "results", [FEW, pytest.param(RESULTS, marks=pytest.mark.full, id="many")]
)


def _cases() -> Iterator[Any]:
    """All results under each fault take minutes; a few are always paid under what strikes them."""
    for fault, (_, struck) in RUNS.items():
        if struck is not not_at_all:
            yield pytest.param(fault, FEW, id=f"{fault}-few")
        yield pytest.param(fault, RESULTS, marks=pytest.mark.full, id=fault)


@pytest.mark.parametrize(("fault", "results"), list(_cases()))
def test_every_result_is_paid_once_under_each_fault(
    make_world: Any, key: Key, fault: str, results: int
) -> None:
    async def main() -> None:
        faults, struck = RUNS[fault]
        witness, _ = await sell(make_world(faults=faults, back_end="escrow"), key, results)
        assert struck(witness)

    run_virtual(main)


@many
def test_storms_of_errors(make_world: Any, key: Key, results: int) -> None:
    """Nothing is answered for many blocks, whatever an escrow waits for: also while validators, who
    look at the chain as well, are asked for their signatures."""

    async def main() -> None:
        stages: set[str] = set()

        def check(throng: Throng, market: Any) -> None:
            check_while_running(throng, market)
            if is_bad_time():
                stages.update(market.settlement.book.counts())

        world = make_world(back_end="escrow")
        world.validators_see = lambda: not is_bad_time()
        witness, _ = await sell(world, key, results, nodes=Stormy, check=check)
        assert stages >= {"opening", "unsigned", "closing"}
        assert witness.failures > results / 50

    run_virtual(main)


@many
def test_nodes_of_the_chain_that_disagree(make_world: Any, key: Key, results: int) -> None:
    """The one that is asked shows blocks without a claim, a refund or an opening that is there."""

    async def main() -> None:
        made: list[Forger] = []

        def two(client: Any) -> SeveralClients:
            made.append(Forger(client))
            return SeveralClients({"forger": made[0], "honest": client})

        witness, _ = await sell(make_world(back_end="escrow"), key, results, nodes=two)
        assert made[0].forged > 5
        assert witness.failures > 5

    run_virtual(main)


@many
def test_a_market_that_is_killed_between_opening_and_claim(
    make_world: Any, key: Key, results: int
) -> None:
    """On a chain that forgets, too: neither knows any more what was under way."""

    async def main() -> None:
        world = make_world(faults=FORGETS, back_end="escrow")
        witness, throng = await sell(world, key, results, is_mortal=True)
        assert lost_from_the_pool(witness)
        assert throng.kills > results // 100

    run_virtual(main)
