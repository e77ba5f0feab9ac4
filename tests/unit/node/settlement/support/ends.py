"""How a life of a market must have ended: the chain and the books against the model."""

from collections import Counter
from typing import Any

from node.amounts import UNITS_PER_CPC
from node.settlement.public_audit import FEE_BY_PAYEE
from tests.unit.node.settlement.support.driver import JURORS, OPERATOR, Driver, Model

FEE = 21_000_000
FUNDS = 10**9 * UNITS_PER_CPC
RESERVE = 10**9


def check_balances(driver: Driver, market: Any) -> None:
    """The chain and the ledger together hold for everybody exactly what the model says."""
    world, ledger = driver.world, market.ledger
    owed = credits_of(driver.model)
    for entry in slashes_of(ledger):
        owed.update({p.account: p.amount for p in entry.postings if p.amount > 0})
    labels = {"burn": world.parameters.burn_address, "treasury": world.parameters.treasury_address}
    paid, own_fees = Counter[str](), fees_of_payees(world)
    for account, amount in owed.items():
        if account != "fees":
            address = labels.get(account) or account.partition(":")[2]
            paid[address] += amount - ledger.balance(account)
    for address, amount in paid.items():
        assert world.balance(address) == amount - own_fees[address], address
    for number in range(10, 14):
        check_customer(driver, market, driver.key(number).address)
    if world.holds:
        earned = owed["fees"] - world.fees_of(world.key.address)
        assert world.balance(world.key.address) == FUNDS + earned
    else:
        assert world.balance(world.key.address) == -ledger.balance("l1")
        transfers = world.chain.account(world.key.address).nonce
        fees = owed["fees"] + len(driver.model.withdrawn) * FEE + sum(driver.model.given.values())
        fees += own_fees.total()
        assert fees - ledger.balance("fees") == transfers * FEE
    check_causes(driver, market)


def fees_of_payees(world: Any) -> Counter[str]:
    """What the chain took of payees that did not want to wait, out of what they were owed."""
    found: Counter[str] = Counter()
    for tx in world.transactions():
        if tx.from_address == world.key.address and FEE_BY_PAYEE.items() <= tx.payload.items():
            found[tx.to_address] += tx.fee
    return found


def check_causes(driver: Driver, market: Any) -> None:
    """In the end nothing is held but what has a cause that goes on: of every kind of account."""
    model, settlement = driver.model, market.settlement
    backed = {one.address: one for one in settlement.credit.views()}
    for account, units in market.ledger.holdings():
        kind, _, name = account.partition(":")
        if kind == "customer":
            assert units > 0 or backed[name].limit >= -units
        elif kind == "credit":
            most = model.limits[name] + model.repaid[name]  # for a task that came back later
            assert 0 < units <= most, "a write-off leaves less than was given"
        elif kind == "bond":
            assert units > 0
            assert name in model.staked
        elif kind in ("worker", "validator", "burn", "treasury"):
            least = (
                settlement.parameters.min_payout if market.ledger.balance("fees") >= FEE else None
            )
            assert units > 0
            assert least is None or units < least, f"{account} could be paid"
            assert settlement.payouts.latest_ms(account) is not None
        else:
            assert kind in ("l1", "fees"), f"{account} holds {units} units"
    for_ever = market.now_ms() + 10**12
    assert not list(settlement.rewards.due(for_ever))
    assert not list(settlement.bonds.due(for_ever))
    if driver.world.holds:
        assert not list(settlement.book.active())


def credits_of(model: Model) -> Counter[str]:
    """What all settled tasks gave to each account."""
    owed: Counter[str] = Counter()
    for parts in model.paid().values():
        owed.update({f"worker:{address}": amount for address, amount in parts.workers})
        owed.update({f"validator:{address}": amount for address, amount in parts.validators})
        owed.update({"treasury": parts.treasury, "burn": parts.burn, "fees": parts.fees})
    for fee in model.lost().values():
        kept = min(fee, RESERVE)
        share = (fee - kept) // 2
        owed.update({f"validator:{address}": share for address in JURORS})
        owed.update({"fees": kept, "burn": fee - kept - 2 * share})
    return owed


def slashes_of(ledger: Any) -> list[Any]:
    """How much a slash takes is for `test_appeals` to check; here, where it goes."""
    return [entry for entry in ledger.entries() if entry.kind == "slash"]


def written_off(ledger: Any) -> Counter[str]:
    """By customers, whose debts these were; how much it may be is for `test_credit` to check."""
    found: Counter[str] = Counter()
    for entry in ledger.entries():
        if entry.kind == "write-off":
            (name,) = (one.account for one in entry.postings if one.amount > 0)
            found[name.partition(":")[2]] += entry.amount(name)
    return found


def payer(driver: Driver, market: Any, task: str, customer: str) -> str:
    """Whose deposit a task was paid from: the operator's if on credit, where the chain holds it."""
    source = market.ledger.find(f"reserve:{task}").postings[0].account
    return driver.key(OPERATOR).address if source.startswith("credit:") else customer


def repaid(world: Any) -> Counter[str]:
    """What each account paid into the deposit of another, or, negative, got."""
    found: Counter[str] = Counter()
    for tx in world.transactions():
        if tx.tx_type == "DEPOSIT" and "customer" in tx.payload:
            found[tx.from_address] += tx.amount
            found[tx.payload["customer"]] -= tx.amount
    return found


def check_customer(driver: Driver, market: Any, address: str) -> None:
    model = driver.model
    spent = sum(
        amount
        for task, (customer, amount) in model.reserved.items()
        if task in model.paid() and payer(driver, market, task, customer) == address
    )
    spent += repaid(driver.world)[address]
    spent += sum(model.lost().values()) if address == driver.key(10).address else 0
    names = [f"{kind}:{address}" for kind in ("customer", "bond", "unbonding")]
    staked = sum(map(market.ledger.balance, names[1:]))
    if address == driver.key(OPERATOR).address:
        names += [name for name, _ in market.ledger.holdings("credit:")]
        spent += sum(model.given.values()) + sum(written_off(market.ledger).values())
    spent -= written_off(market.ledger)[address]
    for entry in slashes_of(market.ledger):
        spent -= sum(entry.amount(name) for name in names)
    world, held = driver.world, sum(map(market.ledger.balance, names))
    fees = world.fees_of(address)
    if world.holds:
        assert world.held(address) == held - staked
        assert world.bonded(address) == staked
    else:
        fees += FEE * sum(owner == address for owner, _ in model.withdrawn)
    assert world.balance(address) + held == FUNDS - spent - fees
