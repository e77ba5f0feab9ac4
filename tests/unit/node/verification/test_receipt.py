"""Receipts: what holds, and that nothing else does, whatever a stranger's file contains."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.envelope import ProofSystem
from node.amounts import Amount
from node.config import load_network
from node.l1.blocks import Block, Header, block_digest, compute_root, tx_root
from node.l1.keys import CURVE_ORDER, AccountKey
from node.l1.transactions import submit_result, transfer
from node.market.tasks import OutcomeRecord
from node.verification.anchors import AnchorBook, AnchorRecord, anchor_in
from node.verification.batches import batch_statement, leaf_of, seal_batch
from node.verification.receipt import (
    MAX_BYTES,
    Receipt,
    ReceiptInvalid,
    Standing,
    decode_receipt,
    encode_receipt,
    verify_receipt,
)
from node.verification.statements import StatementInvalid, seal_result
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CHAIN = "cpc-devnet-1"
PROPOSER, OTHER_PROPOSER = AccountKey(b"\x55" * 32), AccountKey(b"\x56" * 32)
RESULTS, INDEX = 5, 3


def network(*proposers: AccountKey, markets: tuple[str, ...] = ()) -> Any:
    config = load_network()
    keys = tuple(key.public_key.hex() for key in proposers)
    changed = msgspec.structs.replace(config.network, proposer_keys=keys, market_keys=markets)
    return msgspec.structs.replace(config, network=changed)


PINNED = network(PROPOSER)


def block_of(make_author, *batches, **changes: object) -> Block:
    """A block with these batches between other people's transactions."""
    txs = [transfer(PROPOSER.address, 5).signed(OTHER_PROPOSER, 0)]
    for number, batch in enumerate(batches):
        txs.append(submit_result(msgspec.structs.asdict(batch)).signed(account(batch), number))
    fields = {
        "height": 12,
        "prev_hash": "ab" * 32,
        "timestamp": 1_700_000_000,
        "chain_id": CHAIN,
        "proposer_address": PROPOSER.validator_address,
        "round": 0,
        "tx_root": tx_root(txs),
        "state_root": "cd" * 32,
        "compute_root": compute_root(txs),
        "gas_used": 101_000,
        "gas_limit": 10_000_000,
    }
    header = Header(**{**fields, **changes})
    signature = PROPOSER.sign_digest(block_digest(header)).hex()
    return Block(header=header, txs=tuple(txs), pq_signature=signature)


def account(batch) -> AccountKey:
    """The key of the author that sealed the batch: the cast's are numbered."""
    keys = (AccountKey(bytes([number + 100]) * 32) for number in range(20))
    return next(key for key in keys if key.address == batch.worker_address)


@pytest.fixture(scope="module")
def parts(cast, make_author) -> dict[str, Any]:
    """A receipt's way: five results in a batch, three batches in a block."""
    draws = [cast.draw(task_id=f"550e8400-e29b-41d4-a716-44665544000{n}") for n in range(RESULTS)]
    results = [cast.result(draw) for draw in draws]
    draw, result = draws[INDEX], results[INDEX]
    verdicts = tuple(cast.verdict(draw, result, one) for one in cast.validators[:2])
    batches = [
        seal_batch([cast.result(cast.draw(task_id="another"))], make_author(4)),
        seal_batch(results, cast.validators[0]),
        seal_batch([cast.result(cast.draw(task_id="a third"))], make_author(3)),
    ]
    return {
        "draw": draw,
        "result": result,
        "verdicts": verdicts,
        "batch": batches[1],
        "block": block_of(make_author, *batches),
        "leaves": tuple(leaf_of(one, CHAIN) for one in results),
    }


async def receipt_of(cast, parts: dict[str, Any], **changes: Any) -> bytes:
    """Put together as a market does."""
    parts = {**parts, **changes}
    outcome = OutcomeRecord(
        result=parts["result"],
        manifest=cast.manifest(),
        draw=parts["draw"],
        verdicts=parts["verdicts"],
        completed_ms=0,
        batch=parts["batch"].task_id,
        index=INDEX,
    )
    async with open_database(MemoryStore()) as db:
        book, batch = AnchorBook(db, CHAIN), Batch()
        keys = (OTHER_PROPOSER.public_key, PROPOSER.public_key)
        anchor = anchor_in(parts["block"], parts["batch"], keys)
        book.put(batch, AnchorRecord(anchor, parts["leaves"]))
        db.stage(batch)
        assert book.known(parts["batch"].task_id)
        return book.receipt(outcome)


@pytest.fixture
async def receipt(cast, parts) -> bytes:
    return await receipt_of(cast, parts)


def changed(receipt: bytes, *path: str | int, to: object) -> bytes:
    """The receipt with another value at a path, in canonical form."""
    content = json.loads(receipt)
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to(place[path[-1]]) if callable(to) else to
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def refused(data: bytes, config: Any = PINNED) -> ReceiptInvalid:
    with pytest.raises(ReceiptInvalid) as error:
        verify_receipt(data, config)
    return error.value


async def test_a_receipt_holds(receipt, parts) -> None:
    read, standing = verify_receipt(receipt, PINNED)
    assert standing is Standing.ANCHORED
    assert read.result == parts["result"]
    assert (read.place.index, read.place.count) == (INDEX, RESULTS)
    assert (read.anchor.place.index, read.anchor.place.count) == (1, 3)
    assert encode_receipt(read) == receipt
    assert len(receipt) < 10_000


async def test_without_the_proposers_key_it_is_not_anchored(receipt) -> None:
    for config in (network(), network(OTHER_PROPOSER)):
        _, standing = verify_receipt(receipt, config)
        assert standing is Standing.UNANCHORED


async def test_a_pinned_market(receipt, cast) -> None:
    right = network(PROPOSER, markets=(cast.market.identity.peer_id,))
    assert verify_receipt(receipt, right)[1] is Standing.ANCHORED
    wrong = network(PROPOSER, markets=(cast.worker.identity.peer_id,))
    assert "pins other markets" in refused(receipt, wrong).message


async def test_another_chain(receipt) -> None:
    config = msgspec.structs.replace(
        PINNED, network=msgspec.structs.replace(PINNED.network, chain_id="cpc-2")
    )
    assert refused(receipt, config).field == "chain_id"
    refused(changed(receipt, "chain_id", to="cpc-2"), config)


async def test_every_byte_matters(receipt) -> None:
    for position in range(len(receipt)):
        flipped = bytearray(receipt)
        flipped[position] ^= 1
        refused(bytes(flipped))


async def test_every_letter_has_one_case(receipt) -> None:
    for position, byte in enumerate(receipt):
        other = bytes([byte]).swapcase()
        if other != bytes([byte]):
            refused(receipt[:position] + other + receipt[position + 1 :])


async def test_nothing_can_be_inserted_or_left_out(receipt) -> None:
    for position in range(len(receipt) + 1):
        if position % 13 == 0 or set(receipt[position - 1 : position + 1]) & set(b"{}[],:\n"):
            refused(receipt[:position] + b" " + receipt[position:])
    for position in range(0, len(receipt), 13):
        refused(receipt[:position])
        refused(receipt[:position] + receipt[position + 1 :])
    refused(receipt + b"\n")
    refused(receipt + receipt)


async def test_verdicts(receipt, cast, parts) -> None:
    both = json.loads(receipt)["verdicts"]
    assert "too few" in refused(changed(receipt, "verdicts", to=both[:1])).message
    assert "too few" in refused(changed(receipt, "verdicts", to=[])).message
    twice = [both[0], both[0]]
    assert "twice" in refused(changed(receipt, "verdicts", to=twice)).message
    draw, result = parts["draw"], parts["result"]
    third = cast.verdict(draw, result, cast.validators[2])
    found = cast.verdict(draw, result, cast.validators[2], "invalid")
    three = await receipt_of(cast, parts, verdicts=(*parts["verdicts"], third))
    assert verify_receipt(three, PINNED)[1] is Standing.ANCHORED
    mixed = await receipt_of(cast, parts, verdicts=(*parts["verdicts"], found))
    assert "valid verdicts only" in refused(mixed).message


async def test_verdicts_of_strangers_or_about_other_results(cast, make_author, parts) -> None:
    draw, result, one = parts["draw"], parts["result"], parts["verdicts"][0]
    stranger = cast.verdict(draw, result, make_author(9))
    assert "not drawn" in refused(await receipt_of(cast, parts, verdicts=(one, stranger))).message
    about_other = cast.verdict(draw, cast.result(draw, 7), cast.validators[1])
    assert refused(await receipt_of(cast, parts, verdicts=(one, about_other))).field == "verdict"


async def test_another_place_in_the_batch(receipt) -> None:
    for index in (0, INDEX - 1, RESULTS - 1, RESULTS, -1, 2**70):
        assert refused(changed(receipt, "place", "index", to=index)).field == "place"
    assert refused(changed(receipt, "place", "count", to=RESULTS + 1)).field == "place"
    assert refused(changed(receipt, "place", "path", to=lambda path: path[::-1])).field == "place"
    assert refused(changed(receipt, "place", "path", to=[])).field == "place"


async def test_a_batch_of_somebody_else(cast, make_author, parts) -> None:
    """The same results, sealed by another validator who did not get them into the block."""
    results = [
        cast.result(cast.draw(task_id=f"550e8400-e29b-41d4-a716-44665544000{n}"))
        for n in range(RESULTS)
    ]
    other = seal_batch(results, make_author(3))
    data = await receipt_of(cast, parts)
    stolen = changed(data, "anchor", "batch", to=msgspec.to_builtins(other))
    assert refused(stolen).field == "anchor.place"
    unsigned = {**msgspec.to_builtins(parts["batch"]), "worker_address": other.worker_address}
    assert refused(changed(data, "anchor", "batch", to=unsigned)).field == "worker_address"


async def test_a_batch_that_lies_about_its_size(cast, make_author, parts) -> None:
    """Its validator signed another number of results than its root has."""
    author = cast.validators[0]
    wrong = msgspec.structs.replace(parts["batch"], nonce=RESULTS - 1, proof="", signature="")
    statement = batch_statement(wrong, CHAIN)
    sealed = seal_result(wrong, statement, ProofSystem.BATCH, b"", author)
    block = block_of(make_author, sealed)
    data = await receipt_of(cast, parts, batch=sealed, block=block)
    assert refused(data).field == "anchor.batch.nonce"


async def test_another_place_in_the_block(receipt) -> None:
    for index in (0, 2, 3, -1, 2**70):
        assert refused(changed(receipt, "anchor", "place", "index", to=index)).field == (
            "anchor.place"
        )
    assert refused(changed(receipt, "anchor", "place", "path", to=[])).field == "anchor.place"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", 13),
        ("timestamp", 1),
        ("chain_id", "cpc-2"),
        ("round", 1),
        ("gas_used", 1),
        ("state_root", "00" * 32),
        ("prev_hash", "00" * 32),
        ("proposer_address", OTHER_PROPOSER.validator_address),
        ("zk_state_proof_hash", "00" * 32),
        ("zk_compute_proof_hash", ""),
    ],
)
async def test_another_header(receipt, name: str, value: object) -> None:
    refused(changed(receipt, "anchor", "header", name, to=value))


async def test_digits_cannot_wander_between_the_headers_fields(cast, make_author, parts) -> None:
    """The L1 signs the fields without anything between: 12 and 3abc would also be 123 and abc."""
    batch = parts["batch"]
    block = block_of(make_author, batch, prev_hash="3" + "a" * 63)
    data = await receipt_of(cast, parts, block=block)
    assert verify_receipt(data, PINNED)[1] is Standing.ANCHORED
    moved = changed(data, "anchor", "header", "height", to=123)
    moved = changed(moved, "anchor", "header", "prev_hash", to="a" * 63)
    assert refused(moved).field == "anchor.header.prev_hash"
    odd = changed(data, "anchor", "header", "height", to=1233)
    assert refused(changed(odd, "anchor", "header", "prev_hash", to="a" * 62)).field == (
        "anchor.header.prev_hash"
    )


async def test_the_proposers_signature_has_one_form(receipt, cast, make_author, parts) -> None:
    """The chain takes both values of s, and zeros before it; a receipt only the low one."""

    def high(signature: str) -> str:
        s = CURVE_ORDER - int(signature[64:], 16)
        return signature[:64] + s.to_bytes(32, "big").hex()

    def padded(signature: str) -> str:
        return signature[:64] + "00" + signature[64:]

    for form in (high, padded):
        other = changed(receipt, "anchor", "proposer_signature", to=form)
        assert refused(other).field == "anchor.proposer_signature"
        block = parts["block"]
        block = msgspec.structs.replace(block, pq_signature=form(block.pq_signature))
        assert await receipt_of(cast, parts, block=block) == receipt


async def test_unsigned_header_fields_do_not_reach_a_receipt(receipt, cast, parts) -> None:
    block = parts["block"]
    header = msgspec.structs.replace(block.header, zk_state_proof_hash="ee" * 32)
    block = msgspec.structs.replace(block, header=header)
    assert await receipt_of(cast, parts, block=block) == receipt


async def test_anchors_of_what_is_not_in_the_block(cast, make_author, parts) -> None:
    block, batch = parts["block"], parts["batch"]
    keys = (PROPOSER.public_key,)
    other = seal_batch([cast.result(cast.draw())], make_author(3))
    with pytest.raises(StatementInvalid, match="does not hold"):
        anchor_in(block, other, keys)
    with pytest.raises(StatementInvalid, match="no known proposer"):
        anchor_in(block, batch, (OTHER_PROPOSER.public_key,))
    with pytest.raises(StatementInvalid, match="no known proposer"):
        anchor_in(block, batch, ())
    lied = msgspec.structs.replace(block.header, compute_root="00" * 32)
    with pytest.raises(StatementInvalid, match="does not cover"):
        anchor_in(msgspec.structs.replace(block, header=lied), batch, keys)
    anchor = anchor_in(block, batch, keys)
    async with open_database(MemoryStore()) as db:
        for leaves in (parts["leaves"][:-1], (), tuple(reversed(parts["leaves"]))):
            with pytest.raises(StatementInvalid, match="another root"):
                AnchorBook(db, CHAIN).put(Batch(), AnchorRecord(anchor, leaves))


async def test_another_draw(receipt, cast) -> None:
    for name, value in (("reward", str(10**20)), ("needed", 1), ("epoch", 2), ("seats", [])):
        assert refused(changed(receipt, "draw", name, to=value)).field == "draw.signature"
    resigned = cast.draw(task_id=json.loads(receipt)["draw"]["task_id"], reward=Amount(1))
    signature = resigned.signature.hex()
    cheaper = changed(receipt, "draw", "reward", to="1")
    cheaper = changed(cheaper, "draw", "signature", to=signature)
    assert verify_receipt(cheaper, PINNED)[1] is Standing.ANCHORED  # the market's word counts


async def test_a_bound_on_the_size(receipt) -> None:
    assert "larger" in refused(b" " * (MAX_BYTES + 1)).message
    refused(b"[" * MAX_BYTES)
    refused(b'{"format":' + b"9" * (MAX_BYTES - 20) + b"}")
    refused(b"[" * 500_000 + b"]" * 500_000)
    many = changed(receipt, "verdicts", to=lambda both: both * 700)
    assert len(many) < MAX_BYTES
    assert "twice" in refused(many).message


HOSTILE = [
    b"",
    b"null",
    b"0",
    b'"x"',
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"NaN",
    b'{"a":1,"a":2}',
    b'{"\\ud800":1}',
    b"9" * 5000,
    b"-" + b"9" * 5000,
    b"1e999",
    b'{"format":"tmnode-receipt-1"}',
]


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_files(data: bytes) -> None:
    refused(data)


def test_every_hostile_value_in_every_place(cast, parts) -> None:
    """One place after the other is replaced: ReceiptInvalid, never another error."""
    anchor = anchor_in(parts["block"], parts["batch"], (PROPOSER.public_key,))
    receipt = encode_receipt(
        Receipt(
            format="tmnode-receipt-1",
            chain_id=CHAIN,
            draw=parts["draw"],
            result=parts["result"],
            manifest=cast.manifest(),
            verdicts=parts["verdicts"],
            place=anchor.place,
            anchor=anchor,
        )
    )
    values = [None, True, -1, 2**63, 2**64, 10**400, 1.5, "", "\ud800", "zz", "AB", [], [[]], {}]
    for path in paths(json.loads(receipt)):
        for value in values:
            refused(changed(receipt, *path, to=value))


def paths(value: Any, *before: str | int) -> list[tuple[str | int, ...]]:
    """The way to every value inside, containers too."""
    found = [before] if before else []
    if isinstance(value, dict):
        items = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    for step, inner in items:
        found += paths(inner, *before, step)
    return found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(value=json_values)
def test_any_json_is_refused(value: Any) -> None:
    refused(json.dumps(value).encode())


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ReceiptInvalid):
        decode_receipt(data)
