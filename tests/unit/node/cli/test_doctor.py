import pytest

from gpu import selftest
from gpu.cuda import devices
from gpu.cuda.devices import Found


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_devices", lambda: Found((), "there is none"))


def test_what_is_right(terminal) -> None:
    result = terminal.run("doctor")
    assert result.exit_code == 0
    assert f"{len(selftest.CASES)} operations right" in result.stdout
    assert result.stdout.endswith("no GPU: there is none\n")


def test_a_wrong_bit_is_named_and_is_a_failure(terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    goldens = selftest.known_goldens() | {"matmul": "00"}
    monkeypatch.setattr(selftest, "known_goldens", lambda: goldens)
    result = terminal.run("doctor")
    assert result.exit_code == 1
    assert "FAILED, do not use: matmul: its bits differ" in result.stdout


def test_json(terminal) -> None:
    answer = terminal.json("doctor")
    assert answer["healthy"] is True
    assert answer["no_gpu"] == "there is none"
    assert [device["device"] for device in answer["devices"]] == ["cpu"]
