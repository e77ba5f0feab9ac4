"""Held money against a simple model, under random valid and invalid transactions, blocks, restarts
and blocks that are given up: the same is let in, the same is in blocks, the same is where.
"""

import copy
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from node.amounts import Amount
from node.keys import KeyBinding, bind
from node.l1.devchain.faults import Faults
from node.l1.devchain.holdings import Closed, Escrow, units_of
from node.l1.escrow import (
    bond,
    deposit,
    open_escrow,
    payout,
    refund_escrow,
    settle_escrow,
    sign_claim,
    sign_refund,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, Transaction
from node.verification.offences import two_verdicts
from node.verification.statements import Verdict, sign_verdict
from p2p.identity import Identity

RICH = 10**21
NOTICE, MOST, UNBONDING, SLASH_BP = 3, 50, 4, 2_500
PEOPLE = range(4)
"""0 and 1 are markets, 2 and 3 their customers; all may do anything else too."""
SIGNERS = ((0, 1, 2), (1, 2, 3, 4), (0, 4), (0, 1, 2, 5), (), ())
"""Of an escrow's five validators and a stranger; three of them are needed."""
SIGNED = ((), (0, 1, 2))
STEPS = 120


class Op(NamedTuple):
    """Something that one of the people sends."""

    kind: str
    who: int
    other: int = 0
    units: int = 0
    task: int = 0
    blocks: int = 0
    signers: tuple[int, ...] = ()


def step_of(lots: random.Random, number: int) -> Op | str:
    """Something to do: a dense mixture, in which most could be right; tasks come one by one."""
    units, task, anybody = lots.randint(1, 8), number // 12, lots.choice(PEOPLE)
    earlier = max(task - lots.randint(0, 1), 0)
    market, customer = lots.choice((0, 1)), lots.choice((2, 3))
    odd = lots.random() < 0.2
    who = anybody if odd else market
    blocks = lots.randint(-1, 3) if odd else lots.randint(1, 3)
    signers = lots.choice(SIGNERS) if odd else lots.choice(SIGNERS[:2])
    ways: list[Op | str] = [
        Op("deposit", anybody if odd else customer, market, units * 3),
        Op("withdraw_for", who, lots.choice(PEOPLE) if odd else customer, units),
        Op("withdraw_all", anybody if odd else customer, market),
        Op("open", who, customer, units, task, blocks),
        Op("open", who, customer, units, task, blocks),
        Op("settle", anybody, market, units, earlier, 0, signers),
        Op("refund", anybody, market, 0, earlier, 0, signers if odd else lots.choice(SIGNED)),
        Op("bond", anybody, units=units),
        Op("unbond", anybody, units=units),
        Op("slash", anybody, lots.choice(PEOPLE), task=lots.randint(0, 3)),
    ]
    return lots.choices([*ways, "mine", "restart"], [4, 2, 1, 8, 8, 5, 4, 2, 3, 2, 12, 1])[0]


START: list[Op | str] = [
    *(Op("deposit", customer, 0, 30) for customer in (2, 3)),
    *(Op("bond", who, units=20) for who in (0, 1)),
    "mine",
]


@dataclass
class Model:
    """The rules again, in their simplest form; people are numbers, and addresses text."""

    address: dict[int, str]
    balance: Counter[str] = field(default_factory=Counter)
    deposits: Counter[tuple[int, int]] = field(default_factory=Counter)
    known: set[tuple[int, int]] = field(default_factory=set)
    notices: dict[tuple[int, int], int] = field(default_factory=dict)
    escrows: dict[tuple[int, int], tuple[int, Any, str]] = field(default_factory=dict)
    """By market and task: customer, opening, status."""
    bonds: Counter[int] = field(default_factory=Counter)
    leaving: Counter[tuple[int, int]] = field(default_factory=Counter)
    acts: set[tuple[int, int]] = field(default_factory=set)
    height: int = 0
    form: Any = None

    def may(self, op: Op, form: Any, height: int) -> bool:
        """Whether the block of this height can hold it now."""
        self.form, self.height = form, height
        return bool(getattr(self, f"_may_{op.kind}", lambda _op: True)(op))

    def do(self, op: Op, tx: Transaction) -> None:
        """Hold it in a block, which it may be in."""
        self.balance[self.address[op.who]] -= tx.gas_limit * tx.gas_price
        getattr(self, f"_do_{op.kind}")(op)

    def begin(self, height: int) -> None:
        """What comes free first."""
        for who, due in [one for one in self.leaving if one[1] == height]:
            self.balance[self.address[who]] += self.leaving.pop((who, due))

    def _do_deposit(self, op: Op) -> None:
        place = (op.other, op.who)
        self.balance[self.address[op.who]] -= op.units
        self.deposits[place] += op.units
        self.known.add(place)
        self.notices.pop(place, None)

    def _may_withdraw_for(self, op: Op) -> bool:
        return self.deposits[op.who, op.other] >= op.units

    def _do_withdraw_for(self, op: Op) -> None:
        self.deposits[op.who, op.other] -= op.units
        self.balance[self.address[op.other]] += op.units

    def _free(self, place: tuple[int, int]) -> bool:
        return place in self.notices and self.height >= self.notices[place] + NOTICE

    def _may_withdraw_all(self, op: Op) -> bool:
        place = (op.other, op.who)
        ready = self._free(place) and self.deposits[place] > 0
        return place in self.known and (place not in self.notices or ready)

    def _do_withdraw_all(self, op: Op) -> None:
        place = (op.other, op.who)
        if place not in self.notices:
            self.notices[place] = self.height
        else:
            self.balance[self.address[op.who]] += self.deposits.pop(place)

    def _may_open(self, op: Op) -> bool:
        place = (op.who, op.other)
        there = self.deposits[place] >= op.units and not self._free(place)
        is_new = (op.who, op.task) not in self.escrows
        return is_new and self.form.deadline > self.height and there

    def _do_open(self, op: Op) -> None:
        self.deposits[op.who, op.other] -= op.units
        self.escrows[op.who, op.task] = (op.other, self.form, "open")

    def _quorum(self, signers: tuple[int, ...]) -> bool:
        return len(signers) >= 3 and max(signers) < 5

    def _open(self, op: Op) -> bool:
        place = (op.other, op.task)
        return place in self.escrows and self.escrows[place][2] == "open"

    def _may_settle(self, op: Op) -> bool:
        return self._open(op) and self._quorum(op.signers)

    def _do_settle(self, op: Op) -> None:
        customer, opening, _ = self.escrows[op.other, op.task]
        self.escrows[op.other, op.task] = (customer, opening, "settled")
        for address, units in payout(opening, self.address[op.other], self.form).items():
            self.balance[address] += units

    def _may_refund(self, op: Op) -> bool:
        if not self._open(op):
            return False
        opening = self.escrows[op.other, op.task][1]
        late = self.height > opening.deadline + opening.grace
        return self._quorum(op.signers) if op.signers else late

    def _do_refund(self, op: Op) -> None:
        customer, opening, _ = self.escrows[op.other, op.task]
        self.escrows[op.other, op.task] = (customer, opening, "refunded")
        self.deposits[op.other, customer] += opening.amount

    def _do_bond(self, op: Op) -> None:
        self.balance[self.address[op.who]] -= op.units
        self.bonds[op.who] += op.units

    def _may_unbond(self, op: Op) -> bool:
        return self.bonds[op.who] >= op.units

    def _do_unbond(self, op: Op) -> None:
        self.bonds[op.who] -= op.units
        self.leaving[op.who, self.height + UNBONDING] += op.units

    def _parts(self, who: int) -> list[tuple[int, int]]:
        return sorted((one for one in self.leaving if one[0] == who), reverse=True)

    def _total(self, who: int) -> int:
        return self.bonds[who] + sum(self.leaving[one] for one in self._parts(who))

    def _may_slash(self, op: Op) -> bool:
        return self._total(op.other) > 0 and (op.other, op.task) not in self.acts

    def _do_slash(self, op: Op) -> None:
        taken = rest = (self._total(op.other) * SLASH_BP + 9_999) // 10_000
        cut = min(rest, self.bonds[op.other])
        self.bonds[op.other] -= cut
        rest -= cut
        for part in self._parts(op.other):
            cut = min(rest, self.leaving[part])
            self.leaving[part] -= cut
            rest -= cut
        self.acts.add((op.other, op.task))
        self.balance[self.address[op.who]] += taken // 2


class Play:
    """A chain and the model of it, side by side."""

    def __init__(self, world: Any, parties: Any, keys: list[Any]) -> None:
        self.world, self.parties, self.keys = world, parties, keys
        self.model = Model({number: key.address for number, key in enumerate(keys)})
        for key in keys:
            self.model.balance[key.address] = RICH
        self.signers = [*parties.signers, parties.stranger]
        self.waiting: dict[str, tuple[Op, Transaction, Any]] = {}
        self.before: deque[Model] = deque(maxlen=2)
        self.blocks = 0

    @property
    def next_height(self) -> int:
        return int(self.world.chain.tip.height) + 1

    def send(self, op: Op) -> None:
        sender = self.keys[op.who]
        if sender.address in self.waiting:
            return
        draft, form = self.draft(op)
        tx = draft.signed(sender, self.world.chain.account(sender.address).nonce)
        problem = self.world.chain.submit(tx)[1]
        assert (problem == "") == self.model.may(op, form, self.next_height), (op, problem)
        if not problem:
            self.waiting[sender.address] = (op, tx, form)

    def draft(self, op: Op) -> tuple[Draft, Any]:
        address = [key.address for key in self.keys]
        parties = self.parties
        name = parties.name_of(parties.opening(f"t{op.task}"), self.keys[op.other])
        match op.kind:
            case "deposit":
                return deposit(address[op.other], op.units), None
            case "withdraw_for":
                return withdraw_for(address[op.other], op.units), None
            case "withdraw_all":
                return withdraw_all(address[op.other]), None
            case "open":
                opening = parties.opening(
                    f"t{op.task}",
                    customer=address[op.other],
                    amount=Amount(op.units),
                    deadline=max(self.next_height + op.blocks, 0),
                    grace=1,
                    fee_reserve=Amount(1),
                )
                return open_escrow(opening), opening
            case "settle":
                claim = parties.claim(results=f"{op.units:064x}")
                signed = [_sign(self.signers[n], parties, name, claim) for n in op.signers]
                return settle_escrow(name, claim, signed), claim
            case "refund":
                signed = [_sign(self.signers[n], parties, name, None) for n in op.signers]
                return refund_escrow(name, signed), None
            case "bond":
                return bond(op.units, _binding(self.keys[op.who], op.who)), None
            case "unbond":
                return unbond(op.units), None
            case _:
                return two_verdicts(address[op.other], *_verdicts(op.other, op.task)), None

    async def mine(self) -> None:
        self.before.append(copy.deepcopy(self.model))
        height, expected = self.next_height, []
        self.model.begin(height)
        for _, (op, tx, form) in sorted(self.waiting.items()):
            if self.model.may(op, form, height):  # somebody may have been first since it was let in
                self.model.do(op, tx)
                expected.append(tx)
        self.waiting.clear()
        self.world.seconds = max(self.world.seconds, height * self.world.config.block_time_s)
        await self.world.chain.produce()
        self.blocks += 1
        if self.blocks % 10 == 0:  # the chain gave two blocks up; we let nothing wait again
            self.model = self.before[0]
            self.before.clear()
            self.world.chain.mempool.take_all()
        else:
            block = await self.world.client.block(height)
            assert [one.signature for one in block.txs] == [one.signature for one in expected]
        self.compare()

    def compare(self) -> None:
        state, model = self.world.chain._chain.state, self.model
        records = state.holdings.records
        for who, address in model.address.items():
            assert state.account(address).balance == model.balance[address]
            held = records.get(f"bond/{address}")
            assert (held.total if held else 0) == model._total(who)
            assert (held.units if held else 0) == model.bonds[who]
            for other, customer in model.address.items():
                held = records.get(f"deposit/{address}/{customer}")
                assert (held.units if held else 0) == model.deposits[who, other]
        for who, task in product(PEOPLE, range(STEPS // 12)):
            name = self.parties.name_of(self.parties.opening(f"t{task}"), self.keys[who])
            found, wanted = records.get(f"escrow/{name}"), model.escrows.get((who, task))
            status = "open" if isinstance(found, Escrow) else None
            if isinstance(found, Closed):
                status = "settled" if found.claim else "refunded"
            assert status == (wanted[2] if wanted else None)
        minted = (self.world.chain.tip.height + 1) * 10 * 10**18
        everybody = sum(one.balance for one in state.accounts.values())
        held_units = sum(map(units_of, records.values()))
        start = sum(self.world.config.genesis.alloc.values())
        assert everybody + held_units + state.burned == start + minted


def _sign(signer: Any, parties: Any, name: str, claim: Any) -> Any:
    if claim is None:
        return sign_refund(signer, parties.chain_id, name)
    return sign_claim(signer, parties.chain_id, name, claim)


def _identity(who: int) -> Identity:
    return Identity.from_seed(bytes([50 + who]) * 32)


@cache
def _binding(account: AccountKey, who: int) -> KeyBinding:
    return bind(_identity(who), account, "cpc-devnet-1")


def _verdicts(who: int, nonce: int) -> Iterator[Verdict]:
    for finding in ("valid", "invalid"):
        one = Verdict("t", 1, 0, nonce, "w", bytes(32), finding, bytes(32), b"")
        yield sign_verdict(one, "cpc-devnet-1", _identity(who))


async def play(world: Any, parties: Any, keys: list[Any], steps: list[Any]) -> None:
    game = Play(world, parties, keys)
    done = False
    while not done:
        async with world.running():
            if world.chain.tip.height < 0:
                await world.mine()
                game.blocks = 1
                game.before.append(copy.deepcopy(game.model))
            game.compare()
            root = world.chain._chain.state.root({})
            while steps:
                step = steps.pop(0)
                if step == "restart":
                    break
                if step == "mine":
                    await game.mine()
                    root = world.chain._chain.state.root({})
                else:
                    game.send(step)
            else:
                await game.mine()
                done = True
        if not done:  # what waited is lost with the process, and so is what could be given up
            game.waiting.clear()
            game.before.clear()
            game.blocks = 0
            async with world.running():
                assert world.chain._chain.state.root({}) == root


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_the_chain_and_the_model_agree(
    make_market_world: Any, parties: Any, key: Any, seed: int
) -> None:
    lots = random.Random(seed)
    steps = [*START, *(step_of(lots, number) for number in range(STEPS))]
    world = make_market_world(faults=Faults(rolls_back=2))
    trio.run(play, world, parties, [key(number) for number in range(1, 5)], steps)
