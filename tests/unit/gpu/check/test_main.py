import pytest

from gpu.check import __main__ as program
from gpu.cuda.devices import Found


@pytest.fixture
def out(tmp_path):
    return tmp_path / "saved" / "table.txt"


def test_a_table_is_printed_and_saved(capsys, out):
    arguments = ["--device", "cpu", "--quick", "--only", "self-test", "--out", str(out)]
    assert program.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "passed  self-test" in printed
    assert f"1 of 1 checks passed; saved in {out}" in printed
    assert "every operation" in out.read_text()


def test_a_check_that_dies_takes_no_other_with_it(capsys, out, monkeypatch):
    monkeypatch.setattr(program, "checks", lambda: {"self-test": None, "no such": None})
    assert program.main(["--device", "cpu", "--quick", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "passed  self-test" in printed
    assert "FAILED  no such" in printed
    assert "KeyError: 'no such'" in printed
    assert printed.endswith("FAILED: no such\n")


def test_a_check_that_hangs_is_ended(capsys, out, monkeypatch):
    arguments = ["--device", "cpu", "--only", "floats pow", "--limit", "0.05", "--out", str(out)]
    monkeypatch.setattr(program, "checks", lambda: {"floats pow": None})
    assert program.main(arguments) == 1
    assert "took over 0.05 s" in capsys.readouterr().out


def test_without_a_gpu_the_reason_is_told(capsys, monkeypatch, out):
    monkeypatch.setattr(program, "find_devices", lambda: Found((), "CUDA sees no GPU"))
    assert program.main(["--out", str(out)]) == 2
    assert capsys.readouterr().out == "gpu-check: CUDA sees no GPU\n"
    assert not out.exists()
