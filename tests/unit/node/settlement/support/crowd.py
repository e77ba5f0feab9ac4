"""Several tasks at once at a market whose money the chain holds, for two customers and two sets of
validators, and who of these is there to sign."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import trio

from node.l1.escrow import (
    Approval,
    Openings,
    Settlement,
    escrow_id_of,
    read,
    sign_claims,
)
from node.settlement.escrow_rewards import ending_message
from node.settlement.interface import Releasers
from node.split import Payees
from p2p.identity import Identity
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import CPC, Key, call, paid_in, reserve
from tests.unit.node.settlement.support.tasks import task_id_of

CHAIN = "cpc-devnet-1"
ALICE, BOB = 10, 11
WORKER, CHECKER = 20, 21
FIRST, SECOND = (41, 42, 43), (42, 43, 44)
"""Sets of validators, by their numbers: two of each release an escrow, and two are in both."""
LOOK_S = 0.5
TASKS = 300
"""More than any test has."""


def identity_of(number: int) -> Identity:
    return Identity.from_seed(bytes([number]) * 32)


NUMBERS = {identity_of(number).public_key.hex(): number for number in {*FIRST, *SECOND}}


class Crowd:
    """Over all lives of the market; tasks have numbers."""

    def __init__(self, world: Any, key: Key) -> None:
        world.approving = False
        self.world = world
        self.key = key
        self.away = set[int]()
        """Validators that sign nothing."""
        self.are_willing = True
        """Whether those who are there sign claims together."""
        self.refused = set[int]()
        """Tasks with whose claims they sign no others together."""
        checker = key(CHECKER).address
        self.payees = Payees({key(WORKER).address: 1}, {checker: 1}, checker)
        self._tasks = {task_id_of(f"task {number}"): number for number in range(TASKS)}
        self._escrows = {self.escrow_id(number): number for number in range(TASKS)}

    async def pay_in(self, market: Any, units: int = 50 * CPC) -> None:
        """Both customers."""
        for number in (ALICE, BOB):
            await paid_in(self.world, market, self.key(number), units)

    def buy(
        self,
        market: Any,
        *numbers: int,
        customer: int = ALICE,
        members: Iterable[int] = FIRST,
        needed: int = 2,
        units: int = CPC,
        seconds: float = 600,
    ) -> None:
        """Reserve the rewards of tasks, and lease them."""
        keys = {
            identity_of(number).public_key: self.key(100 + number).address for number in members
        }
        releasers = Releasers(keys, needed, market.now_ms() + int(seconds * 1000))
        rewards = market.settlement.rewards
        for task_id in map(self.task_id, numbers):
            reserve(market, self.key(customer).address, task_id, units)
            call(market, lambda batch, name=task_id: rewards.open(batch, name, lambda: releasers))

    def end(self, market: Any, *numbers: int) -> None:
        """Their results are found valid."""
        rewards = market.settlement.rewards
        for task_id in map(self.task_id, numbers):
            call(
                market,
                lambda batch, name=task_id: rewards.settle(
                    batch, name, self.payees, market.now_ms()
                ),
            )

    async def sign(self, market: Any) -> None:
        """What validators do, until cancelled: sign what they are asked, as far as they are
        there."""
        while True:
            self.sign_each(market)
            self.sign_together(market)
            await trio.sleep(LOOK_S)

    def sign_each(self, market: Any) -> None:
        """Endings of escrows."""
        rewards = market.settlement.rewards
        for record in list(rewards.unapproved()):
            message = ending_message(record, CHAIN)
            for identity in self._there(record):
                signature = identity.sign(message).hex()
                approval = Approval(public_key=identity.public_key.hex(), signature=signature)
                self._approve(market, rewards.approve, record, approval)

    def sign_together(self, market: Any) -> None:
        """Claims whose pay is due."""
        closings = market.settlement.closings
        refused = {self.escrow_id(number) for number in self.refused}
        for bundle in list(closings.unsigned()) if self.are_willing else ():
            if refused & bundle.claims.keys():
                continue
            for identity in self._there(bundle):
                approval = sign_claims(identity, CHAIN, bundle.claims)
                self._approve(market, closings.approve, bundle, approval)

    def _approve(self, market: Any, approve: Any, what: Any, approval: Approval) -> None:
        batch = Batch()
        approve(batch, what, approval)
        if batch:
            market.db.stage(batch)

    def _there(self, what: Any) -> Iterator[Identity]:
        numbers = (NUMBERS[one.public_key] for one in what.members)
        return (identity_of(number) for number in numbers if number not in self.away)

    def task_id(self, number: int) -> str:
        return task_id_of(f"task {number}")

    def escrow_id(self, number: int) -> str:
        return escrow_id_of(CHAIN, self.world.key.address, self.task_id(number))

    def record(self, market: Any, number: int) -> Any:
        return market.settlement.rewards.escrow(self.task_id(number))

    def states(self, market: Any, *numbers: int) -> set[str]:
        """Of their escrows."""
        return {self.record(market, number).state for number in numbers}

    def opened(self) -> list[list[int]]:
        """The tasks of each ESCROW_OPEN in a block, whoever sent it."""
        forms = (form for form in self._forms() if isinstance(form, Openings))
        return [sorted(self._tasks[one.task_id] for one in form.tasks) for form in forms]

    def settled(self) -> list[list[int]]:
        """The same of each ESCROW_SETTLE."""
        forms = (form for form in self._forms() if isinstance(form, Settlement))
        return [sorted(self._escrows[one.escrow_id] for one in form.claims) for form in forms]

    def _forms(self) -> Iterator[Any]:
        types = ("ESCROW_OPEN", "ESCROW_SETTLE")
        return (read(tx) for tx in self.world.transactions() if tx.tx_type in types)

    def paid(self) -> int:
        """Rewards that the worker has got."""
        units = self.world.balance(self.key(WORKER).address)
        assert units % (CPC // 4) == 0
        return int(units // (CPC // 4))

    def under(self, **changes: object) -> None:
        """Other parameters of the network."""
        self.world.parameters = msgspec.structs.replace(self.world.parameters, **changes)
