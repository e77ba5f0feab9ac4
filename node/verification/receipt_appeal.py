"""The ruling in a receipt, checked offline: who was to judge, and what they computed."""

from node.config import NetworkConfig
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.juries import JuryJob, check_jurors, check_jury
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
    jury, draw = appeal.jury, receipt.draws[0]
    about = (draw.task_id, draw.epoch, draw.kind, draw.parameters, draw.market_key)
    if about != (jury.task_id, jury.epoch, jury.kind, jury.parameters, jury.market_key):
        raise StatementInvalid("the jury is about another task", field="appeal.jury")
    jobs = tuple(JuryJob(one.nonce, one.worker_address) for one in receipt.results)
    if jobs != jury.jobs:
        raise StatementInvalid("the jury is about other results", field="appeal.jury.jobs")
    seats = [seat for draw in receipt.draws for seat in draw.seats]
    keys = {seat.key for seat in seats} | {one.key for d in receipt.draws for one in d.passed}
    addresses = {seat.address for seat in seats} | {job.worker_address for job in jobs}
    for seat in jury.seats:
        if seat.key in keys or seat.address in addresses:
            raise StatementInvalid("a juror had to do with the result", field="appeal.jury.seats")
