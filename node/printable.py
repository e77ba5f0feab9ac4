"""What strangers say, as it may stand in a log or on a terminal."""


def printable(text: str, limit: int) -> str:
    """A stranger's text for a log or a message: one line, no control characters, cut."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])
