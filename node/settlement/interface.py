"""What a market needs of its settlement, whatever holds the money: the back ends behind it.

`transfer` (`TransferSettlement`) keeps the customers' money in the market's own account;
`escrow` (`EscrowSettlement`) leaves it with the chain. Both keep the same ledger and answer the
same calls, and one set of tests holds both to the same promises.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
import trio

from node.l1.blocks import Block
from node.l1.escrow import Act
from node.l1.outbound import OutboundRecord
from node.settlement.bonds import Bond, Signer
from node.settlement.credit import Credits
from node.settlement.late import Late
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from node.settlement.public_audit import Shown
from node.split import Payees
from storage.store import Batch

TaskMoved = Callable[[Batch, str], None]
"""Told, in the batch that books it, what became of a task's money."""
TaskUnfunded = Callable[[Batch, str, str], None]
"""The same, with why the chain will not hold a task's money."""


class Releasers(msgspec.Struct, frozen=True):
    """Who may together release a task's reward, where the chain holds it."""

    members: Mapping[bytes, str]
    """L1 addresses by Ed25519 key, at most `MAX_RELEASERS`."""
    needed: int
    deadline_ms: int
    """Of the task, Unix milliseconds."""


MAX_RELEASERS = 64


class RewardBook(Protocol):
    """The money of tasks. All is staged into the caller's batch and may be repeated."""

    on_paid: TaskMoved
    """The task's reward is with those who earned it. Not told, nor is `on_reclaimed`, of a task
    whose result was said to be overturned; of a disputed one `Disputes.on_ended` is told before."""
    on_reclaimed: TaskMoved
    """The reward of a task that was settled is back with its customer: the chain decided so."""
    on_unfunded: TaskUnfunded
    """The chain does not hold the reward of an open task: it has to end, with a refund."""

    @property
    def unsigned(self) -> int:
        """Tasks whose money waits for validators' signatures."""

    @property
    def unconfirmed(self) -> int:
        """Tasks about whose money a transaction is in no block yet."""

    def returning(self, customer: str) -> int:
        """Units of a customer's that are on their way back from ended tasks."""

    def reserve(self, batch: Batch, task_id: str, customer: str, amount: int, at_ms: int) -> bool:
        """Set a customer's money aside for a task; False if that was done before."""

    def open(self, batch: Batch, task_id: str, releasers: Callable[[], Releasers]) -> bool:
        """Fix who may release a reserved reward, with the first lease; False if that is fixed."""

    def refund(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Give the reservation back to the customer; False if that was begun before."""

    def settle(
        self,
        batch: Batch,
        task_id: str,
        payees: Payees,
        at_ms: int,
        *,
        results: Sequence[bytes],
        signers: Collection[Signer],
    ) -> int:
        """Fix who gets what of the reservation; returns when it is due, in Unix milliseconds.

        `results` are the leaves of the task's results, `signers` the workers that signed them.
        """

    def due(self, now_ms: int) -> Iterator[str]:
        """Ids of tasks whose pay can be given out now, the longest due first."""

    def mature(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Give out what is due; False if that was done before. `on_paid` says when it is there."""


class BondBook(Protocol):
    """What workers and validators stake here on their results."""

    def find(self, address: str) -> Bond:
        """What the address stakes; nothing if it never did."""

    def suffices(
        self, address: str, least: int, batch: Batch | None = None, *, key: bytes | None = None
    ) -> bool:
        """Whether the address has `least` units bonded; what is unbonding does not count.

        With the Ed25519 key of its node, where a bond is for one: whether it vouches for that.
        """

    def window_s(self, signers: Collection[Signer], batch: Batch | None = None) -> float:
        """How long the pay for results that these workers signed matures, and can be disputed:
        longer unless the bond of each suffices for its key."""

    def due(self, now_ms: int) -> Iterator[str]:
        """Addresses that get back by now what they have taken back."""

    def release(self, batch: Batch, address: str, at_ms: int) -> bool:
        """Give an address what it has taken back; False if nothing is unbonding."""

    def hold(self, batch: Batch, addresses: Iterable[str], since_ms: int, at_ms: int) -> None:
        """What these have begun to take back since then can be lost for `unbonding_s` from now."""


class Disputes(Protocol):
    """The money of disputes. All is staged into the caller's batch and may be repeated, and what
    raises has not touched the batch.

    `uphold`, `give_up` and `overturn` say what a jury came to, one of them for each dispute: they
    return False if that was done before, and raise NotFound for a task that was never disputed and
    SettlementConflict if something else was said. Where the chain holds the money, it moves only
    when a block has what validators signed of it.
    """

    on_ended: TaskUnfunded
    """A dispute is over without what a jury comes to, and why: the fee is its customer's again, and
    what becomes of the reward is told as of any task's."""

    def open(
        self, batch: Batch, task_id: str, customer: str, fee: int, at_ms: int, *, until_ms: int
    ) -> bool:
        """Hold a task's pay for `fee` units of the customer's; False if that was done before.

        `until_ms` is when the jury's time is over, Unix milliseconds.

        Raises:
            InvalidInput: the fee is below 1 unit.
            NotFound: no pay of the task matures.
            Conflict: the pay is due: the window is over.
            InsufficientFunds: the customer has less.
            LedgerConflict: it was disputed by somebody else, or for another fee.
            SettlementConflict: it was disputed before.
        """

    def uphold(self, batch: Batch, task_id: str, jurors: Collection[str], at_ms: int) -> bool:
        """The result stands: the fee pays the jurors (addresses), and the pay goes on to mature."""

    def give_up(self, batch: Batch, task_id: str, at_ms: int) -> bool:
        """Nobody can say: the fee comes back, and the pay goes on."""

    def overturn(
        self,
        batch: Batch,
        task_id: str,
        false: Sequence[str],
        acts: Sequence[Act],
        jurors: Collection[str],
        at_ms: int,
    ) -> bool:
        """The result is false: reward and fee come back, bonds of whose acts these are pay the
        jurors (addresses). `false` are the hashes of the results that are, in hex."""

    def at_stake(self, address: str) -> Bond:
        """What an address would be slashed of, now."""


class BlockBook(Protocol):
    """What confirmed blocks mean for the books."""

    def handle(self, batch: Batch, block: Block) -> None:
        """Book a confirmed block, for `Follower`."""


class OutboundOwner(Protocol):
    """Hears what the sender finds out about the settlement's transactions."""

    def fee_to(self, address: str) -> int:
        """Units that a withdrawal to the address costs its customer."""

    def on_confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """A confirmed block holds the transaction."""

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """No block ever will."""


class PayoutBook(Protocol):
    """Payouts, where the market itself makes them."""

    @property
    def short_of_fees(self) -> bool:
        """Whether something is due that the market cannot pay the chain for."""

    def patient(self, at_ms: int) -> Iterator[int]:
        """What each payee is owed that waits for a larger sum."""

    def shown(self, root: str, to_address: str) -> Shown | None:
        """The entries of the payout with this root to this address, if there is one."""


class Settlement(Protocol):
    """One market's money; `run` for as long as the market runs."""

    @property
    def parameters(self) -> SettlementParameters:
        """What the network fixes."""

    @property
    def ledger(self) -> Ledger:
        """Whose money it is."""

    @property
    def credit(self) -> Credits:
        """What customers may owe, with the operator's money behind it."""

    @property
    def bonds(self) -> BondBook:
        """What is staked."""

    @property
    def disputes(self) -> Disputes:
        """What is disputed."""

    @property
    def deposit_by(self) -> str:
        """The type of transaction by which a customer pays in."""

    @property
    def deposits(self) -> BlockBook:
        """For a `Follower` with the parameters' confirmations."""

    @property
    def outbox(self) -> OutboundOwner:
        """For the sender's callbacks."""

    @property
    def rewards(self) -> RewardBook:
        """The money of tasks."""

    @property
    def payouts(self) -> PayoutBook:
        """What was paid out."""

    def withdraw(self, batch: Batch, customer: str, amount: int, *, key: str, at_ms: int) -> str:
        """Stage a payment to the customer's own address; returns its cause at the sender.

        Raises InvalidInput, InsufficientFunds, LedgerConflict (the key stands for another
        withdrawal) or Unavailable (the L1 has not answered yet).
        """

    def late(self, now_ms: int, trouble: str) -> Iterable[Iterator[Late]]:
        """What of the money has stayed too long where it is, sort by sort.

        `trouble` is what is wrong with the chain, if anything is: why the chain did not move it.
        """

    async def can_book(self) -> None:
        """Wait until confirmed blocks can be booked; before, `deposits` takes none."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what is due, until cancelled."""


def unheard(*_: object) -> None:
    """Nobody wants to know."""
