"""The byte vectors of held money, `tests/vectors/escrow.json`: one story told by fixed keys.

The file is what `played` returns, written once; another implementation can be tested against it.
What is signed is built here again, from its description in docs/devchain.md alone.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.amounts import Amount
from node.l1.blocks import block_hash
from node.l1.canonical import canonical_payload
from node.l1.escrow import (
    Act,
    Award,
    Payee,
    appeal_escrow,
    award_bytes,
    award_digest,
    award_message,
    bond,
    claim_bytes,
    claim_digest,
    claims_message,
    deposit,
    open_escrow,
    open_escrows,
    read,
    refund_escrow,
    refund_message,
    rule_escrow,
    settle_escrow,
    settle_escrows,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.keys import address_of, verify_digest
from node.l1.transactions import Transaction, tx_digest, tx_hash
from node.verification.acts import keys_of
from node.verification.offences import two_verdicts
from node.verification.statements import Verdict, sign_verdict
from p2p.identity import verify

VECTORS = Path(__file__).parents[4] / "vectors" / "escrow.json"


def plain(value: object) -> Any:
    return json.loads(msgspec.json.encode(value, enc_hook=Amount.to_wire))


async def played(world: Any, parties: Any) -> dict[str, Any]:
    """Deposits, one of them paid by somebody else; seven escrows (settled alone, refunded by
    signatures, refunded late, two that are disputed: one award upholds the result, one overturns
    it; and two of two customers that are opened together, and settled together with the one that
    was upheld), one of somebody else's for the same task; bonds at a market, of which one is
    slashed while a part of it leaves, and both by an award; and all ways out."""
    market, customer, worker = parties.market, parties.customer, parties.worker
    account, signer = parties.accounts[0], parties.signers[0]
    chain_id, claim = parties.chain_id, parties.claim()
    paid, signed, late, upheld, overturned = (
        parties.opening(task, deadline=deadline, grace=1)
        for task, deadline in (
            ("paid", 20),
            ("signed", 20),
            ("late", 4),
            ("upheld", 20),
            ("overturned", 20),
        )
    )
    shared = [
        parties.opening("shared", amount=Amount(2 * 10**18)),
        parties.opening("with another", customer=worker.address, amount=Amount(3 * 10**18)),
    ]
    due = {parties.name_of(one): claim for one in (shared[0], upheld)}
    due[parties.name_of(shared[1])] = msgspec.structs.replace(
        claim, workers=payees(customer.address, worker.address), results="cd" * 32
    )
    copied = msgspec.structs.replace(paid, amount=Amount(10**18))
    verdicts = [
        Verdict("t", 1, 0, 1, worker.address, bytes(32), finding, bytes(32), b"")
        for finding in ("valid", "invalid")
    ]
    one, other = (sign_verdict(verdict, chain_id, signer) for verdict in verdicts)
    right, wrong, acts = awards_of(parties, overturned.task_id)
    story = [
        [
            (customer, deposit(market.address, 6 * 10**19)),
            (customer, deposit(worker.address, 10**18)),
            (worker, deposit(market.address, 5 * 10**18)),
            (market, deposit(market.address, 10**18, customer=customer.address)),
            (account, bond(market.address, 1_001, parties.binding(0))),
            (account, bond(worker.address, 55, parties.binding(0))),
            (worker, bond(market.address, 2_002, parties.worker_binding())),
        ],
        [
            (worker, open_escrow(copied)),
            *(
                (market, open_escrow(opening))
                for opening in (paid, signed, late, upheld, overturned)
            ),
            (market, open_escrows(shared)),
        ],
        [
            (account, unbond(market.address, 401)),
            (market, withdraw_for(customer.address, 10**18)),
            (market, appeal_escrow(parties.name_of(upheld), 10**17, 12)),
            (market, appeal_escrow(parties.name_of(overturned), 700, 12)),
        ],
        [
            (worker, settle_escrow(parties.name_of(paid), claim, parties.approvals(paid, claim))),
            (market, refund_escrow(parties.name_of(signed), parties.refusals(signed, 4))),
            (worker, two_verdicts(market.address, account.address, one, other)),
            (
                market,
                rule_escrow(parties.name_of(upheld), right, (), parties.awarded(upheld, right)),
            ),
        ],
        [
            (customer, withdraw_all(market.address)),
            (
                customer,
                rule_escrow(
                    parties.name_of(overturned), wrong, acts, parties.awarded(overturned, wrong)
                ),
            ),
            (worker, settle_escrows(due, parties.approved(due))),
        ],
        [(worker, refund_escrow(parties.name_of(late)))],
        [],
        [(customer, withdraw_all(market.address))],
    ]
    transactions: list[Transaction] = []
    for block in story:
        for sender, draft in block:
            tx = draft.signed(sender, world.chain.first_free_nonce(sender.address))
            outcome = await world.client.send(tx)
            assert outcome.status == "accepted", outcome
            transactions.append(tx)
        await world.mine()
    blocks = [await world.client.block(height) for height in range(world.chain.tip.height + 1)]
    assert sum(len(block.txs) for block in blocks) == len(transactions)
    people = (market, customer, worker, *parties.accounts)
    labels = (paid.burn_address, paid.treasury_address, *right.jurors)
    return {
        "chain_id": chain_id,
        "parameters": plain(world.config.genesis.market),
        "genesis": {"alloc": {a: str(n) for a, n in world.config.genesis.alloc.items()}},
        "accounts": {key.private.hex(): key.address for key in people},
        "signers": {one.seed.hex(): one.public_key.hex() for one in parties.signers},
        "settlements": [
            {
                "claims": [
                    {
                        "escrow_id": escrow_id,
                        "claim": plain(one),
                        "bytes": claim_bytes(one).hex(),
                        "digest": claim_digest(one),
                    }
                    for escrow_id, one in sorted(claims.items())
                ],
                "message": claims_message(chain_id, claims).hex(),
            }
            for claims in ({parties.name_of(paid): claim}, due)
        ],
        "awards": [
            {
                "award": plain(award),
                "bytes": award_bytes(award).hex(),
                "digest": award_digest(award),
                "message": award_message(chain_id, parties.name_of(opening), award).hex(),
            }
            for opening, award in ((upheld, right), (overturned, wrong))
        ],
        "refund": {"message": refund_message(chain_id, parties.name_of(signed)).hex()},
        "transactions": [
            {
                "transaction": plain(tx),
                "canonical_payload": canonical_payload(tx.payload),
                "hash": tx_hash(tx),
            }
            for tx in transactions
        ],
        "blocks": [
            {
                "height": block.header.height,
                "transactions": [tx_hash(tx) for tx in block.txs],
                "gas_used": block.header.gas_used,
                "state_root": block.header.state_root,
                "block_hash": block_hash(block.header),
            }
            for block in blocks
        ],
        "state": {
            "balances": {
                address: str(await world.client.balance(address))
                for address in (*(key.address for key in people), *labels)
            },
            "deposit": plain(await world.client.deposit(market.address, customer.address)),
            "escrows": [
                plain(await world.client.escrow(parties.name_of(opening, sender)))
                for sender, opening in (
                    (worker, copied),
                    (market, paid),
                    (market, signed),
                    (market, late),
                    (market, upheld),
                    (market, overturned),
                    *((market, one) for one in sorted(shared, key=lambda one: one.task_id)),
                )
            ],
            "bonds": [
                plain(await world.client.bond(bonded_at.address, one.address))
                for bonded_at, one in ((market, account), (worker, account), (market, worker))
            ],
            "market": plain(await world.client.market()),
        },
    }


def payees(*addresses: str) -> tuple[Payee, ...]:
    """Each with a weight of its own, by rising addresses."""
    return tuple(
        Payee(address=one, weight=5 + number) for number, one in enumerate(sorted(addresses))
    )


def awards_of(parties: Any, task_id: str) -> tuple[Award, Award, list[Act]]:
    """That a result stands, and that one of this task does not: the worker and two validators are
    to pay, of whom one has no bond."""
    right = parties.award(outcome="upheld", false=(), culprits=())
    vouched = (parties.vouched(0, task_id), parties.vouched(1, task_id))
    acts = sorted((parties.computed(task_id), *vouched), key=lambda act: act.address)
    keys = keys_of(acts)
    wrong = parties.award(culprits=tuple(keys), keys=tuple(keys.values()))
    return right, wrong, acts


@pytest.fixture(scope="module")
def escrow_vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(VECTORS.read_text())
    return found


async def test_the_chain_tells_the_story_as_it_stands(
    make_market_world: Any, parties: Any, escrow_vectors: dict[str, Any]
) -> None:
    world = make_market_world()
    async with world.running():
        await world.mine()
        assert await played(world, parties) == escrow_vectors


def test_every_type_is_in_the_story(escrow_vectors: dict[str, Any]) -> None:
    types = {one["transaction"]["tx_type"] for one in escrow_vectors["transactions"]}
    assert types == {
        "DEPOSIT",
        "WITHDRAW",
        "ESCROW_OPEN",
        "ESCROW_SETTLE",
        "ESCROW_REFUND",
        "ESCROW_APPEAL",
        "ESCROW_RULE",
        "BOND",
        "UNBOND",
        "SLASH",
    }


def test_hashes_and_signatures(escrow_vectors: dict[str, Any]) -> None:
    for vector in escrow_vectors["transactions"]:
        tx = msgspec.convert(vector["transaction"], Transaction)
        read(tx)
        assert canonical_payload(tx.payload) == vector["canonical_payload"]
        assert tx_hash(tx) == vector["hash"]
        key = bytes.fromhex(tx.pub_key)
        assert address_of(key) == tx.from_address
        assert verify_digest(key, tx_digest(tx), bytes.fromhex(tx.signature))


def fields(*parts: bytes) -> bytes:
    """Each with its length in front, four bytes, big-endian."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def statement(tag: str, chain_id: str, *parts: bytes) -> bytes:
    return fields(tag.encode()) + (1).to_bytes(2, "big") + fields(chain_id.encode(), *parts)


def awarded(award: dict[str, Any]) -> bytes:
    """An award's canonical bytes."""
    named = [award[name] for name in ("jurors", "false", "culprits")]
    jurors, false, culprits = named
    return statement(
        "tmnode/escrow-award-body",
        "",
        award["outcome"].encode(),
        *(len(one).to_bytes(8, "big") for one in named),
        *(one.encode() for one in jurors),
        *map(bytes.fromhex, false),
        *(
            part
            for one, key in zip(culprits, award["keys"], strict=True)
            for part in (one.encode(), bytes.fromhex(key))
        ),
    )


def claimed(claim: dict[str, Any]) -> bytes:
    """A claim's canonical bytes."""
    return statement(
        "tmnode/escrow-claim-body",
        "",
        bytes.fromhex(claim["results"]),
        claim["orchestrator"].encode(),
        len(claim["workers"]).to_bytes(8, "big"),
        len(claim["validators"]).to_bytes(8, "big"),
        *(
            part
            for one in claim["workers"] + claim["validators"]
            for part in (one["address"].encode(), one["weight"].to_bytes(8, "big"))
        ),
    )


def claims_in(payload: dict[str, Any]) -> dict[str, Any]:
    """The claims in the rows of an ESCROW_SETTLE, by their escrows."""
    addresses = payload["payees"]

    def payees(shares: list[list[int]]) -> list[dict[str, Any]]:
        return [{"address": addresses[place], "weight": weight} for place, weight in shares]

    return {
        escrow_id: {
            "workers": payees(workers),
            "validators": payees(validators),
            "orchestrator": addresses[orchestrator],
            "results": results,
        }
        for escrow_id, workers, validators, orchestrator, results in payload["claims"]
    }


def escrow_of(chain_id: str, market: str, task_id: str) -> str:
    """The id of an escrow."""
    named = statement("tmnode/escrow", chain_id, market.encode(), task_id.encode())
    return sha256(named).hexdigest()


Sent = list[dict[str, Any]]


def payloads(vectors: dict[str, Any], tx_type: str) -> Sent:
    sent = [one["transaction"] for one in vectors["transactions"]]
    return [one["payload"] for one in sent if one["tx_type"] == tx_type]


def check_signed(message: bytes, signatures: Sent) -> None:
    assert len(signatures) >= 3
    for one in signatures:
        key, signature = bytes.fromhex(one["public_key"]), bytes.fromhex(one["signature"])
        assert verify(key, message, signature)


def test_names_of_escrows_are_what_the_page_says(escrow_vectors: dict[str, Any]) -> None:
    """Of each task of each opening, in which customers stand by their places."""
    escrows = {one["escrow_id"]: one for one in escrow_vectors["state"]["escrows"]}
    found = set()
    for one in escrow_vectors["transactions"]:
        tx = one["transaction"]
        for task_id, place, amount, _deadline in tx["payload"].get("tasks", ()):
            name = escrow_of(escrow_vectors["chain_id"], tx["from_address"], task_id)
            assert escrows[name]["market"] == tx["from_address"]
            assert escrows[name]["customer"] == tx["payload"]["customers"][place]
            assert escrows[name]["amount"] == amount
            found.add(name)
    assert found == escrows.keys()
    assert len(found) == 8


def test_what_settles_is_what_the_page_says(escrow_vectors: dict[str, Any]) -> None:
    """The digest of each claim beside its escrow, by rising escrows."""
    chain_id, vectors = escrow_vectors["chain_id"], escrow_vectors["settlements"]
    settling = payloads(escrow_vectors, "ESCROW_SETTLE")
    shown = {one["escrow_id"]: one["claim"] for one in escrow_vectors["state"]["escrows"]}
    for vector, payload in zip(vectors, settling, strict=True):
        claims = claims_in(payload)
        assert claims == {one["escrow_id"]: one["claim"] for one in vector["claims"]}
        parts = []
        for name, one in zip(sorted(claims), vector["claims"], strict=True):
            body = claimed(claims[name])
            digest = sha256(body)
            assert (body.hex(), digest.hexdigest()) == (one["bytes"], one["digest"])
            assert shown[name] == digest.hexdigest()
            parts += [bytes.fromhex(name), digest.digest()]
        message = statement("tmnode/escrow-claims", chain_id, *parts)
        assert message.hex() == vector["message"]
        check_signed(message, payload["signatures"])
    assert [len(one["claims"]) for one in settling] == [1, 3]


def test_what_refunds_and_rules_is_what_the_page_says(escrow_vectors: dict[str, Any]) -> None:
    chain_id = escrow_vectors["chain_id"]
    refunding = [one for one in payloads(escrow_vectors, "ESCROW_REFUND") if one["signatures"]]
    ruling = payloads(escrow_vectors, "ESCROW_RULE")
    (signed,) = refunding
    message = statement("tmnode/escrow-refund", chain_id, bytes.fromhex(signed["escrow_id"]))
    assert message.hex() == escrow_vectors["refund"]["message"]
    check_signed(message, signed["signatures"])
    for vector, payload in zip(escrow_vectors["awards"], ruling, strict=True):
        assert payload["award"] == vector["award"]
        body = awarded(vector["award"])
        assert (body.hex(), sha256(body).hexdigest()) == (vector["bytes"], vector["digest"])
        name = bytes.fromhex(payload["escrow_id"])
        message = statement("tmnode/escrow-award", chain_id, name, body)
        assert message.hex() == vector["message"]
        check_signed(message, payload["signatures"])
