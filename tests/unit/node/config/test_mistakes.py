"""Every mistake names its file, its key and what to do."""

from pathlib import Path

import pytest

from node.config import BUILT_IN_NETWORK, load_config, load_network
from node.errors import ConfigError

OTHER_ADDRESS = "cpc19pup6qpkj492wau7jrnqlglrlskzuvs6ctfq9f"

NODE_MISTAKES = [
    ("[node]\nrols = []", "node.rols", "did you mean roles?"),
    ("[nod]\n", "nod", "did you mean node?"),
    ("[api]\nzzzz = 1", "api.zzzz", "known here: listen, max_body_bytes, max_requests"),
    ("node = 5", "node", "begin a section [node]"),
    ('[node]\nroles = ["miner"]', "node.roles", '"market", "validator", "worker"'),
    ('[node]\nroles = "worker"', "node.roles", "a list of"),
    ('[node]\nroles = ["worker", "worker"]', "node.roles", "once"),
    ("[node]\nroles = []", "node.roles", "--role"),
    ('[node]\nlog_level = "loud"', "node.log_level", '"warning"'),
    ('[node]\ndata_dir = ""', "node.data_dir", "a path"),
    ("[node]\nnetwork = 5", "node.network", "a text in quotes"),
    ('[p2p]\nlisten = ["127.0.0.1:4001"]', "p2p.listen", "/ip4/127.0.0.1/tcp/4001"),
    ('[p2p]\nlisten = ["/ip4/127.0.0.1/tcp/70000"]', "p2p.listen", "/ip4/"),
    ('[p2p]\nlisten = ["/ip4/300.0.0.1/tcp/1"]', "p2p.listen", "/ip4/"),
    ('[p2p]\nbootstrap = ["/ip4/127.0.0.1/tcp/4001"]', "p2p.bootstrap", "/p2p/12D3Koo"),
    ('[api]\nlisten = "8080"', "api.listen", "127.0.0.1:8080"),
    ('[api]\nlisten = "127.0.0.1:99999"', "api.listen", "127.0.0.1:8080"),
    ("[api]\nlisten = 8080", "api.listen", "127.0.0.1:8080"),
    ("[api]\nmax_body_bytes = 1", "api.max_body_bytes", "from 1024 to 1073741824"),
    ("[api]\nmax_requests = true", "api.max_requests", "a whole number from 1"),
    ("[worker]\nslots = 0", "worker.slots", "a whole number from 1 to 256"),
    ('[worker]\ndevice = "gpu"', "worker.device", "cuda:0"),
    ('[worker]\ndevice = "cuda"', "worker.device", "cuda:0"),
    ("[worker]\nslots = 1.0", "worker.slots", "a whole number from 1 to 256"),
    ('[worker]\nmemory_limit = "2 GB"', "worker.memory_limit", '"2 GiB"'),
    ("[worker]\nmemory_limit = 2000000000", "worker.memory_limit", '"2 GiB"'),
    (
        'node.roles = ["worker"]\nworker.memory_limit = "1 MiB"',
        "worker.memory_limit",
        "at least 256 MiB",
    ),
    ("[market]\nmax_open_tasks = 0", "market.max_open_tasks", "from 1"),
]

NETWORK_MISTAKES = [
    ('name = "devnet"', "", "network.name", "see the samples"),
    ('name = "devnet"', 'name = "Dev Net"', "network.name", "lower-case"),
    ('chain_id = "cpc-devnet-1"', 'chain_id = ""', "network.chain_id", "1 to 64"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000", "network.l1_url", "http://127.0.0.1:8000"),
    ("proposer_keys = []", 'proposer_keys = ["02ff"]', "network.proposer_keys", "66"),
    (
        "proposer_keys = []",
        f'proposer_keys = ["02{"ff" * 32}"]',
        "network.proposer_keys",
        "66 lower-case hex digits",
    ),
    ("market_keys = []", 'market_keys = ["12D3KooW"]', "network.market_keys", "tmnode keys show"),
    (
        'local_account = ""',
        f'local_account = "{OTHER_ADDRESS[:-1]}q"',
        "network.local_account",
        "whole address",
    ),
    ("quorum_size = 3", "quorum_size = 0", "protocol.quorum_size", "from 1 to 31"),
    ("quorum_needed = 2", "quorum_needed = 1", "protocol.quorum_needed", "use 2 to 3"),
    ("quorum_needed = 2", "quorum_needed = 4", "protocol.quorum_needed", "use 2 to 3"),
    ("job_lease_s = 15.0", "job_lease_s = 30.0", "protocol.job_lease_s", "at most 20.0"),
    ("lease_s = 20.0", "lease_s = nan", "protocol.lease_s", "a number from 0.01 to 86400"),
    ("lease_s = 20.0", "lease_s = inf", "protocol.lease_s", "a number from 0.01 to 86400"),
    (
        "max_deadline_s = 86400",
        "max_deadline_s = 60",
        "protocol.default_deadline_s",
        "at most 60",
    ),
    ("burn_bp = 6000", "burn_bp = 6001", "economics", "add up to 10000"),
    ("burn_bp = 6000", "burn_bp = -1", "economics.burn_bp", "from 0 to 10000"),
    ('min_reward = "0.001"', 'min_reward = "0"', "economics.min_reward", "at most 1000000.0"),
    ('max_reward = "1000000.0"', 'max_reward = "0.0001"', "economics.min_reward", "0.0001"),
    (
        'fee_reserve = "0.000000001"',
        'fee_reserve = "1"',
        "economics.fee_reserve",
        "at most 0.0001",
    ),
    ("gas_price = 1000", "gas_price = 0", "economics.gas_price", "from 1"),
    ("gas_price = 1000", "gas_price = 1000000", "economics.min_payout", "0.000000021"),
    ('"cpc1burn', '"burn', "economics.burn_address", "cpc1"),
    (
        f'"cpc1burn{"0" * 34}"',
        f'"{OTHER_ADDRESS}"',
        "economics.burn_address",
        "label such as",
    ),
    ("slash_bp = 5000", "slash_bp = 10001", "economics.slash_bp", "from 0 to 10000"),
    ("appeal_s = 3600.0", "appeal_s = 7195.0", "economics.unbonding_s", "more than 7200"),
    ("unbonded_wait_s = 0.0", "unbonded_wait_s = 3595.0", "economics.unbonding_s", "than 7200"),
    ("unbonding_s = 7200.0", "unbonding_s = 3605.0", "economics.unbonding_s", "than 3605"),
    ('worker_bond = "0.0"', 'worker_bond = "-1"', "economics.worker_bond", "no sign"),
    ('base_price = "0.001"', 'base_price = "1e-3"', "economics.base_price", "no exponent"),
]


def caught(error: ConfigError, file: Path, key: str, remedy: str) -> None:
    assert error.field == (f"{file}: {key}" if key else str(file))
    assert remedy in (error.remedy or "")
    assert str(error).startswith(f"{file}: ")


@pytest.mark.parametrize(("text", "key", "remedy"), NODE_MISTAKES)
def test_a_mistake_in_a_node_file(text: str, key: str, remedy: str, tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as info:
        load_config(file)
    caught(info.value, file, key, remedy)


@pytest.mark.parametrize(("old", "new", "key", "remedy"), NETWORK_MISTAKES)
def test_a_mistake_in_a_network_file(
    old: str, new: str, key: str, remedy: str, tmp_path: Path
) -> None:
    file = tmp_path / "network.toml"
    text = BUILT_IN_NETWORK.read_text()
    assert f"\n{old}" in text or old in text
    at_line = text.replace(f"\n{old}", f"\n{new}")
    file.write_text(at_line if at_line != text else text.replace(old, new))
    with pytest.raises(ConfigError) as info:
        load_network(file)
    caught(info.value, file, key, remedy)


@pytest.mark.parametrize("key", ["worker_bond", "validator_bond"])
@pytest.mark.parametrize("settlement", ["transfer", "escrow"])
def test_bonds_may_be_asked_for_whoever_holds_them(
    key: str, settlement: str, tmp_path: Path
) -> None:
    file = tmp_path / "network.toml"
    text = BUILT_IN_NETWORK.read_text()
    held = text.replace('settlement = "transfer"', f'settlement = "{settlement}"')
    file.write_text(held.replace(f'{key} = "0.0"', f'{key} = "1.0"'))
    assert getattr(load_network(file).economics, key) == 10**18


def test_only_a_devnet_lets_anybody_here_spend(tmp_path: Path) -> None:
    file = tmp_path / "network.toml"
    text = BUILT_IN_NETWORK.read_text()
    text = text.replace('local_account = ""', f'local_account = "{OTHER_ADDRESS}"')
    file.write_text(text)
    assert load_network(file).network.local_account == OTHER_ADDRESS
    file.write_text(text.replace('name = "devnet"', 'name = "mainnet"'))
    with pytest.raises(ConfigError) as info:
        load_network(file)
    caught(info.value, file, "network.local_account", "leave it out")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[node]\nroles = \n")
    with pytest.raises(ConfigError, match=r"is not TOML: .*line 2"):
        load_config(file)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text"):
        load_config(file)


def test_a_mistake_on_the_command_line_says_so() -> None:
    with pytest.raises(ConfigError) as info:
        load_config(roles=["worker"], api="nonsense")
    assert info.value.field == "command line: api.listen"


def test_a_wrong_service_address_is_never_repeated(tmp_path: Path) -> None:
    file = tmp_path / "network.toml"
    text = BUILT_IN_NETWORK.read_text()
    file.write_text(text.replace("http://127.0.0.1:8000", "ftp://user:secret@host"))
    with pytest.raises(ConfigError) as info:
        load_network(file)
    assert "secret" not in str(info.value)
