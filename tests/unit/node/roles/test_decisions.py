"""What goes together under one escrow, and what never does, over restarts too."""

import pytest

from node.roles.decisions import SWEEP_MS, Decision, DecisionBook
from node.roles.unclosed import KEEP_MS
from p2p.errors import RequestRefused
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table

ONE, OTHER = "aa" * 32, "bb" * 32
CLAIM, ANOTHER = "11" * 32, "22" * 32
AWARD, SECOND = "33" * 32, "44" * 32

MARKET, OTHERS = "cpc1market", "cpc1others"

SETTLE = ("settle", CLAIM, MARKET)
SETTLE_ANOTHER = ("settle", ANOTHER, MARKET)
REFUND = ("refund",)
UPHELD = ("award", AWARD, CLAIM, False)
OVERTURNED = ("award", AWARD, CLAIM, True)
SECOND_AWARD = ("award", SECOND, CLAIM, False)
AWARD_OF_ANOTHER = ("award", AWARD, ANOTHER, False)

GOES = [
    (SETTLE, SETTLE),
    (REFUND, REFUND),
    (UPHELD, UPHELD),
    (UPHELD, SETTLE),
    (SETTLE, UPHELD),
    (SETTLE, OVERTURNED),
]
NEVER = [
    (SETTLE, SETTLE_ANOTHER, "another end"),
    (SETTLE, REFUND, "another end"),
    (REFUND, SETTLE, "another end"),
    (REFUND, UPHELD, "another end"),
    (SETTLE, AWARD_OF_ANOTHER, "another end"),
    (UPHELD, SECOND_AWARD, "another award"),
    (UPHELD, AWARD_OF_ANOTHER, "another award"),
    (UPHELD, SETTLE_ANOTHER, "another end"),
    (UPHELD, REFUND, "what a jury came to"),
    (OVERTURNED, REFUND, "what a jury came to"),
    (OVERTURNED, SETTLE, "the result is false"),
]


async def decide(book: DecisionBook, what: tuple, escrow: str = ONE) -> None:
    name, *about = what
    if name == "award":
        await book.award(escrow, *about[:2], is_overturned=about[2])
    else:
        await getattr(book, name)(escrow, *about)


@pytest.mark.parametrize(("first", "then"), GOES)
async def test_what_goes_together(first: tuple, then: tuple) -> None:
    store = MemoryStore()
    for one in (first, then):
        async with open_database(store) as db:
            await decide(DecisionBook(db, lambda: 0), one)


@pytest.mark.parametrize(("first", "then", "why"), NEVER)
async def test_what_never_does(first: tuple, then: tuple, why: str) -> None:
    """Also after a restart; about another escrow all is open."""
    store = MemoryStore()
    async with open_database(store) as db:
        await decide(DecisionBook(db, lambda: 0), first)
    async with open_database(store) as db:
        book = DecisionBook(db, lambda: 0)
        with pytest.raises(RequestRefused, match=why):
            await decide(book, then)
        await decide(book, first)
        await decide(book, then, OTHER)


async def test_it_is_durable_before_anything_is_signed() -> None:
    store = MemoryStore()
    async with open_database(store) as db:
        await decide(DecisionBook(db, lambda: 0), OVERTURNED)
        assert [key for key, _ in store.scan(b"", b"\xff" * 8)], "and not only staged"


@pytest.mark.parametrize("done", [(), (UPHELD,), (OVERTURNED,)])
async def test_a_claim_is_signed_again_for_the_market_that_asked_for_it(done: tuple) -> None:
    """And for nobody else, whose account may not even be known."""
    async with open_database(MemoryStore()) as db:
        book = DecisionBook(db, lambda: 0)
        for one in (SETTLE, *done):
            await decide(book, one)
        if done != (OVERTURNED,):
            await book.settle_again([(ONE, CLAIM)], MARKET)
        wrong = [(CLAIM, OTHERS), (CLAIM, ""), (ANOTHER, MARKET)]
        for claim, market in wrong if done != (OVERTURNED,) else [(CLAIM, MARKET)]:
            with pytest.raises(RequestRefused, match="has not signed this claim"):
                await book.settle_again([(ONE, claim)], market)


async def test_one_of_before_there_were_bundles_is_in_none() -> None:
    """It is not known whose it was, and the account of who asks may be unknown, too."""
    async with open_database(MemoryStore()) as db:
        await decide(DecisionBook(db, lambda: 0), ("settle", CLAIM, ""))
        for market in ("", MARKET):
            with pytest.raises(RequestRefused, match="for this market"):
                await DecisionBook(db, lambda: 0).settle_again([(ONE, CLAIM)], market)


async def test_what_is_signed_again_is_durable_too() -> None:
    """A market may ask for both at the same time: the first is staged, and no more."""
    store = MemoryStore()
    async with open_database(store) as db:
        book, batch = DecisionBook(db, lambda: 0), Batch()
        Table(db, "escrow-decisions", Decision).put(
            batch, bytes.fromhex(ONE), Decision(CLAIM, 0, MARKET)
        )
        db.stage(batch)
        await book.settle_again([(ONE, CLAIM)], MARKET)
        assert [key for key, _ in store.scan(b"", b"\xff" * 8)], "and not only staged"


async def test_old_ones_are_forgotten() -> None:
    now = 0
    async with open_database(MemoryStore()) as db:
        book = DecisionBook(db, lambda: now)
        await decide(book, UPHELD)
        now = KEEP_MS + SWEEP_MS
        await decide(book, SETTLE, OTHER)
        await decide(book, SECOND_AWARD)
