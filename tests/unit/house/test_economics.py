"""docs/economics.md against the code: every parameter of a network, and the price of work."""

import json
import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import msgspec
import pytest

from gpu.workloads import WORKLOADS
from node.amounts import format_cpc, parse_cpc
from node.config import NetworkConfig, load_network
from node.config.showing import plain, to_toml_value
from node.market.quote import price
from node.workloads import limits_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "economics.md").read_text()
DEVNET = load_network(ROOT / "configs" / "devnet.toml")
EXAMPLE = re.compile(r"\| `(\{.*\})` \| ([0-9,]+) \| ([0-9,]+) \| ([0-9.]+) \|")
EXAMPLES = [match.groups() for match in EXAMPLE.finditer(PAGE)]


def table(name: str) -> list[list[str]]:
    """The rows of a table of the page, without its head."""
    text = PAGE.partition(f"<!-- {name}: begin -->\n")[2].partition(f"<!-- {name}: end -->")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def parameters() -> dict[str, object]:
    """Every key of a network file with the devnet's value, as a node reads them."""
    return {
        f"{section.name}.{field.name}": getattr(getattr(DEVNET, section.name), field.name)
        for section in msgspec.structs.fields(NetworkConfig)
        for field in msgspec.structs.fields(section.type)
    }


def test_every_parameter_of_a_network_has_a_row_with_the_devnet_s_value() -> None:
    shown = {row[0].strip("`"): row[1] for row in table("parameters")}
    values = parameters()
    assert list(shown) == list(values)
    for key, value in values.items():
        assert to_toml_value(plain(value)) in (shown[key], f'"{shown[key]}"'), key


def test_every_parameter_is_explained_and_numbers_have_a_unit() -> None:
    values = parameters()
    for key, _, unit, meaning in table("parameters"):
        assert meaning.endswith("."), key
        value = values[key.strip("`")]
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert unit != "–", key


def test_the_shares_in_the_text_are_the_devnet_s() -> None:
    economics = DEVNET.economics
    parts = {
        "burned": economics.burn_bp,
        "workers": economics.worker_bp,
        "validators": economics.validator_bp,
        "treasury": economics.treasury_bp,
    }
    for name, share in parts.items():
        assert f"| {name} | {share // 100} % |" in PAGE
        assert share % 100 == 0


def test_there_are_examples_of_what_makes_a_price() -> None:
    payloads = [json.loads(payload) for payload, *_ in EXAMPLES]
    assert len(payloads) >= 5
    assert any("chains" in one for one in payloads)
    assert any(one.get("proof") for one in payloads)


@pytest.mark.parametrize(("payload", "work", "proof", "asked"), EXAMPLES)
def test_an_example_of_a_price_is_computed_again(
    payload: str, work: str, proof: str, asked: str
) -> None:
    """By the formula of the page, with fractions, and by the market."""
    fields = json.loads(payload)
    work_units, proof_units = int(work.replace(",", "")), int(proof.replace(",", ""))
    chains, side = fields.get("chains", 1), fields["matrix_size"]
    assert work_units == chains * fields["iterations"] * side**3
    economics = DEVNET.economics
    units = Fraction(work_units + proof_units) * economics.price_per_tera_unit / 10**12
    by_page = max(economics.min_reward, economics.base_price + ceil(units))
    assert format_cpc(by_page) == asked
    workload = WORKLOADS["synthetic"]
    parsed = workload.parse({"seed": "s", **fields}, limits_of(DEVNET.protocol))
    jobs = workload.plan(parsed)
    assert jobs * workload.work_units(parsed) == work_units
    assert jobs * workload.proof_units(parsed) == proof_units
    by_market = price(
        work_units + proof_units,
        base=economics.base_price,
        per_tera=economics.price_per_tera_unit,
        least=economics.min_reward,
    )
    assert by_market == parse_cpc(asked)


def test_the_formula_stands_in_the_page_as_it_is_computed_here() -> None:
    formula = (
        "max(min_reward, base_price + ⌈(work_units + proof_units) · price_per_tera_unit / 10¹²⌉)"
    )
    assert f"price = {formula}" in PAGE
