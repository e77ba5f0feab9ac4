"""Whatever is bought, paid, given back, repaid, written off and taken out on a chain that holds the
money: nobody owes more than was lent, the books are the chain's, and what is somebody's own pays
for nobody else's task."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import NodeError
from node.l1.devchain.holdings import deposit_key
from tests.unit.node.settlement.support.escrows import Key, until
from tests.unit.node.settlement.support.lending import (
    CPC,
    CUSTOMER,
    OPERATOR,
    OTHER,
    Lending,
    blocks,
)

EVERYBODY = (OPERATOR, CUSTOMER, OTHER)
BORROWERS = st.sampled_from([CUSTOMER, CUSTOMER, OTHER])
ANYBODY = st.sampled_from(EVERYBODY)
AMOUNTS = st.integers(1, 8).map(lambda halves: halves * CPC // 2)
TASKS = st.sampled_from(["t1", "t2", "t3", "t4", "t5"])
STEPS = st.one_of(
    st.tuples(st.just("deposit"), ANYBODY, AMOUNTS),
    st.tuples(st.just("repay"), BORROWERS, AMOUNTS),
    st.tuples(st.just("limit"), BORROWERS, AMOUNTS | st.just(0)),
    st.tuples(st.just("write_off"), BORROWERS),
    st.tuples(st.just("reserve"), TASKS, BORROWERS, AMOUNTS),
    st.tuples(st.just("reserve"), TASKS, BORROWERS, AMOUNTS),
    st.tuples(st.just("lease"), TASKS),
    st.tuples(st.just("refund"), TASKS),
    st.tuples(st.just("settle"), TASKS),
    st.tuples(st.just("withdraw"), ANYBODY, AMOUNTS),
    st.tuples(st.just("reserve"), TASKS, st.just(CUSTOMER), st.just(CPC // 2)),
    st.tuples(st.just("give_notice"), ANYBODY),
    st.tuples(st.just("give_notice"), st.just(OPERATOR)),
    st.tuples(st.just("take_out"), ANYBODY),
)


class Model:
    """The same without a ledger: each step says whether it is allowed, and then what it does.

    `owed` is kept by what makes and pays a debt, not as a difference.
    """

    def __init__(self) -> None:
        self.own: Counter[int] = Counter()
        self.limits: Counter[int] = Counter()
        self.owed: Counter[int] = Counter()
        """Less than nothing for what was paid ahead."""
        self.tasks: dict[str, tuple[int, int, bool, str]] = {}
        """Buyer, reward, whether on credit, and state: queued, leased, or over."""
        self.leaving: set[int] = set()

    def left(self, who: int) -> int:
        return self.limits[who] - self.owed[who]

    def undecided(self, who: int) -> int:
        return sum(
            amount
            for buyer, amount, lent, state in self.tasks.values()
            if buyer == who and lent and state != "over"
        )

    def deposit(self, who: int, amount: int) -> bool:
        self.own[who] += amount
        self.leaving.discard(who)
        return True

    def repay(self, who: int, amount: int) -> bool:
        debt = max(0, self.owed[who]) if who in self.backed else 0
        self.owed[who] -= min(debt, amount)
        self.own[OPERATOR] += max(0, amount - debt)
        return True

    @property
    def backed(self) -> set[int]:
        return {who for who in (CUSTOMER, OTHER) if self.limits[who]}

    def limit(self, who: int, amount: int) -> bool:
        more = amount - self.limits[who]
        if amount < self.owed[who] or more > self.own[OPERATOR]:
            return False
        if more > 0 and OPERATOR in self.leaving:
            return False
        self.limits[who] += more
        self.own[OPERATOR] -= more
        return True

    def write_off(self, who: int) -> bool:
        spent = max(0, max(0, self.owed[who]) - self.undecided(who))
        self.limits[who] -= spent
        self.owed[who] -= spent
        return True

    def reserve(self, task: str, who: int, amount: int) -> bool:
        if task in self.tasks:
            return self.tasks[task][:2] == (who, amount)
        lent = self.own[who] < amount
        if who in self.leaving or (lent and OPERATOR in self.leaving):
            return False
        if lent and self.left(who) < amount:
            return False
        self.tasks[task] = who, amount, lent, "queued"
        (self.owed if lent else self.own)[who] += amount if lent else -amount
        return True

    def lease(self, task: str) -> bool:
        who, amount, lent, state = self.tasks.get(task, (0, 0, False, "none"))
        if state == "queued":
            self.tasks[task] = who, amount, lent, "leased"
        return state != "none"

    def refund(self, task: str) -> bool:
        who, amount, lent, state = self.tasks.get(task, (0, 0, False, "none"))
        if state in ("queued", "leased"):
            self.tasks[task] = who, amount, lent, "over"
            (self.owed if lent else self.own)[who] += -amount if lent else amount
        return state != "none"

    def settle(self, task: str) -> bool:
        who, amount, lent, state = self.tasks.get(task, (0, 0, False, "none"))
        if state in ("queued", "leased"):
            self.tasks[task] = who, amount, lent, "over"
        return state != "none"

    def withdraw(self, who: int, amount: int) -> bool:
        if self.own[who] < amount:
            return False
        self.own[who] -= amount
        return True

    def give_notice(self, who: int) -> bool:
        self.leaving.add(who)
        for task, (buyer, _, lent, state) in list(self.tasks.items()):
            if state == "queued" and (OPERATOR if lent else buyer) == who:
                self.refund(task)
        return True

    def take_out(self, who: int) -> bool:
        self.own[who] = 0
        for borrower in (CUSTOMER, OTHER) if who == OPERATOR else ():
            self.owed[borrower] = max(0, self.owed[borrower])
            self.limits[borrower] = self.owed[borrower]
        return True


OVER = ("refund", "settle", "lease")
"""Steps whose refusals have their own tests: of tasks that are none, or over."""


async def carry_out(desk: Lending, model: Model, number: int, step: tuple[Any, ...]) -> None:
    name, *arguments = step
    if name == "give_notice" and arguments[0] in model.leaving:
        return
    if name == "give_notice" and not has_deposited(desk, arguments[0]):
        return
    if name == "take_out" and arguments[0] not in model.leaving:
        return
    if name in OVER and model.tasks.get(arguments[0], ("", "", "", "over"))[3] == "over":
        return
    if name == "take_out":
        await blocks(desk.world, 3)  # what is leased is in a block by then
    allowed = getattr(model, name)(*arguments)
    extra = (str(number),) if name == "withdraw" else ()
    try:
        done = getattr(desk, name)(*arguments, *extra)
        if isinstance(done, Awaitable):
            await done
    except NodeError:
        assert not allowed, step
    else:
        assert allowed, step
    await desk.rest()


def has_deposited(desk: Lending, number: int) -> bool:
    """Only then the chain takes a notice."""
    key = deposit_key(desk.world.key.address, desk.key(number).address)
    return key in desk.world.chain.holdings.records


def check(desk: Lending, model: Model) -> None:
    desk.check(*EVERYBODY)
    for number in EVERYBODY:
        assert desk.free(number) == model.own[number], number
        view = desk.view(number)
        assert view.limit == model.limits[number]
        assert view.owed == max(0, model.owed[number])
        account = f"credit:{desk.key(number).address}"
        assert desk.market.ledger.balance(account) == model.left(number) >= 0


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@given(st.lists(STEPS, min_size=10, max_size=25))
@settings(max_examples=15, deadline=None)
def test_limit_less_owed_is_left_and_the_books_are_the_chain_s(
    make_world: Any, key: Key, steps: list[tuple[Any, ...]]
) -> None:
    async def main() -> None:
        world, model = make_world(back_end="escrow"), Model()
        async with world.running(), world.market() as market:
            desk = Lending(world, market, key)
            await until(market.sender.ready.is_set)
            begun = (("deposit", OPERATOR, 10 * CPC), ("limit", CUSTOMER, 4 * CPC))
            for number, step in enumerate((*begun, *steps)):
                await carry_out(desk, model, number, step)
                check(desk, model)
            await blocks(world, 3)
            desk.check_chain(*EVERYBODY)

    run(main)
