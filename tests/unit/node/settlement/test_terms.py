"""When payees are paid: the network's rule, their own thresholds, and payment on demand."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC, Amount
from node.errors import ConfigError, Conflict, InvalidInput
from node.l1.keys import AccountKey
from node.settlement import payouts as payouts_module
from node.settlement import terms as terms_module
from node.settlement.entries import move
from node.settlement.owed import Owed
from node.settlement.parameters import SettlementParameters
from node.settlement.paydesk import PayDesk
from node.settlement.public_audit import PublicAudit
from node.settlement.terms import MAX_ENTRIES, TermsBook, is_due
from node.split import Payees
from storage.database import Database
from storage.store import Batch

CPC = UNITS_PER_CPC
FEE = 21_000_000
RULES = SettlementParameters()
LEAST, MOST = RULES.min_payout, RULES.max_payout_threshold
WEEK_MS = 604_800_000


def desk_of(market: Any) -> PayDesk:
    return PayDesk(market.db, market.settlement, market.sender, market.now_ms)


def ask(shop: Any, threshold: int, number: int = 20, at_ms: int = 1) -> bool:
    batch = Batch()
    terms, address = shop.market.settlement.payouts.terms, shop.key(number).address
    done = terms.set(batch, address, threshold, at_ms)
    shop.market.db.stage(batch)
    return done


def fund(shop: Any) -> None:
    """Let the market pay the chain, whatever the tasks leave for that."""
    batch = Batch()
    shop.market.ledger.post(
        batch, cause="fund", kind="x", postings=move("l1", "fees", 10**9), at_ms=0
    )
    shop.market.db.stage(batch)


async def test_an_own_threshold_is_waited_for_and_paid_at(shop: Any) -> None:
    ask(shop, CPC // 2)
    shop.sell(at_ms=0)
    assert shop.stage_due(10_000) == 3, "everybody but the worker, who has a quarter"
    assert shop.stage_due(WEEK_MS - 1) == 0
    shop.sell(at_ms=WEEK_MS - 1)
    assert shop.stage_due(WEEK_MS - 1) == 1, "now the worker has a half"
    assert shop.outbox()[f"{shop.worker()}:3"] == CPC // 2 + FEE


async def test_nobody_waits_longer_than_the_greatest_age(shop: Any) -> None:
    ask(shop, MOST)
    fund(shop)
    shop.sell(at_ms=0, reward=4 * LEAST // 100 + 8)
    assert shop.stage_due(WEEK_MS - 1) == 0
    assert shop.stage_due(WEEK_MS) == 2, "the worker and the burn: these are worth the fee"
    assert shop.outbox()[f"{shop.worker()}:4"] == LEAST // 100 + 2 + FEE
    assert shop.market.ledger.audit().ok


async def test_what_is_not_worth_the_fee_waits_for_more(shop: Any) -> None:
    fund(shop)
    shop.sell(at_ms=0, reward=4 * FEE - 4)
    shop.stage_due(2 * WEEK_MS)
    assert not any("worker" in cause for cause in shop.outbox())
    shop.sell(at_ms=2 * WEEK_MS, reward=4)
    shop.stage_due(2 * WEEK_MS)
    assert shop.outbox()[f"{shop.worker()}:4"] == 2 * FEE


async def test_a_low_threshold_is_paid_before_its_time(shop: Any) -> None:
    shop.market = shop.market.under(payout_interval_s=1_000)
    ask(shop, LEAST)
    shop.sell(at_ms=0)
    assert shop.stage_due(1) == 1
    assert f"{shop.worker()}:3" in shop.outbox()


async def test_back_to_the_network_s_rule(shop: Any) -> None:
    ask(shop, MOST)
    shop.sell(at_ms=0)
    shop.stage_due(10_000)
    ask(shop, 0, at_ms=2)
    assert shop.stage_due(10_000) == 1


async def test_one_address_has_one_threshold_in_both_its_parts(shop: Any) -> None:
    ask(shop, MOST, number=21)
    shop.sell(at_ms=0, worker=21, validator=21)
    assert shop.stage_due(10_000) == 2
    assert sorted(cause[:4] for cause in shop.outbox()) == ["burn", "trea"]


@pytest.mark.parametrize("threshold", [1, LEAST - 1, MOST + 1])
async def test_a_threshold_beyond_the_network_s_bounds_is_refused(
    shop: Any, threshold: int
) -> None:
    with pytest.raises(InvalidInput) as refused:
        ask(shop, threshold)
    assert refused.value.field == "threshold"
    assert shop.market.settlement.payouts.terms.threshold(shop.key(20).address) is None
    for number, bound in enumerate((LEAST, MOST)):
        assert ask(shop, bound, at_ms=number)


async def test_the_later_wish_counts_whenever_it_arrives(db: Database) -> None:
    book, batch = TermsBook(db, RULES), Batch()
    assert book.set(batch, "a", LEAST, 5)
    assert not book.set(batch, "a", MOST, 5)
    assert not book.set(batch, "a", MOST, 4)
    db.stage(batch)
    assert TermsBook(db, RULES).threshold("a") == LEAST
    assert book.set(batch, "a", MOST, 6)


async def test_strangers_cannot_fill_the_disk(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms_module, "MAX_TERMS", 2)
    book, batch = TermsBook(db, RULES), Batch()
    for name in ("a", "b"):
        book.set(batch, name, LEAST, 1)
    with pytest.raises(Conflict):
        book.set(batch, "c", LEAST, 1)
    assert book.set(batch, "a", MOST, 2)
    db.stage(batch)
    with pytest.raises(Conflict):
        TermsBook(db, RULES).set(Batch(), "c", LEAST, 1)


@given(
    amount=st.integers(0, 3 * CPC),
    threshold=st.none() | st.integers(LEAST, CPC).map(Amount),
    age_ms=st.integers(0, 2 * WEEK_MS),
    entries=st.integers(1, 2 * MAX_ENTRIES),
)
def test_whoever_is_due_is_worth_the_fee_and_nobody_who_is_waits_too_long(
    amount: int, threshold: Amount | None, age_ms: int, entries: int
) -> None:
    rules = msgspec.structs.replace(RULES, payout_interval_s=10)
    due = is_due(rules, threshold, amount, Owed(0, 1_000, entries), 1_000 + age_ms)
    if due:
        assert amount >= FEE
        assert amount >= LEAST or age_ms >= WEEK_MS
    if amount >= FEE and age_ms >= WEEK_MS:
        assert due
    if threshold is not None and amount >= threshold:
        assert due
    if threshold is not None and amount < threshold and age_ms < WEEK_MS:
        assert due == (entries >= MAX_ENTRIES and amount >= LEAST)


def test_an_own_threshold_is_not_waited_for_with_more_entries_than_one_payout_takes() -> None:
    assert is_due(RULES, MOST, CPC, Owed(0, 0, MAX_ENTRIES), 1)
    assert not is_due(RULES, MOST, CPC, Owed(0, 0, MAX_ENTRIES - 1), 1)


def test_the_greatest_age_is_not_below_the_network_s_own() -> None:
    with pytest.raises(ConfigError):
        SettlementParameters(payout_interval_s=10, payout_max_age_s=9)


async def test_on_demand_the_payee_pays_the_fee(shop: Any) -> None:
    desk, address = desk_of(shop.market), shop.key(20).address
    shop.sell(at_ms=0)
    shop.sell(at_ms=0)
    view = desk.view(address)
    assert (view.owed, view.pay_by_ms, view.on_the_way) == (CPC // 2, WEEK_MS, ())
    assert (view.least, view.most, view.fee, view.threshold) == (LEAST, MOST, FEE, None)
    fees = shop.market.ledger.balance("fees")
    await desk.pay_now(address)
    assert shop.market.ledger.balance("fees") == fees
    assert shop.outbox()[f"{shop.worker()}:3"] == CPC // 2
    (sent,) = desk.view(address).on_the_way
    record = shop.market.sender.find(f"payout:{shop.worker()}:3")
    assert (sent.amount, sent.tx_hash) == (CPC // 2 - FEE, record.tx_hash)
    assert record.transaction.amount == CPC // 2 - FEE
    assert desk.view(address).owed == 0
    await desk.pay_now(address)
    assert len(shop.outbox()) == 1, "nothing is paid twice"
    assert shop.market.ledger.audit().ok


async def test_payment_on_demand_passes_a_public_audit_and_a_false_claim_does_not(
    shop: Any,
) -> None:
    shop.sell(at_ms=0)
    await desk_of(shop.market).pay_now(shop.key(20).address)
    payouts = shop.market.settlement.payouts
    payout = payouts.find(f"payout:{shop.worker()}:3")
    tx = shop.market.sender.find(payout.cause).transaction
    shown = payouts.shown(payout.root, payout.to_address)
    assert tx.payload == {"tmnode": "payout", "entries": 1, "root": payout.root, "fee": "payee"}

    def findings(one: Any) -> tuple[str, ...]:
        audit = PublicAudit(shop.market.settlement.parameters, "cpc-devnet-1")
        audit.add(one, shown)
        return audit.report().findings

    assert findings(tx) == ()
    silent = msgspec.structs.replace(tx, payload={**tx.payload, "fee": "market"})
    greedy = msgspec.structs.replace(tx, amount=tx.amount - 1)
    for one in (silent, greedy):
        assert len(findings(one)) == 1


async def test_what_is_not_worth_the_fee_is_not_paid_on_demand(shop: Any) -> None:
    desk, address = desk_of(shop.market), shop.key(20).address
    await desk.pay_now(address)
    shop.sell(at_ms=0, reward=4 * FEE)
    with pytest.raises(Conflict) as refused:
        await desk.pay_now(address)
    assert refused.value.field == "now"
    assert shop.market.ledger.balance(shop.worker()) == FEE
    shop.sell(at_ms=0, reward=4)
    await desk.pay_now(address)
    assert shop.outbox()[f"{shop.worker()}:3"] == FEE + 1


async def test_payment_on_demand_needs_no_fees_of_the_market(shop: Any) -> None:
    """What a payee can do when payouts wait because `fees` is empty."""
    shop.sell(at_ms=0)
    ledger, batch = shop.market.ledger, Batch()
    shop.market.settlement.outbox.pay(
        batch,
        cause="away",
        kind="x",
        source="fees",
        fee_from="fees",
        to=shop.key(30).address,
        amount=ledger.balance("fees") - FEE,
        payload={},
        at_ms=0,
    )
    shop.market.db.stage(batch)
    assert shop.stage_due(10_000) == 0
    assert shop.market.settlement.payouts.short_of_fees
    await desk_of(shop.market).pay_now(shop.key(20).address)
    assert shop.market.ledger.balance(shop.worker()) == 0


async def test_very_many_entries_are_paid_on_demand_in_parts(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts_module, "MAX_ENTRIES", 2)
    for number in range(5):
        shop.sell(at_ms=number)
    await desk_of(shop.market).pay_now(shop.key(20).address)
    amounts = [one.amount for one in desk_of(shop.market).view(shop.key(20).address).on_the_way]
    assert sorted(amounts) == [CPC // 4 - FEE, CPC // 2 - FEE, CPC // 2 - FEE]
    assert shop.market.ledger.audit().ok


async def test_the_desk_keeps_a_threshold(shop: Any) -> None:
    desk, address = desk_of(shop.market), shop.key(20).address
    await desk.set_threshold(address, CPC, asked_ms=5)
    await desk.set_threshold(address, MOST, asked_ms=4)
    assert desk.view(address).threshold == CPC
    await desk.set_threshold(address, 0, asked_ms=6)
    assert desk.view(address).threshold is None


async def test_a_worker_needs_no_money_to_begin(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.abc.Clock
) -> None:
    """An account that the chain has never seen earns, is paid, and never sent anything."""
    world, worker = make_world(), key(20).address
    async with world.running(), world.market() as market:
        world.deposit(key(10), 10 * CPC)
        await trio.sleep(30)
        assert (world.balance(worker), market.ledger.balance(f"customer:{worker}")) == (0, 0)
        batch, rewards = Batch(), market.settlement.rewards
        for task, reward in (("t1", 4 * CPC), ("t2", 2 * CPC)):
            rewards.reserve(batch, task, key(10).address, reward, market.now_ms())
            payees = Payees({worker: 1}, {}, key(21).address)
            rewards.settle(batch, task, payees, market.now_ms())
        market.db.stage(batch)
        await trio.sleep(3)
        assert desk_of(market).view(worker).owed == 3 * CPC // 2
        await trio.sleep(60)
        assert world.balance(worker) == 3 * CPC // 2
        rewards.reserve(batch := Batch(), "t3", key(10).address, 4 * CPC, market.now_ms())
        rewards.settle(batch, "t3", Payees({worker: 1}, {}, key(21).address), market.now_ms())
        market.db.stage(batch)
        await trio.sleep(3)
        await desk_of(market).pay_now(worker)
        await trio.sleep(30)
        assert world.balance(worker) == 5 * CPC // 2 - FEE
        assert world.chain.account(worker).nonce == 0
        assert market.ledger.audit().ok
