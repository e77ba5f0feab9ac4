"""Deposits, escrows and bonds as a chain of the `market` profile shows them."""

from node.amounts import Amount
from node.l1.devchain.holdings import (
    Appeal,
    Closed,
    Deposit,
    Escrow,
    Held,
    Terms,
    bond_key,
    deposit_key,
    escrow_key,
    terms_key,
    units_of,
)
from node.l1.devchain.node import DevChain
from node.l1.escrow import (
    AppealView,
    Bond,
    BondView,
    DepositView,
    EscrowView,
    MarketView,
    Unbonded,
)


def deposit_view(chain: DevChain, market: str, customer: str) -> DepositView:
    """A customer's deposit at a market."""
    record = chain.holdings.records.get(deposit_key(market, customer))
    found = record if isinstance(record, Deposit) else Deposit()
    blocks = chain.config.genesis.market_parameters.deposit_notice_blocks
    return DepositView(
        market=market,
        customer=customer,
        amount=found.units,
        notice_height=found.notice,
        free_height=None if found.notice is None else found.notice + blocks,
    )


def escrow_view(chain: DevChain, escrow_id: str) -> EscrowView | None:
    """An escrow, open or closed."""
    records = chain.holdings.records
    record = records.get(escrow_key(escrow_id))
    if isinstance(record, Escrow):
        terms = records[terms_key(record.terms)]
        assert isinstance(terms, Terms)
        return EscrowView(
            escrow_id=escrow_id,
            market=record.market,
            status="open",
            customer=record.customer,
            amount=record.amount,
            opened_height=record.opened,
            closed_height=None,
            claim=None,
            opening=record.opening(terms.terms),
            appeal=_appeal_view(record.undecided),
            award=record.award,
        )
    return _closed_view(escrow_id, record) if isinstance(record, Closed) else None


def bond_view(chain: DevChain, market: str, address: str) -> BondView:
    """The bond of an account at a market."""
    record = chain.holdings.records.get(bond_key(market, address))
    found = record if isinstance(record, Bond) else None
    leaving = found.leaving if found else ()
    return BondView(
        market=market,
        address=address,
        public_key=found.public_key if found else None,
        amount=found.units if found else Amount(0),
        unbonding=tuple(Unbonded(amount=one.units, height=one.height) for one in leaving),
    )


def market_view(chain: DevChain) -> MarketView:
    """The parameters and all that is held."""
    records = chain.holdings.records.values()

    def total(kind: type[Held]) -> Amount:
        return Amount(sum(units_of(one) for one in records if isinstance(one, kind)))

    return MarketView(
        parameters=chain.config.genesis.market_parameters,
        deposits=total(Deposit),
        escrows=total(Escrow),
        bonds=total(Bond),
        burned=Amount(chain.burned),
    )


def _appeal_view(record: Appeal | None) -> AppealView | None:
    return AppealView(fee=record.fee, deadline=record.deadline) if record else None


def _closed_view(escrow_id: str, record: Closed) -> EscrowView:
    return EscrowView(
        escrow_id=escrow_id,
        market=record.market,
        status="settled" if record.claim else "refunded",
        customer=record.customer,
        amount=record.units,
        opened_height=record.opened,
        closed_height=record.closed,
        claim=record.claim,
        opening=None,
        award=record.award,
    )
