"""The files of a development network: what its chain fixes fits what its network file says."""

import json

import pytest

from node.config.loading import load_config, load_network
from node.devnet.layout import write_layout
from node.l1.devchain.config import read_genesis
from node.settlement.network import settlement_parameters


@pytest.mark.parametrize("block_time_s", [1.0, 0.3])
def test_the_chain_states_parameters_that_fit_the_network(tmp_path, block_time_s) -> None:
    layout = write_layout(
        tmp_path,
        validators=1,
        workers=0,
        api_port=0,
        settlement="escrow",
        block_time_s=block_time_s,
    )
    content = (tmp_path / "l1" / "genesis.json").read_bytes()
    market = read_genesis(content).market_parameters
    assert set(json.loads(content)["market"]) == set(market.__struct_fields__)
    rules = settlement_parameters(load_network(layout.network_file))
    assert rules.escrow_block_s == block_time_s
    assert market.unbonding_blocks * block_time_s >= rules.unbonding_s
    assert market.unbonding_blocks * block_time_s > rules.dispute_window_s + rules.unbonded_wait_s
    assert market.slash_bp == rules.slash_bp
    assert market.deposit_notice_blocks > 2 * rules.confirmations
    assert market.max_escrow_blocks > rules.escrow_grace_blocks


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_workers_compute_on_the_device_that_is_asked_for(tmp_path, device) -> None:
    layout = write_layout(tmp_path, validators=1, workers=2, api_port=0, device=device)
    configured = [load_config(seat.config).worker.device for seat in layout.workers]
    assert configured == [device, device]
    assert load_config(layout.market.config).worker.device == "cpu"


def test_a_chain_of_todays_rules_has_no_such_section(tmp_path) -> None:
    write_layout(tmp_path, validators=1, workers=0, api_port=0)
    assert "market" not in json.loads((tmp_path / "l1" / "genesis.json").read_bytes())


def test_a_genesis_that_exists_is_kept(tmp_path) -> None:
    path = tmp_path / "l1" / "genesis.json"
    write_layout(tmp_path, validators=1, workers=0, api_port=0, profile="market")
    changed = path.read_bytes().replace(b'"slash_bp": 5000', b'"slash_bp": 77')
    path.write_bytes(changed)
    write_layout(tmp_path, validators=1, workers=0, api_port=0, profile="market")
    assert path.read_bytes() == changed
    assert read_genesis(changed).market_parameters.slash_bp == 77
