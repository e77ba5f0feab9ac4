"""Many escrows in one transaction: all of them are opened or settled, or none."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from node.amounts import Amount
from node.l1.devchain.holdings import Terms
from node.l1.errors import BadPayload
from node.l1.escrow import (
    MAX_ESCROWS,
    Claim,
    Opening,
    Payee,
    appeal_escrow,
    deposit,
    open_escrow,
    open_escrows,
    payout,
    refund_escrow,
    settle_escrows,
    sign_claims,
    withdraw_all,
    withdraw_for,
)
from node.l1.transactions import Draft

RICH = 10**21
UNIT = 10**19
TASKS = ("one", "two", "three")


class Market:
    """Three tasks of two customers: the customer's first two, and the worker's; each customer has
    30 CPC in its deposit."""

    def __init__(self, held: Any) -> None:
        self.held, self.parties = held, held.parties
        self.account = held.parties.market
        customer, worker = held.parties.customer.address, held.parties.worker.address
        self.customers = dict(zip(TASKS, (customer, customer, worker), strict=True))

    def opening(self, task: str, **changes: Any) -> Opening:
        fields = {"customer": self.customers.get(task, self.parties.customer.address), **changes}
        found: Opening = self.parties.opening(task, **fields)
        return found

    def openings(self, **changes: Any) -> list[Opening]:
        """By rising tasks, as they are in the transaction."""
        found = [self.opening(task, **changes) for task in TASKS]
        return sorted(found, key=lambda one: one.task_id)

    def claims(self, *openings: Opening) -> dict[str, Claim]:
        """Each with other results, by rising escrows."""
        named = sorted((self.parties.name_of(one), one) for one in openings)
        return {
            name: self.parties.claim(results=f"{number:064x}")
            for number, (name, _) in enumerate(named)
        }

    def settled(self, claims: dict[str, Claim], signers: Iterable[int] = (0, 1, 2)) -> Draft:
        chain_id = self.parties.chain_id
        some = [self.parties.signers[one] for one in signers]
        return settle_escrows(claims, [sign_claims(one, chain_id, claims) for one in some])

    async def refused(self, draft: Draft) -> str:
        problem: str = await self.held.refused(self.account, draft)
        return problem

    async def deposits(self) -> list[int]:
        """The customer's and the worker's."""
        client, market = self.held.world.client, self.account.address
        people = (self.parties.customer.address, self.parties.worker.address)
        return [int((await client.deposit(market, one)).amount) for one in people]

    async def status(self, openings: Iterable[Opening]) -> list[str | None]:
        client = self.held.world.client
        views = [await client.escrow(self.parties.name_of(one)) for one in openings]
        return [one.status if one else None for one in views]

    def nothing_is_lost(self) -> None:
        assert self.held.total() - self.held.minted() == 10 * RICH


@pytest.fixture
async def market(held: Any) -> Market:
    parties = held.parties
    for sender in (parties.customer, parties.worker):
        assert await held.send(sender, deposit(parties.market.address, 3 * UNIT)) == [""]
    await held.world.mine()
    return Market(held)


@pytest.fixture
async def opened(market: Market) -> list[Opening]:
    """The three escrows."""
    openings = market.openings()
    await market.held.included(market.account, open_escrows(openings))
    return openings


async def test_several_are_opened_as_each_would_be(market: Market) -> None:
    openings = market.openings(amount=Amount(UNIT + 1))
    await market.held.included(market.account, open_escrows(openings))
    assert await market.deposits() == [UNIT - 2, 2 * UNIT - 1]
    for one in openings:
        view = await market.held.world.client.escrow(market.parties.name_of(one))
        assert view is not None
        assert (view.status, view.opening, view.customer) == ("open", one, one.customer)
        assert (view.market, view.opened_height) == (market.account.address, market.held.height)
    market.nothing_is_lost()


async def test_nothing_is_opened_where_one_deposit_is_too_small(market: Market) -> None:
    """Though it is enough for each of its tasks by itself."""
    amount = Amount(3 * UNIT // 2 + 1)
    openings = market.openings(amount=amount)
    index = sorted(set(market.customers.values())).index(market.parties.customer.address)
    problem = f"customers[{index}]: is more than the deposit of {3 * UNIT} units"
    assert await market.refused(open_escrows(openings)) == problem
    assert await market.status(openings) == [None] * 3
    assert await market.deposits() == [3 * UNIT] * 2
    just = [replace(one, amount=Amount(amount - 1)) for one in openings]
    await market.held.included(market.account, open_escrows(just))


async def test_nothing_is_opened_where_one_customer_has_left(market: Market) -> None:
    leaving = market.parties.worker
    await market.held.included(leaving, withdraw_all(market.account.address))
    await market.held.world.mine(2)
    openings = market.openings()
    index = sorted(set(market.customers.values())).index(leaving.address)
    problem = await market.refused(open_escrows(openings))
    assert problem == f"customers[{index}]: the customer withdrew its deposit by notice"
    assert await market.deposits() == [3 * UNIT] * 2
    others = [one for one in openings if one.customer != leaving.address]
    await market.held.included(market.account, open_escrows(others))
    assert await market.status(openings) == [
        None if one.customer == leaving.address else "open" for one in openings
    ]


@pytest.mark.parametrize("index", range(3))
async def test_nothing_is_opened_where_one_task_is_wrong(market: Market, index: int) -> None:
    openings = market.openings()
    used = openings[index]
    height = market.held.height + 1
    late = [*openings]
    late[index] = replace(used, deadline=height)
    problem = await market.refused(open_escrows(late))
    assert problem == f"tasks[{index}].deadline: is not after block {height}"
    late[index] = replace(used, deadline=height + 46)
    problem = await market.refused(open_escrows(late))
    assert problem.startswith(f"tasks[{index}].deadline: is with the grace more than 50 blocks")
    await market.held.included(market.account, open_escrow(used))
    problem = await market.refused(open_escrows(openings))
    assert problem == f"tasks[{index}].task_id: the sender has used it before"
    await market.held.included(market.account, market.settled(market.claims(used)))
    assert await market.refused(open_escrows(openings)) == problem
    assert sorted(str(one) for one in await market.status(openings)) == ["None", "None", "settled"]
    market.nothing_is_lost()


@pytest.mark.parametrize("index", range(3))
async def test_an_opening_that_is_overtaken_opens_nothing(market: Market, index: int) -> None:
    """Both were let in; the whole of the second is dropped when the block is made."""
    openings = market.openings(amount=Amount(UNIT))
    first = open_escrow(openings[index])
    assert await market.held.send(market.account, first, open_escrows(openings)) == ["", ""]
    await market.held.world.mine(2)
    wanted = ["open" if number == index else None for number in range(3)]
    assert await market.status(openings) == wanted
    assert sum(await market.deposits()) == 5 * UNIT
    market.nothing_is_lost()


@pytest.mark.parametrize("index", range(2))
async def test_no_customer_pays_for_what_is_not_opened(market: Market, index: int) -> None:
    """The other one's deposit is gone in the same block, before the opening."""
    leaving = sorted(set(market.customers.values()))[index]
    gone, opening = withdraw_for(leaving, 3 * UNIT), open_escrows(market.openings())
    assert await market.held.send(market.account, gone, opening) == ["", ""]
    await market.held.world.mine(2)
    assert await market.status(market.openings()) == [None] * 3
    assert sorted(await market.deposits()) == [0, 3 * UNIT]
    market.nothing_is_lost()


async def test_the_sum_of_what_each_would_pay(market: Market, opened: list[Opening]) -> None:
    market_address, anybody = market.account.address, market.parties.accounts[4]
    claims = market.claims(*opened)
    alone = next(iter(claims))
    claims[alone] = market.parties.claim(
        workers=(Payee(address=anybody.address, weight=1),), validators=()
    )
    pay: Counter[str] = Counter()
    for one in opened:
        pay.update(payout(one, market_address, claims[market.parties.name_of(one)]))
    burn = opened[0].burn_address
    before = {address: market.held.balance(address) for address in (burn, *pay)}
    await market.held.included(anybody, market.settled(claims))
    assert sum(pay.values()) == 3 * UNIT
    assert await market.status(opened) == ["settled"] * 3
    assert market.held.balance(burn) - before[burn] == pay[burn]
    for address in pay.keys() - {burn, opened[0].treasury_address, anybody.address}:
        assert market.held.balance(address) - before[address] == pay[address]
    assert market.held.gained(anybody.address, RICH) == pay[anybody.address]
    assert await market.deposits() == [UNIT, 2 * UNIT]
    market.nothing_is_lost()


@pytest.mark.parametrize("index", range(3))
async def test_nothing_is_paid_where_one_is_not_to_be_settled(
    market: Market, opened: list[Opening], index: int
) -> None:
    """Disputed, closed or unknown, wherever it is among them."""
    parties, claims = market.parties, market.claims(*opened)
    name = list(claims)[index]
    field = f"claims[{index}].escrow_id"
    odd = next(one for one in opened if parties.name_of(one) == name)
    until = market.held.height + 2
    await market.held.included(market.account, appeal_escrow(name, 100, until))
    problem = await market.refused(market.settled(claims))
    assert problem == f"{field}: is disputed until block {until}"
    await market.held.included(market.account, refund_escrow(name, parties.refusals(odd)))
    problem = await market.refused(market.settled(claims))
    assert problem == f"{field}: was refunded in block {market.held.height}"
    wanted = ["refunded" if one == odd else "open" for one in opened]
    assert await market.status(opened) == wanted
    rest = [one for one in opened if one != odd]
    unknown = market.claims(*rest, parties.opening("nobody knows it"))
    place = list(unknown).index(parties.name_of(parties.opening("nobody knows it")))
    problem = await market.refused(market.settled(unknown))
    assert problem == f"claims[{place}].escrow_id: no such escrow is open"
    await market.held.included(market.account, market.settled(market.claims(*rest)))
    market.nothing_is_lost()


async def test_a_dispute_that_came_to_nothing_gives_its_fee_back(
    market: Market, opened: list[Opening]
) -> None:
    """With the claims of others beside it."""
    disputed = market.parties.name_of(opened[1])
    until = market.held.height + 2
    await market.held.included(market.account, appeal_escrow(disputed, 100, until))
    before = sum(await market.deposits())
    await market.held.world.mine()
    await market.held.included(market.account, market.settled(market.claims(*opened)))
    assert sum(await market.deposits()) == before + 100
    market.nothing_is_lost()


@pytest.mark.parametrize("index", range(3))
async def test_a_settlement_that_is_overtaken_pays_nothing(
    market: Market, opened: list[Opening], index: int
) -> None:
    """One of its escrows is settled by another one in the same block, wherever it is in both."""
    parties, claims = market.parties, market.claims(*opened)
    name = list(claims)[index]
    quick = {name: claims[name]}
    approvals = parties.approved(quick)
    first = settle_escrows(quick, approvals, gas_price=2_000)
    assert await market.held.send(parties.accounts[4], first) == [""]
    assert await market.held.send(parties.accounts[3], market.settled(claims)) == [""]
    await market.held.world.mine(2)
    wanted = ["settled" if parties.name_of(one) == name else "open" for one in opened]
    assert await market.status(opened) == wanted
    worker = parties.worker.address
    assert market.held.gained(worker, RICH) == -3 * UNIT + UNIT // 4
    market.nothing_is_lost()


async def test_a_quorum_has_to_be_enough_for_every_set(market: Market) -> None:
    """Also where it is for one: another set has other members, or needs more of them."""
    members = market.parties.opening().validators
    wide = market.opening("one")
    narrow = market.opening("two", validators=members[1:4], k=2)
    strict = market.opening("three", k=4)
    for one in (wide, narrow, strict):
        await market.held.included(market.account, open_escrow(one))
    both = market.claims(wide, narrow)
    strange = "signatures[0].public_key: is not of the escrow's set"
    assert await market.refused(market.settled(both, (0, 1, 2))) == strange
    few = "signatures: are 2, and 3 are needed"
    assert await market.refused(market.settled(both, (1, 2))) == few
    three = market.claims(wide, strict)
    few = "signatures: are 3, and 4 are needed"
    assert await market.refused(market.settled(three, (1, 2, 3))) == few
    assert await market.status((wide, narrow, strict)) == ["open"] * 3
    await market.held.included(market.account, market.settled(both, (1, 2, 3)))
    last = market.settled(market.claims(strict), (0, 1, 2, 4))
    await market.held.included(market.account, last)
    assert await market.status((wide, narrow, strict)) == ["settled"] * 3


async def test_signatures_under_other_claims_settle_nothing(
    market: Market, opened: list[Opening]
) -> None:
    parties, claims = market.parties, market.claims(*opened)
    first, second, third = claims
    swapped = {**claims, first: claims[second], second: claims[first]}
    wrong = "signatures[0].signature: is not its key's over this"
    for signed in (
        {first: claims[first]},
        {second: claims[second], third: claims[third]},
        claims | {"ff" * 32: claims[first]},
        claims | {third: parties.claim(results="cd" * 32)},
        swapped,
    ):
        approvals = parties.approved(signed)
        assert await market.refused(settle_escrows(claims, approvals)) == wrong
        if signed.keys() < claims.keys():  # nor those under all for fewer
            draft = settle_escrows(signed, parties.approved(claims))
            assert await market.refused(draft) == wrong
    abroad = [sign_claims(one, "cpc-testnet-1", claims) for one in parties.signers[:3]]
    assert await market.refused(settle_escrows(claims, abroad)) == wrong
    one_by_one = [
        sign_claims(signer, parties.chain_id, {name: claims[name]})
        for signer, name in zip(parties.signers, claims, strict=False)
    ]
    assert await market.refused(settle_escrows(claims, one_by_one)) == wrong
    assert await market.status(opened) == ["open"] * 3
    await market.held.included(market.account, market.settled(claims))


async def test_as_many_as_there_may_be(market: Market) -> None:
    openings = [market.opening(f"task {n}", amount=Amount(10**10)) for n in range(MAX_ESCROWS)]
    await market.held.included(market.account, open_escrows(openings))
    await market.held.included(market.account, market.settled(market.claims(*openings)))
    assert await market.status(openings) == ["settled"] * MAX_ESCROWS
    assert await market.deposits() == [3 * UNIT - MAX_ESCROWS * 10**10, 3 * UNIT]
    market.nothing_is_lost()
    with pytest.raises(BadPayload, match=r"^tasks: .*length <= 256"):
        open_escrows([*openings, market.opening("one more")])


async def test_terms_are_kept_once(market: Market) -> None:
    """However many escrows are opened under them, by whom, and whatever became of those."""

    def kept() -> list[Terms]:
        records = market.held.world.chain.holdings.records
        return [one for key, one in records.items() if key.startswith("terms/")]

    openings = market.openings()
    await market.held.included(market.account, open_escrows(openings))
    assert [len(one.terms.validators) for one in kept()] == [5]
    claims = market.claims(*openings)
    await market.held.included(market.account, market.settled(claims))
    await market.held.included(
        market.account, open_escrow(market.opening("same", amount=Amount(1)))
    )
    assert len(kept()) == 1
    await market.held.included(
        market.account, open_escrow(market.opening("other", amount=Amount(1), grace=6))
    )
    assert sorted(one.terms.grace for one in kept()) == [5, 6]
    for task, grace in (("same", 5), ("other", 6)):
        view = await market.held.world.client.escrow(market.parties.name_of(market.opening(task)))
        assert view is not None
        assert view.opening is not None
        assert view.opening.grace == grace
