"""The architecture page's picture is what the imports say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_picture_is_true() -> None:
    script = ROOT / "docs" / "picture.py"
    checked = subprocess.run([sys.executable, script, "--check"], check=False)
    assert checked.returncode == 0, "run: python docs/picture.py"
