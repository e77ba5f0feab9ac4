"""Auditing another market: its TRANSFERs on the chain against the entries that it shows for them.

A payout's TRANSFER carries the Merkle root of the ledger entries that it pays. Whoever is shown
those entries can check that they are the ones, that they add up to what was sent, that each was
paid once, and that every reward among them was divided by the network's shares. With receipts of
disputed tasks, that jurors were paid and bonds slashed as the rulings say, see `public_rulings`.
What a market does not show, and money that it holds for its customers, cannot be seen from here.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from node.amounts import Amount
from node.l1.transactions import Transaction, tx_hash
from node.settlement import accounts
from node.settlement.entries import Entry, check_entry, digest
from node.settlement.errors import MalformedEntry
from node.settlement.parameters import SettlementParameters
from node.settlement.public_rulings import SLASH, UPHELD, Ruled, form_problems, ruling_problems
from node.split import BASIS_POINTS
from storage.merkle import merkle_root

PAYOUTS = frozenset({"payout", "burn", "treasury"})
FEE_BY_PAYEE: dict[str, object] = {"fee": "payee"}
"""In a payout's payload: whoever is paid asked for it before it was due, and paid the chain's fee
out of it."""
MATURE = "mature"
CAUSES = {MATURE: "mature:", UPHELD: "ruling:", SLASH: "slash:"}
"""How the causes of each kind of entry begin by which somebody earns: there is no other kind."""
MAX_FINDINGS = 100
_EARN = ("worker:", "validator:", accounts.FEES, accounts.TREASURY, accounts.BURN)


class Shown(msgspec.Struct, frozen=True):
    """What a market shows for one of its payouts."""

    account: str
    """The ledger's account that was paid."""
    entries: tuple[Entry, ...]


class PublicReport(msgspec.Struct, frozen=True):
    """What an audit from outside saw; amounts in units of 10^-18 CPC."""

    transfers: int
    """Payouts on the chain."""
    rewards: Amount
    """Of all tasks whose division was shown."""
    tasks: int
    burned: Amount
    """Sent to where nobody can spend it."""
    to_burn: Amount
    """The burn's part of those rewards, and of what disputes cost; some of it may wait for its
    payout."""
    slashed: Amount
    """Lost by bonds."""
    findings: tuple[str, ...]


def payout_root(tx: Transaction, market: str) -> str | None:
    """The root that a market's payout carries; None for any other transaction."""
    payload = tx.payload
    if tx.tx_type != "TRANSFER" or tx.from_address != market:
        return None
    root = payload.get("root") if payload.get("tmnode") in PAYOUTS else None
    return root if isinstance(root, str) else None


class PublicAudit:
    """Takes a market's payouts one by one, in any order."""

    def __init__(self, parameters: SettlementParameters, chain_id: str) -> None:
        self._parameters = parameters
        self._chain_id = chain_id
        self._transfers = 0
        self._burned = 0
        self._paid: set[tuple[str, int]] = set()
        self._seen: dict[int, bytes] = {}
        self._booked: dict[str, Entry] = {}
        self._findings: list[str] = []

    def add(self, tx: Transaction, shown: Shown | None) -> None:
        """Check a payout, `tx`, against what the market shows for it."""
        self._transfers += 1
        if tx.to_address == self._parameters.burn_address:
            self._burned += tx.amount
        problems = ["its entries are not shown"] if shown is None else self._problems(tx, shown)
        self._findings += [f"payout {tx_hash(tx)}: {problem}" for problem in problems]

    def report(self, wanted: Collection[str] = (), rulings: Collection[Ruled] = ()) -> PublicReport:
        """What was found; each of the `wanted` tasks has to be among those that were paid, unless
        one of the `rulings`, of verified receipts, says that its result was false."""
        paid = self._of_kind(MATURE)
        false = {one.task_id for one in rulings if one.outcome != UPHELD}
        tasks = {entry.cause.partition(":")[2] for entry in paid} | false
        missing = [f"task {one}: no payout has it" for one in wanted if one not in tasks]
        disputes = [
            f"task {one.task_id}: {problem}"
            for one in rulings
            for problem in ruling_problems(one, self._booked, self._parameters)
        ]
        lost = [_sum(one, "bond:") + _sum(one, "unbonding:") for one in self._of_kind(SLASH)]
        return PublicReport(
            transfers=self._transfers,
            rewards=Amount(sum(map(_reward, paid))),
            tasks=len(paid),
            burned=Amount(self._burned),
            to_burn=Amount(sum(entry.amount(accounts.BURN) for entry in self._booked.values())),
            slashed=Amount(-sum(lost)),
            findings=tuple((self._findings + missing + disputes)[:MAX_FINDINGS]),
        )

    def _of_kind(self, kind: str) -> list[Entry]:
        return [entry for entry in self._booked.values() if entry.kind == kind]

    def _problems(self, tx: Transaction, shown: Shown) -> Iterator[str]:
        digests = [digest(self._chain_id, entry) for entry in shown.entries]
        if merkle_root(digests).hex() != tx.payload["root"]:
            yield "the entries shown are not under its root"
            return
        if self._parameters.address_of(shown.account) != tx.to_address:
            yield f"it pays {tx.to_address}, the entries are of {shown.account}"
        total = sum(max(0, entry.amount(shown.account)) for entry in shown.entries)
        fee = tx.fee if FEE_BY_PAYEE.items() <= tx.payload.items() else 0
        if total != tx.amount + fee:
            yield f"it pays {tx.amount} units, its entries are worth {total}"
        for entry, name in zip(shown.entries, digests, strict=True):
            yield from self._entry_problems(entry, name, shown.account)

    def _entry_problems(self, entry: Entry, name: bytes, account: str) -> Iterator[str]:
        if (account, entry.sequence) in self._paid:
            yield f"entry {entry.sequence} is paid to {account} twice"
        self._paid.add((account, entry.sequence))
        if self._seen.setdefault(entry.sequence, name) != name:
            yield f"entry {entry.sequence} is shown in two forms"
        try:
            check_entry(entry.cause, entry.kind, entry.postings)
        except MalformedEntry as error:
            yield str(error)
        if self._booked.setdefault(entry.cause, entry).sequence != entry.sequence:
            yield f"{entry.cause} is booked twice"
        if not entry.cause.startswith(CAUSES.get(entry.kind, " ")):
            yield f"entry {entry.sequence}, {entry.cause}, is of no kind that anybody is paid by"
        elif entry.kind == MATURE:
            yield from self._share_problems(entry)
        else:
            yield from form_problems(entry, self._parameters)

    def _share_problems(self, entry: Entry) -> Iterator[str]:
        """Parts are rounded down, and what that leaves is burned: see `split`."""
        reward, shares = _reward(entry), self._parameters.shares
        task_id = entry.cause.partition(":")[2]
        for one in entry.postings:
            if one.account != accounts.maturing(task_id) and not one.account.startswith(_EARN):
                yield f"{entry.cause} moves money of {one.account}"
        workers = _sum(entry, "worker:")
        validators = _sum(entry, "validator:") + entry.amount(accounts.FEES)
        for name, part, share in (
            ("workers", workers, shares.workers),
            ("validators", validators, shares.validators),
            ("the treasury", entry.amount(accounts.TREASURY), shares.treasury),
        ):
            if part > reward * share // BASIS_POINTS:
                yield f"{entry.cause} gives {name} {part} of {reward} units"
        if entry.amount(accounts.BURN) * BASIS_POINTS < reward * shares.burn:
            yield f"{entry.cause} burns {entry.amount(accounts.BURN)} of {reward} units"


def _reward(entry: Entry) -> int:
    """What an entry of `mature` divides."""
    return -_sum(entry, "maturing:")


def _sum(entry: Entry, prefix: str) -> int:
    amounts: Sequence[int] = [p.amount for p in entry.postings if p.account.startswith(prefix)]
    return sum(amounts)
