"""Deposits and escrows: what moves the money, what does not, and who can always get it back."""

from typing import Any

import httpx
import msgspec
import pytest

from node.amounts import Amount
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.intake import HeldTxType
from node.l1.errors import L1Malformed
from node.l1.escrow import (
    TYPES,
    EscrowView,
    Opening,
    bond,
    claim_digest,
    deposit,
    open_escrow,
    payout,
    refund_escrow,
    settle_escrow,
    sign_claim,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.keys import AccountKey
from node.l1.several import SeveralClients
from node.l1.transactions import sign, tx_digest

RICH = 10**21


async def deposited(held: Any, units: int = 3 * 10**19) -> None:
    await held.included(held.parties.customer, deposit(held.parties.market.address, units))


async def opened(held: Any, task: str = "task", **changes: Any) -> Opening:
    opening: Opening = held.parties.opening(task, **changes)
    await held.included(held.parties.market, open_escrow(opening))
    return opening


async def shown(held: Any, path: str) -> Any:
    response: httpx.Response = await held.world.http.get(path)
    return response.json() if response.status_code == 200 else response.status_code


def settled_by(held: Any, opening: Opening, count: int = 3, **changes: Any) -> Any:
    claim = held.parties.claim(**changes)
    signed = held.parties.approvals(opening, claim, count)
    return settle_escrow(held.parties.name_of(opening), claim, signed)


async def test_a_deposit_is_the_customers_at_one_market(held: Any) -> None:
    market, customer = held.parties.market.address, held.parties.customer
    await deposited(held, 5)
    await deposited(held, 7)
    assert held.gained(customer.address, RICH) == -12
    assert held.balance(market) == RICH
    assert await shown(held, f"/deposit/{market}/{customer.address}") == {
        "market": market,
        "customer": customer.address,
        "amount": "12",
        "notice_height": None,
        "free_height": None,
    }
    none = await shown(held, f"/deposit/{customer.address}/{market}")
    assert none["amount"] == "0"


async def test_a_market_gives_a_deposit_back_at_once(held: Any) -> None:
    market, customer, worker = held.parties.market, held.parties.customer, held.parties.worker
    await deposited(held, 12)
    await held.included(market, withdraw_for(customer.address, 5))
    assert held.gained(customer.address, RICH) == -7
    for draft in (withdraw_for(customer.address, 8), withdraw_for(worker.address, 1)):
        assert (await held.refused(market, draft)).startswith("amount: is more than the deposit")
    assert "of 0 units" in await held.refused(worker, withdraw_for(customer.address, 1))


async def test_the_way_out_needs_nobody(held: Any) -> None:
    market, customer = held.parties.market, held.parties.customer
    draft = withdraw_all(market.address)
    assert await held.refused(customer, draft) == "market: holds no deposit of the sender"
    await deposited(held)
    await held.included(customer, draft)
    notice = held.height
    view = await shown(held, f"/deposit/{market.address}/{customer.address}")
    assert (view["notice_height"], view["free_height"]) == (notice, notice + 3)
    await opened(held)  # what was promised before may still be bound
    problem = await held.refused(customer, draft)
    assert problem == f"market: the notice runs until block {notice + 3}"
    await held.world.mine()
    assert held.height + 1 == notice + 3
    problem = await held.refused(market, open_escrow(held.parties.opening("other")))
    assert problem == "customers[0]: the customer withdrew its deposit by notice"
    await held.included(customer, draft)
    assert held.gained(customer.address, RICH) == -(10**19), "all but the escrow"
    assert await held.refused(customer, draft) == "market: nothing is left of the deposit"


async def test_what_comes_back_after_a_notice_is_free_at_once(held: Any) -> None:
    """Else a market could move the money in a circle for ever."""
    market, customer = held.parties.market, held.parties.customer
    await deposited(held)
    opening = await opened(held)
    await held.included(customer, withdraw_all(market.address))
    await held.world.mine(2)
    await held.included(customer, withdraw_all(market.address))
    signed = held.parties.refusals(opening)
    await held.included(market, refund_escrow(held.parties.name_of(opening), signed))
    problem = await held.refused(market, open_escrow(held.parties.opening("other")))
    assert problem == "customers[0]: the customer withdrew its deposit by notice"
    await held.included(customer, withdraw_all(market.address))
    assert held.gained(customer.address, RICH) == 0
    await deposited(held)
    await opened(held, "other")  # a new deposit is new trust


async def test_a_settlement_pays_what_the_market_would_have_paid(held: Any) -> None:
    await deposited(held)
    opening = await opened(held)
    market = held.parties.market.address
    before = {one: held.balance(one) for one in (held.parties.opening().burn_address, market)}
    assert (await shown(held, f"/escrow/{held.parties.name_of(opening)}"))["status"] == "open"
    claim = held.parties.claim()
    anybody = held.parties.worker
    await held.included(anybody, settled_by(held, opening))
    paid = payout(opening, market, claim)
    assert sum(paid.values()) == opening.amount == 10**19
    assert paid[opening.burn_address] == 6 * 10**18
    assert paid[anybody.address] == 25 * 10**17
    for address, units in paid.items():
        if address.startswith("cpc1burn"):
            assert held.balance(address) - before[address] == units
        elif not address.startswith("cpc1treasury"):
            assert held.gained(address, RICH) == units
    assert await shown(held, f"/escrow/{held.parties.name_of(opening)}") == {
        "escrow_id": held.parties.name_of(opening),
        "market": market,
        "status": "settled",
        "customer": held.parties.customer.address,
        "amount": str(10**19),
        "opened_height": held.height - 1,
        "closed_height": held.height,
        "claim": claim_digest(claim),
        "opening": None,
        "appeal": None,
        "award": None,
    }


async def test_who_must_sign(held: Any) -> None:
    await deposited(held)
    opening, market = await opened(held), held.parties.market
    name, claim = held.parties.name_of(opening), held.parties.claim()
    problem = await held.refused(market, settled_by(held, opening, 2))
    assert problem == "signatures: are 2, and 3 are needed"
    signed = held.parties.approvals(opening, claim, 2)
    strange = sign_claim(held.parties.stranger, held.parties.chain_id, name, claim)
    problem = await held.refused(market, settle_escrow(name, claim, [*signed, strange]))
    assert problem.endswith("].public_key: is not of the escrow's set")
    other = await opened(held, "other")
    for wrong in (
        held.parties.approvals(other, claim),  # of another escrow
        held.parties.approvals(opening, held.parties.claim(results="cd" * 32)),
        [sign_claim(one, "cpc-testnet-1", name, claim) for one in held.parties.signers[:3]],
        held.parties.refusals(opening),
    ):
        problem = await held.refused(market, settle_escrow(name, claim, wrong))
        assert problem == "signatures[0].signature: is not its key's over this"
    problem = await held.refused(
        market, refund_escrow(name, held.parties.approvals(opening, claim))
    )
    assert problem.startswith("signatures[0].signature")
    await held.included(market, settled_by(held, opening, 5))


async def test_an_escrow_is_used_once(held: Any) -> None:
    await deposited(held)
    opening, market = await opened(held), held.parties.market
    again = open_escrow(opening)
    assert await held.refused(market, again) == "tasks[0].task_id: the sender has used it before"
    await held.included(market, settled_by(held, opening))
    done = held.height
    assert await held.refused(market, again) == "tasks[0].task_id: the sender has used it before"
    signed = held.parties.refusals(opening)
    for draft, field in (
        (settled_by(held, opening), "claims[0].escrow_id"),
        (refund_escrow(held.parties.name_of(opening), signed), "escrow_id"),
    ):
        problem = await held.refused(market, draft)
        assert problem == f"{field}: was settled in block {done}"
    unknown = refund_escrow("ab" * 32)
    assert await held.refused(market, unknown) == "escrow_id: no such escrow is open"
    assert await shown(held, f"/escrow/{'ab' * 32}") == 404


async def test_a_stranger_cannot_use_a_markets_task_up(held: Any) -> None:
    """Its copy of an opening that waits for a block, with a deposit of its own, is another
    escrow; the market's is in the same block, and released by nobody else's signatures."""
    parties, stranger = held.parties, held.parties.worker
    await deposited(held)
    await held.included(stranger, deposit(stranger.address, 10**19))
    opening = parties.opening()
    copied = msgspec.structs.replace(opening, customer=stranger.address)
    assert await held.send(parties.market, open_escrow(opening)) == [""]
    assert await held.send(stranger, open_escrow(copied, gas_price=9_000)) == [""]
    await held.world.mine()
    first, second = held.world.transactions()[-2:]
    assert [first["from_address"], second["from_address"]] == [
        stranger.address,
        parties.market.address,
    ]
    names = parties.name_of(opening, stranger), parties.name_of(opening)
    for name, market in zip(names, (stranger, parties.market), strict=True):
        view = await shown(held, f"/escrow/{name}")
        assert (view["market"], view["status"]) == (market.address, "open")
        assert view["opening"]["task_id"] == opening.task_id
    claim = parties.claim()
    draft = settle_escrow(names[1], claim, parties.approvals(copied, claim))
    wrong = [sign_claim(one, parties.chain_id, names[0], claim) for one in parties.signers[:3]]
    problem = await held.refused(stranger, settle_escrow(names[1], claim, wrong))
    assert problem == "signatures[0].signature: is not its key's over this"
    await held.included(parties.market, draft)
    assert (await shown(held, f"/escrow/{names[0]}"))["status"] == "open"
    again = await held.refused(stranger, open_escrow(copied))
    assert again == "tasks[0].task_id: the sender has used it before"


async def test_an_opening_names_no_escrow(held: Any) -> None:
    """Not even its own: what the chain computes cannot be said wrongly."""
    await deposited(held)
    opening = held.parties.opening()
    tx = open_escrow(opening).signed(held.parties.market, 0)
    for name in (held.parties.name_of(opening), held.parties.name_of(opening, key_of_nobody())):
        named = msgspec.structs.replace(tx, payload={**tx.payload, "escrow_id": name})
        outcome = await held.world.client.send(sign(named, held.parties.market))
        assert outcome.reason == "rejected: escrow_id: is not known here"


def key_of_nobody() -> AccountKey:
    return AccountKey((76).to_bytes(32, "big"))


@pytest.mark.parametrize("first", ["settle", "refund"])
async def test_the_first_in_a_block_wins(held: Any, first: str) -> None:
    """Both were let in: the other one is dropped, costs nothing and leaves its nonce free."""
    await deposited(held)
    opening, parties = await opened(held), held.parties
    name, claim = held.parties.name_of(opening), parties.claim()
    quick, slow = (2_000, 1_000) if first == "settle" else (1_000, 2_000)
    settling = settle_escrow(name, claim, parties.approvals(opening, claim), gas_price=quick)
    refunding = refund_escrow(name, parties.refusals(opening), gas_price=slow)
    assert await held.send(parties.market, settling) == [""]
    assert await held.send(parties.worker, refunding) == [""]
    loser = parties.worker if first == "settle" else parties.market
    nonce = held.world.chain.account(loser.address).nonce
    await held.world.mine()
    assert held.world.transactions()[-1]["tx_type"] == f"ESCROW_{first.upper()}"
    view = await shown(held, f"/escrow/{name}")
    assert view["status"] == ("settled" if first == "settle" else "refunded")
    assert held.world.chain.account(loser.address).nonce == nonce
    assert held.world.chain.first_free_nonce(loser.address) == nonce
    left = await shown(held, f"/deposit/{parties.market.address}/{parties.customer.address}")
    assert left["amount"] == str((2 if first == "settle" else 3) * 10**19)
    assert held.total() - held.minted() == 10 * RICH


async def test_after_deadline_and_grace_anybody_refunds(held: Any) -> None:
    await deposited(held)
    opening = await opened(held, deadline=held.height + 3, grace=2)
    draft, anybody = refund_escrow(held.parties.name_of(opening)), held.parties.worker
    late = opening.deadline + opening.grace + 1
    while held.height + 1 < late:
        problem = await held.refused(anybody, draft)
        assert problem == f"signatures: are needed before block {late}"
        await held.world.mine()
    problem = await held.refused(
        anybody, refund_escrow(held.parties.name_of(opening), held.parties.refusals(opening, 2))
    )
    assert problem == "signatures: are 2, and 3 are needed"
    await held.included(anybody, draft)
    assert held.height == late
    assert (await shown(held, f"/escrow/{held.parties.name_of(opening)}"))["status"] == "refunded"
    path = f"/deposit/{held.parties.market.address}/{held.parties.customer.address}"
    assert (await shown(held, path))["amount"] == str(3 * 10**19)


async def test_a_settlement_is_never_too_late(held: Any) -> None:
    await deposited(held)
    opening = await opened(held, deadline=held.height + 2, grace=0)
    await held.world.mine(5)
    await held.included(held.parties.market, settled_by(held, opening))


async def test_what_an_opening_may_bind(held: Any) -> None:
    market = held.parties.market

    async def problem(**changes: Any) -> str:
        return str(await held.refused(market, open_escrow(held.parties.opening(**changes))))

    assert await problem() == "customers[0]: is more than the deposit of 0 units"
    await deposited(held, 10**19)
    assert "deposit of" in await problem(amount=Amount(10**19 + 1))
    assert "deposit of 0" in await problem(customer=held.parties.worker.address)
    height = held.height + 1
    assert await problem(deadline=height) == f"tasks[0].deadline: is not after block {height}"
    most = "tasks[0].deadline: is with the grace more than 50 blocks away"
    assert await problem(deadline=height + 51, grace=0) == most
    assert await problem(deadline=height + 1, grace=50) == most
    await opened(held, deadline=height + 1, grace=49, amount=Amount(10**19))
    assert "deposit of 0" in await problem(task="other", amount=Amount(1))


async def test_two_that_need_the_same_deposit(held: Any) -> None:
    """Both pass at the door: one is in the block, the other is dropped."""
    await deposited(held, 10**19)
    drafts = [open_escrow(held.parties.opening(task)) for task in ("one", "two")]
    assert await held.send(held.parties.market, *drafts) == ["", ""]
    await held.world.mine(2)
    kinds = [tx["tx_type"] for tx in held.world.transactions()]
    assert kinds == ["DEPOSIT", "ESCROW_OPEN"]
    assert held.total() - held.minted() == 10 * RICH


async def test_what_is_wrong_is_refused_by_name_over_http(held: Any) -> None:
    await deposited(held)
    tx = open_escrow(held.parties.opening()).signed(held.parties.market, 0)
    for field, value, problem in (
        ("more", 1, "more: is not known here"),
        ("k", 9, "k: is 9 of 5 validators"),
        ("amount", 7, "amount: is not known here"),
        ("fee_reserve", 7, "fee_reserve: not an amount: 7"),
    ):
        payload = {**tx.payload, field: value}
        odd = sign(msgspec.structs.replace(tx, payload=payload), held.parties.market)
        response = await held.world.http.post("/tx/send", json=msgspec.structs.asdict(odd))
        assert response.json()["error"] == f"rejected: {problem}"
    cheap = sign(msgspec.structs.replace(tx, gas_limit=tx.gas_limit - 1), held.parties.market)
    outcome = await held.world.client.send(cheap)
    assert outcome.reason == f"gas_limit {tx.gas_limit - 1} < base_gas {tx.gas_limit}"


async def test_no_digit_can_wander(held: Any) -> None:
    """The hash has no separators: a fee too high by a digit would lend it to the amount."""
    customer = held.parties.customer
    tx = deposit(held.parties.market.address, 5).signed(customer, 0)
    lent = msgspec.structs.replace(tx, fee=int(f"1{tx.fee}"))
    resigned = sign(lent, customer)
    twin = msgspec.structs.replace(resigned, amount=51, fee=tx.fee)
    assert tx_digest(twin) == tx_digest(resigned)
    for odd in (resigned, sign(msgspec.structs.replace(tx, gas_limit=tx.gas_limit + 1), customer)):
        outcome = await held.world.client.send(odd)
        assert outcome.reason.startswith("rejected: fee: must be exactly that of ")
    assert (await held.world.client.send(tx)).status == "accepted"


def test_the_door_knows_the_types() -> None:
    assert {str(one) for one in HeldTxType} == TYPES


async def test_the_long_way_in_knows_the_types_too(held: Any) -> None:
    """With an amount as text, which only the pydantic model reads."""
    tx = deposit(held.parties.market.address, 5).signed(held.parties.customer, 0)
    fields = {**msgspec.structs.asdict(tx), "amount": "5"}
    response = await held.world.http.post("/tx/send", json=fields)
    assert response.json()["status"] == "received"
    response = await held.world.http.post("/tx/send", json={**fields, "tx_type": "MINT"})
    assert response.status_code == 422


async def test_the_existing_chain_knows_nothing_of_it(world: Any, parties: Any) -> None:
    tx = deposit(parties.market.address, 5).signed(parties.customer, 0)
    fields = msgspec.structs.asdict(tx)
    response = await world.http.post("/tx/send", json=fields)
    assert response.status_code == 422
    assert "DEPOSIT" not in response.json()["detail"][0]["msg"]
    assert world.chain.submit(tx)[1] == "unknown_tx_type"
    for path in ("/market", "/bond/x/y", "/escrow/x", "/deposit/x/y"):
        assert (await world.http.get(path)).status_code == 404


async def test_every_client_shows_the_same(held: Any, world: Any) -> None:
    await deposited(held)
    opening = await opened(held)
    account = held.parties.accounts[0]
    await held.included(account, bond(held.parties.market.address, 5, held.parties.binding(0)))
    await held.included(account, unbond(held.parties.market.address, 2))
    client = held.world.client
    market, customer = held.parties.market.address, held.parties.customer.address
    direct = DirectClient(held.world.chain)
    for one in (client, direct, SeveralClients({"a": client, "b": client})):
        shown_deposit = await one.deposit(market, customer)
        assert (shown_deposit.amount, shown_deposit.notice_height) == (2 * 10**19, None)
        escrow = await one.escrow(held.parties.name_of(opening))
        assert escrow == EscrowView(
            escrow_id=held.parties.name_of(opening),
            market=market,
            status="open",
            customer=customer,
            amount=opening.amount,
            opened_height=2,
            closed_height=None,
            claim=None,
            opening=opening,
        )
        assert await one.escrow("ab" * 32) is None
        bonded = await one.bond(market, account.address)
        assert (bonded.amount, bonded.unbonding[0].amount) == (3, 2)
        view = await one.market()
        assert (view.deposits, view.escrows, view.bonds) == (2 * 10**19, 10**19, 5)
        assert view.parameters == held.world.config.genesis.market
        assert view.burned == held.world.chain.burned
    with pytest.raises(L1Malformed):
        await world.client.market()  # the existing chain has no such path
