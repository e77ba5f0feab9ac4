"""Held money against a simple model, under random valid and invalid transactions, blocks, restarts
and blocks that are given up: the same is let in, the same is in blocks, the same is where.
"""

import copy
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
from node.l1.devchain.state import TREASURY
from node.l1.escrow import (
    Act,
    Award,
    Claim,
    Opening,
    appeal_escrow,
    award_payout,
    bond,
    deposit,
    open_escrows,
    payout,
    refund_escrow,
    rule_escrow,
    settle_escrows,
    sign_award,
    sign_claims,
    sign_refund,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, Transaction
from node.verification.acts import SignedResult, SignedVerdict, keys_of
from node.verification.author import Author
from node.verification.evidence import ATTESTED
from node.verification.jsonable import to_jsonable
from node.verification.offences import two_verdicts
from node.verification.statements import ComputeResult, Verdict, seal_result, sign_verdict
from p2p.identity import Identity

RICH = 10**21
NOTICE, MOST, UNBONDING, SLASH_BP = 3, 50, 4, 2_500
PEOPLE = range(4)
"""0 and 1 are markets, 2 and 3 their customers; all may do anything else too."""
IN_STEP = 3
"""Tasks that come together; they may be opened and settled together, or not."""
TASKS = range(9 * IN_STEP)
CULPRITS = ((2,), (0, 3), (1, 2, 3))
"""The even ones computed a false result, the odd ones found it valid."""
SIGNERS = ((0, 1, 2), (1, 2, 3, 4), (0, 4), (0, 1, 2, 5), (), ())
"""Of an escrow's five validators and a stranger; three of them are needed."""
SIGNED = ((), (0, 1, 2))
STEPS = 360


class Op(NamedTuple):
    """Something that one of the people sends."""

    kind: str
    who: int
    other: int = 0
    units: int = 0
    task: int = 0
    blocks: int = 0
    signers: tuple[int, ...] = ()
    culprits: tuple[int, ...] = ()
    customer: int | None = None
    outcome: str = ""
    several: tuple[tuple[int, int], ...] = ()
    """What is opened, by customers and tasks; what is settled, by markets and tasks."""


def step_of(lots: random.Random, number: int) -> Op | str:
    """Something to do: a dense mixture, in which most could be right; tasks come some by some."""
    units, step, anybody = lots.randint(1, 8), number // 40, lots.choice(PEOPLE)
    before = max(step - lots.choice((0, 0, 0, 1)), 0)
    earlier = before * IN_STEP + lots.choice((0, 0, 0, 0, 1, 2))
    market, customer = lots.choice((step % 2, step % 2, 0, 1)), lots.choice((2, 3))
    odd = lots.random() < 0.2
    who = anybody if odd else market
    blocks = lots.randint(-1, 3) if odd else lots.randint(2, 6)
    signers = lots.choice(SIGNERS) if odd else lots.choice(SIGNERS[:2])
    ways: list[Op | str] = [
        Op("deposit", anybody if odd else customer, market, units * 6),
        Op("withdraw_for", who, lots.choice(PEOPLE) if odd else customer, units),
        Op("withdraw_all", anybody if odd else customer, market),
        Op("open", who, units=units, blocks=blocks, several=opened(lots, step, odd)),
        Op(
            "settle", anybody, 0, units, signers=signers, several=settled(lots, before, market, odd)
        ),
        Op("refund", anybody, market, 0, earlier, 0, signers if odd else lots.choice(SIGNED)),
        Op("bond", anybody, market, units),
        Op("unbond", anybody, market, units),
        Op("slash", anybody, market, 0, lots.randint(0, 3), culprits=(lots.choice(PEOPLE),)),
        Op("deposit", anybody, market, units, customer=customer),
        Op("appeal", anybody if odd else market, market, units % 3 + 1, earlier, blocks),
        Op(
            "rule",
            anybody,
            market,
            0,
            earlier,
            int(odd and lots.random() < 0.5),
            signers,
            lots.choice(CULPRITS),
            outcome=lots.choice(("upheld", "overturned", "overturned", "inconclusive")),
        ),
    ]
    weights = [8, 1, 1, 12, 10, 2, 3, 3, 2, 3, 14, 24, 20, 1]
    return lots.choices([*ways, "mine", "restart"], weights)[0]


def some_of(lots: random.Random, step: int) -> list[int]:
    """One task of this step, two, or all of them; mostly the first with others."""
    tasks = range(step * IN_STEP, (step + 1) * IN_STEP)
    first = lots.choice((0, 0, 0, 1))
    return list(tasks[first : first + lots.choice((1, 1, 2, IN_STEP))])


def opened(lots: random.Random, step: int, odd: bool) -> tuple[tuple[int, int], ...]:
    """For one of the customers or both, odd ones also for others."""
    people = PEOPLE if odd else (2, 3)
    return tuple((lots.choice(people), task) for task in some_of(lots, step))


def settled(lots: random.Random, step: int, market: int, odd: bool) -> tuple[tuple[int, int], ...]:
    """Of one market; of both, if it is odd."""
    markets = (0, 1) if odd else (market,)
    return tuple((lots.choice(markets), task) for task in some_of(lots, step))


START: list[Op | str] = [
    *(Op("deposit", customer, 0, 30) for customer in (2, 3)),
    *(Op("bond", who, 0, 20) for who in (0, 1)),
    "mine",
    *(Op("deposit", 2, 1, 30, customer=customer) for customer in (2,)),
    *(Op("bond", who, 1, 20) for who in (0, 3)),
    "mine",
]


@dataclass
class Escrowed:
    """An escrow."""

    customer: int
    opening: Any
    status: str = "open"
    fee: int = 0
    """Of a dispute that is not decided."""
    until: int = 0
    """The dispute's deadline, decided or not."""
    award: Any = None

    @property
    def late(self) -> int:
        """The last block in which it is not."""
        return int(max(self.opening.deadline, self.until) + self.opening.grace)


@dataclass
class Model:
    """The rules again, in their simplest form; people are numbers, and addresses text."""

    address: dict[int, str]
    balance: Counter[str] = field(default_factory=Counter)
    deposits: Counter[tuple[int, int]] = field(default_factory=Counter)
    known: set[tuple[int, int]] = field(default_factory=set)
    notices: dict[tuple[int, int], int] = field(default_factory=dict)
    escrows: dict[tuple[int, int], Escrowed] = field(default_factory=dict)
    """By market and task."""
    bonds: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By market and person."""
    leaving: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """The same, and the block."""
    acts: set[tuple[int, int, int]] = field(default_factory=set)
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
        for part in [one for one in self.leaving if one[2] == height]:
            self.balance[self.address[part[1]]] += self.leaving.pop(part)

    def _do_deposit(self, op: Op) -> None:
        place = (op.other, op.who if op.customer is None else op.customer)
        self.balance[self.address[op.who]] -= op.units
        self.deposits[place] += op.units
        self.known.add(place)
        if place[1] == op.who:
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
        needed = Counter[int]()
        for (customer, _), opening in zip(op.several, self.form, strict=True):
            needed[customer] += opening.amount
        there = all(
            self.deposits[op.who, one] >= units and not self._free((op.who, one))
            for one, units in needed.items()
        )
        are_new = all((op.who, task) not in self.escrows for _, task in op.several)
        return are_new and there and all(one.deadline > self.height for one in self.form)

    def _do_open(self, op: Op) -> None:
        for (customer, task), opening in zip(op.several, self.form, strict=True):
            self.deposits[op.who, customer] -= opening.amount
            self.escrows[op.who, task] = Escrowed(customer, opening)

    def _quorum(self, signers: tuple[int, ...]) -> bool:
        return len(signers) >= 3 and max(signers) < 5

    def _open(self, place: tuple[int, int]) -> Escrowed | None:
        found = self.escrows.get(place)
        return found if found and found.status == "open" else None

    def _close(self, place: tuple[int, int], status: str, back: int) -> None:
        """With the fee of a dispute that goes on."""
        escrow = self.escrows[place]
        self.deposits[place[0], escrow.customer] += back + escrow.fee
        self.escrows[place] = replace(escrow, status=status, fee=0)

    def _pay(self, amounts: dict[str, int]) -> None:
        for address, units in amounts.items():
            self.balance[address] += units

    def _may_settle(self, op: Op) -> bool:
        escrows = [self._open(place) for place in op.several]
        return self._quorum(op.signers) and all(
            one and not (one.fee and self.height <= one.until) for one in escrows
        )

    def _do_settle(self, op: Op) -> None:
        for place, claim in zip(op.several, self.form, strict=True):
            self._close(place, "settled", 0)
            opening = self.escrows[place].opening
            self._pay(payout(opening, self.address[place[0]], claim))

    def _may_refund(self, op: Op) -> bool:
        escrow = self._open((op.other, op.task))
        if not escrow:
            return False
        return self._quorum(op.signers) if op.signers else self.height > escrow.late

    def _do_refund(self, op: Op) -> None:
        place = (op.other, op.task)
        self._close(place, "refunded", self.escrows[place].opening.amount)

    def _may_appeal(self, op: Op) -> bool:
        escrow = self._open((op.other, op.task))
        if not escrow or op.who != op.other or escrow.until or self.height > escrow.late:
            return False
        place = (op.other, escrow.customer)
        there = self.deposits[place] >= op.units and not self._free(place)
        return there and bool(self.form > self.height)

    def _do_appeal(self, op: Op) -> None:
        escrow = self.escrows[op.other, op.task]
        self.deposits[op.other, escrow.customer] -= op.units
        self.escrows[op.other, op.task] = replace(escrow, fee=op.units, until=self.form)

    def _may_rule(self, op: Op) -> bool:
        escrow = self._open((op.other, op.task))
        of_another_task = op.outcome == "overturned" and op.blocks
        return bool(escrow and escrow.fee and self._quorum(op.signers)) and not of_another_task

    def _do_rule(self, op: Op) -> None:
        escrow, place = self.escrows[op.other, op.task], (op.other, op.task)
        taken = 0
        if op.outcome == "overturned":
            taken = sum(self._take((op.other, who)) for who in op.culprits)
            self._close(place, "refunded", escrow.opening.amount)
        elif op.outcome == "inconclusive":
            self.deposits[op.other, escrow.customer] += escrow.fee
        self.escrows[place] = replace(self.escrows[place], fee=0, award=self.form)
        market = self.address[op.other]
        self._pay(award_payout(escrow.opening, market, self.form, fee=escrow.fee, taken=taken))

    def _do_bond(self, op: Op) -> None:
        self.balance[self.address[op.who]] -= op.units
        self.bonds[op.other, op.who] += op.units

    def _may_unbond(self, op: Op) -> bool:
        return self.bonds[op.other, op.who] >= op.units

    def _do_unbond(self, op: Op) -> None:
        self.bonds[op.other, op.who] -= op.units
        self.leaving[op.other, op.who, self.height + UNBONDING] += op.units

    def _parts(self, place: tuple[int, int]) -> list[tuple[int, int, int]]:
        return sorted((one for one in self.leaving if one[:2] == place), reverse=True)

    def _total(self, place: tuple[int, int]) -> int:
        return self.bonds[place] + sum(self.leaving[one] for one in self._parts(place))

    def _take(self, place: tuple[int, int]) -> int:
        """What an offence costs."""
        taken = rest = (self._total(place) * SLASH_BP + 9_999) // 10_000
        cut = min(rest, self.bonds[place])
        self.bonds[place] -= cut
        rest -= cut
        for part in self._parts(place):
            cut = min(rest, self.leaving[part])
            self.leaving[part] -= cut
            rest -= cut
        return taken

    def _may_slash(self, op: Op) -> bool:
        (who,) = op.culprits
        return self._total((op.other, who)) > 0 and (op.other, who, op.task) not in self.acts

    def _do_slash(self, op: Op) -> None:
        (who,) = op.culprits
        taken = self._take((op.other, who))
        self.acts.add((op.other, who, op.task))
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
        self.before: deque[tuple[Model, str]] = deque(maxlen=2)
        self.blocks = 0

    @property
    def next_height(self) -> int:
        return int(self.world.chain.tip.height) + 1

    @property
    def root(self) -> str:
        return str(self.world.chain._chain.state.root({}))

    def remember(self) -> None:
        """What there is before a block that may be given up."""
        self.before.append((copy.deepcopy(self.model), self.root))

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
        name = self.name_of(op.other, op.task)
        match op.kind:
            case "deposit":
                whose = None if op.customer is None else address[op.customer]
                return deposit(address[op.other], op.units, customer=whose), None
            case "withdraw_for":
                return withdraw_for(address[op.other], op.units), None
            case "withdraw_all":
                return withdraw_all(address[op.other]), None
            case "open":
                openings = self.openings(op)
                return open_escrows(openings), openings
            case "settle":
                return self.settling(op)
            case "refund":
                signed = [sign_refund(self.signers[n], parties.chain_id, name) for n in op.signers]
                return refund_escrow(name, signed), None
            case "appeal":
                deadline = max(self.next_height + op.blocks, 0)
                return appeal_escrow(name, op.units, deadline), deadline
            case "rule":
                return self.ruling(op, name)
            case "bond":
                binding = _binding(self.keys[op.who], op.who)
                return bond(address[op.other], op.units, binding), None
            case "unbond":
                return unbond(address[op.other], op.units), None
            case _:
                (who,) = op.culprits
                return two_verdicts(address[op.other], address[who], *_verdicts(who, op.task)), None

    def name_of(self, market: int, task: int) -> str:
        """Of an escrow."""
        return str(self.parties.name_of(self.parties.opening(f"t{task}"), self.keys[market]))

    def openings(self, op: Op) -> list[Opening]:
        """Each of another amount, and with another deadline."""
        return [
            self.parties.opening(
                f"t{task}",
                customer=self.keys[customer].address,
                amount=Amount(op.units + index),
                deadline=max(self.next_height + op.blocks + index, 0),
                grace=1,
                fee_reserve=Amount(1),
            )
            for index, (customer, task) in enumerate(op.several)
        ]

    def settling(self, op: Op) -> tuple[Draft, list[Claim]]:
        """Each with another claim."""
        claims = [
            self.parties.claim(results=f"{op.units + index:064x}")
            for index in range(len(op.several))
        ]
        names = [self.name_of(*place) for place in op.several]
        named = dict(zip(names, claims, strict=True))
        chain_id = self.parties.chain_id
        signed = [sign_claims(self.signers[n], chain_id, named) for n in op.signers]
        return settle_escrows(named, signed), claims

    def ruling(self, op: Op, name: str) -> tuple[Draft, Award]:
        """With the acts of these culprits, of another task if the blocks say so."""
        nobody: dict[str, Any] = {"culprits": (), "false": ()}
        if op.outcome == "inconclusive":
            nobody["jurors"] = ()
        acts = []
        if op.outcome == "overturned":
            task_id = self.parties.opening(f"t{op.task + op.blocks}").task_id
            acts = [_act(self.keys[who], who, task_id) for who in op.culprits]
            keys = keys_of(sorted(acts, key=lambda act: act.address))
            nobody = {"culprits": tuple(keys), "keys": tuple(keys.values())}
        award = self.parties.award(outcome=op.outcome, **nobody)
        chain_id = self.parties.chain_id
        signed = [sign_award(self.signers[n], chain_id, name, award) for n in op.signers]
        return rule_escrow(name, award, acts, signed), award

    async def mine(self) -> None:
        self.remember()
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
            self.model, root = self.before[0]
            assert self.root == root
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
            for other, somebody in model.address.items():
                held = records.get(f"bond/{address}/{somebody}")
                assert (held.total if held else 0) == model._total((who, other))
                assert (held.units if held else 0) == model.bonds[who, other]
                held = records.get(f"deposit/{address}/{somebody}")
                assert (held.units if held else 0) == model.deposits[who, other]
        for who, task in product(PEOPLE, TASKS):
            name = self.name_of(who, task)
            found, wanted = records.get(f"escrow/{name}"), model.escrows.get((who, task))
            status = "open" if isinstance(found, Escrow) else None
            if isinstance(found, Closed):
                status = "settled" if found.claim else "refunded"
            assert status == (wanted.status if wanted else None)
            if found and wanted:
                assert bool(found.award) == bool(wanted.award)
            if isinstance(found, Escrow) and wanted:
                assert units_of(found) == wanted.opening.amount + wanted.fee
        alloc = self.world.config.genesis.alloc
        for address in model.balance.keys() - set(model.address.values()) - {TREASURY}:
            there = state.account(address).balance - alloc.get(address, 0)
            assert there == model.balance[address]
        minted = (self.world.chain.tip.height + 1) * 10 * 10**18
        everybody = sum(one.balance for one in state.accounts.values())
        held_units = sum(map(units_of, records.values()))
        start = sum(alloc.values())
        assert everybody + held_units + state.burned == start + minted


def _identity(who: int) -> Identity:
    return Identity.from_seed(bytes([50 + who]) * 32)


@cache
def _binding(account: AccountKey, who: int) -> KeyBinding:
    return bind(_identity(who), account, "cpc-devnet-1")


def _verdicts(who: int, nonce: int) -> Iterator[Verdict]:
    for finding in ("valid", "invalid"):
        one = Verdict("t", 1, 0, nonce, "w", bytes(32), finding, bytes(32), b"")
        yield sign_verdict(one, "cpc-devnet-1", _identity(who))


@cache
def _act(account: AccountKey, who: int, task_id: str) -> Act:
    identity, chain_id = _identity(who), "cpc-devnet-1"
    if who % 2:
        verdict = Verdict(task_id, 1, 0, 6, "w", b"\xab" * 32, "valid", bytes(32), b"")
        shown: Any = SignedVerdict(sign_verdict(verdict, chain_id, identity))
    else:
        bare = ComputeResult(task_id, account.address, "ab" * 32, "", 6)
        author = Author(identity, _binding(account, who), account.address, chain_id)
        shown = SignedResult(seal_result(bare, bytes(32), ATTESTED, author))
    return Act(address=account.address, evidence=to_jsonable(shown))


async def play(world: Any, parties: Any, keys: list[Any], steps: list[Any]) -> None:
    game = Play(world, parties, keys)
    done = False
    while not done:
        async with world.running():
            if world.chain.tip.height < 0:
                await world.mine()
                game.blocks = 1
                game.remember()
            game.compare()
            root = game.root
            while steps:
                step = steps.pop(0)
                if step == "restart":
                    break
                if step == "mine":
                    await game.mine()
                    root = game.root
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
