"""The errors of the node: each says what is wrong, where, and what to do about it.

NodeError
├── InvalidInput            a field of a request is wrong
│   ├── TaskTooLarge        the work is beyond what this network can check
│   └── RewardBelowQuote    the reward does not cover the price
├── WorkloadUnavailable     the kind of task is not offered here
├── InsufficientFunds       the account cannot pay
├── NotAllowed              the caller is not the owner, or is unknown
├── NotFound                no such task, artifact or account
├── Conflict                the thing exists but is not in a state for this
│   └── HeldByChain         what is asked of the market is the chain's to do
├── Unavailable             a part this needs is down; try again
│   └── Overloaded          more at once than this node takes; try again soon
└── ConfigError             a configuration file is wrong

`node.api.errors` maps the codes to HTTP and JSON-RPC; nothing else does.
"""

from typing import ClassVar


class NodeError(Exception):
    """Base of what the node reports to a person: a stable `code`, the field, the remedy."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, field: str | None = None, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        advice = f" ({self.remedy})" if self.remedy else ""
        return f"{place}{self.message}{advice}"


class InvalidInput(NodeError):
    """A field of a request has the wrong type, range or form."""

    code = "invalid_input"


class TaskTooLarge(InvalidInput):
    """The work is larger than this network's limits allow to be checked."""

    code = "task_too_large"


class RewardBelowQuote(InvalidInput):
    """The reward is lower than the quoted price of the work."""

    code = "reward_below_quote"


class WorkloadUnavailable(NodeError):
    """The kind of task is known but nobody offers it on this network."""

    code = "workload_unavailable"


class InsufficientFunds(NodeError):
    """The account's free balance is lower than what the operation takes."""

    code = "insufficient_funds"


class NotAllowed(NodeError):
    """The caller has not shown that the account is theirs."""

    code = "not_allowed"


class NotFound(NodeError):
    """The named thing does not exist here."""

    code = "not_found"


class Conflict(NodeError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"


class HeldByChain(Conflict):
    """What is asked for is about money that a market holds, and this one's is the chain's."""

    code = "held_by_chain"


class Unavailable(NodeError):
    """Something this operation needs is down or full; the same call may work later."""

    code = "unavailable"


class Overloaded(Unavailable):
    """More requests, or more open tasks, at once than this node takes."""

    code = "overloaded"


class ConfigError(NodeError):
    """A configuration file does not say what the node needs."""

    code = "config"
