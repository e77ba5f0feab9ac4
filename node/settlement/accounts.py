"""The names of the ledger's accounts.

`l1` is the world outside: minus what it holds is what the market holds for others. `customer:`,
`worker:`, `validator:`, `bond:` and `unbonding:` take an address, `reserved:`, `maturing:` and
`appeal:` a task id, `outbox:` the cause of a payment that is on its way to the chain. `treasury`
and `burn` wait for their payouts, `fees` pays the chain's fees, and may owe some: a result is on
the chain before its pay matures, of which a part is for them. `unclaimed` keeps deposits whose
sender is no account of this network.
"""

import re

L1 = "l1"
TREASURY = "treasury"
BURN = "burn"
FEES = "fees"
UNCLAIMED = "unclaimed"
CUSTOMER = "customer:"
MAY_OWE = frozenset({L1, FEES})
"""Accounts that may hold less than nothing: the second only for a fee that the chain has taken."""

_NAME = re.compile(
    r"l1|treasury|burn|fees|unclaimed"
    r"|(?:customer|reserved|maturing|worker|validator|bond|unbonding|appeal|outbox):[!-~]{1,200}"
)


def customer(address: str) -> str:
    """What a customer may spend or withdraw."""
    return f"{CUSTOMER}{address}"


def reserved(task_id: str) -> str:
    """The reward of a task that is neither completed nor refunded."""
    return f"reserved:{task_id}"


def maturing(task_id: str) -> str:
    """The reward of a completed task, until the dispute window is over."""
    return f"maturing:{task_id}"


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


def is_account(name: str) -> bool:
    """Whether the name is one the ledger may book to."""
    return _NAME.fullmatch(name) is not None


def address_in(account: str) -> str:
    """The part after the colon of an account that is an address's."""
    return account.partition(":")[2]
