"""The settlement's parameters of a network file."""

from node.config import NetworkConfig
from node.settlement.parameters import SettlementParameters
from node.split import Shares


def settlement_parameters(config: NetworkConfig) -> SettlementParameters:
    """What a network fixes about its money."""
    economics = config.economics
    return SettlementParameters(
        shares=Shares(
            burn=economics.burn_bp,
            workers=economics.worker_bp,
            validators=economics.validator_bp,
            treasury=economics.treasury_bp,
            orchestrator=economics.orchestrator_bp,
        ),
        dispute_window_s=economics.dispute_window_s,
        unbonded_wait_s=economics.unbonded_wait_s,
        appeal_s=economics.appeal_s,
        worker_bond=economics.worker_bond,
        slash_bp=economics.slash_bp,
        unbonding_s=economics.unbonding_s,
        fee_reserve=economics.fee_reserve,
        gas_price=economics.gas_price,
        payout_interval_s=economics.payout_interval_s,
        payout_entries=economics.payout_entries,
        payout_threshold=economics.payout_threshold,
        min_payout=economics.min_payout,
        payout_max_age_s=economics.payout_max_age_s,
        max_payout_threshold=economics.max_payout_threshold,
        burn_address=str(economics.burn_address),
        treasury_address=str(economics.treasury_address),
        confirmations=config.protocol.l1_confirmations,
        escrow_block_s=economics.escrow_block_s,
        escrow_batch_s=economics.escrow_batch_s,
        escrow_grace_blocks=economics.escrow_grace_blocks,
    )
