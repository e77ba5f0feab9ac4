"""The escrows of one market's tasks: what the books know of each, from the first lease on.

    wanted ─→ sent ─→ open ─→ settled          by whatever the chain included first
      │        │       └────→ refunded
      └────────┴─→ failed                      it never was on the chain

An escrow that is not closed is kept in memory as well, since they are looked at all the time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

import msgspec
import trio

from node.amounts import Amount
from node.l1.escrow import Approval, Claim, Member, ShareTerms
from node.settlement.dispute import Dispute
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

State = Literal["wanted", "sent", "open", "settled", "refunded", "failed"]
CLOSED: frozenset[State] = frozenset({"settled", "refunded", "failed"})
Stage = Literal[
    "wanted",
    "opening",
    "held",
    "unsigned",
    "signed",
    "due",
    "closing",
    "appeal",
    "appealing",
    "disputed",
    "unruled",
    "awarded",
    "ruling",
    "settled",
    "refunded",
    "failed",
]
"""The state, and while it is open what the escrow waits for, see `EscrowRecord.stage`; while a
dispute holds its task's pay, what that waits for, see `dispute`."""
OPEN_STAGES = tuple(stage for stage in get_args(Stage) if stage not in CLOSED)


class EscrowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One escrow."""

    escrow_id: str
    task_id: str
    customer: str
    amount: Amount
    members: tuple[Member, ...]
    """Who may release it, by rising keys."""
    needed: int
    deadline_ms: int = 0
    """Of the task."""
    state: State = "wanted"
    opening: str = ""
    """Cause, at the sender, of the market's transaction that opens it, perhaps with others."""
    deadline: int = 0
    """Block height, fixed when the opening is signed."""
    late_height: int = 0
    """From here on anybody may refund it."""
    shares: ShareTerms | None = None
    """By which the chain divides it, as its opening said; `fee_reserve` likewise."""
    fee_reserve: Amount = Amount(0)
    ending: Literal["", "settle", "refund"] = ""
    """How the market wants it closed."""
    claim: Claim | None = None
    """Whom a settlement is to pay."""
    approvals: tuple[Approval, ...] = ()
    """Of members, to the ending."""
    is_due: bool = False
    """Whether a claim's time has come."""
    closing: str = ""
    """The same of the transaction that is to close it."""
    tries: int = 0
    """Transactions of the market's that were lost: to open it, and then to close it."""
    dispute: Dispute | None = None
    """What became of an appeal against its task's result, if there was one."""
    since_ms: int = 0
    """When it came to its stage, Unix milliseconds."""

    @property
    def is_approved(self) -> bool:
        """Whether enough members have signed its ending."""
        return len(self.approvals) >= self.needed

    @property
    def stage(self) -> Stage:
        """What it waits for: to be sent, for a block with its opening, for its task to end, for
        signatures, for its time, to be sent (a claim), for a block that closes it."""
        if self.state == "sent":
            return "opening"
        if self.state != "open":
            return self.state
        if self.closing:
            return "closing"
        if self.dispute is not None and self.dispute.holds_pay:
            return self.dispute.stage(self.needed)
        if not self.ending:
            return "held"
        if not self.is_approved:
            return "unsigned"
        return "due" if self.is_due else "signed"

    def back_height(self, grace: int) -> int:
        """From here on the market has it refunded although too few have signed.

        A claim gets twice the time, so that no money stays where it is for ever; one for a result
        that a jury found false gets none.
        """
        is_claimed = self.ending == "settle" and not self.is_overturned
        return self.late_height + (grace if is_claimed else 0)

    @property
    def is_overturned(self) -> bool:
        """Whether a jury found the result of its task false, and no award says otherwise."""
        return self.dispute is not None and self.dispute.holds_pay and self.dispute.is_overturned

    @property
    def appealing(self) -> str:
        """Cause of the transaction that opens the dispute about it; empty without one."""
        return f"escrow-appeal:{self.task_id}:{self.dispute.tries}" if self.dispute else ""


class EscrowBook:
    """One record for each task that was ever leased, by task id and by escrow id."""

    def __init__(self, db: Database, clock_ms: Callable[[], int] = lambda: 0) -> None:
        """The clock is for who writes."""
        self._clock_ms = clock_ms
        self._table = Table(db, "settlement/escrows", EscrowRecord)
        self._closed = Table(db, "settlement/escrows-closed", EscrowRecord)
        self._active = {key.decode(): one for key, one in self._table.items()}
        self._stages: defaultdict[Stage, dict[str, EscrowRecord]] = defaultdict(dict)
        for one in self._active.values():
            self._stages[one.stage][one.escrow_id] = one
        self.changed = trio.Event()
        """Set, and replaced, whenever a record changes."""

    def put(self, batch: Batch, record: EscrowRecord) -> None:
        """Note a record, in a batch that the caller stages at once."""
        key, before = record.escrow_id.encode(), self._active.get(record.escrow_id)
        stage = record.stage
        if before is None or before.stage != stage:
            record = msgspec.structs.replace(record, since_ms=self._clock_ms())
        if before is not None:
            self._stages[before.stage].pop(record.escrow_id)
        if record.state in CLOSED:
            self._table.delete(batch, key)
            self._closed.put(batch, key, record)
            self._active.pop(record.escrow_id, None)
        else:
            self._table.put(batch, key, record)
            self._active[record.escrow_id] = record
            self._stages[stage][record.escrow_id] = record
        self.changed.set()
        self.changed = trio.Event()

    def find(self, escrow_id: str, batch: Batch | None = None) -> EscrowRecord | None:
        """The record of an escrow, or None; of a closed one as `batch` leaves it, if given."""
        return self._active.get(escrow_id) or self._closed.get(escrow_id.encode(), batch)

    def active(self) -> Iterator[EscrowRecord]:
        """The escrows that are not closed, the oldest first."""
        return iter(list(self._active.values()))

    def at(self, *stages: Stage) -> Iterator[EscrowRecord]:
        """The escrows in some stages."""
        return iter([one for stage in stages for one in self._stages[stage].values()])

    def counts(self) -> Counter[Stage]:
        """How many escrows that are not closed are in each stage."""
        return Counter({stage: len(found) for stage, found in self._stages.items() if found})

    def again(self, batch: Batch, cause: str) -> None:
        """Want once more what a transaction of the market's was for that no block will have."""
        for one in self.at("opening", "closing"):
            more = msgspec.structs.replace(one, tries=one.tries + 1)
            if one.state == "sent" and one.opening == cause:
                self.put(batch, msgspec.structs.replace(more, state="wanted", opening=""))
            elif one.closing == cause:
                self.put(batch, msgspec.structs.replace(more, closing=""))


def members_of(members: Mapping[bytes, str]) -> tuple[Member, ...]:
    """An escrow's set, from addresses by key, in the order in which the chain wants it."""
    return tuple(
        Member(address=address, public_key=key.hex()) for key, address in sorted(members.items())
    )
