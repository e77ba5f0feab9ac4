"""The sample files in configs/ against the structs: every key there, explained, right."""

import re
from pathlib import Path

import msgspec
import pytest

from node.config import BUILT_IN_NETWORK, NetworkConfig, NodeConfig, load_config, load_network
from node.config.showing import plain, to_toml_value
from node.settlement.parameters import BURN_ADDRESS, TREASURY_ADDRESS

CONFIGS = Path(__file__).parents[4] / "configs"
SAMPLES = {
    "devnet": NetworkConfig,
    "devnet-escrow": NetworkConfig,
    "testnet": NetworkConfig,
    "market": NodeConfig,
    "validator": NodeConfig,
    "worker": NodeConfig,
    "combined": NodeConfig,
}
KEY = re.compile(r"(\w+) = (.+)")


def commented_keys(path: Path) -> dict[str, tuple[str, str]]:
    """`section.key` -> its value as written and the comment above it."""
    found, section, comment = {}, "", ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment += line.removeprefix("#")
        elif line.startswith("["):
            section = line.strip("[]")
        elif match := KEY.fullmatch(line):
            found[f"{section}.{match[1]}"] = (match[2], comment)
        if not line.startswith("#"):
            comment = ""
    return found


def fields_of(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {
        f"{section.name}.{field.name}": field
        for section in msgspec.structs.fields(kind)
        for field in msgspec.structs.fields(section.type)
    }


def test_every_file_in_configs_is_a_sample() -> None:
    assert {path.stem for path in CONFIGS.iterdir()} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_the_struct_s_keys_in_its_order(name: str) -> None:
    assert list(commented_keys(CONFIGS / f"{name}.toml")) == list(fields_of(SAMPLES[name]))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_key_is_explained_with_unit_and_default(name: str) -> None:
    fields = fields_of(SAMPLES[name])
    for key, (_, comment) in commented_keys(CONFIGS / f"{name}.toml").items():
        default = fields[key].default
        if default is msgspec.NODEFAULT:
            assert comment.endswith("Required."), key
        else:
            assert comment.endswith(f"Default: {to_toml_value(plain(default))}."), key
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert "Unit: " in comment, key
        assert len(comment.split()) > 5, key


@pytest.mark.parametrize("name", [name for name, kind in SAMPLES.items() if kind is NodeConfig])
def test_a_node_sample_loads_with_the_role_it_is_named_after(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.toml")
    assert config.network == load_network(CONFIGS / "devnet.toml")
    if name == "combined":
        assert config.node.roles == ("market", "validator", "worker")
    else:
        assert config.node.roles == (name,)


def test_the_node_samples_can_run_beside_each_other() -> None:
    configs = [load_config(CONFIGS / f"{role}.toml") for role in ("market", "validator", "worker")]
    for one in ("api", "p2p"):
        assert len({getattr(config, one).listen for config in configs}) == 3
    assert len({config.data_dir for config in configs}) == 3


def test_the_built_in_network_is_the_devnet_sample() -> None:
    assert BUILT_IN_NETWORK.read_bytes() == (CONFIGS / "devnet.toml").read_bytes()


def test_the_devnet_has_the_defaults_and_settlement_s_addresses() -> None:
    devnet = load_network()
    for key, field in fields_of(NetworkConfig).items():
        section, _, name = key.partition(".")
        if section != "network" and field.default is not msgspec.NODEFAULT:
            assert getattr(getattr(devnet, section), name) == field.default, key
    assert devnet.economics.burn_address == BURN_ADDRESS
    assert devnet.economics.treasury_address == TREASURY_ADDRESS


def test_the_devnet_whose_chain_holds_the_money_differs_by_that_only() -> None:
    held, devnet = load_network(CONFIGS / "devnet-escrow.toml"), load_network()
    assert (held.economics.settlement, devnet.economics.settlement) == ("escrow", "transfer")
    economics = msgspec.structs.replace(held.economics, settlement="transfer")
    assert msgspec.structs.replace(held, economics=economics) == devnet


def test_the_testnet_lets_nobody_spend_without_a_key() -> None:
    testnet = load_network(CONFIGS / "testnet.toml")
    assert testnet.network.local_account == ""
    assert testnet.network.chain_id == "cpc-testnet-1"
