"""Times as answers have them: whole Unix seconds."""

_MS = 1000


def seconds(at_ms: int) -> int:
    """When it was."""
    return at_ms // _MS


def seconds_until(due_ms: int) -> int:
    """When it is due: never earlier than it is."""
    return -(-due_ms // _MS)
