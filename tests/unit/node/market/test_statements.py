"""Statements: every movement of an address's accounts, once, in order, page by page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.market.statements import statement_page
from node.settlement.entries import move, posting
from node.settlement.ledger import Ledger
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

MINE, OTHER = "cpc1mine", "cpc1other"
ACCOUNTS = [
    f"{role}:{name}" for role in ("customer", "worker", "validator") for name in (MINE, OTHER)
]


@pytest.fixture
async def ledger():
    async with open_database(MemoryStore()) as db:
        yield Ledger(db)


def post(ledger: Ledger, db_batch: Batch, number: int, *postings) -> None:
    ledger.post(db_batch, cause=f"kind:{number}", kind="kind", postings=postings, at_ms=number)


def pages(ledger: Ledger, limit: int):
    start: int | None = 0
    while start is not None:
        page = statement_page(ledger, MINE, start=start, limit=limit)
        assert len({line.number for line in page.lines}) <= limit
        yield from page.lines
        start = page.next


async def test_an_entry_that_pays_one_twice_makes_two_lines() -> None:
    async with open_database(MemoryStore()) as db:
        ledger, batch = Ledger(db), Batch()
        paid = (posting(f"worker:{MINE}", 2), posting(f"validator:{MINE}", 1), posting("l1", -3))
        post(ledger, batch, 0, *paid)
        db.stage(batch)
        page = statement_page(ledger, MINE, start=0, limit=1)
        assert [(one.number, one.account, one.amount) for one in page.lines] == [
            (0, "worker", 2),
            (0, "validator", 1),
        ]
        assert [(one.kind, one.about, one.at_ms) for one in page.lines] == [("kind", "0", 0)] * 2
        assert page.next is None


@given(st.lists(st.sampled_from(ACCOUNTS), max_size=30), st.integers(1, 7))
async def test_pages_are_the_whole_statement(gainers: list[str], limit: int) -> None:
    async with open_database(MemoryStore()) as db:
        ledger, batch = Ledger(db), Batch()
        for number, account in enumerate(gainers):
            post(ledger, batch, number, *move("l1", account, number + 1))
        db.stage(batch)
        expected = [
            (number, account.partition(":")[0], number + 1)
            for number, account in enumerate(gainers)
            if account.endswith(MINE)
        ]
        shown = [(one.number, one.account, one.amount) for one in pages(ledger, limit)]
        assert shown == expected


async def test_where_tasks_are_paid_from_credit_it_is_in_the_statement(ledger: Ledger) -> None:
    batch = Batch()
    for number, account in enumerate((f"customer:{MINE}", f"credit:{MINE}", f"credit:{OTHER}")):
        post(ledger, batch, number, *move("l1", account, 1))
    shown = []
    for lent in (False, True):
        async with open_database(MemoryStore()) as db:
            db.stage(batch)
            page = statement_page(Ledger(db), MINE, start=0, limit=9, with_credit=lent)
            shown.append([one.account for one in page.lines])
    assert shown == [["customer"], ["customer", "credit"]]


async def test_nobody_has_no_statement(ledger: Ledger) -> None:
    assert statement_page(ledger, "cpc1nobody", start=0, limit=5).lines == ()
