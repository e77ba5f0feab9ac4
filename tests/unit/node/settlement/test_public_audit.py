"""Auditing a market from outside: what it pays on the chain, against what it shows for it."""

from typing import Any

import msgspec
import pytest

from node.amounts import UNITS_PER_CPC as CPC
from node.amounts import Amount
from node.l1.transactions import Transaction, transfer
from node.settlement.entries import Entry, Posting, digest
from node.settlement.public_audit import PublicAudit, Shown, payout_root
from storage.merkle import merkle_root

TASKS = 3
AT_MS = 11_000


class Books:
    """A market's payouts after three tasks, and audits of them."""

    def __init__(self, shop: Any) -> None:
        self.market = shop.market
        for _ in range(TASKS):
            shop.sell(at_ms=1_000)
        assert shop.stage_due(AT_MS) == 4
        self.payouts = [
            (record.transaction, self.market.settlement.payouts.shown(root, to))
            for cause in shop.outbox()
            if (record := self.market.sender.find(f"payout:{cause}"))
            and (root := payout_root(record.transaction, record.transaction.from_address))
            and (to := record.transaction.to_address)
        ]
        assert len(self.payouts) == 4

    def of(self, account: str) -> tuple[Transaction, Shown]:
        return next(one for one in self.payouts if one[1].account.startswith(account))

    def audit(self, payouts: Any, wanted: tuple[str, ...] = ()) -> Any:
        auditing = PublicAudit(self.market.settlement.parameters, "cpc-devnet-1")
        for tx, shown in payouts:
            auditing.add(tx, shown)
        return auditing.report(wanted)

    def found(self, tx: Transaction, shown: Shown | None) -> list[str]:
        """What is said of a payout, without its transaction's hash."""
        return [one.split(": ", 1)[1] for one in self.audit([(tx, shown)]).findings]


@pytest.fixture
def books(shop: Any) -> Books:
    return Books(shop)


async def test_sound_payouts(books: Books) -> None:
    report = books.audit(books.payouts, tuple(f"task-{number}" for number in range(TASKS)))
    assert report.findings == ()
    assert (report.transfers, report.tasks, report.rewards) == (4, TASKS, TASKS * CPC)
    assert report.burned == report.to_burn == TASKS * CPC * 6 // 10


async def test_a_task_that_no_payout_has(books: Books) -> None:
    assert books.audit(books.payouts, ("another",)).findings == ("task another: no payout has it",)


async def test_a_payout_that_is_not_shown(books: Books) -> None:
    assert books.found(books.of("burn")[0], None) == ["its entries are not shown"]


async def test_less_than_the_entries_are_worth(books: Books) -> None:
    tx, shown = books.of("burn")
    less = msgspec.structs.replace(tx, amount=tx.amount - 1)
    assert books.found(less, shown) == [
        f"it pays {tx.amount - 1} units, its entries are worth {tx.amount}"
    ]


async def test_the_burn_of_another_address(books: Books) -> None:
    tx, shown = books.of("burn")
    elsewhere = msgspec.structs.replace(tx, to_address="cpc1mine")
    assert books.found(elsewhere, shown) == ["it pays cpc1mine, the entries are of burn"]
    assert books.audit([(elsewhere, shown)]).burned == 0


async def test_entries_that_are_not_under_the_root(books: Books) -> None:
    tx, shown = books.of("worker:")
    for entries in (shown.entries[1:], shown.entries[::-1], (), (*shown.entries, shown.entries[0])):
        other = Shown(shown.account, entries)
        assert books.found(tx, other) == ["the entries shown are not under its root"]


async def test_an_entry_that_is_paid_twice(books: Books) -> None:
    tx, shown = books.of("worker:")
    findings = books.audit([(tx, shown), (tx, shown)]).findings
    assert [one.split(": ", 1)[1] for one in findings] == [
        f"entry {entry.sequence} is paid to {shown.account} twice" for entry in shown.entries
    ]


def forged(tx: Transaction, account: str, entry: Entry) -> tuple[Transaction, Shown]:
    """A payout of this one entry, as a market that lies would make it, root and all."""
    root = merkle_root([digest("cpc-devnet-1", entry)]).hex()
    payload = {**tx.payload, "root": root, "entries": 1}
    amount = max(0, entry.amount(account))
    return msgspec.structs.replace(tx, payload=payload, amount=amount), Shown(account, (entry,))


def changed(entry: Entry, **moved: int) -> Entry:
    """The entry with other amounts; accounts by the beginning of their names."""
    postings = tuple(
        Posting(one.account, Amount(one.amount + moved.get(one.account.partition(":")[0], 0)))
        for one in entry.postings
    )
    return msgspec.structs.replace(entry, postings=postings)


@pytest.mark.parametrize(
    ("moved", "findings"),
    [
        ({"burn": -1, "worker": 1}, ["gives workers", "burns"]),
        ({"burn": -1, "validator": 1}, ["gives validators", "burns"]),
        ({"burn": -1, "fees": 1}, ["gives validators", "burns"]),
        ({"burn": -1, "treasury": 1}, ["gives the treasury", "burns"]),
        ({"worker": -1, "burn": 1}, []),
        ({"burn": -1}, ["postings sum to", "burns"]),
    ],
)
async def test_a_reward_that_is_divided_otherwise(
    books: Books, moved: dict[str, int], findings: list[str]
) -> None:
    tx, shown = books.of("burn")
    found = books.found(*forged(tx, "burn", changed(shown.entries[0], **moved)))
    assert len(found) == len(findings), found
    assert all(part in said for part, said in zip(findings, found, strict=True)), found


async def test_two_stories_of_one_entry(books: Books) -> None:
    """The burn is shown the right division, the worker another."""
    burn, worker = books.of("burn"), books.of("worker:")
    other = changed(worker[1].entries[0], worker=-2, burn=2)
    findings = books.audit([burn, forged(worker[0], worker[1].account, other)]).findings
    (said,) = [one.split(": ", 1)[1] for one in findings]
    assert said == f"entry {other.sequence} is shown in two forms"


async def test_what_is_no_payout(books: Books) -> None:
    market = books.payouts[0][0].from_address
    for payload in ({}, {"tmnode": "withdraw"}, {"tmnode": "burn", "root": 7}, {"root": "ab"}):
        draft = transfer(market, 1, payload=payload)
        tx = Transaction(
            tx_type=draft.tx_type, from_address=market, amount=1, nonce=0, payload=draft.payload
        )
        assert payout_root(tx, market) is None
    assert payout_root(books.payouts[0][0], "cpc1other") is None
