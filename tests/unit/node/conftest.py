import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _known(known_signatures: None) -> None:
    """A back end's tests show the same awards and receipts to market, chain and witness."""


@pytest.fixture(scope="session")
def parse_metrics():
    """A strict parser of the metrics' text format."""
    path = Path(__file__).with_name("exposition.py")
    spec = importlib.util.spec_from_file_location("exposition", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parsed
