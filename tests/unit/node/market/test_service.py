"""What a customer can do at a market."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC, Amount
from node.errors import (
    Conflict,
    InsufficientFunds,
    InvalidInput,
    NotAllowed,
    NotFound,
    RewardBelowQuote,
    TaskTooLarge,
    Unavailable,
    WorkloadUnavailable,
)
from node.market.views import NewTask

CPC = UNITS_PER_CPC
PAYLOAD = {"seed": "s", "matrix_size": 64, "iterations": 10}


async def test_a_quote_tells_price_and_work(shop) -> None:
    quote = shop.service.quote("synthetic", PAYLOAD)
    assert (quote.jobs, quote.work_units) == (1, 64**3 * 10)
    assert quote.check_units == (2 * 10 + 1) * 16 * 64**2
    assert quote.price == CPC // 1000 + -(-quote.work_units * CPC // 100 // 10**12)
    assert quote.proof_units == 0
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_a_proof_is_paid_for(shop) -> None:
    """What is too large to be opened has to be proven, which is work beside the work."""
    payload = {**PAYLOAD, "matrix_size": 1024, "iterations": 129}
    quote = shop.service.quote("synthetic", payload)
    assert quote.work_units == 129 * 1024**3
    assert quote.proof_units == 129 * (11 * 2**24 + 112 * 1024**2)
    units = quote.work_units + quote.proof_units
    assert quote.price == CPC // 1000 + -(-units * CPC // 100 // 10**12)
    task = await shop.buy(reward=quote.price, payload=payload)
    assert shop.record(task.task_id).work_units == units
    cheaper = shop.service.quote("synthetic", {**payload, "iterations": 128})
    assert cheaper.proof_units == 0
    wanted = shop.service.quote("synthetic", {**payload, "iterations": 128, "proof": True})
    assert wanted.price > cheaper.price
    assert wanted.check_units < cheaper.check_units


async def test_many_jobs_cost_as_much_as_many(shop) -> None:
    one, four = (
        shop.service.quote("synthetic", {**PAYLOAD, "matrix_size": 2048, "chains": chains})
        for chains in (1, 4)
    )
    assert (four.jobs, four.work_units) == (4, 4 * one.work_units)
    assert four.check_units == 4 * one.check_units
    assert 0 <= 4 * (one.price - CPC // 1000) - (four.price - CPC // 1000) < 4
    task = await shop.buy(chains=4)
    assert (task.jobs, shop.record(task.task_id).jobs) == (4, 4)


@pytest.mark.parametrize(
    ("kind", "payload", "error", "field"),
    [
        ("mining", PAYLOAD, InvalidInput, "challenge_type"),
        ("rendering", PAYLOAD, WorkloadUnavailable, "challenge_type"),
        ("synthetic", {}, InvalidInput, "payload.seed"),
        ("synthetic", {**PAYLOAD, "matrix_size": 0}, InvalidInput, "payload.matrix_size"),
        ("synthetic", {**PAYLOAD, "extra": 1}, InvalidInput, "payload.extra"),
        (
            "synthetic",
            {**PAYLOAD, "matrix_size": 8192, "iterations": 65_536},
            TaskTooLarge,
            "payload.iterations",
        ),
    ],
)
async def test_what_cannot_be_quoted_cannot_be_bought(shop, kind, payload, error, field) -> None:
    with pytest.raises(error) as refused:
        shop.service.quote(kind, payload)
    assert refused.value.field == field
    with pytest.raises(error) as refused:
        await shop.service.submit(NewTask(kind, payload, Amount(CPC)), shop.customer)
    assert refused.value.field == field
    assert shop.balances(shop.customer) == (100 * CPC, 0)


@pytest.mark.parametrize("seed", ["\ud800", 10**200, "🦊", -1, "x" * 256])
async def test_every_seed_that_json_can_hold_is_answered(shop, seed: object) -> None:
    """Numbers beyond 64 bits are seeds as good as any, half a surrogate pair is not."""
    if seed == "\ud800":
        with pytest.raises(InvalidInput):
            await shop.buy(seed)
    else:
        assert (await shop.buy(seed)).payload["seed"] == seed


async def test_buying_reserves_the_reward(shop) -> None:
    task = await shop.buy(reward=3 * CPC)
    assert (task.status, task.phase, task.epoch) == ("pending", "queued", 0)
    assert (task.reward, task.account) == (3 * CPC, shop.customer)
    assert shop.balances(shop.customer) == (97 * CPC, 3 * CPC)
    assert shop.balances(shop.other) == (100 * CPC, 0)
    assert shop.ledger.balance(f"reserved:{task.task_id}") == 3 * CPC


async def test_a_reward_below_the_quote_or_beyond_the_funds(shop) -> None:
    with pytest.raises(RewardBelowQuote):
        await shop.buy(reward=1)
    with pytest.raises(InsufficientFunds):
        await shop.buy(reward=101 * CPC)
    with pytest.raises(InvalidInput):
        await shop.buy(reward=10**7 * CPC)
    assert shop.service.tasks(status=None, challenge_type=None, limit=9, offset=0).total == 0
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_the_deadline(shop) -> None:
    protocol, now_s = shop.network.protocol, shop.now_ms // 1000
    task = await shop.buy()
    assert task.deadline_ms == shop.now_ms + protocol.default_deadline_s * 1000
    latest = now_s + protocol.max_deadline_s
    assert (await shop.buy(deadline_s=latest)).deadline_ms == latest * 1000
    for wrong in (0, now_s - 1, now_s, latest + 1, 10**30):
        with pytest.raises(InvalidInput) as refused:
            await shop.buy(deadline_s=wrong)
        assert refused.value.field == "deadline"


async def test_the_market_takes_only_so_many(open_shop) -> None:
    async with open_shop(limit=2) as shop:
        first = await shop.buy(key="first")
        shop.lease((await shop.buy()).task_id)
        with pytest.raises(Unavailable):
            await shop.buy()
        assert (await shop.buy(key="first")).task_id == first.task_id
        await shop.service.cancel(first.task_id, shop.customer)
        await shop.buy()


async def test_the_same_key_is_the_same_task(shop) -> None:
    task = await shop.buy(key="k")
    shop.now_ms += 5000
    assert (await shop.buy(key="k")).task_id == task.task_id
    assert (await shop.buy(key="k", account=shop.other)).task_id != task.task_id
    assert (await shop.buy(key="l")).task_id != task.task_id
    for other in ({"seed": "t"}, {"reward": 2 * CPC}, {"deadline_s": shop.now_ms // 1000 + 9}):
        with pytest.raises(Conflict):
            await shop.buy(key="k", **other)
    assert shop.balances(shop.customer) == (98 * CPC, 2 * CPC)
    shop.reload()
    assert (await shop.buy(key="k")).task_id == task.task_id


async def test_a_key_outlives_its_task(shop) -> None:
    task = await shop.buy(key="k")
    await shop.service.cancel(task.task_id, shop.customer)
    again = await shop.buy(key="k")
    assert (again.task_id, again.phase) == (task.task_id, "refunded")
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_without_a_key_every_request_is_another_task(shop) -> None:
    assert len({(await shop.buy()).task_id for _ in range(5)}) == 5


@settings(max_examples=50)
@given(
    requests=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=12),
    together=st.booleans(),
)
async def test_duplicates_reserve_once(open_shop, requests, together: bool) -> None:
    """However copies of requests come in, beside or after each other: one reservation a key."""
    async with open_shop() as shop:
        answers: dict[str, set[str]] = {}
        first_seeds: dict[str, str] = {}

        async def buy(key: str, seed: str) -> None:
            expected = first_seeds.setdefault(key, seed)
            if seed == expected:
                answers.setdefault(key, set()).add((await shop.buy(seed, key=key)).task_id)
            else:
                with pytest.raises(Conflict):
                    await shop.buy(seed, key=key)

        async with trio.open_nursery() as nursery:
            for key, seed in requests:
                if together:
                    nursery.start_soon(buy, key, seed)
                else:
                    await buy(key, seed)
        assert all(len(task_ids) == 1 for task_ids in answers.values())
        bought = len(answers)
        assert shop.balances(shop.customer) == ((100 - bought) * CPC, bought * CPC)
        assert shop.ledger.audit().ok


async def test_cancelling(shop) -> None:
    task = await shop.buy()
    with pytest.raises(NotAllowed):
        await shop.service.cancel(task.task_id, shop.other)
    with pytest.raises(NotFound):
        await shop.service.cancel("550e8400-e29b-41d4-a716-446655440000", shop.customer)
    ended = await shop.service.cancel(task.task_id, shop.customer)
    assert (ended.status, ended.phase, ended.error.code) == ("failed", "refunded", "cancelled")
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    with pytest.raises(Conflict):
        await shop.service.cancel(task.task_id, shop.customer)
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_cancelling_a_leased_and_a_completed_task(shop) -> None:
    draw = await shop.leased()
    await shop.service.cancel(draw.task_id, shop.customer)
    assert shop.balances(shop.customer) == (100 * CPC, 0)
    with pytest.raises(Conflict):
        shop.complete(shop.report(draw))
    draw = await shop.leased()
    shop.complete(shop.report(draw))
    with pytest.raises(Conflict):
        await shop.service.cancel(draw.task_id, shop.customer)
    assert shop.balances(shop.customer) == (99 * CPC, 0)


async def test_what_is_shown_of_a_completed_task(shop) -> None:
    draw = await shop.leased()
    report = shop.report(draw)
    shop.complete(report)
    view = shop.service.task(draw.task_id)
    assert (view.status, view.phase, view.error) == ("completed", "verified", None)
    assert view.result.result_hash == report.jobs[0].result.result_hash
    assert view.result.worker_address == shop.worker.address
    assert view.result.validators == tuple(one.address for one in draw.seats[:2])
    assert view.result.pay_due_ms == shop.now_ms + 5_000
    assert view.result.orchestrator == draw.seats[0].address
    assert {one.address: one.checks for one in view.result.checks} == {
        seat.address: 1 for seat in draw.seats[:2]
    }
    assert [output.name for output in view.result.outputs] == ["matrix"]
    with pytest.raises(Conflict, match="verified"):
        shop.service.receipt(draw.task_id)


async def test_what_is_not_there(shop) -> None:
    for call in (shop.service.task, shop.service.receipt):
        with pytest.raises(NotFound):
            call("550e8400-e29b-41d4-a716-446655440000")
    with pytest.raises(NotFound):
        shop.service.artifact("00" * 32)
    assert shop.balances("cpc1nobody") == (0, 0)


async def test_waiting_for_the_next_phase(shop, autojump_clock) -> None:
    task = await shop.buy()
    seen: list[str] = []

    async def follow() -> None:
        view = task
        while view.phase != "verified":
            view = await shop.service.wait(task.task_id, seen=view.phase)
            seen.append(view.phase)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        draw = shop.lease(task.task_id)
        await trio.testing.wait_all_tasks_blocked()
        shop.complete(shop.report(draw))
    assert seen == ["leased", "verified"]
    assert (await shop.service.wait(task.task_id, seen="leased")).phase == "verified"


async def test_task_ids_cannot_be_foreseen(open_shop) -> None:
    """The same request by the same account in two markets that know the same of the chain."""
    ids = set()
    for _ in range(2):
        async with open_shop() as shop:
            ids.add((await shop.buy(key="k")).task_id)
    assert len(ids) == 2
