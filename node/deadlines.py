"""How long anything may stay in a state, and what ends that by itself.

`STATES` has every state of everything that a node keeps and that is to go on; a test enumerates
them in the code, so that none is without an end. The seconds above it are from when on `tmnode
status` says of a thing that it is overdue, why, and what to do.
"""

from collections.abc import Mapping
from typing import NamedTuple

GRACE_S = 5.0
"""Beyond a deadline that the node itself keeps: it looks every half second."""
UNLEASED_S = 60.0
"""For a task to be leased."""
UNANCHORED_S = 60.0
"""For a result to be in a block, after its task's completion."""
UNCONFIRMED_S = 120.0
"""For a payment or a result to be in a confirmed block, after it was signed."""
UNCREDITED_S = 120.0
"""For a deposit to be credited, after it was seen in a block."""
UNSIGNED_S = 60.0
"""For an escrow's set to sign how it ends, after the market wanted that and a block had it open."""
UNCLOSED_S = 300.0
"""For a block to close an escrow, after a validator signed how it ends."""


class Limit(NamedTuple):
    """When a state ends by itself, and in what."""

    after: str
    then: str


END = Limit("–", "the end")
OWN = Limit("–", "its owner's: stays until the owner spends it or takes it out")

STATES: Mapping[str, Mapping[str, Limit]] = {
    "task": {
        "queued": Limit("the task's deadline", "refunded"),
        "leased": Limit("the lease; 1.5 s without its orchestrator", "queued, refunded"),
        "verified": Limit("600 s without an anchor", "the market anchors it itself"),
        "anchored": Limit("when its pay matures", "settled, reclaimed"),
        "disputed": Limit(
            "its jury's deadline, at most `appeal_s`", "verified, anchored, overturned"
        ),
        "settled": END,
        "overturned": END,
        "reclaimed": END,
        "refunded": END,
    },
    "job": {
        "computing": Limit("the attempt's lease", "retrying"),
        "checking": Limit("300 s for verdicts, the task's lease", "verified, retrying"),
        "retrying": Limit("the task's lease", "the next epoch, or refunded"),
        "verified": Limit("reported at once, again for a day", "given up: its task has ended"),
    },
    "transaction": {
        "open": Limit("sent again every 2 blocks; 10 blocks after its nonce was used up", "lost"),
        "confirmed": END,
        "lost": Limit("at once", "a payment is unclaimed, a result is signed again"),
    },
    "withdrawal": {
        "pending": Limit("as its transaction", "confirmed, lost"),
        "confirmed": END,
        "lost": Limit("at once", "unclaimed; the customer's again where the chain holds it"),
    },
    "deposit": {
        "seen": Limit("`l1_confirmations` blocks", "credited; or gone with its block"),
        "credited": END,
    },
    "escrow": {
        "wanted": Limit("`escrow_batch_s`, when the L1 has answered", "opening"),
        "opening": Limit(
            "as its transaction; its own deadline; the end of the customer's notice",
            "held, failed: the customer has the reward",
        ),
        "held": Limit("as its task", "unsigned"),
        "unsigned": Limit(
            "a quorum of signatures; without, deadline and `escrow_grace_blocks`, a claim twice"
            " those",
            "signed, closing by a refund",
        ),
        "signed": Limit("a claim when its pay matures, a refund at once", "due, closing"),
        "due": Limit(
            "`escrow_batch_s`, and 20 s for a quorum that signs it with others; else by itself",
            "closing",
        ),
        "closing": Limit("as its transaction, or anybody's that closes it", "settled, refunded"),
        "appeal": Limit("at once", "appealing"),
        "appealing": Limit(
            "as its transaction; the dispute's deadline; the end of the customer's notice",
            "disputed, unsigned",
        ),
        "disputed": Limit(
            "its jury's deadline; `escrow_grace_blocks` later the dispute's own",
            "unruled, unsigned",
        ),
        "unruled": Limit(
            "a quorum of signatures; without, the dispute's deadline, if the result is false"
            " that of the escrow and `escrow_grace_blocks`",
            "awarded, unsigned, closing by a refund",
        ),
        "awarded": Limit("at once", "ruling"),
        "ruling": Limit(
            "as its transaction, or anybody's that decides it", "unsigned, signed, refunded"
        ),
        "settled": END,
        "refunded": END,
        "failed": END,
    },
    "dispute": {
        "wanted": Limit("at once, when the chain has the escrow", "sent"),
        "sent": Limit("as the escrow that is `appealing`", "open, failed"),
        "open": Limit("an award in a block; the dispute's deadline", "ruled, lapsed"),
        "ruled": END,
        "lapsed": Limit("when the chain closes the escrow", "its fee is the customer's again"),
        "failed": END,
    },
    "notice": {
        "running": Limit("the chain's `deposit_notice_blocks`, or the next DEPOSIT", "over"),
        "over": OWN,
    },
    "signature": {
        "given": Limit("when the chain has closed its escrow", "of no use"),
        "of no use": Limit("60 days", "forgotten"),
    },
    "challenge": {
        "given": Limit("300 s", "expired: nothing is kept of it"),
        "used": Limit("300 s", "forgotten: it has expired"),
    },
    "money": {
        "l1": END,
        "customer": OWN,
        "credit": Limit("–", "the operator's: stays until the limit is lowered or written off"),
        "reserved": Limit("as its task", "maturing, returning, customer"),
        "maturing": Limit(
            "`dispute_window_s`, without bonds `unbonded_wait_s` more, an appeal's `appeal_s` more",
            "worker, validator, treasury, burn, fees, customer",
        ),
        "returning": Limit("signatures, or deadline and `escrow_grace_blocks`", "customer"),
        "worker": Limit("`payout_interval_s`, at most `payout_max_age_s`", "outbox"),
        "validator": Limit("`payout_interval_s`, at most `payout_max_age_s`", "outbox"),
        "treasury": Limit("`payout_interval_s`, at most `payout_max_age_s`", "outbox"),
        "burn": Limit("`payout_interval_s`, at most `payout_max_age_s`", "outbox"),
        "fees": Limit("–", "stays until transactions need it"),
        "outbox": Limit("as its transaction", "l1, unclaimed, customer"),
        "bond": OWN,
        "unbonding": Limit(
            "`unbonding_s`; where the chain holds it its `unbonding_blocks`", "customer, l1"
        ),
        "appeal": Limit(
            "as its task; where the chain holds it as its escrow", "customer, validator, fees, burn"
        ),
        "unclaimed": Limit("–", "for the operator to decide: `tmnode wallet unclaimed`"),
    },
}
"""By thing and state; those of `money` are the kinds of the ledger's accounts."""
