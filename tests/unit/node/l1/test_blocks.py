"""Block hashes, roots and proposer signatures by the vectors; paths by property."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.l1.blocks import (
    NO_RESULTS_ROOT,
    NO_TXS_ROOT,
    Block,
    Header,
    block_digest,
    block_hash,
    check_proposer,
    check_roots,
    compute_path,
    compute_root,
    l1_merkle_root,
    same_transaction,
    tx_root,
    verify_compute_path,
    verify_proposer,
)
from node.l1.errors import L1Malformed
from node.l1.keys import AccountKey
from node.l1.transactions import Transaction

LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


@pytest.fixture
def transactions(vectors: dict[str, Any]) -> dict[str, Transaction]:
    return {
        vector["name"]: msgspec.convert(vector["tx"], Transaction)
        for vector in vectors["transactions"]
    }


@pytest.fixture
def blocks(vectors: dict[str, Any]) -> list[Block]:
    return [
        msgspec.json.decode(vector["block_json_text"], type=Block) for vector in vectors["blocks"]
    ]


def test_merkle_roots(vectors: dict[str, Any]) -> None:
    for vector in vectors["merkle_cases"]:
        leaves = [sha256(bytes([number])).digest() for number in range(vector["n"])]
        root = l1_merkle_root(leaves).hex() if leaves else ""
        assert (root or NO_TXS_ROOT) == vector["tx_root_style"]
        assert (root or NO_RESULTS_ROOT) == vector["compute_root_style"]


def test_tx_roots(vectors: dict[str, Any], transactions: dict[str, Transaction]) -> None:
    for vector in vectors["tx_root_cases"]:
        assert tx_root([transactions[name] for name in vector["txs"]]) == vector["tx_root"]


def test_compute_roots(vectors: dict[str, Any], transactions: dict[str, Transaction]) -> None:
    for vector in vectors["compute_root_cases"]:
        txs = [transactions[name] for name in vector["txs"]]
        assert compute_root(txs) == vector["compute_root"]
        leaves = [bytes.fromhex(leaf) for leaf in vector["leaves_hex"]]
        if leaves:
            assert l1_merkle_root(leaves).hex() == vector["compute_root"]


def test_block_hashes_and_signatures(vectors: dict[str, Any], blocks: list[Block]) -> None:
    keys = {vector["id"]: vector["public_key_compressed_hex"] for vector in vectors["keys"]}
    for vector, block in zip(vectors["blocks"], blocks, strict=True):
        assert msgspec.to_builtins(block.header) == vector["header"]
        preimage = sha256(vector["preimage_utf8"].encode())
        assert block_hash(block.header) == preimage.hexdigest() == vector["block_hash"]
        assert block.pq_signature == vector["pq_signature_hex"]
        signature = bytes.fromhex(block.pq_signature)
        proposer = bytes.fromhex(keys[vector["proposer_key"]])
        assert verify_proposer(block.header, signature, proposer)
        other = bytes.fromhex(keys["k0"])
        assert not verify_proposer(block.header, signature, other)
        check_roots(block)
        check_proposer(block, [other, proposer])


def test_blocks_are_printed_as_they_came(vectors: dict[str, Any], blocks: list[Block]) -> None:
    for vector, block in zip(vectors["blocks"], blocks, strict=True):
        assert msgspec.json.encode(block).decode() == vector["block_json_text"]


@given(LEAVES, st.data())
def test_a_path_leads_to_the_root(leaves: list[bytes], choose: st.DataObject) -> None:
    index = choose.draw(st.integers(0, len(leaves) - 1))
    root, path = l1_merkle_root(leaves).hex(), compute_path(leaves, index)
    assert verify_compute_path(root, leaves[index], index, len(leaves), path)
    assert not verify_compute_path(root, sha256(leaves[index]).digest(), index, len(leaves), path)
    assert not verify_compute_path(root, leaves[index], index, len(leaves), [*path, bytes(32)])
    assert not verify_compute_path(root, leaves[index], len(leaves), len(leaves), path)
    assert not verify_compute_path(root, leaves[index], -1, len(leaves), path)
    assert not verify_compute_path("no root", leaves[index], index, len(leaves), path)
    if path:
        assert not verify_compute_path(root, leaves[index], index, len(leaves), path[:-1])
        assert not verify_compute_path(root, leaves[index], index, len(leaves), [b"", *path[1:]])


def test_an_odd_end_has_itself_as_sibling() -> None:
    leaves = [sha256(bytes([number])).digest() for number in range(3)]
    root = l1_merkle_root(leaves).hex()
    path = compute_path(leaves, 2)
    assert path[0] == leaves[2]
    # The same root with four leaves: the chain's own weakness, good for position 3 of 4 only.
    assert verify_compute_path(root, leaves[2], 3, 4, path)
    assert not verify_compute_path(root, leaves[2], 3, 3, path)


def test_no_leaf_is_outside(blocks: list[Block]) -> None:
    with pytest.raises(IndexError):
        compute_path([bytes(32)], 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("tx_root", NO_TXS_ROOT), ("compute_root", ""), ("compute_root", "00" * 32)],
)
def test_a_header_that_does_not_cover_its_transactions(
    blocks: list[Block], field: str, value: str
) -> None:
    header = msgspec.structs.replace(blocks[1].header, **{field: value})
    with pytest.raises(L1Malformed, match=field):
        check_roots(msgspec.structs.replace(blocks[1], header=header))


def test_a_result_that_is_none(blocks: list[Block]) -> None:
    tx = msgspec.structs.replace(blocks[2].txs[0], payload={"task_id": None})
    header = msgspec.structs.replace(blocks[2].header, tx_root=tx_root([tx]))
    with pytest.raises(L1Malformed, match="task_id"):
        check_roots(msgspec.structs.replace(blocks[2], txs=(tx,), header=header))


@pytest.mark.parametrize("signature", ["", "zz", "00" * 64])
def test_a_proposer_that_did_not_sign(blocks: list[Block], signature: str) -> None:
    block = msgspec.structs.replace(blocks[0], pq_signature=signature)
    with pytest.raises(L1Malformed, match="proposer"):
        check_proposer(block, [])


def test_every_signed_field_changes_the_hash(blocks: list[Block]) -> None:
    header = blocks[1].header
    for field in Header.__struct_fields__:
        value = getattr(header, field)
        other = value + 1 if isinstance(value, int) else f"{value}0"
        changed = block_digest(msgspec.structs.replace(header, **{field: other}))
        assert (changed == block_digest(header)) is field.startswith("zk_")


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 234, "to_address": "cpc1x1"},
        {"nonce": 1},
        {"payload": {"a": 1.0}},
        {"payload": {"a": True}},
        {"pub_key": "02"},
        {"fee": 1},
    ],
)
def test_only_the_signature_may_differ(
    key: Callable[[int], AccountKey], change: dict[str, Any]
) -> None:
    ours = Transaction(
        tx_type="TRANSFER",
        from_address=key(1).address,
        to_address="cpc1x",
        amount=1234,
        nonce=0,
        payload={"a": 1},
    )
    assert same_transaction(msgspec.structs.replace(ours, signature="ff"), ours)
    assert not same_transaction(msgspec.structs.replace(ours, **change), ours)
