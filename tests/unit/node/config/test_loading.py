"""Files, overrides and what becomes of paths."""

import tomllib
from pathlib import Path

import pytest

from node.config import BUILT_IN_NETWORK, load_config, load_network, plain, to_toml
from node.errors import ConfigError
from p2p.identity import Identity

PEER = f"/ip4/192.0.2.1/tcp/4001/p2p/{Identity.from_seed(bytes(32)).peer_id}"
OTHER = f"/dns4/node.example/tcp/4001/ws/p2p/{Identity.from_seed(bytes([1] * 32)).peer_id}"


def test_without_a_file_a_role_is_enough() -> None:
    config = load_config(roles=["worker"])
    assert config.node.roles == ("worker",)
    assert config.network == load_network()
    assert config.data_dir == Path.home() / ".tmnode"
    assert (config.api.listen.host, config.api.listen.port) == ("127.0.0.1", 8080)
    assert config.worker.memory_limit == 2 << 30


def test_without_file_and_role_there_is_nothing_to_do() -> None:
    with pytest.raises(ConfigError) as info:
        load_config()
    assert info.value.field == "command line: node.roles"


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_bytes(BUILT_IN_NETWORK.read_bytes())
    file = tmp_path / "node.toml"
    file.write_text('[node]\nroles = ["market"]\nnetwork = "net.toml"\ndata_dir = "data"\n')
    config = load_config(file)
    assert config.data_dir == tmp_path / "data"
    assert config.node.network == str(tmp_path / "net.toml")


def test_paths_on_the_command_line_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.toml").write_bytes(BUILT_IN_NETWORK.read_bytes())
    (tmp_path / "inner").mkdir()
    file = tmp_path / "inner" / "node.toml"
    file.write_text('[node]\nroles = ["market"]\nnetwork = "missing.toml"\n')
    monkeypatch.chdir(tmp_path)
    config = load_config(file, network=Path("net.toml"), data_dir=Path("data"))
    assert config.node.network == str(tmp_path / "net.toml")
    assert config.data_dir == tmp_path / "data"


def test_the_command_line_replaces_whole_lists(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        '[node]\nroles = ["market"]\n[p2p]\nlisten = ["/ip6/::1/tcp/1"]\n[api]\nmax_requests = 7\n'
    )
    listen = ["/ip4/0.0.0.0/tcp/2", "/ip4/0.0.0.0/tcp/3/ws"]
    config = load_config(file, roles=["worker", "validator"], api="", listen=listen)
    assert config.node.roles == ("worker", "validator")
    assert list(config.p2p.listen) == listen
    assert config.api.listen == ""
    assert config.api.max_requests == 7


def test_bootstrap_peers_are_the_network_s_and_the_node_s_each_once(tmp_path: Path) -> None:
    network = tmp_path / "net.toml"
    text = BUILT_IN_NETWORK.read_text()
    network.write_text(text.replace("bootstrap = []", f'bootstrap = ["{PEER}"]'))
    file = tmp_path / "node.toml"
    file.write_text(f'[node]\nroles = ["market"]\n[p2p]\nbootstrap = ["{OTHER}", "{PEER}"]\n')
    assert load_config(file, network=network).bootstrap == (PEER, OTHER)


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    network = load_network()
    file = tmp_path / "again.toml"
    file.write_text(to_toml(plain(network)))
    assert load_network(file) == network


def test_what_is_shown_of_a_node_is_toml_with_its_network() -> None:
    config = load_config(roles=["worker"])
    shown = tomllib.loads(to_toml(plain(config)))
    assert shown == plain(config)
    assert shown["network"]["economics"]["burn_bp"] == 6000
    assert shown["worker"]["memory_limit"] == "2 GiB"


def test_credentials_of_the_l1_are_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    text = BUILT_IN_NETWORK.read_text()
    file.write_text(
        text.replace("http://127.0.0.1:8000", "https://me:pa55@l1.example:8443/rpc?key=k3y")
    )
    shown = plain(load_network(file))["network"]["l1_url"]
    assert shown == "https://<sensitive>@l1.example:8443/rpc?<sensitive>"
