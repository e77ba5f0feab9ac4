"""Bonds: for one key, on their way out for a time in which a slash reaches them, slashed once."""

from typing import Any

import msgspec
import pytest

from node.keys import bind
from node.l1.devchain.bonds import MAX_LEAVING
from node.l1.escrow import bond, unbond
from node.l1.keys import AccountKey
from node.l1.transactions import sign
from node.verification.offences import two_verdicts
from node.verification.statements import Verdict, sign_verdict

RICH = 10**21
MARKET = AccountKey((1).to_bytes(32, "big")).address
"""Of the parties."""


def verdicts(held: Any, signer: Any, task: str = "t", nonce: int = 1) -> tuple[Verdict, Verdict]:
    """That it is valid, and that it is not."""
    one = Verdict(
        task_id=task,
        epoch=1,
        redraw=0,
        nonce=nonce,
        worker_address=held.parties.worker.address,
        result_hash=bytes(32),
        finding="valid",
        seed=bytes(32),
        validator_key=b"",
    )
    other = msgspec.structs.replace(one, finding="invalid")
    chain_id = held.parties.chain_id
    return sign_verdict(one, chain_id, signer), sign_verdict(other, chain_id, signer)


async def view(held: Any, address: str) -> Any:
    return (await held.world.http.get(f"/bond/{MARKET}/{address}")).json()


async def test_a_bond_is_for_a_key_that_is_bound(held: Any) -> None:
    account, other = held.parties.accounts[0], held.parties.accounts[1]
    binding = held.parties.binding(0)
    for wrong, field in (
        (bind(held.parties.signers[0], account, "cpc-testnet-1"), "binding.ed25519_signature"),
        (held.parties.binding(1), "binding.account_public"),
        (
            msgspec.structs.replace(binding, account_signature=bytes(64)),
            "binding.account_signature",
        ),
        (
            msgspec.structs.replace(binding, ed25519_public=held.parties.stranger.public_key),
            "binding.ed25519_signature",
        ),
    ):
        assert (await held.refused(account, bond(MARKET, 100, wrong))).startswith(f"{field}: ")
    await held.included(account, bond(MARKET, 100, binding))
    await held.included(account, bond(MARKET, 20, binding))
    assert await view(held, account.address) == {
        "market": MARKET,
        "address": account.address,
        "public_key": binding.ed25519_public.hex(),
        "amount": "120",
        "unbonding": [],
    }
    assert held.gained(account.address, RICH) == -120
    rebound = bind(held.parties.stranger, account, held.parties.chain_id)
    problem = await held.refused(account, bond(MARKET, 5, rebound))
    assert problem == "public_key: the sender is bonded with another key"
    assert (await view(held, other.address))["public_key"] is None


async def test_it_is_in_the_balance_after_its_time(held: Any) -> None:
    account = held.parties.accounts[0]
    await held.included(account, bond(MARKET, 100, held.parties.binding(0)))
    assert "bond of 100 units" in await held.refused(account, unbond(MARKET, 101))
    await held.included(account, unbond(MARKET, 30))
    first = held.height
    await held.included(account, unbond(MARKET, 70))
    assert (await view(held, account.address))["unbonding"] == [
        {"amount": "30", "height": first + 4},
        {"amount": "70", "height": first + 5},
    ]
    for height, there in ((first + 3, -100), (first + 4, -70), (first + 5, 0)):
        await held.world.mine(height - held.height)
        assert held.gained(account.address, RICH) == there
    assert (await view(held, account.address))["public_key"] is None
    rebound = bind(held.parties.stranger, account, held.parties.chain_id)
    await held.included(
        account, bond(MARKET, 5, rebound)
    )  # and the account is free for another key


async def test_two_parts_in_one_block_are_one(held: Any) -> None:
    account = held.parties.accounts[0]
    await held.included(account, bond(MARKET, 100, held.parties.binding(0)))
    await held.included(account, unbond(MARKET, 30), unbond(MARKET, 20))
    assert [one["amount"] for one in (await view(held, account.address))["unbonding"]] == ["50"]
    await held.world.mine(4)
    assert held.gained(account.address, RICH) == -50


async def test_a_slash_takes_its_part_also_of_what_is_leaving(held: Any) -> None:
    account, reporter = held.parties.accounts[0], held.parties.worker
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    await held.included(account, unbond(MARKET, 900))
    burned = held.world.chain.burned
    minted = held.height
    draft = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[0]))
    await held.included(reporter, draft)
    assert held.gained(reporter.address, RICH) == 125
    rewards = (held.height - minted) * 3 * 10**18
    assert held.world.chain.burned - burned - rewards == 125
    left = await view(held, account.address)
    assert (left["amount"], [one["amount"] for one in left["unbonding"]]) == ("0", ["750"])
    again = two_verdicts(
        MARKET, account.address, *reversed(verdicts(held, held.parties.signers[0]))
    )
    assert await held.refused(reporter, again) == "evidence: this act was slashed before"
    other = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[0], nonce=2))
    await held.included(reporter, other)
    await held.world.mine(4)
    assert held.gained(account.address, RICH) == -1_000 + 562
    gone = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[0], nonce=3))
    problem = await held.refused(reporter, gone)
    assert problem == "offender: has no bond for the key in the evidence"
    assert held.total() - held.minted() == 10 * RICH


async def test_a_slash_takes_last_what_is_nearest_to_the_balance(held: Any) -> None:
    account = held.parties.accounts[0]
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    await held.included(account, unbond(MARKET, 500))
    await held.included(account, unbond(MARKET, 400))
    draft = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[0]))
    await held.included(held.parties.worker, draft)
    left = await view(held, account.address)
    assert (left["amount"], [one["amount"] for one in left["unbonding"]]) == ("0", ["500", "250"])


async def test_the_last_unit_is_slashed_too(held: Any) -> None:
    account = held.parties.accounts[0]
    await held.included(account, bond(MARKET, 1, held.parties.binding(0)))
    draft = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[0]))
    await held.included(account, draft)
    assert (await view(held, account.address))["public_key"] is None
    assert held.gained(account.address, RICH) == -1


async def test_a_bond_answers_for_its_own_key_only(held: Any) -> None:
    account, reporter = held.parties.accounts[0], held.parties.worker
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    draft = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[1]))
    problem = await held.refused(reporter, draft)
    assert problem == "offender: has no bond for the key in the evidence"


async def test_two_reports_of_one_act_in_a_block(held: Any) -> None:
    account = held.parties.accounts[0]
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    draft = two_verdicts(MARKET, account.address, *verdicts(held, held.parties.signers[0]))
    for reporter in (held.parties.worker, held.parties.market):
        assert await held.send(reporter, draft) == [""]
    await held.world.mine()
    slashes = [tx for tx in held.world.transactions() if tx["tx_type"] == "SLASH"]
    assert len(slashes) == 1
    assert (await view(held, account.address))["amount"] == "750"


async def test_parts_on_their_way_have_a_number(make_market_world: Any, parties: Any) -> None:
    world = make_market_world()
    market = msgspec.structs.replace(world.config.genesis.market, unbonding_blocks=40)
    genesis = msgspec.structs.replace(world.config.genesis, market=market)
    world.config = msgspec.structs.replace(world.config, genesis=genesis)
    account = parties.accounts[0]
    async with world.running():
        await world.mine()
        await world.client.send(bond(MARKET, 100, parties.binding(0)).signed(account, 0))
        await world.mine()
        for nonce in range(1, MAX_LEAVING + 1):
            outcome = await world.client.send(unbond(MARKET, 1).signed(account, nonce))
            assert outcome.status == "accepted"
            await world.mine()
        outcome = await world.client.send(unbond(MARKET, 1).signed(account, MAX_LEAVING + 1))
        assert outcome.reason == "rejected: amount: 16 parts of the bond are on their way already"


@pytest.mark.parametrize("field", ["finding", "seed", "result_hash", "worker_address", "nonce"])
async def test_what_an_honest_validator_may_sign_is_no_offence(held: Any, field: str) -> None:
    """Asked again under another challenge, or about another attempt or result; or a silent
    worker that answers in the end."""
    account, signer = held.parties.accounts[0], held.parties.signers[0]
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    one, other = verdicts(held, signer)
    values = {
        "finding": "withheld",
        "seed": bytes([1]) * 32,
        "result_hash": bytes([1]) * 32,
        "worker_address": account.address,
        "nonce": 2,
    }
    changed = msgspec.structs.replace(other, **{field: values[field]})
    resigned = sign_verdict(changed, held.parties.chain_id, signer)
    problem = await held.refused(
        held.parties.worker, two_verdicts(MARKET, account.address, one, resigned)
    )
    assert problem in (
        "evidence: the verdicts do not contradict each other",
        "evidence: the verdicts are not about the same",
    )


async def test_verdicts_must_be_signed_for_this_chain(held: Any) -> None:
    account, signer = held.parties.accounts[0], held.parties.signers[0]
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    one, other = verdicts(held, signer)
    foreign = sign_verdict(other, "cpc-testnet-1", signer)
    forged = msgspec.structs.replace(other, signature=bytes(64))
    for wrong in (foreign, forged):
        problem = await held.refused(
            held.parties.worker, two_verdicts(MARKET, account.address, one, wrong)
        )
        assert problem == "evidence.second.signature: is not its validator's"
    draft = two_verdicts(MARKET, account.address, one, other)
    evidence = draft.payload["evidence"]
    assert isinstance(evidence, dict)
    for name, value, problem in (
        ("kind", "rumour", "evidence.kind: is none of two_verdicts, false_proof"),
        ("more", 1, "evidence: Object contains unknown field `more`"),
        ("first", {**evidence["first"], "more": 1}, "evidence: has fields that are not known"),
    ):
        payload = {**draft.payload, "evidence": {**evidence, name: value}}
        tx = msgspec.structs.replace(draft, payload=payload, gas=10**6)
        nonce = held.world.chain.first_free_nonce(held.parties.worker.address)
        odd = sign(tx.signed(held.parties.worker, nonce), held.parties.worker)
        assert held.world.chain.submit(odd)[1].startswith(f"rejected: {problem}")


async def test_bonds_at_two_markets_have_nothing_to_do_with_each_other(held: Any) -> None:
    """Each is for a key, leaves and is free for itself; an act costs each once."""
    account, other_market = held.parties.accounts[0], held.parties.worker.address
    rebound = bind(held.parties.stranger, account, held.parties.chain_id)
    await held.included(account, bond(MARKET, 1_000, held.parties.binding(0)))
    await held.included(account, bond(other_market, 600, rebound))
    assert "bond of 600 units" in await held.refused(account, unbond(other_market, 601))
    await held.included(account, unbond(other_market, 200), unbond(MARKET, 100))

    async def amounts() -> list[int]:
        views = [
            await held.world.client.bond(market, account.address)
            for market in (MARKET, other_market)
        ]
        return [one.amount for one in views]

    assert await amounts() == [900, 400]
    acts = verdicts(held, held.parties.signers[0])
    assert "key in the evidence" in await held.refused(
        account, two_verdicts(other_market, account.address, *acts)
    )
    await held.world.mine(4)
    assert held.gained(account.address, RICH) == -1_300, "both parts are free in one block"
    await held.included(account, unbond(other_market, 400))
    await held.world.mine(4)
    await held.included(account, bond(other_market, 800, held.parties.binding(0)))
    for market in (MARKET, other_market):
        await held.included(held.parties.market, two_verdicts(market, account.address, *acts))
        problem = await held.refused(account, two_verdicts(market, account.address, *acts))
        assert problem == "evidence: this act was slashed before"
    assert await amounts() == [675, 600]
    assert held.total() - held.minted() == 10 * RICH
