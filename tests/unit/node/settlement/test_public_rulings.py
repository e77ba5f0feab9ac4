"""What a dispute may cost whom, as anybody sees it: from payouts, and receipts with rulings."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from node.amounts import Amount
from node.l1.escrow import Act
from node.l1.keys import AccountKey
from node.l1.transactions import transfer
from node.settlement import accounts
from node.settlement.appeals import Appeals
from node.settlement.bonds import Bonds
from node.settlement.entries import Entry, Posting, digest, move, posting
from node.settlement.ledger import Ledger
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.public_audit import PublicAudit, Shown
from node.settlement.public_rulings import AtStake, Ruled
from node.settlement.rewards import Rewards
from node.split import Payees
from storage.merkle import merkle_root
from storage.store import Batch

CHAIN = "cpc-devnet-1"
CPC = 10**18
FEE, RESERVE = CPC + 3, 10
MARKET = AccountKey((1).to_bytes(32, "big"))
ALICE, BOB, CAROL, ERIN, FAYE, GINA = (
    AccountKey(number.to_bytes(32, "big")).address for number in (10, 20, 21, 23, 24, 25)
)
"""A customer, the worker, who signed `valid`, and the jurors."""
JURORS = (ERIN, FAYE)
RULES = SettlementParameters(slash_bp=5_000, fee_reserve=Amount(RESERVE))
PAYEES = ("worker:", "validator:", "burn", "treasury")
STAKES = (
    AtStake(BOB, Amount(4 * CPC), Amount(2 * CPC)),
    AtStake(CAROL, Amount(CPC), Amount(CPC + 1)),
)


class Court:
    """The books of a market with one task for each outcome of a dispute."""

    def __init__(self, db: Any, rules: SettlementParameters = RULES) -> None:
        owed, self.ledger = OwedBook(db), Ledger(db)
        bonds = Bonds(db, self.ledger, rules)
        rewards = Rewards(db, self.ledger, owed, rules, bonds)
        appeals = Appeals(db, self.ledger, owed, bonds, rules.fee_reserve)
        batch = self.batch = Batch()
        for address in (ALICE, BOB, CAROL):
            postings = move(accounts.L1, accounts.customer(address), 100 * CPC)
            cause = f"deposit:{address}"
            self.ledger.post(batch, cause=cause, kind="deposit", postings=postings, at_ms=0)
        for one in STAKES:
            bonds.bond(batch, one.address, one.bonded + one.unbonding, key="b", at_ms=0)
            bonds.unbond(batch, one.address, one.unbonding, key="u", at_ms=0)
        for task in ("upheld", "inconclusive", "overturned"):
            rewards.reserve(batch, task, ALICE, 4 * CPC, 0)
            rewards.settle(batch, task, Payees({BOB: 1}, {CAROL: 1}, CAROL), 0)
            appeals.open(batch, task, ALICE, FEE, 1_000, until_ms=60_000)
        appeals.uphold(batch, "upheld", JURORS, 2_000)
        appeals.give_up(batch, "inconclusive", 2_000)
        acts = [Act(address=one, evidence={}) for one in (BOB, CAROL)]
        appeals.overturn(batch, "overturned", ("ab" * 32,), acts, JURORS, 2_000)
        for task in ("upheld", "inconclusive"):
            rewards.mature(batch, task, 10_000)
        db.stage(batch)
        self.entries = {one.cause: one for one in self.ledger.entries()}

    def change(self, cause: str, **moved: int) -> None:
        """Other amounts in an entry: by the accounts' names, `__` for a colon."""
        parts = {one.account: one.amount for one in self.entries[cause].postings}
        for name, units in moved.items():
            account = name.replace("__", ":")
            parts[account] = Amount(parts.get(account, 0) + units)
        postings = tuple(Posting(*one) for one in parts.items() if one[1])
        self.entries[cause] = msgspec.structs.replace(self.entries[cause], postings=postings)

    def add(self, cause: str, kind: str, postings: tuple[Posting, ...]) -> None:
        """One more entry, which the rules of the books would not have let in."""
        number = len(self.entries)
        self.entries[f"{cause}/{number}"] = Entry(cause, kind, 3_000, number, postings)

    def payouts(self) -> Iterable[tuple[Any, Shown]]:
        """One for each payee, of all that it ever earned."""
        entries = list(self.entries.values())
        names = sorted({p.account for one in entries for p in one.postings if p.amount > 0})
        for nonce, account in enumerate(name for name in names if name.startswith(PAYEES)):
            paid = tuple(one for one in entries if one.amount(account) > 0)
            root = merkle_root([digest(CHAIN, one) for one in paid]).hex()
            payload = {"tmnode": "payout", "root": root, "entries": len(paid)}
            to, total = RULES.address_of(account), sum(one.amount(account) for one in paid)
            draft = transfer(to, total, payload=payload, label=True)
            yield draft.signed(MARKET, nonce), Shown(account, paid)

    def found(self, *rulings: Ruled, wanted: tuple[str, ...] = ()) -> list[str]:
        """What an audit says, without the transactions' hashes, each once."""
        audit = PublicAudit(RULES, CHAIN)
        for tx, shown in self.payouts():
            audit.add(tx, shown)
        said = audit.report(wanted, rulings).findings
        return list(dict.fromkeys(one.split(": ", 1)[1] for one in said))


def ruled(outcome: Any, **changes: Any) -> Ruled:
    stakes = STAKES if outcome == "overturned" else None
    one = Ruled(outcome, outcome, Amount(FEE), Amount(FEE), JURORS, stakes)
    return msgspec.structs.replace(one, **changes)


UPHELD, OVERTURNED = ruled("upheld"), ruled("overturned")
TASKS = ("upheld", "inconclusive", "overturned")


@pytest.fixture
def court(db: Any) -> Court:
    return Court(db)


async def test_an_honest_market_s_disputes(court: Court) -> None:
    """With receipts and without; that of a result that was overturned is of no pay."""
    assert court.found() == []
    assert court.found(UPHELD, OVERTURNED, wanted=TASKS) == []
    assert court.found(wanted=TASKS) == ["no payout has it"]
    audit = PublicAudit(RULES, CHAIN)
    for tx, shown in court.payouts():
        audit.add(tx, shown)
    report = audit.report(TASKS, (UPHELD, OVERTURNED))
    assert report.slashed == 3 * CPC + (2 * CPC + 1) // 2
    assert (report.tasks, report.to_burn) == (2, report.burned)


JUROR = f"validator__{ERIN}"
TWICE = (CPC + 3 - RESERVE) // 2


def post_again(court: Court) -> None:
    court.add("ruling:upheld", "upheld", court.entries["ruling:upheld"].postings)


def under_another_name(court: Court) -> None:
    """One juror's part once more, out of another's money."""
    pay = (posting("customer:cpc1x", -TWICE), posting(f"validator:{ERIN}", TWICE))
    court.add("ruling:more", "upheld", pay)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda court: court.change("ruling:upheld", **{JUROR: TWICE, "burn": -TWICE}), "pays"),
        (lambda court: court.change("ruling:upheld", fees=2, burn=-2), "keeps 12 units for fees"),
        (
            lambda court: court.change(
                "ruling:upheld", **{JUROR: -5, f"validator__{FAYE}": -5, "burn": 10}
            ),
            "burns 11 units that jurors could have",
        ),
        (post_again, "booked twice"),
        (under_another_name, "moves money of customer:cpc1x"),
        (lambda court: court.add("gift:1", "gift", move("customer:x", "burn", 1)), "of no kind"),
    ],
)
async def test_what_no_ruling_can_be_is_seen_without_a_receipt(
    court: Court, lie: Callable[[Court], None], said: str
) -> None:
    lie(court)
    assert any(said in one for one in court.found()), court.found()


async def test_money_of_a_task_for_somebody_else(court: Court) -> None:
    """Burn and shares are kept; it is the worker that gets less."""
    court.change("mature:upheld", **{f"worker__{BOB}": -5, "customer__cpc1x": 5})
    assert court.found() == ["mature:upheld moves money of customer:cpc1x"]


async def test_jurors_that_computed_nothing_and_those_that_did(court: Court) -> None:
    """Equal parts, as they should be, of somebody else: only the receipt shows who agreed."""
    court.change("ruling:upheld", **{JUROR: -TWICE, f"validator__{GINA}": TWICE})
    assert court.found() == []
    assert court.found(UPHELD) == sorted(
        [
            f"ruling:upheld moves 0 units of validator:{ERIN}, it should be {TWICE}",
            f"ruling:upheld moves {TWICE} units of validator:{GINA}, it should be 0",
        ]
    )


@pytest.mark.parametrize(
    ("moved", "wrong"),
    [
        ({f"bond__{BOB}": 4, "burn": -4}, {"burn", f"bond:{BOB}"}),
        ({f"bond__{BOB}": -4, "burn": 4}, {"burn", f"bond:{BOB}"}),
        ({f"unbonding__{BOB}": -1, f"bond__{BOB}": 1}, {f"unbonding:{BOB}", f"bond:{BOB}"}),
        ({f"bond__{ALICE}": -1, "burn": 1}, {"burn", f"bond:{ALICE}"}),
        (
            {"burn": -2, JUROR: 1, f"validator__{FAYE}": 1},
            {"burn", *map("validator:{}".format, JURORS)},
        ),
        ({"burn": -1, "fees": 1}, {"burn", "fees"}),
    ],
)
async def test_a_slash_of_other_sums(court: Court, moved: dict[str, int], wrong: set[str]) -> None:
    """Less or more than the rule takes, of whom it does not concern, or less of it burned."""
    court.change("slash:overturned", **moved)
    found = court.found(OVERTURNED)
    named = {one.split(" units of ")[1].split(",")[0] for one in found if " units of " in one}
    assert named == wrong, found


async def test_what_is_slashed_goes_to_nobody_else(court: Court) -> None:
    court.change("slash:overturned", burn=-5, customer__cpc1x=5)
    assert court.found() == ["slash:overturned moves money of customer:cpc1x"]


@pytest.mark.parametrize("outcome", ["upheld", "overturned"])
async def test_a_ruling_that_nobody_was_paid_by(court: Court, outcome: Any) -> None:
    cause = {"upheld": "ruling:upheld", "overturned": "slash:overturned"}[outcome]
    del court.entries[cause]
    assert court.found(ruled(outcome)) == [f"no payout has {cause}"]


async def test_where_nothing_was_at_stake_there_is_nothing_to_show(court: Court) -> None:
    del court.entries["slash:overturned"]
    nothing = tuple(AtStake(one.address, Amount(0), Amount(0)) for one in STAKES)
    assert court.found(ruled("overturned", stakes=nothing)) == []


async def test_books_that_say_the_opposite(court: Court) -> None:
    """A jury found the results of two tasks false, or right, and the market booked otherwise."""
    found = court.found(ruled("overturned", task_id="upheld"))
    assert found[-2:] == [
        "a jury found the result false, and ruling:upheld is paid",
        "a jury found the result false, and mature:upheld is paid",
    ]
    found = court.found(ruled("upheld", task_id="overturned"))
    assert found[-1] == "a jury found the result right, and slash:overturned is paid"


async def test_a_fee_that_is_not_the_network_s(court: Court) -> None:
    (said,) = court.found(ruled("upheld", price=Amount(FEE - 1)))
    assert said.startswith(f"its jury was promised {FEE} units")


async def test_a_receipt_that_says_no_stakes(court: Court) -> None:
    assert court.found(ruled("overturned", stakes=None)) == [
        "its receipt does not say what was at stake"
    ]
