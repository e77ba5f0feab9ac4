"""Disputes: who may open and decide one, what it holds back, and whom it costs what."""

from typing import Any

import msgspec
import pytest

from node.amounts import Amount
from node.keys import bind
from node.l1.errors import BadPayload
from node.l1.escrow import (
    Act,
    Award,
    Opening,
    appeal_escrow,
    award_digest,
    award_payout,
    bond,
    deposit,
    open_escrow,
    refund_escrow,
    rule_escrow,
    settle_escrow,
    sign_award,
    sign_claim,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.transactions import Draft
from node.verification.acts import keys_of

RICH = 10**21
FEE = 10**16
DEADLINE = 12


def by(*acts: Act) -> dict[str, Any]:
    """Who answers for these, and with which keys."""
    keys = keys_of(acts)
    return {"culprits": tuple(keys), "keys": tuple(keys.values())}


NOBODY: dict[str, Any] = {"jurors": (), "false": (), "culprits": ()}


class Court:
    """A chain with an open escrow of 10 CPC, 20 CPC in the customer's deposit, and bonds of 1,000
    units at the market: the worker's and the first validator's."""

    def __init__(self, held: Any, opening: Opening) -> None:
        self.held, self.opening, self.parties = held, opening, held.parties
        self.name = held.parties.name_of(opening)
        self.market = held.parties.market

    async def disputed(self, fee: int = FEE, deadline: int = DEADLINE) -> None:
        await self.held.included(self.market, self.appeal(fee, deadline))

    def appeal(self, fee: int = FEE, deadline: int = DEADLINE) -> Draft:
        return appeal_escrow(self.name, fee, deadline)

    def ruled(self, award: Award, acts: Any = (), count: int = 3) -> Draft:
        approvals = self.parties.awarded(self.opening, award, count)
        return rule_escrow(self.name, award, acts, approvals)

    def upheld(self) -> Award:
        return self.award(outcome="upheld", false=(), culprits=())

    def award(self, **changes: Any) -> Award:
        award: Award = self.parties.award(**changes)
        return award

    def overturned(self, *indices: int) -> tuple[Award, list[Act]]:
        """The worker and these validators are to pay."""
        task = self.opening.task_id
        acts = [self.parties.computed(task), *(self.parties.vouched(one, task) for one in indices)]
        acts.sort(key=lambda act: act.address)
        return self.award(**by(*acts)), acts

    def settled(self) -> Draft:
        claim = self.parties.claim()
        return settle_escrow(self.name, claim, self.parties.approvals(self.opening, claim))

    async def deposit(self) -> int:
        market, customer = self.market.address, self.parties.customer.address
        return int((await self.held.world.client.deposit(market, customer)).amount)

    async def bonds(self) -> list[int]:
        market, client = self.market.address, self.held.world.client
        people = (self.parties.worker, *self.parties.accounts[:2])
        return [int((await client.bond(market, one.address)).amount) for one in people]

    async def view(self) -> Any:
        return (await self.held.world.http.get(f"/escrow/{self.name}")).json()

    def nothing_is_lost(self) -> None:
        assert self.held.total() - self.held.minted() == 10 * RICH


@pytest.fixture
async def court(held: Any) -> Court:
    parties = held.parties
    market = parties.market.address
    for sender, draft in (
        (parties.customer, deposit(market, 3 * 10**19)),
        (parties.worker, bond(market, 1_000, parties.worker_binding())),
        (parties.accounts[0], bond(market, 1_000, parties.binding(0))),
    ):
        assert await held.send(sender, draft) == [""]
    await held.world.mine()
    opening = parties.opening()
    await held.included(parties.market, open_escrow(opening))
    return Court(held, opening)


async def test_a_dispute_takes_its_fee_and_holds_the_claim_back(court: Court) -> None:
    await court.disputed()
    assert await court.deposit() == 2 * 10**19 - FEE
    shown = await court.view()
    assert shown["appeal"] == {"fee": str(FEE), "deadline": DEADLINE}
    assert (shown["status"], shown["award"]) == ("open", None)
    anybody = court.parties.customer
    while court.held.height < DEADLINE:
        problem = await court.held.refused(anybody, court.settled())
        assert problem == f"claims[0].escrow_id: is disputed until block {DEADLINE}"
        await court.held.world.mine()
    await court.held.included(anybody, court.settled())
    assert await court.deposit() == 2 * 10**19, "nobody decided, and the fee is back"
    assert (await court.view())["status"] == "settled"
    court.nothing_is_lost()


async def test_only_the_market_disputes_and_once(court: Court) -> None:
    for stranger in (court.parties.customer, court.parties.worker):
        problem = await court.held.refused(stranger, court.appeal())
        assert problem == "from_address: is not the market that opened the escrow"
    unknown = appeal_escrow("ab" * 32, FEE, DEADLINE)
    assert await court.held.refused(court.market, unknown) == "escrow_id: no such escrow is open"
    await court.disputed()
    again = "escrow_id: was disputed before"
    assert await court.held.refused(court.market, court.appeal()) == again
    await court.held.included(court.market, court.ruled(court.upheld()))
    assert await court.held.refused(court.market, court.appeal(deadline=15)) == again
    await court.held.included(court.market, court.settled())
    problem = await court.held.refused(court.market, court.appeal(deadline=15))
    assert problem.startswith("escrow_id: was settled in block")


async def test_what_a_dispute_may_bind(court: Court) -> None:
    """The fee is there, and it ends: no market holds workers' pay back for ever."""
    held, height = court.held, court.held.height + 1
    for draft, wanted in (
        (court.appeal(deadline=height), f"deadline: is not after block {height}"),
        (
            court.appeal(deadline=height + 46),  # and its grace of 5
            "deadline: is with the grace more than 50 blocks away",
        ),
        (
            court.appeal(fee=2 * 10**19 + 1),
            f"fee: is more than the deposit of {2 * 10**19} units",
        ),
        (court.appeal(fee=10**36), f"fee: is more than the deposit of {2 * 10**19} units"),
    ):
        assert await held.refused(court.market, draft) == wanted
    await court.disputed(fee=2 * 10**19, deadline=height + 45)
    assert await court.deposit() == 0


async def test_a_customer_that_has_left_pays_no_fee(court: Court) -> None:
    await court.held.included(court.parties.customer, withdraw_all(court.market.address))
    await court.held.world.mine(2)
    problem = await court.held.refused(court.market, court.appeal())
    assert problem == "fee: the customer withdrew its deposit by notice"


async def test_what_anybody_may_refund_is_not_disputed(court: Court) -> None:
    """Else a market could bind a customer's money once more, in its last moment."""
    late = court.opening.deadline + court.opening.grace + 1
    await court.held.world.mine(late - 1 - court.held.height)
    problem = await court.held.refused(court.market, court.appeal(deadline=late + 10))
    assert problem == "escrow_id: is late, and can be refunded"


@pytest.mark.parametrize("outcome", ["upheld", "inconclusive"])
async def test_where_the_result_stands(court: Court, outcome: str) -> None:
    await court.disputed()
    award = court.upheld() if outcome == "upheld" else court.award(outcome=outcome, **NOBODY)
    burned = court.held.balance(court.opening.burn_address)
    await court.held.included(court.parties.customer, court.ruled(award))
    paid = award_payout(court.opening, court.market.address, award, fee=FEE, taken=0)
    upheld = outcome == "upheld"
    assert sum(paid.values()) == (FEE if upheld else 0)
    for juror in award.jurors:
        assert court.held.balance(juror) == paid[juror] == (FEE - 10**9) // 2
    assert court.held.balance(court.opening.burn_address) == burned
    assert court.held.gained(court.market.address, RICH) == paid.get(court.market.address, 0)
    assert await court.deposit() == 2 * 10**19 - (FEE if upheld else 0)
    shown = await court.view()
    assert (shown["status"], shown["appeal"]) == ("open", None)
    assert shown["award"] == award_digest(award)
    assert await court.bonds() == [1_000, 1_000, 0]
    await court.held.included(court.market, court.settled())
    assert await court.deposit() == 2 * 10**19 - (FEE if upheld else 0)
    assert (await court.view())["award"] == award_digest(award), "also when it is closed"
    court.nothing_is_lost()


async def test_where_it_is_overturned(court: Court) -> None:
    """Amount and fee are the customer's again; of those who vouched, who is bonded here pays: the
    worker and the first validator, not the second, which has no bond."""
    await court.disputed(fee=100)
    award, acts = court.overturned(0, 1)
    await court.held.included(court.parties.worker, court.ruled(award, acts))
    assert await court.deposit() == 3 * 10**19
    assert await court.bonds() == [750, 750, 0]
    paid = award_payout(court.opening, court.market.address, award, fee=100, taken=500)
    assert sum(paid.values()) == 500
    assert paid[court.opening.burn_address] == 400
    assert court.held.balance(court.opening.burn_address) == 400
    shown = await court.view()
    assert (shown["status"], shown["claim"]) == ("refunded", None)
    assert (shown["award"], shown["closed_height"]) == (award_digest(award), court.held.height)
    problem = await court.held.refused(court.market, court.settled())
    assert problem == f"claims[0].escrow_id: was refunded in block {court.held.height}"
    problem = await court.held.refused(court.market, court.ruled(award, acts))
    assert problem == f"escrow_id: was refunded in block {court.held.height}"
    court.nothing_is_lost()


async def test_what_a_jury_gets_of_bonds(court: Court) -> None:
    await court.disputed(fee=10**9 + 201)
    award, acts = court.overturned(0)
    opening = court.opening
    await court.held.included(court.parties.worker, court.ruled(award, acts))
    assert [court.held.balance(one) for one in award.jurors] == [0, 0]
    assert court.held.gained(court.market.address, RICH) == 500, "the fees come first"
    assert court.held.balance(opening.burn_address) == 0


async def test_a_bond_that_is_leaving_pays_too(court: Court) -> None:
    worker, market = court.parties.worker, court.market.address
    await court.held.included(worker, unbond(market, 900))
    await court.disputed(fee=100)
    award, acts = court.overturned()
    await court.held.included(court.market, court.ruled(award, acts))
    shown = await court.held.world.client.bond(market, worker.address)
    assert (shown.amount, [one.amount for one in shown.unbonding]) == (0, [750])
    await court.held.world.mine(4)
    assert court.held.gained(worker.address, RICH) == -250
    court.nothing_is_lost()


async def test_a_bond_elsewhere_or_of_another_key_is_not_touched(held: Any) -> None:
    parties, market = held.parties, held.parties.market.address
    elsewhere = parties.customer.address
    rebound = bind(parties.stranger, parties.worker, parties.chain_id)
    for sender, draft in (
        (parties.customer, deposit(market, 3 * 10**19)),
        (parties.worker, bond(market, 1_000, rebound)),
        (parties.worker, bond(elsewhere, 1_000, parties.worker_binding())),
    ):
        await held.included(sender, draft)
    await held.included(parties.market, open_escrow(parties.opening()))
    court = Court(held, parties.opening())
    await court.disputed(fee=100)
    award, acts = court.overturned()
    await held.included(court.market, court.ruled(award, acts))
    assert (await court.view())["status"] == "refunded"
    for place in (market, elsewhere):
        bonded = await held.world.client.bond(place, parties.worker.address)
        assert bonded.amount == 1_000
    court.nothing_is_lost()


async def test_who_decides(court: Court) -> None:
    award, market = court.upheld(), court.market
    problem = await court.held.refused(market, court.ruled(award))
    assert problem == "escrow_id: is not disputed"
    await court.disputed()
    problem = await court.held.refused(market, court.ruled(award, count=2))
    assert problem == "signatures: are 2, and 3 are needed"
    parties, name = court.parties, court.name
    signed = parties.awarded(court.opening, award, 2)
    strange = sign_award(parties.stranger, parties.chain_id, name, award)
    problem = await court.held.refused(market, rule_escrow(name, award, (), [*signed, strange]))
    assert problem.endswith("].public_key: is not of the escrow's set")
    other = parties.opening("other")
    nothing = court.award(outcome="inconclusive", **NOBODY)
    for wrong in (
        parties.awarded(other, award),  # of another escrow
        parties.awarded(court.opening, nothing),
        [sign_award(one, "cpc-testnet-1", name, award) for one in parties.signers[:3]],
        parties.refusals(court.opening),
        [sign_claim(one, parties.chain_id, name, parties.claim()) for one in parties.signers[:3]],
    ):
        problem = await court.held.refused(market, rule_escrow(name, award, (), wrong))
        assert problem == "signatures[0].signature: is not its key's over this"
    await court.held.included(market, court.ruled(award, count=5))
    problem = await court.held.refused(market, court.ruled(nothing))
    assert problem == "escrow_id: was decided before"


async def test_whoever_signed_nothing_false_is_nobody_s_culprit(court: Court) -> None:
    """Not by any number of validators: what is shown has to be signed by whoever is to pay."""
    await court.disputed()
    task, parties, worker = court.opening.task_id, court.parties, court.parties.worker.address
    victim = parties.accounts[0].address

    async def problem(act: Act, **changes: Any) -> str:
        award = court.award(**{"culprits": (act.address,), **changes})
        return str(await court.held.refused(court.market, court.ruled(award, [act])))

    other = parties.opening("other").task_id
    about = "acts[0].evidence: is about another task than the escrow"
    assert await problem(parties.computed(other)) == about
    assert await problem(parties.vouched(0, other)) == about
    first = by(parties.vouched(0, task))
    true = "acts[0].evidence: is about no result that the award calls false"
    assert await problem(parties.computed(task, "cd" * 32)) == true
    assert await problem(parties.vouched(0, task), false=("cd" * 32,), **first) == true
    invalid = parties.vouched(0, task, finding="invalid")
    assert (await problem(invalid, **first)).startswith("acts[0].verdict.finding: ")
    stolen = msgspec.structs.replace(parties.computed(task), address=victim)
    assert await problem(stolen) == "acts[0].result.worker_address: is not the culprit's"
    forged = parties.vouched(0, task)
    forged.evidence["verdict"]["signature"] = "00" * 64
    assert await problem(forged, **first) == "acts[0].verdict.signature: is not its validator's"
    parties.chain_id = "cpc-testnet-1"
    foreign = parties.computed(task), parties.vouched(0, task)
    del parties.chain_id
    for act in foreign:
        assert (await problem(act, **by(act))).partition(": ")[0].endswith(".signature")
    odd = Act(address=worker, evidence={"result": {}})
    assert (await problem(odd)).startswith("acts[0].evidence: ")
    assert await court.bonds() == [1_000, 1_000, 0]


async def test_another_s_signature_in_a_victim_s_name_takes_nothing(court: Court) -> None:
    """The second validator's verdict, said to be the first one's: its bond is for another key."""
    await court.disputed()
    victim = court.parties.accounts[0].address
    act = msgspec.structs.replace(court.parties.vouched(1, court.opening.task_id), address=victim)
    await court.held.included(court.market, court.ruled(court.award(**by(act)), [act]))
    assert await court.bonds() == [1_000, 1_000, 0]
    court.nothing_is_lost()


async def test_a_culprit_cannot_be_first_with_something_of_no_consequence(court: Court) -> None:
    """The signatures under an award are seen before it is in a block, and anybody may send them:
    the culprit too, with an act of its own choice."""
    await court.disputed(fee=100)
    task, parties = court.opening.task_id, court.parties
    award, acts = court.overturned(0)
    chosen = msgspec.structs.replace(parties.vouched(1, task), address=parties.accounts[0].address)
    shown = [chosen if act.address == chosen.address else act for act in acts]
    quick = court.ruled(award, shown)
    problem = await court.held.refused(parties.accounts[0], quick)
    assert problem.endswith("evidence: is by another key than the award's")
    for fewer in ([], acts[:1]):
        with pytest.raises(BadPayload, match="one of each culprit"):
            court.ruled(award, fewer)
    await court.held.included(court.market, court.ruled(award, acts))
    assert await court.bonds() == [750, 750, 0]


async def test_an_award_may_be_late(court: Court) -> None:
    await court.disputed(fee=100)
    await court.held.world.mine(DEADLINE - court.held.height)
    award, acts = court.overturned(0)
    await court.held.included(court.market, court.ruled(award, acts))
    assert await court.bonds() == [750, 750, 0]


@pytest.mark.parametrize("signed", [True, False])
async def test_a_refund_ends_a_dispute(court: Court, signed: bool) -> None:
    """By signatures at any time; by nobody's after both deadlines and the grace."""
    deadline = court.opening.deadline + 3
    await court.disputed(deadline=deadline)
    late = deadline + court.opening.grace + 1
    while not signed and court.held.height + 1 < late:
        problem = await court.held.refused(court.parties.customer, refund_escrow(court.name))
        assert problem == f"signatures: are needed before block {late}"
        await court.held.world.mine()
    approvals = court.parties.refusals(court.opening) if signed else []
    await court.held.included(court.parties.customer, refund_escrow(court.name, approvals))
    assert await court.deposit() == 3 * 10**19
    problem = await court.held.refused(court.market, court.ruled(court.upheld()))
    assert problem.startswith("escrow_id: was refunded in block")
    court.nothing_is_lost()


async def test_a_dispute_that_was_lost_does_not_make_an_escrow_late(court: Court) -> None:
    """Decided after the escrow's own time, it still has the dispute's to be settled in."""
    deadline = court.opening.deadline + 10
    await court.disputed(deadline=deadline)
    await court.held.world.mine(deadline - court.held.height - 1)
    await court.held.included(court.market, court.ruled(court.upheld()))
    problem = await court.held.refused(court.parties.customer, refund_escrow(court.name))
    assert problem == f"signatures: are needed before block {deadline + 6}"
    await court.held.included(court.market, court.settled())


@pytest.mark.parametrize("quick", ["rule", "refund"])
async def test_the_first_in_a_block_wins(court: Court, quick: str) -> None:
    await court.disputed(fee=100)
    award, acts = court.overturned(0)
    refusals = court.parties.refusals(court.opening)
    prices = (2_000, 1_000) if quick == "rule" else (1_000, 2_000)
    approvals = court.parties.awarded(court.opening, award)
    ruling = rule_escrow(court.name, award, acts, approvals, gas_price=prices[0])
    refunding = refund_escrow(court.name, refusals, gas_price=prices[1])
    assert await court.held.send(court.market, ruling) == [""]
    assert await court.held.send(court.parties.worker, refunding) == [""]
    await court.held.world.mine()
    assert court.held.world.transactions()[-1]["tx_type"] == f"ESCROW_{quick.upper()}"
    assert await court.bonds() == ([750, 750, 0] if quick == "rule" else [1_000, 1_000, 0])
    assert await court.deposit() == 3 * 10**19
    court.nothing_is_lost()


async def test_a_fee_that_comes_back_after_a_notice_is_free(court: Court) -> None:
    await court.disputed()
    customer, market = court.parties.customer, court.market
    await court.held.included(customer, withdraw_all(market.address))
    await court.held.world.mine(2)
    await court.held.included(customer, withdraw_all(market.address))
    award, acts = court.overturned()
    await court.held.included(market, court.ruled(award, acts))
    await court.held.included(customer, withdraw_all(market.address))
    assert court.held.gained(customer.address, RICH) == 0


async def test_a_deposit_for_somebody_else(held: Any) -> None:
    """It is the customer's, whoever paid; and ends no notice, or nobody could leave a market."""
    parties, market = held.parties, held.parties.market.address
    customer, friend = parties.customer, parties.worker
    gift = deposit(market, 10, customer=customer.address)
    await held.included(friend, gift)
    assert held.gained(friend.address, RICH) == -10
    shown = await held.world.client.deposit(market, customer.address)
    assert (shown.amount, shown.notice_height) == (10, None)
    assert (await held.world.client.deposit(market, friend.address)).amount == 0
    await held.included(customer, withdraw_all(market))
    notice = held.height
    await held.included(friend, gift)
    shown = await held.world.client.deposit(market, customer.address)
    assert (shown.amount, shown.notice_height) == (20, notice)
    await held.world.mine()
    problem = await held.refused(parties.market, open_escrow(parties.opening(amount=Amount(1))))
    assert problem == "customers[0]: the customer withdrew its deposit by notice"
    await held.included(customer, withdraw_all(market))
    assert held.gained(customer.address, RICH) == 20
    await held.included(friend, gift)
    await held.included(customer, deposit(market, 5, customer=customer.address))
    shown = await held.world.client.deposit(market, customer.address)
    assert (shown.amount, shown.notice_height) == (15, None), "its own ends it, also if it is named"
    await held.included(parties.market, withdraw_for(customer.address, 15))
    assert held.total() - held.minted() == 10 * RICH


async def test_a_bond_trusts_the_market_that_it_is_at(held: Any) -> None:
    """What was signed names a task and no market: another market that uses the task's id again,
    with a set of its own, takes from what is bonded at it; and from nothing else."""
    parties, honest, other = held.parties, held.parties.market, held.parties.customer
    for sender, draft in (
        (other, deposit(other.address, 2 * 10**19)),
        (parties.worker, bond(honest.address, 1_000, parties.worker_binding())),
        (parties.worker, bond(other.address, 400, parties.worker_binding())),
    ):
        await held.included(sender, draft)
    opening = parties.opening(customer=other.address)
    name = parties.name_of(opening, other)
    await held.included(other, open_escrow(opening))
    await held.included(other, appeal_escrow(name, 100, DEADLINE))
    act = parties.computed(opening.task_id)
    award = parties.award(**by(act))
    signed = [sign_award(one, parties.chain_id, name, award) for one in parties.signers[:3]]
    await held.included(other, rule_escrow(name, award, [act], signed))
    views = [
        await held.world.client.bond(market.address, parties.worker.address)
        for market in (honest, other)
    ]
    assert [one.amount for one in views] == [1_000, 300]
