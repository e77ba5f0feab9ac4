"""What the chain has of a throng of tasks, against what must have come of them.

The chain's own records, balances and blocks are looked at, and the market's books only to see that
they are their copy.
"""

from collections import Counter
from typing import Any

from node.amounts import UNITS_PER_CPC
from node.l1.devchain.holdings import Closed, Deposit, Escrow, escrow_key, units_of
from node.l1.escrow import Openings, Refund, Settlement, claim_digest, escrow_id_of, read
from node.l1.escrow.forms import MarketWithdrawal
from node.l1.transactions import Transaction, tx_hash
from node.settlement.escrow_claims import claim_of
from node.settlement.escrows import CLOSED
from tests.unit.node.settlement.support.books import check_books
from tests.unit.node.settlement.support.throng import Sold, Throng, paid_for

CHAIN = "cpc-devnet-1"
FUNDS = 10**9 * UNITS_PER_CPC
SHOWN = 5
"""Differences in a failure: of thousands pytest would make a comparison for minutes."""


def check_while_running(throng: Throng, market: Any) -> None:
    """Nothing is lost or made, and each open escrow is of a task that the market goes on with."""
    chain, held, settled = throng.world.chain, Counter[type](), 0
    for name, record in chain.holdings.records.items():
        held[type(record)] += units_of(record)
        settled += isinstance(record, Closed) and record.claim is not None
        if isinstance(record, Escrow):
            known = market.settlement.book.find(name.removeprefix("escrow/"))
            assert known is not None
            assert known.state not in CLOSED
    paid = settled * throng.world.parameters.fee_reserve  # to the market
    paid += sum(throng.world.balance(address) for address in throng.payees)
    out = throng.world.balance(throng.customer.address) - (FUNDS - throng.deposited - throng.fee)
    assert held[Deposit] + held[Escrow] + paid + out == throng.deposited


def check_ends(throng: Throng, market: Any) -> None:
    """Every task ended once, in its way, and everybody has what that gives, to the unit."""
    txs = throng.world.transactions()
    _check_escrows(throng)
    _check_blocks(throng, txs)
    _check_balances(throng, txs)
    _check_books(throng, market)


def _check_escrows(throng: Throng) -> None:
    """No escrow is open, and none is there but those of the tasks, each closed as it should be."""
    records = throng.world.chain.holdings.records
    escrows = {name for name, one in records.items() if isinstance(one, Escrow | Closed)}
    unlike = escrows ^ {escrow_key(_id(throng, one)) for one in throng.tasks}
    assert not list(unlike)[:SHOWN]
    for task in throng.tasks:
        closed = records[escrow_key(_id(throng, task))]
        assert isinstance(closed, Closed)
        wanted = task.payees and claim_digest(claim_of(task.payees, ()))
        assert (closed.units, closed.claim) == (task.reward, wanted)


def _check_blocks(throng: Throng, txs: list[Transaction]) -> None:
    """Each step of each task is in the blocks once, and the market sent nothing besides."""
    market = throng.world.key.address
    ours = [tx for tx in txs if tx.from_address == market]
    assert not [nonce for nonce, tx in enumerate(ours) if tx.nonce != nonce][:SHOWN]
    steps = Counter(step for tx in ours for step in _steps_of(tx))
    wanted = {("open", one.task_id) for one in throng.tasks}
    wanted |= {("settle" if one.payees else "refund", _id(throng, one)) for one in throng.tasks}
    wanted |= {("withdraw", str(units)) for units in throng.withdrawals}
    assert not list(steps.keys() ^ wanted)[:SHOWN]
    assert not [step for step, times in steps.items() if times > 1][:SHOWN]


def _steps_of(tx: Transaction) -> list[tuple[str, str]]:
    match read(tx):
        case Openings(tasks=tasks):
            return [("open", one.task_id) for one in tasks]
        case Settlement(claims=claims):
            return [("settle", one.escrow_id) for one in claims]
        case Refund(escrow_id=escrow_id):
            return [("refund", escrow_id)]
        case MarketWithdrawal(amount=units):
            return [("withdraw", str(units))]
    return [(tx.tx_type, tx_hash(tx))]


def _check_balances(throng: Throng, txs: list[Transaction]) -> None:
    """Of payees, burn and treasury, of the market and of the customer; and all of it adds up."""
    world, rules, owed = throng.world, throng.world.parameters, Counter[str]()
    for task in throng.tasks:
        if task.payees:
            owed += paid_for(task.reward, task.payees, rules.fee_reserve)
    labels = {"burn": rules.burn_address, "treasury": rules.treasury_address}
    reserves = owed.pop("market")
    for name, units in owed.items():
        assert world.balance(labels.get(name, name)) == units, name
    fees = Counter[str]()
    for tx in txs:
        fees[tx.from_address] += tx.fee
    assert world.balance(world.key.address) == FUNDS + reserves - fees[world.key.address]
    customer, out = throng.customer.address, sum(throng.withdrawals)
    assert fees[customer] == throng.fee
    assert world.balance(customer) == FUNDS - throng.deposited - throng.fee + out
    left = throng.deposited - out - owed.total() - reserves
    assert world.held(customer) == left
    assert sum(map(units_of, world.chain.holdings.records.values())) == left


def _check_books(throng: Throng, market: Any) -> None:
    """They hold what the chain holds, and have each payment once."""
    check_books(market)
    account = f"customer:{throng.customer.address}"
    left = throng.world.held(throng.customer.address)
    assert dict(market.ledger.holdings()) == {account: left, "l1": -left}
    kinds = Counter(one.kind for one in market.ledger.entries())
    paid = sum(one.payees is not None for one in throng.tasks)
    assert (kinds["paid"], kinds["mature"]) == (paid, paid)
    assert kinds["sent"] == len(throng.withdrawals)
    assert not list(market.settlement.book.active())


def _id(throng: Throng, task: Sold) -> str:
    return escrow_id_of(CHAIN, throng.world.key.address, task.task_id)
