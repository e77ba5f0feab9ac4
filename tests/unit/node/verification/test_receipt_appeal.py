"""The ruling in a receipt: checked offline, down to who was to judge."""

import json
from typing import Any

import msgspec
import pytest

from node.amounts import Amount
from node.config import load_network
from node.l1.blocks import Block, Header, block_digest, compute_root, tx_root
from node.l1.keys import AccountKey
from node.l1.transactions import submit_result
from node.market.appealbook import AppealRecord
from node.market.outcomes import JobOutcome, OutcomeRecord
from node.verification.anchors import AnchorBook, AnchorRecord, anchor_in
from node.verification.batches import leaf_of, seal_batch
from node.verification.juries import JuryJob, draw_jury
from node.verification.receipt import ReceiptInvalid, encode_receipt
from node.verification.receipt_appeal import agreeing
from node.verification.receipt_check import Standing, verify_receipt
from node.verification.snapshots import snapshot_digest
from node.verification.stakes import Stake, sign_stakes
from node.verification.statements import Judgement
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CHAIN = "cpc-devnet-1"
PROPOSER = AccountKey(b"\x55" * 32)
OTHER = b"x" * 32


def network() -> Any:
    config = load_network()
    keys = (PROPOSER.public_key.hex(),)
    changed = msgspec.structs.replace(config.network, proposer_keys=keys)
    return msgspec.structs.replace(config, network=changed)


NETWORK = network()


class Case:
    """A result that is anchored, a jury of three about it, and what they say."""

    def __init__(self, cast: Any, jurors: list[Any]) -> None:
        self.cast, self.jurors = cast, jurors
        self.draw = cast.draw()
        self.result = cast.result(self.draw)
        self.claimed = bytes.fromhex(self.result.result_hash)
        self.snapshot = cast.snapshot(*jurors)
        self.jury = cast.jury(*jurors)

    def seated(self) -> list[Any]:
        keys = [seat.key for seat in self.jury.seats]
        return [next(o for o in self.jurors if o.identity.public_key == key) for key in keys]

    def rulings(self, *hashes: bytes) -> tuple[Any, ...]:
        pairs = zip(self.seated(), hashes, strict=False)
        return tuple(self.cast.ruling(self.jury, juror, one) for juror, one in pairs)

    def _block(self, batch: Any) -> Block:
        tx = submit_result(msgspec.structs.asdict(batch)).signed(AccountKey(bytes([102]) * 32), 0)
        header = Header(
            height=12,
            prev_hash="ab" * 32,
            timestamp=1_700_000_000,
            chain_id=CHAIN,
            proposer_address=PROPOSER.validator_address,
            round=0,
            tx_root=tx_root([tx]),
            state_root="cd" * 32,
            compute_root=compute_root([tx]),
            gas_used=1,
            gas_limit=10_000_000,
        )
        signature = PROPOSER.sign_digest(block_digest(header)).hex()
        return Block(header=header, txs=(tx,), pq_signature=signature)

    async def receipt(self, outcome: Any, *hashes: bytes, **changes: Any) -> bytes:
        cast, batch = self.cast, seal_batch([self.result], self.cast.validators[0])
        verdicts = tuple(cast.verdict(self.draw, self.result, one) for one in cast.validators[:2])
        judgement = Judgement(self.draw, self.result, cast.manifest(), verdicts)
        record = OutcomeRecord((JobOutcome(judgement, batch.task_id, 0),), 0, "cpc1o", ())
        appeal = AppealRecord(
            self.draw.task_id,
            "cpc1c",
            "why",
            5,
            self.jury,
            (self.claimed,),
            self.rulings(*hashes),
            outcome=outcome,
        )
        known = {snapshot_digest(one, CHAIN): one for one in (cast.snapshot(), self.snapshot)}
        async with open_database(MemoryStore()) as db:
            book, stored = AnchorBook(db, CHAIN), Batch()
            anchor = anchor_in(self._block(batch), batch, (PROPOSER.public_key,))
            book.put(stored, AnchorRecord(anchor, (leaf_of(self.result, CHAIN),)))
            db.stage(stored)
            appeal = msgspec.structs.replace(appeal, **changes)
            return book.receipt(record, known.get, appeal)


@pytest.fixture
def case(cast, make_author) -> Case:
    return Case(cast, [make_author(number) for number in (11, 12, 13, 14)])


def refused(data: bytes) -> ReceiptInvalid:
    with pytest.raises(ReceiptInvalid) as error:
        verify_receipt(data, NETWORK)
    return error.value


async def test_an_upheld_result_is_anchored_as_any_other(case) -> None:
    data = await case.receipt("upheld", case.claimed, case.claimed)
    receipt, standing = verify_receipt(data, NETWORK)
    assert standing is Standing.ANCHORED
    assert receipt.appeal.outcome == "upheld"
    assert encode_receipt(receipt) == data


async def test_an_overturned_result_is_never_anchored(case) -> None:
    data = await case.receipt("overturned", OTHER, case.claimed, OTHER)
    assert verify_receipt(data, NETWORK)[1] is Standing.OVERTURNED


@pytest.mark.parametrize("outcome", [None, "inconclusive"])
async def test_where_no_jury_decided_there_is_nothing_to_show(case, outcome) -> None:
    data = await case.receipt(outcome, OTHER)
    receipt, standing = verify_receipt(data, NETWORK)
    assert (receipt.appeal, standing) == (None, Standing.ANCHORED)
    assert b'"appeal"' not in data, "receipts from before there were appeals are as they were"


async def test_every_byte_of_a_ruling_matters(case) -> None:
    data = await case.receipt("overturned", OTHER, OTHER)
    start = data.index(b'"appeal"')
    for position in (*range(start, len(data), 5), len(data) - 1):
        flipped = bytearray(data)
        flipped[position] ^= 1
        refused(bytes(flipped))


async def test_the_rulings_come_to_what_it_says(case) -> None:
    for outcome, hashes in (
        ("upheld", (OTHER, OTHER)),
        ("overturned", (case.claimed, case.claimed)),
        ("overturned", (OTHER,)),
        ("overturned", ()),
        ("upheld", (case.claimed, OTHER)),
        ("overturned", (OTHER, b"y" * 32, b"z" * 32)),
    ):
        error = refused(await case.receipt(outcome, *hashes))
        assert error.field == "appeal.outcome", (outcome, hashes)


async def test_a_ruling_that_stands_twice(case) -> None:
    one = case.rulings(OTHER)
    error = refused(await case.receipt("overturned", rulings=(*one, *one)))
    assert error.field == "appeal.rulings"


async def test_who_may_not_judge(case, cast) -> None:
    """Whoever sat in the draw, or has an address of theirs or of the worker, by the market's own
    signature: it left them in."""
    for excluded in ((), case.jury.excluded[:2]):
        asked = {"task_id": case.draw.task_id, "epoch": 1, "kind": "synthetic", "size": 3}
        drawn = draw_jury(case.snapshot, **asked, beacon=case.jury.beacon, excluded=excluded)
        seats = tuple(type(case.jury.seats[0])(one.key, one.address) for one in drawn)
        if not {seat.key for seat in seats} & {seat.key for seat in case.draw.seats}:
            continue
        case.jurors = [*case.jurors, *cast.validators]
        case.jury = cast.jury(*case.jurors[:4], excluded=excluded, seats=seats)
        error = refused(await case.receipt("overturned", OTHER, OTHER))
        assert error.field == "appeal.jury.seats"
        return
    raise AssertionError("nobody of the draw would have been in the jury")


async def test_the_jury_is_about_this_task_and_these_results(case, cast) -> None:
    jurors = case.jurors
    for change, field in (
        ({"parameters": b"p"}, "appeal.jury"),
        ({"jobs": (JuryJob(7, cast.worker.address),)}, "appeal.jury.jobs"),
        ({"jobs": (JuryJob(6, "cpc1other"),)}, "appeal.jury.jobs"),
        ({"needed": 1}, "appeal.jury.needed"),
    ):
        case.jury = cast.jury(*jurors, **change)
        assert refused(await case.receipt("overturned", OTHER, OTHER)).field == field


async def test_a_snapshot_that_the_jury_does_not_follow_from(case) -> None:
    data = json.loads(await case.receipt("overturned", OTHER, OTHER))
    data["appeal"]["snapshot"] = data["snapshots"][0]
    changed = json.dumps(data, separators=(",", ":")).encode() + b"\n"
    assert refused(changed).field == "appeal.snapshot" or "snapshot" in refused(changed).message


def stakes_of(case: Case, *addresses: str) -> Any:
    stakes = [Stake(one, Amount(10**18), Amount(7)) for one in addresses]
    return sign_stakes(case.jury, stakes, CHAIN, case.cast.market.identity)


async def test_what_was_at_stake_of_all_who_answer_for_it(case, cast) -> None:
    """The worker and the two that signed `valid`, and nobody else."""
    answer = [cast.worker.address, *(one.address for one in cast.validators[:2])]
    stakes = stakes_of(case, *answer)
    data = await case.receipt("overturned", OTHER, OTHER, stakes=stakes)
    receipt, standing = verify_receipt(data, NETWORK)
    assert standing is Standing.OVERTURNED
    assert {one.address for one in receipt.appeal.stakes.stakes} == set(answer)
    assert encode_receipt(receipt) == data
    for others in (answer[:2], [*answer, cast.validators[2].address], []):
        data = await case.receipt("overturned", OTHER, OTHER, stakes=stakes_of(case, *others))
        assert refused(data).field == "appeal.stakes"
    data = await case.receipt("upheld", case.claimed, case.claimed, stakes=stakes)
    assert refused(data).field == "appeal.stakes"


async def test_receipts_from_before_there_were_stakes_are_as_they_were(case) -> None:
    assert b'"stakes"' not in await case.receipt("overturned", OTHER, OTHER)


async def test_who_is_paid_for_a_ruling(case) -> None:
    data = await case.receipt("overturned", OTHER, case.claimed, OTHER)
    receipt, _ = verify_receipt(data, NETWORK)
    first, _, third = case.seated()
    assert agreeing(receipt, receipt.appeal) == (first.address, third.address)
