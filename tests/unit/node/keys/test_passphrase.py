"""Where an unattended node finds its passphrase."""

from pathlib import Path

import pytest

from node.keys import PassphraseNeeded, find_passphrase


def test_a_file_goes_before_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from the file\r\nsecond line\n")
    environment = {"TMNODE_PASSPHRASE": "variable", "TMNODE_PASSPHRASE_FILE": str(file)}
    assert find_passphrase(environment) == "from the file"
    del environment["TMNODE_PASSPHRASE_FILE"]
    assert find_passphrase(environment) == "variable"


def test_there_may_be_none() -> None:
    assert find_passphrase({}) is None
    assert find_passphrase({"TMNODE_PASSPHRASE": "", "TMNODE_PASSPHRASE_FILE": ""}) is None


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PassphraseNeeded, match="cannot be read"):
        find_passphrase({"TMNODE_PASSPHRASE_FILE": str(tmp_path / "none")})
