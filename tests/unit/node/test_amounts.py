import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import MAX_AMOUNT, Amount, format_cpc, parse_cpc
from node.errors import InvalidInput


@given(units=st.integers(0, MAX_AMOUNT))
def test_text_and_units_are_the_same_amount(units: int) -> None:
    assert parse_cpc(format_cpc(units)) == units


@given(units=st.integers(-MAX_AMOUNT, MAX_AMOUNT))
def test_amounts_survive_the_wire(units: int) -> None:
    assert Amount.from_wire(Amount(units).to_wire()) == units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("10.0", 10**19),
        ("10", 10**19),
        ("0.000000000000000001", 1),
        ("0", 0),
        ("1.50000000000000000000000", 15 * 10**17),
    ],
)
def test_parse(text: str, units: int) -> None:
    assert parse_cpc(text) == units


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "+1",
        "1e3",
        "NaN",
        "Infinity",
        "1.",
        ".5",
        "1,5",
        " 1",
        "1\n",
        "0x10",
        "١",
        "1.0000000000000000001",
        "9" * 40,
        10,
        1.5,
        True,
        None,
        ["1"],
    ],
)
def test_other_forms_are_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_cpc(value, field="reward")
    assert refused.value.field == "reward"
    assert refused.value.remedy


@pytest.mark.parametrize("value", ["01", "-0", "1.0", "", " 1", 1, None, "9" * 40])
def test_the_wire_has_one_form(value: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        Amount.from_wire(value)
