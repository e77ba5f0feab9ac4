"""Which attempt a nonce is of."""

MAX_ATTEMPTS = 5
"""The network's `protocol.max_attempts`."""


def is_first(nonce: int) -> bool:
    """Whether it is the first attempt of its epoch: its number is `epoch * MAX_ATTEMPTS + 1`."""
    return nonce % MAX_ATTEMPTS == 1
