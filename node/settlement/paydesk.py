"""What payees can ask of a market: when they are paid, a threshold of their own, payment now."""

from collections.abc import Callable, Iterator

import msgspec

from node.amounts import Amount, format_cpc
from node.errors import Conflict, NotFound
from node.l1.sender import Sender
from node.settlement import accounts
from node.settlement.transfer import TransferSettlement
from storage.database import Database
from storage.store import Batch


class OnTheWay(msgspec.Struct, frozen=True):
    """A payout that is in no confirmed block yet."""

    amount: Amount
    """What arrives."""
    tx_hash: str


class PayView(msgspec.Struct, frozen=True):
    """What a payee is owed, and when it is paid. Amounts in units of 10^-18 CPC."""

    address: str
    owed: Amount
    """Mature, as a worker and as a validator, and not on its way."""
    threshold: Amount | None
    """The payee's own; None: paid by the network's rule."""
    least: Amount
    """The bounds of a threshold on this network."""
    most: Amount
    pay_by_ms: int | None
    """When it is paid at the latest; None if nothing is owed."""
    fee: Amount
    """What the L1 takes for payment on demand, out of what is owed."""
    on_the_way: tuple[OnTheWay, ...]


class PayDesk:
    """The payees' counter of a market that settles by TRANSFER."""

    def __init__(
        self,
        db: Database,
        settlement: TransferSettlement,
        sender: Sender,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._settlement = settlement
        self._sender = sender
        self._now_ms = now_ms

    def view(self, address: str) -> PayView:
        """What the payee is owed."""
        ledger, payouts = self._settlement.ledger, self._settlement.payouts
        names, rules = _accounts(address), self._settlement.parameters
        latest = [one for one in map(payouts.latest_ms, names) if one is not None]
        return PayView(
            address=address,
            owed=Amount(sum(map(ledger.balance, names))),
            threshold=payouts.terms.threshold(address),
            least=rules.min_payout,
            most=rules.max_payout_threshold,
            pay_by_ms=min(latest, default=None),
            fee=Amount(self._settlement.outbox.fee_to(address)),
            on_the_way=tuple(self._on_the_way(names)),
        )

    async def set_threshold(
        self, address: str, threshold: int, asked_ms: int | None = None
    ) -> None:
        """Pay this payee at `threshold` units, or at 0 by the network's rule; returns once durable.

        A wish that was made before the one that is known, `asked_ms` (default now), changes
        nothing. Raises InvalidInput and Conflict as `TermsBook.set` does.
        """
        batch = Batch()
        made_ms = self._now_ms() if asked_ms is None else asked_ms
        if self._settlement.payouts.terms.set(batch, address, threshold, made_ms):
            self._db.stage(batch)
        await self._db.flushed()

    async def pay_now(self, address: str) -> None:
        """Pay what is owed to an address, who pays the L1's fee; returns once it will be sent.

        Again, it pays what was earned since: nothing twice.

        Raises:
            Conflict: what is owed is not worth the fee.
            Unavailable: the L1 has not answered since the market was made.
        """
        view, at_ms = self.view(address), self._now_ms()
        paid = [self._settlement.payouts.pay_now(name, at_ms) for name in _accounts(address)]
        if view.owed and not any(paid):
            raise Conflict(
                f"{format_cpc(view.owed)} CPC are owed, the fee is {format_cpc(view.fee)} CPC",
                field="now",
                remedy="earn more first",
            )
        await self._db.flushed()

    def _on_the_way(self, names: tuple[str, ...]) -> Iterator[OnTheWay]:
        for name in names:
            for account, _ in self._settlement.ledger.holdings(accounts.outbox(f"payout:{name}:")):
                cause = accounts.address_in(account)
                payout, record = self._settlement.payouts.find(cause), self._sender.find(cause)
                if payout is None or record is None:
                    raise NotFound(f"{cause} is on its way and nobody knows how")
                yield OnTheWay(payout.amount, record.tx_hash)


def _accounts(address: str) -> tuple[str, ...]:
    return accounts.worker(address), accounts.validator(address)
