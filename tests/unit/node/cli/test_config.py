"""`tmnode config`."""

import tomllib
from pathlib import Path

import pytest

from node.config import load_config, plain

CONFIGS = Path(__file__).parents[4] / "configs"


@pytest.mark.parametrize("file", sorted(CONFIGS.iterdir()), ids=lambda file: file.stem)
def test_every_sample_is_valid(terminal, file) -> None:
    answer = terminal.json("config", "check", str(file))
    assert answer["valid"]
    assert answer["kind"] == ("network" if "net" in file.stem else "node")
    assert terminal.run("config", "check", str(file)).stdout.endswith("\nvalid\n")


def test_show_puts_file_and_options_together(terminal, tmp_path) -> None:
    file = str(CONFIGS / "worker.toml")
    options = ["--role", "validator", "--role", "worker", "--data-dir", str(tmp_path), "--api", ""]
    answer = terminal.json("config", "show", "--config", file, *options)
    assert answer["node"]["roles"] == ["validator", "worker"]
    assert answer["node"]["data_dir"] == str(tmp_path)
    assert answer["api"]["listen"] == ""
    assert answer["network"]["network"]["name"] == "devnet"
    text = terminal.run("config", "show", "--config", file, *options).stdout
    assert tomllib.loads(text) == answer


def test_show_hides_credentials(terminal, tmp_path) -> None:
    text = (CONFIGS / "devnet.toml").read_text()
    network = tmp_path / "net.toml"
    network.write_text(text.replace("http://", "http://user:pa55@"))
    result = terminal.run("config", "show", "--role", "worker", "--network", str(network))
    assert "pa55" not in result.output
    assert "<sensitive>@127.0.0.1" in result.output


def test_without_a_file_the_defaults_are_shown(terminal) -> None:
    answer = terminal.json("config", "show", "--role", "market")
    assert answer == plain(load_config(roles=["market"]))
