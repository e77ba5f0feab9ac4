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
from node.errors import Conflict
from node.l1.blocks import Block, Header, block_digest, compute_root, tx_root
from node.l1.keys import CURVE_ORDER, AccountKey
from node.l1.transactions import submit_result, transfer
from node.market.outcomes import JobOutcome, OutcomeRecord
from node.verification.anchors import AnchorBook, AnchorRecord, anchor_in
from node.verification.batches import batch_statement, leaf_of, seal_batch
from node.verification.claims import StatementInvalid
from node.verification.draws import Pass, Seat
from node.verification.evidence import Evidence
from node.verification.jsonable import to_jsonable
from node.verification.receipt import (
    FORMAT,
    MAX_BYTES,
    ReceiptInvalid,
    decode_receipt,
    encode_receipt,
    result_hash_of,
)
from node.verification.receipt_check import Standing, verify_receipt
from node.verification.snapshots import draw_from, snapshot_digest
from node.verification.statements import Judgement, seal_result
from storage.database import open_database
from storage.memory import MemoryStore
from storage.merkle import merkle_root
from storage.store import Batch

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"
PROPOSER, OTHER_PROPOSER = AccountKey(b"\x55" * 32), AccountKey(b"\x56" * 32)
RESULTS, INDEX = 5, 3


def network(*proposers: AccountKey, markets: tuple[str, ...] = ()) -> Any:
    config = load_network()
    keys = tuple(key.public_key.hex() for key in proposers)
    changed = msgspec.structs.replace(config.network, proposer_keys=keys, market_keys=markets)
    return msgspec.structs.replace(config, network=changed)


PINNED = network(PROPOSER)


def block_of(_make_author, *batches, by: AccountKey = PROPOSER, **changes: object) -> Block:
    """A block with these batches between other people's transactions."""
    txs = [transfer(PROPOSER.address, 5).signed(OTHER_PROPOSER, 0)]
    for number, batch in enumerate(batches):
        txs.append(submit_result(msgspec.structs.asdict(batch)).signed(account(batch), number))
    fields = {
        "height": 12,
        "prev_hash": "ab" * 32,
        "timestamp": 1_700_000_000,
        "chain_id": CHAIN,
        "proposer_address": by.validator_address,
        "round": 0,
        "tx_root": tx_root(txs),
        "state_root": "cd" * 32,
        "compute_root": compute_root(txs),
        "gas_used": 101_000,
        "gas_limit": 10_000_000,
    }
    header = Header(**{**fields, **changes})
    signature = by.sign_digest(block_digest(header)).hex()
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
    judgement = Judgement(parts["draw"], parts["result"], cast.manifest(), parts["verdicts"])
    outcome = outcome_of(JobOutcome(judgement, parts["batch"].task_id, INDEX))
    return await assembled(outcome, [parts], [cast.snapshot()])


def outcome_of(*jobs: JobOutcome) -> OutcomeRecord:
    return OutcomeRecord(jobs, completed_ms=0, orchestrator="cpc1o", checks=())


async def assembled(
    outcome: OutcomeRecord, batches: list[dict[str, Any]], snapshots: list[Any]
) -> bytes:
    """The receipt of an outcome under these batches of one block, or of several."""
    found = {snapshot_digest(one, CHAIN): one for one in snapshots}
    async with open_database(MemoryStore()) as db:
        book, batch = AnchorBook(db, CHAIN), Batch()
        keys = (OTHER_PROPOSER.public_key, PROPOSER.public_key)
        for parts in batches:
            anchor = anchor_in(parts["block"], parts["batch"], keys)
            book.put(batch, AnchorRecord(anchor, parts["leaves"]))
        db.stage(batch)
        assert all(book.known(parts["batch"].task_id) for parts in batches)
        return book.receipt(outcome, found.get)


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
    assert read.results == (parts["result"],)
    assert (read.jobs[0].place.index, read.jobs[0].place.count) == (INDEX, RESULTS)
    assert (read.anchors[0].place.index, read.anchors[0].place.count) == (1, 3)
    assert encode_receipt(read) == receipt
    assert len(receipt) < 10_000


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
async def test_every_result_of_a_batch_has_a_receipt_down_to_the_header(
    cast, make_author, size: int
) -> None:
    draws = [cast.draw(task_id=f"550e8400-e29b-41d4-a716-4466554400{n:02}") for n in range(size)]
    results = [cast.result(draw) for draw in draws]
    batch = seal_batch(results, cast.validators[0])
    common = {
        "batch": batch,
        "block": block_of(make_author, batch),
        "leaves": tuple(leaf_of(one, CHAIN) for one in results),
    }
    for index, (draw, result) in enumerate(zip(draws, results, strict=True)):
        verdicts = tuple(cast.verdict(draw, result, one) for one in cast.validators[:2])
        judgement = Judgement(draw, result, cast.manifest(), verdicts)
        for place in {index, (index + 1) % size}:
            outcome = outcome_of(JobOutcome(judgement, batch.task_id, place))
            receipt = await assembled(outcome, [common], [cast.snapshot()])
            if place == index:
                read, standing = verify_receipt(receipt, PINNED)
                assert (standing, read.results) == (Standing.ANCHORED, (result,))
            else:  # another result's place in the same batch
                assert refused(receipt).field is not None


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


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.full)])
async def test_every_byte_matters(receipt, every: int) -> None:
    for position in range(0, len(receipt), every):
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
    both = json.loads(receipt)["jobs"][0]["verdicts"]
    assert "too few" in refused(changed(receipt, "jobs", 0, "verdicts", to=both[:1])).message
    assert "too few" in refused(changed(receipt, "jobs", 0, "verdicts", to=[])).message
    twice = [both[0], both[0]]
    assert "twice" in refused(changed(receipt, "jobs", 0, "verdicts", to=twice)).message
    draw, result = parts["draw"], parts["result"]
    third = cast.verdict(draw, result, cast.validators[2])
    found = cast.verdict(draw, result, cast.validators[2], "invalid")
    three = await receipt_of(cast, parts, verdicts=(*parts["verdicts"], third))
    assert verify_receipt(three, PINNED)[1] is Standing.ANCHORED
    mixed = await receipt_of(cast, parts, verdicts=(*parts["verdicts"], found))
    assert mixed == receipt  # who found something else is paid, and no part of the proof
    with_it = changed(receipt, "jobs", 0, "verdicts", to=[*both, to_jsonable(found)])
    assert "valid verdicts only" in refused(with_it).message


async def test_verdicts_of_strangers_or_about_other_results(cast, make_author, parts) -> None:
    draw, result, one = parts["draw"], parts["result"], parts["verdicts"][0]
    stranger = cast.verdict(draw, result, make_author(9))
    assert "not drawn" in refused(await receipt_of(cast, parts, verdicts=(one, stranger))).message
    about_other = cast.verdict(draw, cast.result(draw, 7), cast.validators[1])
    assert refused(await receipt_of(cast, parts, verdicts=(one, about_other))).field == "verdict"


async def test_another_place_in_the_batch(receipt) -> None:
    for index in (0, INDEX - 1, RESULTS - 1, RESULTS, -1, 2**70):
        assert refused(changed(receipt, "jobs", 0, "place", "index", to=index)).field == "place"
    assert refused(changed(receipt, "jobs", 0, "place", "count", to=RESULTS + 1)).field == "place"
    assert (
        refused(changed(receipt, "jobs", 0, "place", "path", to=lambda path: path[::-1])).field
        == "place"
    )
    assert refused(changed(receipt, "jobs", 0, "place", "path", to=[])).field == "place"


async def test_a_batch_of_somebody_else(cast, make_author, parts) -> None:
    """The same results, sealed by another validator who did not get them into the block."""
    results = [
        cast.result(cast.draw(task_id=f"550e8400-e29b-41d4-a716-44665544000{n}"))
        for n in range(RESULTS)
    ]
    other = seal_batch(results, make_author(3))
    data = await receipt_of(cast, parts)
    stolen = changed(data, "anchors", 0, "batch", to=msgspec.to_builtins(other))
    assert refused(stolen).field == "anchor.place"
    unsigned = {**msgspec.to_builtins(parts["batch"]), "worker_address": other.worker_address}
    assert refused(changed(data, "anchors", 0, "batch", to=unsigned)).field == "worker_address"


async def test_a_batch_that_lies_about_its_size(cast, make_author, parts) -> None:
    """Its validator signed another number of results than its root has."""
    author = cast.validators[0]
    wrong = msgspec.structs.replace(parts["batch"], nonce=RESULTS - 1, proof="", signature="")
    statement = batch_statement(wrong, CHAIN)
    sealed = seal_result(wrong, statement, Evidence(ProofSystem.BATCH), author)
    block = block_of(make_author, sealed)
    data = await receipt_of(cast, parts, batch=sealed, block=block)
    assert refused(data).field == "anchor.batch.nonce"


async def test_another_place_in_the_block(receipt) -> None:
    for index in (0, 2, 3, -1, 2**70):
        assert refused(changed(receipt, "anchors", 0, "place", "index", to=index)).field == (
            "anchor.place"
        )
    assert refused(changed(receipt, "anchors", 0, "place", "path", to=[])).field == "anchor.place"


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
    refused(changed(receipt, "anchors", 0, "header", name, to=value))


async def test_digits_cannot_wander_between_the_headers_fields(cast, make_author, parts) -> None:
    """The L1 signs the fields without anything between: 12 and 3abc would also be 123 and abc."""
    batch = parts["batch"]
    block = block_of(make_author, batch, prev_hash="3" + "a" * 63)
    data = await receipt_of(cast, parts, block=block)
    assert verify_receipt(data, PINNED)[1] is Standing.ANCHORED
    moved = changed(data, "anchors", 0, "header", "height", to=123)
    moved = changed(moved, "anchors", 0, "header", "prev_hash", to="a" * 63)
    assert refused(moved).field == "anchor.header.prev_hash"
    odd = changed(data, "anchors", 0, "header", "height", to=1233)
    assert refused(changed(odd, "anchors", 0, "header", "prev_hash", to="a" * 62)).field == (
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
        other = changed(receipt, "anchors", 0, "proposer_signature", to=form)
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
        assert refused(changed(receipt, "draws", 0, name, to=value)).field == "draw.signature"
    resigned = cast.draw(task_id=json.loads(receipt)["draws"][0]["task_id"], reward=Amount(1))
    signature = resigned.signature.hex()
    cheaper = changed(receipt, "draws", 0, "reward", to="1")
    cheaper = changed(cheaper, "draws", 0, "signature", to=signature)
    assert verify_receipt(cheaper, PINNED)[1] is Standing.ANCHORED  # the market's word counts


async def test_a_bound_on_the_size(receipt) -> None:
    assert "larger" in refused(b" " * (MAX_BYTES + 1)).message
    refused(b"[" * MAX_BYTES)
    refused(b'{"format":' + b"9" * (MAX_BYTES - 20) + b"}")
    refused(b"[" * 500_000 + b"]" * 500_000)
    many = changed(receipt, "jobs", 0, "verdicts", to=lambda both: both * 700)
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
    b'{"format":"tmnode-receipt-2"}',
]


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_files(data: bytes) -> None:
    refused(data)


async def test_every_hostile_value_in_every_place(receipt) -> None:
    """One place after the other is replaced: ReceiptInvalid, never another error."""
    values = [None, True, -1, 2**63, 2**64, 10**400, 1.5, "", "\ud800", "zz", "AB", [], [[]], {}]
    for path in paths(json.loads(receipt)):
        for value in values:
            data = changed(receipt, *path, to=value)
            if data != receipt:
                refused(data)


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


# --- several jobs --------------------------------------------------------------------------------

JOBS = 3


@pytest.fixture(scope="module")
def several(cast, make_author, parameters) -> dict[str, Any]:
    """Three jobs: the first judged under the epoch's first draw, the others after a seat was
    filled anew; the last one came under another batch, in another block."""
    fourth = make_author(11)
    snapshots = (cast.snapshot(fourth), cast.snapshot(fourth, make_author(12), number=8))
    work = parameters(JOBS)
    first = drawn(cast, snapshots[0], parameters=work)
    passed = Pass(1, first.seats[2].key, "check", "no_reveal", 1_700_000_000_500)
    second = drawn(cast, snapshots[1], parameters=work, redraw=1, passed=(passed,))
    people = {one.identity.public_key: one for one in (*cast.validators, fourth, make_author(12))}
    judgements = []
    for job, draw in enumerate((first, second, second)):
        result = cast.result(draw, (job << 16) + 6)
        bare = Judgement(draw, result, cast.manifest(work), ())
        seated = [people[seat.key] for seat in draw.seats[:2]]
        verdicts = tuple(cast.verdict(draw, result, one) for one in seated)
        judgements.append(msgspec.structs.replace(bare, verdicts=verdicts))
    results = [one.result for one in judgements]
    batches = []
    for number, own in enumerate((results[:2], results[2:])):
        sealed = seal_batch(own, cast.validators[0])
        block = block_of(make_author, sealed, height=12 + number)
        leaves = tuple(leaf_of(one, CHAIN) for one in own)
        batches.append({"batch": sealed, "block": block, "leaves": leaves})
    places = [(batches[0], 0), (batches[0], 1), (batches[1], 0)]
    jobs = tuple(
        JobOutcome(one, place["batch"].task_id, index)
        for one, (place, index) in zip(judgements, places, strict=True)
    )
    return {"outcome": outcome_of(*jobs), "batches": batches, "snapshots": snapshots}


def drawn(cast, snapshot, **changes: Any) -> Any:
    """A draw whose seats follow from the snapshot, with the usual orchestrator first."""
    fields = {"task_id": TASK, "epoch": 1, "kind": "synthetic", "passed": (), **changes}
    passed = {one.key for one in fields["passed"]}
    asked = {name: fields[name] for name in ("task_id", "epoch", "kind")}
    seats = draw_from(snapshot, size=3, passed=passed, **asked)
    first = cast.orchestrator_of(snapshot)
    ordered = sorted(seats, key=lambda one: one.key != first)
    return cast.draw(
        **fields,
        snapshot=snapshot_digest(snapshot, CHAIN),
        seats=tuple(Seat(one.key, one.address) for one in ordered),
    )


@pytest.fixture
async def large(several) -> bytes:
    return await assembled(several["outcome"], several["batches"], several["snapshots"])


async def test_a_receipt_of_several_jobs(large, several) -> None:
    read, standing = verify_receipt(large, PINNED)
    assert standing is Standing.ANCHORED
    assert [(job.draw, job.anchor) for job in read.jobs] == [(0, 0), (1, 0), (1, 1)]
    assert read.snapshots == several["snapshots"]
    assert result_hash_of(read.results) == merkle_root(
        [bytes.fromhex(one.result_hash) for one in read.results]
    )
    assert len(large) < 30_000


@pytest.mark.parametrize("every", [19, pytest.param(3, marks=pytest.mark.full)])
async def test_every_part_of_it_matters(large, every: int) -> None:
    for position in range(0, len(large), every):
        flipped = bytearray(large)
        flipped[position] ^= 1
        refused(bytes(flipped))


async def test_all_of_its_proposers_must_be_pinned(large, several, make_author) -> None:
    other = block_of(make_author, several["batches"][1]["batch"], by=OTHER_PROPOSER)
    mixed = [several["batches"][0], {**several["batches"][1], "block": other}]
    data = await assembled(several["outcome"], mixed, several["snapshots"])
    assert verify_receipt(data, PINNED)[1] is Standing.UNANCHORED
    both = network(PROPOSER, OTHER_PROPOSER)
    assert verify_receipt(data, both)[1] is Standing.ANCHORED


async def test_jobs_are_exactly_those_of_the_plan(large) -> None:
    jobs = json.loads(large)["jobs"]
    for other in (jobs[:2], jobs[::-1], [jobs[0], jobs[0], jobs[2]], [*jobs, jobs[2]], []):
        refused(changed(large, "jobs", to=other))
    content = json.loads(large)
    one = {**content, "jobs": jobs[:1], "draws": content["draws"][:1]}
    one |= {"snapshots": content["snapshots"][:1], "anchors": content["anchors"][:1]}
    data = json.dumps(one, separators=(",", ":")).encode() + b"\n"
    assert refused(data).field == "jobs"


@pytest.mark.parametrize("field", ["snapshots", "draws", "anchors"])
async def test_nothing_stands_there_that_is_not_needed(large, receipt, field: str) -> None:
    parts = json.loads(large)[field]
    for other in (parts[::-1], [*parts, parts[0]], parts[:1], [parts[0], parts[0]], []):
        refused(changed(large, field, to=other))
    stranger = json.loads(receipt)[field][0]
    refused(changed(large, field, to=[*parts, stranger]))


async def test_a_place_that_is_not_there(large) -> None:
    for field in ("draw", "anchor"):
        for number in (2, 9, -1, 2**62):
            refused(changed(large, "jobs", 2, field, to=number))
    assert refused(changed(large, "jobs", 1, "draw", to=0)).field == "verdict"


async def test_seats_must_follow_from_the_snapshot(cast, parts, make_author) -> None:
    """The market's signature is not enough: nobody chooses who checks."""
    wide = cast.snapshot(make_author(11), make_author(12))
    chosen = parts["draw"].seats
    draw = cast.draw(snapshot=snapshot_digest(wide, CHAIN), seats=chosen[:2])
    assert refused(await under(cast, parts, draw, wide)).field == "draw.seats"
    few = cast.draw(seats=chosen[:2])
    assert refused(await under(cast, parts, few, cast.snapshot())).field == "draw.seats"
    other = cast.snapshot(number=9, market_key=b"")
    stolen = msgspec.structs.replace(other, market_key=make_author(9).identity.public_key)
    draw = cast.draw(snapshot=snapshot_digest(stolen, CHAIN))
    assert refused(await under(cast, parts, draw, stolen)).field == "snapshot.signature"


async def test_a_quorum_below_the_networks(cast, parts) -> None:
    draw = cast.draw(needed=1)
    assert refused(await under(cast, parts, draw, cast.snapshot())).field == "draw.needed"


async def test_whoever_is_passed_over_refused_or_was_waited_for(cast, parts, make_author) -> None:
    snapshot = cast.snapshot(make_author(11), make_author(12))
    gone = Pass(1, make_author(11).identity.public_key, "check", "refused", 5)
    draw = cast.draw(snapshot=snapshot_digest(snapshot, CHAIN), passed=(gone,))
    assert refused(await under(cast, parts, draw, snapshot)).field == "passed"


async def under(cast, parts: dict[str, Any], draw: Any, snapshot: Any) -> bytes:
    """A receipt with one result under this draw."""
    result = cast.result(draw)
    verdicts = tuple(cast.verdict(draw, result, one) for one in cast.validators[:2])
    sealed = seal_batch([result], cast.validators[0])
    block = block_of(None, sealed)
    judgement = Judgement(draw, result, cast.manifest(draw.parameters), verdicts)
    outcome = outcome_of(JobOutcome(judgement, sealed.task_id, 0))
    batch = {"batch": sealed, "block": block, "leaves": (leaf_of(result, CHAIN),)}
    return await assembled(outcome, [batch], [snapshot])


async def test_draws_of_one_task_and_epoch(cast, several) -> None:
    """Jobs of different epochs make no result, whoever signed them."""
    outcome = several["outcome"]
    for change in ({"epoch": 2}, {"reward": Amount(5)}, {"needed": 3}):
        last = outcome.jobs[2]
        draw = drawn(
            cast, several["snapshots"][1], parameters=last.judgement.draw.parameters, **change
        )
        judgement = msgspec.structs.replace(last.judgement, draw=draw)
        job = msgspec.structs.replace(last, judgement=judgement)
        mixed = msgspec.structs.replace(outcome, jobs=(*outcome.jobs[:2], job))
        data = await assembled(mixed, several["batches"], several["snapshots"])
        assert refused(data).field == "draws"


async def test_a_receipt_without_its_batch_or_snapshot_is_not_made(several) -> None:
    for batches, snapshots in (
        (several["batches"][:1], several["snapshots"]),
        (several["batches"], several["snapshots"][:1]),
    ):
        with pytest.raises(Conflict):
            await assembled(several["outcome"], batches, snapshots)


def test_the_format_has_its_number() -> None:
    assert FORMAT == "tmnode-receipt-2"
