"""Building what a market has with one of the back ends of its settlement only."""

from collections import Counter
from collections.abc import Sequence

from node.assembly.parts import Assembly, Parts
from node.config import EconomicsSection
from node.l1.sender import Sender
from node.market.board import TaskBoard
from node.market.desk import KnownAppeals
from node.market.results import Results
from node.roles.approvals import ApprovalRole
from node.roles.bundling import BundlingRole
from node.roles.wishes import Wishes
from node.settlement.chainterms import Terms
from node.settlement.credit import CreditDesk
from node.settlement.escrow import EscrowSettlement
from node.settlement.escrows import OPEN_STAGES, Stage
from node.settlement.feedesk import FeeDesk
from node.settlement.interface import Settlement
from node.settlement.parameters import SettlementParameters
from node.settlement.paydesk import PayDesk
from node.settlement.staking import ChainStaking, Staking
from node.settlement.transfer import TransferSettlement
from node.settlement.unclaimed import UnclaimedDesk
from node.waiting import bond_obstacle


def add_transfer(
    parts: Parts, assembly: Assembly, settlement: TransferSettlement, sender: Sender
) -> None:
    """Where the market holds the money: where operator, payees and who has a bond there ask."""
    config, chain_id = parts.config, parts.config.network.network.chain_id
    operator = str(config.market.operator)
    assembly.credit = _credit_desk(parts, settlement)
    assembly.unclaimed = UnclaimedDesk(parts.db, settlement.ledger, parts.now_ms)
    assembly.fees = FeeDesk(parts.db, settlement, operator, parts.now_ms)
    assembly.paydesk = PayDesk(parts.db, settlement, sender, parts.now_ms)
    assembly.staking = Staking(parts.db, settlement.bonds, parts.now_ms)
    Wishes(
        network=parts.network,
        directory=assembly.directory,
        desk=assembly.paydesk,
        chain_id=chain_id,
        now_ms=parts.now_ms,
    )


def add_escrow(
    parts: Parts,
    assembly: Assembly,
    settlement: EscrowSettlement,
    *,
    board: TaskBoard,
    results: Results,
    appeals: KnownAppeals,
) -> None:
    """Where the chain holds the money: who collects the signatures that release it, where the
    operator gives credit, and who shows bonds."""
    assembly.credit = _credit_desk(parts, settlement)
    approvals = ApprovalRole(
        network=parts.network,
        db=parts.db,
        board=board,
        results=results,
        appeals=appeals,
        rewards=settlement.rewards,
        directory=assembly.directory,
        identity=parts.keys.identity,
        chain_id=parts.config.network.network.chain_id,
        now_ms=parts.now_ms,
    )
    bundling = BundlingRole(
        network=parts.network,
        db=parts.db,
        closings=settlement.closings,
        directory=assembly.directory,
    )
    assembly.runs += [approvals.run, bundling.run]
    terms, book = settlement.terms, settlement.book
    assembly.info.add(lambda: _by_stage(book.counts()))
    assembly.info.require(lambda: (terms.obstacle,) if terms.obstacle else ())
    economics, rules = parts.config.network.economics, settlement.parameters
    assembly.info.require(lambda: _bond_obstacle(economics, rules, terms))
    assembly.staking = ChainStaking(settlement.bonds)


def _bond_obstacle(
    economics: EconomicsSection, rules: SettlementParameters, terms: Terms
) -> Sequence[str]:
    """Bonds are asked for, and the chain gives them back too soon for that."""
    if terms.known is None or not (economics.worker_bond or economics.validator_bond):
        return ()
    blocks = terms.known.unbonding_blocks
    return bond_obstacle(blocks, rules.escrow_block_s, rules.longest_dispute_s)


def _credit_desk(parts: Parts, settlement: Settlement) -> CreditDesk:
    return CreditDesk(
        parts.db,
        settlement.credit,
        operator=str(parts.config.market.operator),
        market=parts.keys.account.address,
        now_ms=parts.now_ms,
    )


def _by_stage(counts: Counter[Stage]) -> dict[str, int]:
    return {f"escrows_{stage}": counts[stage] for stage in OPEN_STAGES}
