"""The phases of a task: what each is to its customer, and which of them are ends.

This is the one place that says so. Whoever waits for a task, on the command line, over REST or in a
stream of events, stops waiting at an end.
"""

from collections.abc import Mapping
from typing import Literal

Phase = Literal[
    "queued",
    "leased",
    "verified",
    "anchored",
    "disputed",
    "settled",
    "overturned",
    "reclaimed",
    "refunded",
]
Status = Literal["pending", "in_progress", "completed", "failed"]

STATUS_OF: Mapping[Phase, Status] = {
    "queued": "pending",
    "leased": "in_progress",
    "verified": "completed",
    "anchored": "completed",
    "disputed": "completed",
    "settled": "completed",
    "overturned": "failed",
    "reclaimed": "completed",
    "refunded": "failed",
}
OPEN_PHASES: frozenset[Phase] = frozenset({"queued", "leased"})

ENDS: Mapping[Phase, str] = {
    "settled": "anchored and paid",
    "refunded": "cancelled, too late, or no valid result; the customer has the reward back",
    "overturned": "a jury found the result false; the customer has reward and fee back",
    "reclaimed": "completed, and the chain gave the reward back; nobody is paid for it",
}
"""Where a task stays, and what that means; no other phase lasts for ever."""
