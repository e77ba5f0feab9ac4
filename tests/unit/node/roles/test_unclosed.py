"""What a validator signed, until the chain says that it is closed."""

from typing import Any, cast

import pytest

from node.amounts import Amount
from node.deadlines import UNCLOSED_S
from node.l1.errors import L1Unavailable
from node.l1.escrow import AppealView, EscrowView, Opening
from node.roles import unclosed
from node.roles.unclosed import KEEP_MS, Signed, UnclosedEscrows
from storage.database import open_database
from storage.memory import MemoryStore

WINDOW_S = 5.0
LIMIT_MS = round((WINDOW_S + UNCLOSED_S) * 1000)


class Chain:
    """Escrows by their ids, and what was asked."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.appeal: AppealView | None = None
        self.asked: list[str] = []
        self.away = False

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        self.asked.append(escrow_id)
        if self.away:
            raise L1Unavailable("away")
        is_open = escrow_id in self.open
        return EscrowView(
            escrow_id=escrow_id,
            market="cpc1market",
            status="open" if is_open else "settled",
            customer="cpc1customer",
            amount=Amount(1),
            opened_height=1,
            closed_height=None if is_open else 2,
            claim=None,
            opening=cast("Opening", Terms()) if is_open else None,
            appeal=self.appeal if is_open else None,
        )


class Terms:
    deadline, grace = 100, 20


class Watched:
    def __init__(self, db: Any) -> None:
        self.db = db
        self.now_ms = 0
        self.chain = Chain()
        self.start()

    def start(self) -> None:
        self.watch = UnclosedEscrows(
            self.db, self.chain, window_s=WINDOW_S, now_ms=lambda: self.now_ms
        )

    def sign(self, name: str, ending: str = "claim") -> None:
        self.chain.open.add(name)
        self.watch.note(name, Signed(f"task of {name}", "12D3market", ending, self.now_ms))

    async def look(self, now_ms: int) -> list[str]:
        self.now_ms = now_ms
        await self.watch._look()
        return [one.about for one in self.watch.late()]


@pytest.fixture
async def watched() -> Any:
    async with open_database(MemoryStore()) as db:
        yield Watched(db)


async def test_it_is_listed_once_the_chain_has_said_that_it_is_open(watched: Watched) -> None:
    watched.sign("a")
    assert await watched.look(LIMIT_MS) == []
    assert watched.chain.asked == [], "the chain is not asked before it is late"
    assert await watched.look(LIMIT_MS + 1_000) == ["task of a"]
    [one] = watched.watch.late()
    assert (one.what, one.overdue_s) == ("signed escrow", 1.0)
    assert one.reason == "market 12D3market has not closed it by the claim signed for it"
    assert "after block 120" in one.remedy


async def test_one_that_is_disputed_is_not_late(watched: Watched) -> None:
    """A claim was signed before: it waits for the jury, and is looked at again."""
    watched.sign("a")
    watched.chain.appeal = AppealView(fee=Amount(1), deadline=500)
    assert await watched.look(LIMIT_MS + 1_000) == []
    watched.chain.appeal = None
    assert await watched.look(LIMIT_MS + 2_000) == ["task of a"]


async def test_what_is_closed_is_forgotten_and_never_asked_for_again(watched: Watched) -> None:
    watched.sign("a")
    watched.chain.open.clear()
    assert await watched.look(LIMIT_MS + 1) == []
    watched.start()
    assert await watched.look(LIMIT_MS + 2) == []
    assert watched.chain.asked == ["a"]


async def test_it_is_known_after_a_restart_and_signed_once(watched: Watched) -> None:
    watched.sign("a", "refund")
    watched.now_ms = 7_000
    watched.sign("a")
    watched.start()
    assert await watched.look(LIMIT_MS + 1_000) == ["task of a"]
    [one] = watched.watch.late()
    assert one.overdue_s == 1.0
    assert "by the refund" in one.reason


async def test_nothing_is_said_while_the_chain_says_nothing(watched: Watched) -> None:
    watched.sign("a")
    watched.chain.away = True
    with pytest.raises(L1Unavailable):
        await watched.look(LIMIT_MS + 1)
    assert list(watched.watch.late()) == []


async def test_many_are_asked_for_in_turn(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unclosed, "AT_ONCE", 2)
    for name in "abcde":
        watched.sign(name)
    for _ in range(5):
        await watched.look(LIMIT_MS + 1)
    assert "".join(watched.chain.asked) == "abcdeabcde"


async def test_in_the_end_it_is_forgotten(watched: Watched) -> None:
    watched.sign("a")
    assert await watched.look(KEEP_MS) == ["task of a"]
    assert await watched.look(KEEP_MS + 1) == []
