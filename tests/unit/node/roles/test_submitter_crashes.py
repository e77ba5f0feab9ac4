"""A validator dies wherever it touches the world; each of its results gets on the chain once."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from node.roles.submitter import ResultTotals
from storage.errors import StorageFailed
from tests.unit.node.roles.test_submitter import BLOCK_S, LONGEST_S, Validator, World
from tests.unit.node.settlement.support.fuse import Fuse, FusedStore

LIFE = [(0, 1, 2), (3,), (), (4, 5, 6, 7), ()]
"""The results that come together; between them a while passes, longer where there are none."""
RESULTS = 8


class Fused:
    """Around a client or a network: what changes the world outside is a point."""

    EFFECTS = frozenset({"send", "request"})

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._around(name, method) if name in self.EFFECTS else method

    def _around(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def fused(*arguments: Any, **options: Any) -> Any:
            self._fuse.reach(f"before {name}")
            answer = await method(*arguments, **options)
            self._fuse.reach(f"after {name}")
            return answer

        return fused


async def live(
    deaths: tuple[int, ...] = (), *, torn: bool = False
) -> tuple[World, Counter[str], int]:
    """One life of a validator with these deaths; the world after it, points, and deaths died."""
    world, fuse = World(max_result_batch=3), Fuse(deaths)
    passed, crashes = Counter[str](), 0
    world.disk = FusedStore(fuse, torn=torn)
    world.wrapped = lambda outside: Fused(outside, fuse)
    async with world.running():
        while True:
            fuse.start()
            try:
                async with world.validator() as validator:
                    await bring(validator)
                    await trio.sleep(LONGEST_S + 6 * BLOCK_S)
                    assert validator.submitter.pending == 0
                    assert validator.submitter.totals == ResultTotals(RESULTS, len(world.batches()))
                passed.update(fuse.passed)
                return world, passed, crashes
            except* StorageFailed:
                crashes += 1
    raise AssertionError


async def bring(validator: Validator) -> None:
    """Let the results come, each set together with the note that it has, as a lease ends."""
    for number, together in enumerate(LIFE):
        note = b"brought:%d" % number
        if validator.db.get(note) is None:
            batch = validator.verified(*together)
            batch.put(note, b"")
            await validator.db.commit(batch)
        await trio.sleep(0.6 if together else 2 * BLOCK_S)


def check(world: World) -> None:
    """Each result is in one transaction and its market knows which."""
    assert sum(world.batches()) == RESULTS
    told = {message.batch.task_id: set(message.task_ids) for message in world.told}
    assert len(told) == len(world.batches())
    assert sum(map(len, told.values())) == len(set().union(*told.values())) == RESULTS


async def die_everywhere(
    then: tuple[int, ...] = (), *, every: int = 1, torn: bool = False
) -> Counter[str]:
    world, points, crashes = await live()
    check(world)
    assert not crashes
    for place in range(0, points.total(), every):
        world, _, crashes = await live((place, *then), torn=torn)
        assert crashes >= 1, f"no death at {place}"
        check(world)
    return points


def run_virtual(main: Callable[..., Any], *arguments: Any) -> Any:
    return trio.run(main, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.full)])
def test_it_dies_at_every_write_transaction_and_message(every: int) -> None:
    """Points come in pairs, so that one in three is before and after by turns."""
    points = run_virtual(partial(die_everywhere, every=every))
    assert points.keys() == {
        f"{when} {what}" for when in ("before", "after") for what in ("a write", "send", "request")
    }


@pytest.mark.full
@pytest.mark.parametrize("again", [0, 1, 3])
def test_it_dies_again_while_it_recovers(again: int) -> None:
    run_virtual(die_everywhere, (again, again))


def test_half_a_write_is_found() -> None:
    """The check has power: on a disk that tears its writes it fails."""
    with pytest.raises((ExceptionGroup, AssertionError)):
        run_virtual(partial(die_everywhere, torn=True))
