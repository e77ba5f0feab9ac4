"""The names of the ledger's accounts.

`l1` is the world outside: minus what it holds is what the market holds for others. `customer:`,
`worker:`, `validator:`, `bond:` and `unbonding:` take an address, `reserved:`, `maturing:`,
`returning:` and `appeal:` a task id, `outbox:` the cause of a payment that is on its way to the
chain. `treasury` and `burn` wait for their payouts, `fees` pays the chain's fees, and may owe some:
a result is on the chain before its pay matures, of which a part is for them. `unclaimed` keeps
deposits whose sender is no account of this network. `credit:` takes a customer's address: money of
the operator's that backs what the customer may owe.
"""

import re
from functools import lru_cache

L1 = "l1"
TREASURY = "treasury"
BURN = "burn"
FEES = "fees"
UNCLAIMED = "unclaimed"
CUSTOMER = "customer:"
CREDIT = "credit:"
MAY_OWE = frozenset({L1, FEES})
"""Accounts that may hold less than nothing: the second only for a fee that the chain has taken.
A customer may owe as well, but never more than the customer's `credit:` holds."""

_NAME = re.compile(
    r"l1|treasury|burn|fees|unclaimed"
    r"|(?:customer|credit|reserved|maturing|returning|appeal|worker|validator|bond|unbonding|outbox)"
    r":[!-~]{1,200}"
)


def customer(address: str) -> str:
    """What a customer may spend or withdraw."""
    return f"{CUSTOMER}{address}"


def credit(address: str) -> str:
    """The operator's money that stands for what this customer may owe: the customer's limit."""
    return f"{CREDIT}{address}"


def reserved(task_id: str) -> str:
    """The reward of a task that is neither completed nor refunded."""
    return f"reserved:{task_id}"


def maturing(task_id: str) -> str:
    """The reward of a completed task, until the dispute window is over."""
    return f"maturing:{task_id}"


def returning(task_id: str) -> str:
    """The reward of a task that ended without a result, until the chain has given it back."""
    return f"returning:{task_id}"


def worker(address: str) -> str:
    """What a worker has earned and not yet been paid."""
    return f"worker:{address}"


def validator(address: str) -> str:
    """What a validator has earned and not yet been paid."""
    return f"validator:{address}"


def bond(address: str) -> str:
    """What a worker or validator stakes on its results."""
    return f"bond:{address}"


def unbonding(address: str) -> str:
    """What it has taken back and not got yet: a slash still reaches it."""
    return f"unbonding:{address}"


def appeal(task_id: str) -> str:
    """The fee of an appeal that is not decided."""
    return f"appeal:{task_id}"


def outbox(cause: str) -> str:
    """A payment handed to the sender and not yet seen in a confirmed block, with its L1 fee."""
    return f"outbox:{cause}"


@lru_cache(maxsize=4096)
def is_account(name: str) -> bool:
    """Whether the name is one the ledger may book to."""
    return _NAME.fullmatch(name) is not None


def address_in(account: str) -> str:
    """The part after the colon of an account that is an address's."""
    return account.partition(":")[2]
