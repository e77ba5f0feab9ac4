"""Counting verdicts: when an attempt is decided, and how."""

from collections import Counter
from collections.abc import Iterable

from node.verification.statements import Finding, Verdict


def decide(verdicts: Iterable[Verdict], *, seats: int, needed: int) -> Finding | None:
    """The finding of a quorum, or None while it can still be reached.

    `valid` and `invalid` take `needed` equal verdicts of distinct validators. When neither can be
    reached any more the attempt is `withheld` if most said so, else `inconclusive`.
    """
    by_validator = {verdict.validator_key: verdict.finding for verdict in verdicts}
    counts = Counter(by_validator.values())
    outstanding = seats - len(by_validator)
    for finding in ("valid", "invalid"):
        if counts[finding] >= needed:
            return finding
    if max(counts["valid"], counts["invalid"]) + outstanding >= needed:
        return None
    return "withheld" if counts["withheld"] >= needed else "inconclusive"
