import pytest

from node.amounts import Amount
from node.config import load_network
from node.errors import ConfigError
from node.l1.bech32 import ALPHABET
from node.l1.errors import BadAddress
from node.l1.keys import check_address
from node.settlement.network import settlement_parameters
from node.settlement.parameters import BURN_ADDRESS, TREASURY_ADDRESS, SettlementParameters
from node.split import Shares


def test_the_devnet_s_values() -> None:
    parameters = SettlementParameters()
    assert parameters.shares == Shares(6_000, 2_500, 1_000, 500, 2_500)
    assert parameters.transfer_fee == 21_000_000
    assert parameters.min_payout == 100 * parameters.transfer_fee


@pytest.mark.parametrize("label", [BURN_ADDRESS, TREASURY_ADDRESS])
def test_no_key_can_own_the_labels(label: str) -> None:
    with pytest.raises(BadAddress):
        check_address(label)


def test_the_burn_address_is_no_bech32_under_any_checksum() -> None:
    assert not set(BURN_ADDRESS[4:]) <= set(ALPHABET)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gas_price", 0),
        ("payout_interval_s", 0),
        ("payout_entries", 0),
        ("confirmations", 0),
        ("escrow_grace_blocks", 0),
        ("escrow_block_s", 0.0),
        ("fee_reserve", Amount(-1)),
        ("dispute_window_s", -1.0),
        ("unbonded_wait_s", -1.0),
        ("worker_bond", Amount(-1)),
        ("slash_bp", -1),
        ("slash_bp", 10_001),
        ("unbonding_s", 5.0),
        ("min_payout", Amount(20_999_999)),
        ("burn_address", ""),
        ("treasury_address", ""),
    ],
)
def test_values_under_which_money_would_get_stuck(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as refused:
        SettlementParameters(**{field: value})
    assert refused.value.field == field


def test_a_network_file_s_values() -> None:
    network = load_network()
    parameters = settlement_parameters(network)
    assert parameters.fee_reserve == network.economics.fee_reserve
    assert parameters.shares.orchestrator == network.economics.orchestrator_bp
    assert parameters.dispute_window_s == network.economics.dispute_window_s
    assert parameters.payout_interval_s == network.economics.payout_interval_s
    assert parameters.confirmations == network.protocol.l1_confirmations
    assert parameters.escrow_block_s == network.economics.escrow_block_s
    assert parameters.escrow_grace_blocks == network.economics.escrow_grace_blocks
    assert type(parameters.burn_address) is str
    assert parameters.burn_address == BURN_ADDRESS
