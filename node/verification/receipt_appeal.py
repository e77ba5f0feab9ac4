"""The ruling in a receipt, checked offline: who was to judge, and what they computed."""

from node.config import NetworkConfig
from node.verification.cases import check_about, check_strangers, parties_of
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.juries import check_jurors, check_jury
from node.verification.receipt import Receipt, ReceiptAppeal
from node.verification.rulings import Decision, check_ruling, decide_appeal
from node.verification.snapshots import check_snapshot
from node.verification.stakes import check_stakes, culprits


def check_appeal(receipt: Receipt, appeal: ReceiptAppeal, network: NetworkConfig) -> None:
    """Raise StatementInvalid unless a jury decided as the receipt says, about these results.

    The rest of the receipt has been checked.
    """
    chain_id, protocol, jury = receipt.chain_id, network.protocol, appeal.jury
    check_snapshot(appeal.snapshot, chain_id)
    check_jury(jury, chain_id, network.network.market_keys)
    check_jurors(jury, appeal.snapshot, protocol.quorum_size, chain_id)
    if jury.needed < protocol.quorum_needed:
        raise StatementInvalid("fewer agreed than in this network", field="appeal.jury.needed")
    _check_about(receipt, appeal)
    for ruling in appeal.rulings:
        check_ruling(ruling, jury, chain_id)
    if len({one.validator_key for one in appeal.rulings}) != len(appeal.rulings):
        raise StatementInvalid("a juror's ruling stands twice", field="appeal.rulings")
    decision = decision_of(receipt, appeal)
    if decision is None or decision.outcome != appeal.outcome:
        raise StatementInvalid("the rulings do not come to this", field="appeal.outcome")
    if appeal.stakes is not None:
        check_stakes(appeal.stakes, jury, _answerable(receipt, decision), chain_id)


def decision_of(receipt: Receipt, appeal: ReceiptAppeal) -> Decision | None:
    """What the rulings come to; None if too few are there."""
    claimed = [strict_hex(one.result_hash, "result_hash") for one in receipt.results]
    seats, needed = len(appeal.jury.seats), appeal.jury.needed
    return decide_appeal(appeal.rulings, claimed, seats=seats, needed=needed)


def agreeing(receipt: Receipt, appeal: ReceiptAppeal) -> tuple[str, ...]:
    """Addresses of the jurors that computed what decided: those who are paid."""
    decision = decision_of(receipt, appeal)
    keys = decision.agreeing if decision else ()
    return tuple(seat.address for seat in appeal.jury.seats if seat.key in keys)


def _answerable(receipt: Receipt, decision: Decision) -> set[str]:
    """Addresses of all who answer for what is false: nobody for a result that stands."""
    false = [receipt.jobs[index] for index in decision.wrong]
    workers, liars = culprits((receipt.draws[one.draw], one.result, one.verdicts) for one in false)
    return workers | {seat.address for seat in liars}


def _check_about(receipt: Receipt, appeal: ReceiptAppeal) -> None:
    """The jury was drawn by the task's market, for these jobs, and without who had judged them."""
    place = "appeal.jury"
    check_about(appeal.jury, receipt.draws[0], receipt.results, place)
    workers = [one.worker_address for one in receipt.results]
    check_strangers(appeal.jury, parties_of(receipt.draws, workers), place)
