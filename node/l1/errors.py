"""Errors of the L1 client and of the development chain.

L1Error
├── BadAddress          text that is no address of an account
├── BadTransaction      a transaction that must not be signed or sent
│   ├── NotCanonical    its payload has no canonical form that survives the chain
│   └── BadPayload      a transaction about held money is not of its form
├── NotSynchronised     the account's first nonce has not been learned yet
├── L1Unavailable       no usable answer: try again later
├── L1Malformed         an answer or a block that breaks the chain's own rules
└── DevChainError
    ├── PortInUse       another process listens there
    ├── BadGenesis      the configuration makes no chain
    └── OtherChain      the data directory holds the blocks of another chain
"""


class L1Error(Exception):
    """Base of everything this package raises on purpose."""


class BadAddress(L1Error):
    """The text is no account address: money sent there would be lost."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"{text[:100]!r} is no address: {problem}")
        self.text = text
        self.problem = problem


class BadTransaction(L1Error):
    """The transaction breaks a rule of the chain, or one that keeps our money safe on it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class NotCanonical(BadTransaction):
    """The payload has no canonical JSON, or one that the chain would not store as it was sent."""


class BadPayload(BadTransaction):
    """A field of a transaction about deposits, escrows or bonds is wrong: its path, and how."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class NotSynchronised(L1Error):
    """The sender does not know its account's first nonce: wait for `Sender.ready`."""


class L1Unavailable(L1Error):
    """The L1 gave no usable answer; the same request may work later."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the L1 is unavailable: {reason}")
        self.reason = reason


class L1Malformed(L1Error):
    """The L1 answered something that its own rules forbid; nothing of it may be believed."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the L1 answered against its rules: {problem}")
        self.problem = problem


class DevChainError(L1Error):
    """The development chain cannot run as configured."""


class PortInUse(DevChainError):
    """Another process listens on the development chain's port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is in use: stop the process that listens there, or choose another port"
        )
        self.host = host
        self.port = port


class BadGenesis(DevChainError):
    """The configuration describes no chain."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class OtherChain(DevChainError):
    """The data directory was made with another genesis, chain id, block time or proposer."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"the data directory holds a chain with another {field}: restore the old"
            " configuration, or give the new chain an empty directory"
        )
        self.field = field
