"""Hashes by the vectors, signatures against `ecdsa`, builders whose fee is exact."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import ecdsa
import msgspec
import pytest
from ecdsa.util import sigdecode_string
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.errors import BadAddress, BadTransaction, NotCanonical
from node.l1.keys import AccountKey, node_accepts_signature
from node.l1.transactions import (
    GAS,
    Transaction,
    sign,
    submit_result,
    transfer,
    tx_digest,
    tx_hash,
)

BURN = "cpc1burn" + "0" * 34


@pytest.fixture
def result(key: Callable[[int], AccountKey]) -> dict[str, object]:
    return {
        "task_id": "t",
        "worker_address": key(1).address,
        "result_hash": "ab" * 32,
        "proof": "",
        "nonce": 3,
        "signature": "",
    }


def test_hashes_and_signatures(vectors: dict[str, Any]) -> None:
    keys = {vector["id"]: vector for vector in vectors["keys"]}
    for vector in vectors["transactions"]:
        tx = msgspec.convert(vector["tx"], Transaction)
        digest = tx_digest(tx)
        assert digest == sha256(bytes.fromhex(vector["preimage_utf8_hex"])).digest()
        assert tx_hash(tx) == vector["tx_hash_hex"]
        public = bytes.fromhex(keys[vector["key"]]["public_key_compressed_hex"])
        for signature in (vector["signature_hex"], vector["signature_other_s_hex"]):
            assert node_accepts_signature(public, digest, bytes.fromhex(signature))
            assert node_accepts_signature(public, digest, bytes.fromhex(signature.upper()))


def test_our_signatures_over_the_vectors(vectors: dict[str, Any]) -> None:
    keys = {vector["id"]: vector["private_key_hex"] for vector in vectors["keys"]}
    for vector in vectors["transactions"]:
        key = AccountKey(bytes.fromhex(keys[vector["key"]]))
        bare = {**vector["tx"], "signature": "", "pub_key": ""}
        signed = sign(msgspec.convert(bare, Transaction), key)
        assert tx_hash(signed) == vector["tx_hash_hex"]
        oracle = ecdsa.VerifyingKey.from_string(key.public_key, curve=ecdsa.SECP256k1)
        assert oracle.verify_digest(
            bytes.fromhex(signed.signature), tx_digest(signed), sigdecode=sigdecode_string
        )


def test_json_has_the_chains_fields_in_its_order(vectors: dict[str, Any]) -> None:
    for vector in vectors["transactions"]:
        encoded = msgspec.json.encode(msgspec.convert(vector["tx"], Transaction))
        assert list(msgspec.json.decode(encoded).items()) == list(vector["tx"].items())


@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 10**40),
    st.integers(0, 2**63),
    st.integers(1, 10**12),
    st.dictionaries(st.text("abé☃", max_size=3), st.integers() | st.text('x\n"😀', max_size=5)),
)
def test_every_draft_is_exact_and_verifies(
    amount: int, nonce: int, gas_price: int, payload: dict[str, object]
) -> None:
    key, to = AccountKey(b"\x01" * 32), AccountKey(b"\x02" * 32).address
    tx = transfer(to, amount, gas_price=gas_price, payload=payload).signed(key, nonce)
    assert tx.fee == GAS["TRANSFER"] * gas_price == tx.gas_limit * tx.gas_price
    assert (tx.amount, tx.nonce, tx.to_address, tx.payload) == (amount, nonce, to, payload)
    again = msgspec.json.decode(msgspec.json.encode(tx), type=Transaction)
    assert again == tx
    assert tx_hash(again) == tx_hash(tx)
    oracle = ecdsa.VerifyingKey.from_string(key.public_key, curve=ecdsa.SECP256k1)
    assert oracle.verify_digest(
        bytes.fromhex(tx.signature), tx_digest(tx), sigdecode=sigdecode_string
    )


def test_digits_can_wander_under_one_signature(key: Callable[[int], AccountKey]) -> None:
    tx = transfer(key(2).address, 1234).signed(key(1), 0)
    twin = msgspec.structs.replace(tx, to_address=f"{tx.to_address}1", amount=234)
    assert tx_hash(twin) == tx_hash(tx)


def test_a_submit_result(key: Callable[[int], AccountKey], result: dict[str, object]) -> None:
    tx = submit_result(result, gas_price=2_000).signed(key(1), 7)
    assert (tx.tx_type, tx.to_address, tx.amount) == ("SUBMIT_RESULT", None, 0)
    assert (tx.fee, tx.gas_limit, tx.gas_price) == (160_000_000, 80_000, 2_000)
    assert tx.payload == result


@pytest.mark.parametrize(
    "change", [{"worker_address": "cpc1other"}, {"proof": None}, {"nonce": "x"}, {"task_id": 1}]
)
def test_what_the_proposer_would_drop_is_not_signed(
    key: Callable[[int], AccountKey], result: dict[str, object], change: dict[str, object]
) -> None:
    with pytest.raises(BadTransaction):
        submit_result({**result, **change}).signed(key(1), 0)


def test_a_transfer_needs_an_address_or_says_that_it_has_none(
    key: Callable[[int], AccountKey],
) -> None:
    with pytest.raises(BadAddress):
        transfer(BURN, 1)
    assert transfer(BURN, 1, label=True).signed(key(1), 0).to_address == BURN


@pytest.mark.parametrize("amount", [0, -1])
def test_a_transfer_needs_an_amount(key: Callable[[int], AccountKey], amount: int) -> None:
    with pytest.raises(BadTransaction):
        transfer(key(2).address, amount)


def test_nobody_signs_for_another(key: Callable[[int], AccountKey]) -> None:
    tx = transfer(key(2).address, 1).signed(key(1), 0)
    with pytest.raises(BadTransaction, match="cannot sign"):
        sign(tx, key(2))
    with pytest.raises(BadTransaction, match="negative"):
        transfer(key(2).address, 1).signed(key(1), -1)


def test_half_pairs_are_refused_wherever_they_are(key: Callable[[int], AccountKey]) -> None:
    with pytest.raises(NotCanonical):
        transfer(key(2).address, 1, payload={"memo": "\ud800"}).signed(key(1), 0)
    with pytest.raises(BadTransaction, match="surrogate"):
        transfer("cpc1\ud800", 1, label=True).signed(key(1), 0)
