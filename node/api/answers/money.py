"""What accounts have, what moved it, and what is paid out or staked."""

from typing import TYPE_CHECKING

import msgspec

from node.amounts import Amount, format_cpc
from node.api.answers.times import seconds_until
from node.market.views import (
    AccountView,
    PayoutView,
    StatementPage,
)

if TYPE_CHECKING:  # the command line has the answers without settlement and storage
    from node.settlement.bonds import Bond
    from node.settlement.paydesk import PayView
    from node.settlement.withdrawals import WithdrawalView


class AccountAnswer(msgspec.Struct, frozen=True):
    """An account at this market."""

    address: str
    available_cpc: str
    """Its own money: to buy with or take out."""
    reserved_cpc: str
    earned_cpc: str
    """What it has earned as a worker or validator and is paid out next."""
    deposit_address: str
    withdrawal_fee_cpc: str | None = None
    """What a withdrawal costs; null where nothing is paid out."""
    credit_limit_cpc: str = "0.0"
    """The most that it may owe for tasks, as the operator allows."""
    owed_cpc: str = "0.0"
    """What it owes now; a deposit pays it back first, or where the chain holds the money, a DEPOSIT
    for `credit_backer`."""
    credit_backer: str = ""
    """Who backs the credit; empty without any."""
    deposit_by: str = "TRANSFER"
    """The type of transaction that pays in; where the chain holds the money, `DEPOSIT`."""
    bonded_cpc: str = "0.0"
    unbonding_cpc: str = "0.0"
    """Bond that was taken back and is not free yet."""


class StatementLine(msgspec.Struct, frozen=True):
    """One movement of your money."""

    number: int
    """Of the entry; one that moves two of your accounts makes two lines."""
    at: float
    """Unix seconds."""
    account: str
    """`customer`, `worker`, `validator`, `bond` or `unbonding`: your money as which. Where the
    chain holds the money also `credit`: what you may still buy with on credit."""
    kind: str
    """`deposit`, `reserve`, `refund`, `mature`, `payout`, `withdraw` and others."""
    about: str
    """The task, transaction or payment that it belongs to."""
    amount_cpc: str
    """What came in or, negative, went out."""


class StatementAnswer(msgspec.Struct, frozen=True):
    """A part of a statement, oldest first."""

    address: str
    lines: tuple[StatementLine, ...]
    next: int | None
    """Where the next part starts; null if this was the last."""
    credit_limit_cpc: str = "0.0"
    owed_cpc: str = "0.0"
    """What you owe now for tasks on credit."""


class PostingAnswer(msgspec.Struct, frozen=True):
    """What one account of the market's ledger gains (or, negative, gives)."""

    account: str
    amount_cpc: str


class EntryAnswer(msgspec.Struct, frozen=True):
    """An entry of the market's ledger, with all that its digest is made of."""

    cause: str
    kind: str
    at_ms: int
    number: int
    postings: tuple[PostingAnswer, ...]


class PayoutAnswer(msgspec.Struct, frozen=True):
    """The entries that a payout on the chain pays, in the order of the leaves under its root."""

    account: str
    """The ledger's account that was paid."""
    entries: tuple[EntryAnswer, ...]


class OnTheWayAnswer(msgspec.Struct, frozen=True):
    """A payout that is in no confirmed block yet."""

    amount_cpc: str
    tx_hash: str


class PayTermsAnswer(msgspec.Struct, frozen=True):
    """What you have earned, and when it is paid."""

    address: str
    owed_cpc: str
    """As a worker and as a validator, mature and not on its way."""
    threshold_cpc: str | None
    """At which you are paid; null: by the network's rule."""
    least_threshold_cpc: str
    most_threshold_cpc: str
    pay_by: int | None
    """Unix seconds: the latest; null if nothing is owed."""
    fee_cpc: str
    """What payment on demand costs."""
    on_the_way: tuple[OnTheWayAnswer, ...]


class WithdrawalAnswer(msgspec.Struct, frozen=True):
    """A withdrawal, and how far it is: `pending`, `confirmed` or `lost`."""

    withdrawal_id: str
    address: str
    amount_cpc: str
    fee_cpc: str
    status: str
    tx_hash: str | None
    height: int | None


class BondAnswer(msgspec.Struct, frozen=True):
    """What an address stakes on its results."""

    address: str
    bonded_cpc: str
    unbonding_cpc: str
    release_at: int | None
    """Unix seconds when what is unbonding is free; null if nothing is."""


def account_answer(account: AccountView, fee: Amount | None) -> AccountAnswer:
    """An account as JSON, and what a withdrawal from it costs."""
    return AccountAnswer(
        address=account.address,
        available_cpc=format_cpc(account.available),
        reserved_cpc=format_cpc(account.reserved),
        earned_cpc=format_cpc(account.earned),
        deposit_address=account.deposit_address,
        withdrawal_fee_cpc=None if fee is None else format_cpc(fee),
        credit_limit_cpc=format_cpc(account.credit_limit),
        owed_cpc=format_cpc(account.owed),
        credit_backer=account.credit_backer,
        deposit_by=account.deposit_by,
        bonded_cpc=format_cpc(account.bonded),
        unbonding_cpc=format_cpc(account.unbonding),
    )


def statement_answer(page: StatementPage) -> StatementAnswer:
    """A part of a statement as JSON."""
    lines = tuple(
        StatementLine(
            number=line.number,
            at=line.at_ms / 1000,
            account=line.account,
            kind=line.kind,
            about=line.about,
            amount_cpc=format_cpc(line.amount),
        )
        for line in page.lines
    )
    limit, owed = format_cpc(page.credit_limit), format_cpc(page.owed)
    return StatementAnswer(page.address, lines, page.next, limit, owed)


def pay_terms_answer(view: "PayView") -> PayTermsAnswer:
    """What a payee is owed as JSON."""
    threshold, pay_by_ms = view.threshold, view.pay_by_ms
    return PayTermsAnswer(
        address=view.address,
        owed_cpc=format_cpc(view.owed),
        threshold_cpc=None if threshold is None else format_cpc(threshold),
        least_threshold_cpc=format_cpc(view.least),
        most_threshold_cpc=format_cpc(view.most),
        pay_by=None if pay_by_ms is None else seconds_until(pay_by_ms),
        fee_cpc=format_cpc(view.fee),
        on_the_way=tuple(
            OnTheWayAnswer(format_cpc(one.amount), f"0x{one.tx_hash}") for one in view.on_the_way
        ),
    )


def payout_answer(payout: PayoutView) -> PayoutAnswer:
    """A payout as JSON."""
    entries = tuple(
        EntryAnswer(
            cause=entry.cause,
            kind=entry.kind,
            at_ms=entry.at_ms,
            number=entry.number,
            postings=tuple(
                PostingAnswer(one.account, format_cpc(one.amount)) for one in entry.postings
            ),
        )
        for entry in payout.entries
    )
    return PayoutAnswer(payout.account, entries)


def withdrawal_answer(withdrawal: "WithdrawalView") -> WithdrawalAnswer:
    """A withdrawal as JSON."""
    return WithdrawalAnswer(
        withdrawal_id=withdrawal.withdrawal_id,
        address=withdrawal.address,
        amount_cpc=format_cpc(withdrawal.amount),
        fee_cpc=format_cpc(withdrawal.fee),
        status=withdrawal.state,
        tx_hash=None if withdrawal.tx_hash is None else f"0x{withdrawal.tx_hash}",
        height=withdrawal.height,
    )


def bond_answer(bond: "Bond") -> BondAnswer:
    """A bond as JSON."""
    release_ms = bond.release_ms
    return BondAnswer(
        address=bond.address,
        bonded_cpc=format_cpc(bond.bonded),
        unbonding_cpc=format_cpc(bond.unbonding),
        release_at=None if release_ms is None else seconds_until(release_ms),
    )
