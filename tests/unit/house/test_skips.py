"""A test that is skipped for a reason that nobody listed fails, and so does a file of tests."""

import subprocess
import sys
from pathlib import Path

RULES = Path(__file__).parents[2] / "conftest.py"
TESTS = "import pytest\n\n\ndef test_it():\n    pytest.skip({!r})\n"
FILE = "import pytest\n\npytest.skip({!r}, allow_module_level=True)\n"
LISTED = "there is no nm on this machine"
OTHER = "I did not feel like it"


def test_only_what_is_listed_is_skipped(tmp_path) -> None:
    (tmp_path / "conftest.py").write_text(RULES.read_text())
    for name, text, reason in [
        ("test_one", TESTS, LISTED),
        ("test_two", TESTS, OTHER),
        ("test_three", FILE, LISTED),
        ("test_four", FILE, OTHER),
    ]:
        (tmp_path / f"{name}.py").write_text(text.format(reason))
    options = ["-rfE", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    for line in (
        "FAILED test_two.py::test_it",
        "ERROR test_four.py",
        "1 failed, 2 skipped, 1 error",
    ):
        assert line in done.stdout
