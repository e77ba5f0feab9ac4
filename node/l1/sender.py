"""Sending one account's transactions: in order, each until a block holds it, none of them twice.

A transaction is signed once, under its nonce, and stored before it is sent; from then on only
those bytes are sent, as often as it takes, so that no crash at any point loses or repeats a
payment. The chain's own word for success is not taken: receipts may stay pending for ever, pools
forget, and a raised nonce may have been used by something else. A transaction is confirmed when a
confirmed block holds it, field by field (`Follower` delivers the blocks).

Order: the chain queues what comes ahead of a gap and can then get stuck, so nothing is sent
unless all before it are in. After two blocks without progress, everything from the confirmed
nonce on is sent again.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from math import inf
from typing import NamedTuple

import msgspec
import trio

from node.l1.blocks import Block, same_transaction
from node.l1.client import L1Client, SendOutcome
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.follower import Follower
from node.l1.keys import AccountKey
from node.l1.outbound import OutboundBook
from node.l1.outbound import OutboundRecord as OutboundRecord
from node.l1.patience import Patience
from node.l1.transactions import Draft, Transaction, transfer, tx_hash
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

Settled = Callable[[Batch, OutboundRecord], None]

STALLED_BLOCKS = 2
BY_RULE = "rejected: "
SOON_S = 0.1
"""Pause after an attempt in which the chain took something before it gave no answer: an L1 that
loses a few answers is not away, and would be sent three transactions a second."""
LOST_BLOCKS = 10
"""Blocks after the chain used a nonce up by which a block must have shown with what."""
LOOKS_APART = 5
"""Blocks between two looks at most, for what both say to hold in between as well."""


class Refusal(NamedTuple):
    """What the chain says to the next transaction."""

    cause: str
    reason: str
    tip: int
    """Height at which it began to say so: by its rules, or because of something else."""

    @property
    def is_by_rule(self) -> bool:
        """Whether the state of the chain is against it, and not the fee or the chain's load."""
        return self.reason.startswith(BY_RULE)


class Sender:
    """One account's transactions, from `stage` to `on_confirmed`."""

    def __init__(
        self,
        key: AccountKey,
        db: Database,
        client: L1Client,
        *,
        confirmations: int = 1,
        proposer_keys: Collection[bytes] = (),
        poll_s: float = 1.0,
        accept_unverified: Collection[int] = (),
    ) -> None:
        """The arguments after the client are those of `Follower`.

        No other program may send from this account: each nonce belongs to whoever comes first.
        """
        self.on_confirmed: Settled = _nothing
        """Called with the batch that settles a record; what it writes there is atomic with it."""
        self.on_lost: Settled = _nothing
        """Likewise, for a record whose nonce was used by something else: it can never be sent."""
        self.ready = trio.Event()
        """Set once transactions can be staged, which in a used database is at once."""
        self.blocked = ""
        """Why the chain does not take the next transaction; empty while nothing is wrong."""
        self.refusal: Refusal | None = None
        """The same, if the chain answered; whoever knows that it will never change gives up."""
        self._key = key
        self._db = db
        self._client = client
        self._book = OutboundBook(db, key.address)
        self._follower = Follower(
            client,
            db,
            self._observe,
            name=f"l1-outbound-blocks/{key.address}",
            start_height=None,
            confirmations=confirmations,
            proposer_keys=proposer_keys,
            poll_s=poll_s,
            accept_unverified=accept_unverified,
        )
        self._patience = Patience(poll_s)
        self._staged = trio.Event()
        if self._book.synchronised:
            self.ready.set()
        self._progress = (-1, -1)  # confirmed nonce, and the tip at which it got there
        self._sent = 0  # transactions that the chain took in the last attempt
        self._used_up: dict[int, int] = {}  # open nonce -> tip since when the chain has passed it
        self._looked = 0  # tip when it was last asked for that

    def stage(self, batch: Batch, cause: str, draft: Draft) -> OutboundRecord:
        """Sign a transaction and add it to a batch, which the caller stages before it awaits.

        The same cause gives the same record, without anything new. A batch that is thrown away
        leaves no trace.

        Raises:
            NotSynchronised: the account's nonce is not known yet; see `ready`.
            BadTransaction: the chain would not take it, and all later ones would wait behind it.
        """
        known = self._book.find(batch, cause)
        if known is not None:
            return known
        tx = draft.signed(self._key, self._book.next_nonce(batch))
        self._staged.set()
        return self._book.add(batch, cause, tx)

    def give_up(self, batch: Batch, cause: str, problem: str) -> bool:
        """Let a transaction that does nothing take the nonce of an open one; False if none is open.

        Only for what the chain can never apply any more: it would silently drop it, and all later
        ones would wait behind it for ever. `on_lost` is not called, the caller knows. Should a
        block hold it after all, the other one is lost.
        """
        record = self._book.find(batch, cause)
        if record is None or record.state != "open":
            return False
        log.warning("transaction %s (%s) is given up: %s", record.tx_hash, cause, problem)
        draft = transfer(self._key.address, 1, gas_price=record.transaction.gas_price)
        void = draft.signed(self._key, record.nonce)
        self._book.settle(batch, msgspec.structs.replace(record, state="lost", problem=problem))
        self._book.take_place(batch, f"void:{record.nonce}:{record.tx_hash}", void)
        self._staged.set()
        return True

    def find(self, cause: str) -> OutboundRecord | None:
        """The record of a cause."""
        return self._book.find(Batch(), cause)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled; raises StorageFailed and what the callbacks raise."""
        task_status.started()
        while True:
            if await self._attempt(self._synchronise):
                break
            await trio.sleep(self._patience.after_failure())
        self.ready.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follower.run)
            while True:
                self._staged = trio.Event()
                await self._rest(await self._attempt(self._send_open))

    async def _attempt(self, action: Callable[[], Awaitable[None]]) -> bool:
        try:
            await action()
        except (L1Unavailable, L1Malformed) as error:
            if not self._patience.failing:
                log.warning("cannot send from %s: %s", self._key.address, error)
            return False
        return True

    async def _rest(self, went_well: bool) -> None:
        """Wait until another attempt makes sense."""
        if not went_well and self._sent:
            await trio.sleep(SOON_S)
        elif not went_well:
            await trio.sleep(self._patience.after_failure())
        elif self.blocked:
            await trio.sleep(self._patience.after_success())
        else:
            pause = self._patience.after_success()
            with trio.move_on_after(pause if self._book.has_open else inf):
                await self._staged.wait()

    async def _synchronise(self) -> None:
        """Find out where the chain is, and which nonce comes next if our records do not say."""
        address, batch = self._key.address, Batch()
        if not self.ready.is_set():
            # The position first: what is signed later cannot be in a block before it.
            await self._follower.catch_up()
            self._book.set_next_nonce(batch, await self._client.nonce(address, pending=True))
            await self._db.commit(batch)
            return
        confirmed = await self._client.nonce(address, pending=False)
        if confirmed > self._book.next_nonce(batch):
            log.warning("%s was used by another program", address)
            self._book.set_next_nonce(batch, confirmed)
            await self._db.commit(batch)

    async def _send_open(self) -> None:
        """Send what the chain does not have yet, in order, up to the first refusal."""
        self._sent = 0
        records = list(self._book.open_records())
        if not records:
            return
        await self._db.flushed()  # nothing may be sent that a crash could forget
        tip = (await self._client.status()).height
        self._patience.progressed()  # an L1 that answers now and then is asked as one that is well
        confirmed = await self._client.nonce(self._key.address, pending=False)
        free = await self._client.nonce(self._key.address, pending=True)
        self._note_used_up(records, confirmed, tip)
        missing = confirmed if self._stalled(records, confirmed, free, tip) else free
        self._set_blocked(await self._send_from(missing, records, tip))

    def _note_used_up(self, records: Iterable[OutboundRecord], confirmed: int, tip: int) -> None:
        """Which open nonces the chain has passed, and since when it has without a break: what it
        rolled back it may apply again, much later."""
        if tip > self._looked + LOOKS_APART:
            self._used_up.clear()
        self._looked = tip
        for record in records:
            if record.nonce < confirmed:
                self._used_up.setdefault(record.nonce, tip)
            else:
                self._used_up.pop(record.nonce, None)

    async def _send_from(self, missing: int, records: Iterable[OutboundRecord], tip: int) -> str:
        """Send the records from a nonce on; returns why it stopped, or an empty text."""
        for record in records:
            if record.nonce < missing:
                continue
            if record.nonce > missing:
                return (
                    f"the chain lacks nonce {missing}, long confirmed: it was reset or lost blocks"
                )
            outcome = await self._client.send(record.transaction)
            refusal = _refusal(outcome)
            if refusal:
                self.refusal = _since(self.refusal, Refusal(record.cause, refusal, tip))
                return f"transaction {record.tx_hash} ({record.cause}): {refusal}"
            missing += 1
            self._sent += outcome.status == "accepted"
        self.refusal = None
        return ""

    def _stalled(
        self, records: Iterable[OutboundRecord], confirmed: int, free: int, tip: int
    ) -> bool:
        """Whether what the chain says it has did not move for two blocks."""
        waiting = any(confirmed <= record.nonce < free for record in records)
        nonce, since = self._progress
        if waiting and nonce == confirmed and tip < since + STALLED_BLOCKS:
            return False
        self._progress = (confirmed, tip)
        return waiting and nonce == confirmed

    def _set_blocked(self, reason: str) -> None:
        if reason and reason != self.blocked:
            log.warning("%s is blocked: %s", self._key.address, reason)
        self.blocked = reason

    def _observe(self, batch: Batch, block: Block) -> None:
        """Settle what a confirmed block decides about our transactions."""
        height = block.header.height
        ours = [tx for tx in block.txs if tx.from_address == self._key.address]
        for tx in ours:
            self._settle(batch, height, tx)
        if ours:
            passed = self._book.open_records(stop=max(tx.nonce for tx in ours))
            self._lose(batch, height, [record.nonce for record in passed])
        seen = min(height, self._looked)
        late = [nonce for nonce, tip in self._used_up.items() if seen > tip + LOST_BLOCKS]
        self._lose(batch, height, late)

    def _settle(self, batch: Batch, height: int, tx: Transaction) -> None:
        record = self._book.open_at(batch, tx.nonce)
        if record is None:
            self._note_foreign(batch, tx)
        elif same_transaction(tx, record.transaction):
            self._used_up.pop(record.nonce, None)
            record = msgspec.structs.replace(record, state="confirmed", height=height)
            self._book.settle(batch, record)
            self.on_confirmed(batch, record)
        else:
            self._lost(batch, record, height, f"its nonce was used by {tx_hash(tx)}")

    def _note_foreign(self, batch: Batch, tx: Transaction) -> None:
        if tx.nonce >= self._book.next_nonce(batch):
            log.warning("%s was used by another program: %s", tx.from_address, tx_hash(tx))
            self._book.set_next_nonce(batch, tx.nonce + 1)

    def _lose(self, batch: Batch, height: int, nonces: Iterable[int]) -> None:
        for nonce in nonces:
            self._used_up.pop(nonce, None)
            record = self._book.open_at(batch, nonce)
            if record is not None:
                self._lost(batch, record, height, "its nonce was used up and no block holds it")

    def _lost(self, batch: Batch, record: OutboundRecord, height: int, problem: str) -> None:
        log.error("transaction %s (%s) is lost: %s", record.tx_hash, record.cause, problem)
        record = msgspec.structs.replace(record, state="lost", height=height, problem=problem)
        self._book.settle(batch, record)
        self.on_lost(batch, record)


def _since(before: Refusal | None, now: Refusal) -> Refusal:
    """What is said now, from when the same was said before."""
    if before is None or (before.cause, before.is_by_rule) != (now.cause, now.is_by_rule):
        return now
    return now._replace(tip=before.tip)


def _refusal(outcome: SendOutcome) -> str:
    """Why the chain does not have the transaction now; empty if it has, or had, its nonce."""
    if outcome.status == "rejected" and outcome.reason != "nonce_too_low":
        return outcome.reason
    return ""


def _nothing(_batch: Batch, _record: OutboundRecord) -> None:
    """The owner does not care."""
