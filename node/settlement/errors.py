"""The errors of settlement, on top of the node's tree.

NodeError
├── Conflict
│   ├── LedgerConflict      a cause was posted before with other postings
│   └── SettlementConflict  the task's money has already gone the other way
├── MalformedEntry          postings that no ledger entry may have
└── Overdrawn               an account of the node itself would become negative

The last two are faults of the node, never of a caller outside. A customer without money is
`node.errors.InsufficientFunds`.
"""

from node.errors import Conflict, NodeError


class LedgerConflict(Conflict):
    """The cause names an entry that is already in the ledger and moves other money."""


class SettlementConflict(Conflict):
    """A settled task cannot be refunded and a refunded task cannot be settled."""


class MalformedEntry(NodeError):
    """Postings that do not sum to zero, repeat an account, are zero or name no known account."""


class Overdrawn(NodeError):
    """An entry would leave an account less than it must hold, other than a customer's."""
