"""Random lives of tasks: after every step each unit is where a plain model says."""

from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC
from node.errors import NodeError
from node.verification.batches import leaf_of
from storage.store import Batch

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"

place = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.just("buy"), st.sampled_from([CPC, 40 * CPC, 10**16, 1]), st.integers(0, 5)),
    st.tuples(st.just("cancel"), place, st.booleans()),
    st.tuples(st.just("lease"), place, st.integers(0, 3)),
    st.tuples(st.just("release"), place, st.integers(-1, 1), st.booleans()),
    st.tuples(st.just("report"), place, st.sampled_from(["good", "thin", "old", "forged"])),
    st.tuples(st.just("late"), place),
    st.tuples(st.just("wait"), st.sampled_from([1_000, 15_000, 300_000, 4_000_000])),
    st.tuples(st.just("anchor"), place, st.booleans()),
    st.tuples(st.just("restart")),
)


@dataclass
class Model:
    """What the steps did, told apart from how the market keeps it."""

    tasks: list[str] = field(default_factory=list)
    rewards: dict[str, int] = field(default_factory=dict)
    draws: dict[str, list] = field(default_factory=dict)

    def at(self, number: int) -> str | None:
        return self.tasks[number % len(self.tasks)] if self.tasks else None


async def buy(shop, model: Model, reward: int, key: int) -> None:
    task = await shop.buy("s", reward=reward, key=f"{reward}/{key}")
    if task.task_id not in model.rewards:
        model.tasks.append(task.task_id)
        model.rewards[task.task_id] = reward


async def cancel(shop, model: Model, number: int, is_owner: bool) -> None:
    caller = shop.customer if is_owner else shop.other
    await shop.service.cancel(model.at(number), caller)


async def lease(shop, model: Model, number: int, count: int) -> None:
    task_id = model.at(number)
    draw = shop.lifecycle.lease(shop.record(task_id), shop.candidates[:count])
    if draw is not None:
        model.draws.setdefault(task_id, []).append(draw)


async def release(shop, model: Model, number: int, shift: int, begun: bool) -> None:
    task_id = model.at(number)
    shop.lifecycle.release(task_id, shop.record(task_id).epoch + shift, "no", begun=begun)


async def report(shop, model: Model, number: int, how: str) -> None:
    task_id = model.at(number)
    draws = model.draws.get(task_id, [])
    if not draws:
        return
    draw = draws[0] if how == "old" else draws[-1]
    made = shop.report(draw, ("valid",) if how == "thin" else ("valid", "valid"))
    if how == "forged":
        made = msgspec.structs.replace(made, manifest=shop.manifest(draw, b"other"))
    holder = next(one for one in shop.candidates if one.key == draw.seats[0].key)
    shop.complete(made, holder.peer_id)


async def late(shop, model: Model, number: int) -> None:
    """A report that was judged in time and completed after its lease was given to another."""
    task_id = model.at(number)
    record = shop.record(task_id)
    if record.draw is None:
        return
    outcome = shop.lifecycle.judge(shop.report(record.draw), record.orchestrator)
    shop.lifecycle.release(task_id, record.epoch, "lost")
    if outcome is not None:
        shop.lifecycle.complete(outcome, record.orchestrator)


async def wait(shop, model: Model, duration_ms: int) -> None:
    shop.now_ms += duration_ms
    shop.lifecycle.expire()


async def anchor(shop, model: Model, number: int, right: bool) -> None:
    task_id = model.at(number)
    outcome, batch = shop.board.outcome(task_id), Batch()
    leaf = leaf_of(outcome.result, CHAIN) if outcome and right else bytes(32)
    if shop.lifecycle.anchor(batch, task_id, "batch", 0, leaf):
        shop.db.stage(batch)


async def restart(shop, model: Model) -> None:
    shop.reload()


STEPS = {
    "buy": buy,
    "cancel": cancel,
    "lease": lease,
    "release": release,
    "report": report,
    "late": late,
    "wait": wait,
    "anchor": anchor,
    "restart": restart,
}


def check(shop, model: Model) -> None:
    phases = {task_id: shop.record(task_id).phase for task_id in model.tasks}
    reserved = sum(model.rewards[one] for one in phases if phases[one] in ("queued", "leased"))
    paid = sum(model.rewards[one] for one in phases if phases[one] in ("verified", "anchored"))
    assert shop.balances(shop.customer) == (100 * CPC - reserved - paid, reserved)
    assert shop.balances(shop.other) == (100 * CPC, 0)
    held = dict(shop.ledger.holdings("reserved:"))
    assert sum(held.values()) == reserved
    assert sum(shop.ledger.balance(name) for name, _ in shop.ledger.holdings()) == 0
    assert shop.board.open_count == len(held)
    assert shop.service.tasks(status=None, challenge_type=None, limit=1, offset=0).total == len(
        model.tasks
    )


@settings(max_examples=60)
@given(script=st.lists(steps, max_size=25))
async def test_no_unit_is_ever_lost(open_shop, script) -> None:
    async with open_shop() as shop:
        model = Model()
        for name, *arguments in script:
            if name not in ("buy", "wait", "restart") and not model.tasks:
                continue
            with suppress(NodeError):
                await STEPS[name](shop, model, *arguments)
            check(shop, model)
        audit = shop.ledger.audit()
        assert audit.ok, audit.findings
        assert audit.held == 200 * CPC
