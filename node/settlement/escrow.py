"""The `escrow` settlement: money held by the chain, which pays it out by what validators sign.

The market never has its customers' money: a deposit and a task's escrow are the chain's, and the
books here are a copy of them. What the market does is to ask, in this order, each step stored
before it is sent:

    ESCROW_OPEN     once tasks are leased for the first time, many together
    ESCROW_SETTLE   when the dispute window is over and enough of the set have signed the claims,
                    many together
    ESCROW_REFUND   when a task ends without a result and enough have signed that, or it is late
    ESCROW_APPEAL   when a customer disputes a result
    ESCROW_RULE     when its jury has come to something and enough of the set have signed that
    WITHDRAW        when a customer asks for free money

What it means for the books is booked when a confirmed block holds it, see `chainbook`.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial

import trio

from node.l1.escrow import escrow_id_of
from node.l1.sender import Sender
from node.settlement.chainbonds import ChainBonds
from node.settlement.chainbook import ChainBook
from node.settlement.chaindeposits import ChainDeposits
from node.settlement.chaindisputes import ChainDisputes
from node.settlement.chainescrows import ChainEscrows
from node.settlement.chainterms import Terms, TermsSource
from node.settlement.dispute_steps import DisputeSteps
from node.settlement.escrow_closings import EscrowClosings
from node.settlement.escrow_credit import EscrowCredits
from node.settlement.escrow_disputes import EscrowDisputes
from node.settlement.escrow_late import EscrowLate
from node.settlement.escrow_openings import EscrowOpenings
from node.settlement.escrow_outbox import EscrowOutbox
from node.settlement.escrow_rewards import EscrowRewards
from node.settlement.escrow_steps import ESCROW_STAGES, EscrowSteps
from node.settlement.escrow_withdrawals import EscrowWithdrawals
from node.settlement.escrows import EscrowBook
from node.settlement.late import Late
from node.settlement.ledger import Ledger
from node.settlement.notices import NoticeBook
from node.settlement.outbox import Clock
from node.settlement.parameters import SettlementParameters
from node.settlement.public_audit import Shown
from node.settlement.withdrawn import WithdrawalBook
from storage.database import Database
from storage.store import Batch

LOOK_EVERY_S = 0.5
IDS_KEPT = 8192
"""Names of escrows: all tasks whose pay is due are looked at twice a second, and each name is a
hash."""


class EscrowSettlement:
    """The back end of a market; `address` is its L1 account, whose transactions `sender` sends.

    Whoever wires it gives `deposits.handle` to a `Follower`, and `outbox.on_confirmed` and
    `outbox.on_lost` to the sender, before either runs. The market's account pays the chain's fees
    out of the operator's own money and the fee reserves of the rewards. Raises ConfigError if the
    network's burn or treasury address is the market's own.
    """

    deposit_by = "DEPOSIT"

    def __init__(
        self,
        db: Database,
        sender: Sender,
        parameters: SettlementParameters,
        *,
        chain_id: str,
        address: str,
        clock_ms: Clock,
        chain: TermsSource,
    ) -> None:
        parameters.check_market(address)
        self.parameters = parameters
        self.ledger = Ledger(db)
        self.book = EscrowBook(db, clock_ms)
        self._notices = NoticeBook(db)
        self.credit = EscrowCredits(db, self.ledger, self._notices)
        self.withdrawals = WithdrawalBook(db)
        self.terms = Terms(chain, parameters.escrow_grace_blocks)
        self.bonds = ChainBonds(db, self.ledger, parameters, self.terms, address)
        escrow_id = lru_cache(maxsize=IDS_KEPT)(partial(escrow_id_of, chain_id, address))
        self.rewards = EscrowRewards(
            db,
            self.ledger,
            parameters,
            escrow_id=escrow_id,
            book=self.book,
            notices=self._notices,
            credit=self.credit,
            bonds=self.bonds,
            chain_id=chain_id,
        )
        self.disputes = EscrowDisputes(
            db,
            self.ledger,
            self.bonds,
            sender,
            book=self.book,
            credit=self.credit,
            escrow_id=escrow_id,
        )
        self.escrows = ChainEscrows(
            db,
            self.ledger,
            sender,
            book=self.book,
            credit=self.credit,
            disputes=self.disputes,
            listener=self.rewards,
            escrow_id=escrow_id,
        )
        self.deposits = ChainBook(
            address,
            self.terms,
            deposits=ChainDeposits(
                self.ledger,
                sender,
                book=self.book,
                notices=self._notices,
                credit=self.credit,
                withdrawals=self.withdrawals,
                disputes=self.disputes,
                escrows=self.escrows,
                listener=self.rewards,
            ),
            escrows=self.escrows,
            disputes=ChainDisputes(
                self.ledger,
                sender,
                disputes=self.disputes,
                bonds=self.bonds,
                escrows=self.escrows,
            ),
            bonds=self.bonds,
        )
        self._withdrawing = EscrowWithdrawals(
            self.ledger, sender, withdrawals=self.withdrawals, parameters=parameters
        )
        self.outbox = EscrowOutbox(
            db,
            sender,
            book=self.book,
            withdrawing=self._withdrawing,
            escrows=self.escrows,
            disputes=self.disputes,
            clock_ms=clock_ms,
        )
        self.payouts = NoPayouts()
        self._late = EscrowLate(
            self.ledger,
            parameters,
            book=self.book,
            notices=self._notices,
            credit=self.credit,
            rewards=self.rewards,
            deposits=self.deposits,
            terms=self.terms,
        )
        disputing = DisputeSteps(
            parameters, sender, book=self.book, disputes=self.disputes, terms=self.terms
        )
        self._openings = EscrowOpenings(
            parameters, sender, book=self.book, notices=self._notices, terms=self.terms
        )
        self.closings = EscrowClosings(parameters, sender, book=self.book, chain_id=chain_id)
        self._steps = EscrowSteps(
            parameters,
            sender,
            book=self.book,
            notices=self._notices,
            escrows=self.escrows,
            disputes=disputing,
            terms=self.terms,
        )
        self._db = db
        self._sender = sender
        self._clock_ms = clock_ms

    def late(self, now_ms: int, trouble: str) -> Iterable[Iterator[Late]]:
        """What stayed too long where it is, see `Settlement`."""
        return self._late.found(now_ms, trouble)

    async def can_book(self) -> None:
        """Wait until the chain has told its terms: what blocks do to bonds follows from them."""
        await self.terms.learned.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open and refund escrows, and have disputes decided, until cancelled, from when the sender
        is ready."""
        task_status.started()
        await self.terms.learn()
        await self._sender.ready.wait()
        while True:
            changed = self.book.changed
            self.advance(self._clock_ms())
            await self._db.flushed()
            with trio.move_on_after(LOOK_EVERY_S):
                await changed.wait()

    def advance(self, at_ms: int) -> None:
        """Stage what is due by now, each step in a batch of its own; the sender must be ready."""
        height = self.deposits.height
        if height is None or self.terms.known is None:  # nothing was heard of the chain yet
            return
        self.outbox.give_up_hopeless(height, at_ms)
        for record in self.book.at(*ESCROW_STAGES):
            batch = Batch()
            self._steps.step(batch, self.book.find(record.escrow_id) or record, height, at_ms)
            if batch:
                self._db.stage(batch)
        batch = Batch()
        self._openings.step(batch, height, at_ms)
        self.closings.step(batch, at_ms)
        if batch:
            self._db.stage(batch)

    def withdraw(self, batch: Batch, customer: str, amount: int, *, key: str, at_ms: int) -> str:
        """Stage a payment of `amount` units out of the customer's deposit; the market pays its fee.

        `key` makes it repeatable: the same key again is the same withdrawal. Returns its cause,
        under which the sender knows the transaction.

        Raises:
            InvalidInput: the amount is below 1 unit, or below `min_payout` and not all there is.
            InsufficientFunds: the customer has less.
            LedgerConflict: the key was used for another amount.
            Unavailable: the L1 has not answered yet.
        """
        return self._withdrawing.withdraw(batch, customer, amount, key=key, at_ms=at_ms)


class NoPayouts:
    """The chain pays everybody when it settles an escrow."""

    short_of_fees = False

    def patient(self, _at_ms: int) -> Iterator[int]:
        """Nobody waits."""
        return iter(())

    def shown(self, _root: str, _to_address: str) -> Shown | None:
        """There is none."""
        return None
