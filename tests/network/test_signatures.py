"""How many Ed25519 signatures a whole network verifies for one task: each costs 0.1 ms."""

from collections import Counter

import nacl.bindings
import pytest

TASKS = 4
TAGS = ("tmnode/draw", "tmnode/snapshot", "tmnode/compute-result", "tmnode/verdict")


@pytest.fixture
def verified(monkeypatch) -> Counter[str]:
    """By what was signed; a message's tag comes right behind its signature of 64 bytes."""
    counts: Counter[str] = Counter()
    check = nacl.bindings.crypto_sign_open

    def count(signed: bytes, key: bytes) -> bytes:
        counts.update(tag for tag in TAGS if signed[68:].startswith(tag.encode()))
        return check(signed, key)

    monkeypatch.setattr(nacl.bindings, "crypto_sign_open", count)
    return counts


async def test_nothing_is_verified_twice(world, verified, autojump_clock) -> None:
    """A draw by each validator and the worker; a result by each validator, the market and in its
    batch; a verdict by the orchestrator and the market. (The market judges a report once more when
    it has the outputs.)"""
    first = await world.buy()
    await world.until(first.task_id, "settled")
    verified.clear()
    for _ in range(TASKS):
        task = await world.buy()
        await world.until(task.task_id, "settled")
    assert verified["tmnode/snapshot"] == 0
    assert verified["tmnode/draw"] == 4 * TASKS
    assert verified["tmnode/compute-result"] <= 6 * TASKS
    assert verified["tmnode/verdict"] <= 9 * TASKS
