"""The text format, against a strict parser."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.metrics import BUCKETS_S, Family, RequestMeter, Sample, by_label, counter, gauge, render


def test_a_family_as_the_format_writes_it() -> None:
    families = (
        gauge("tmnode_peers", "Nodes connected now.", 3),
        counter("tmnode_syncs_total", "A \\ and\na line.", 2.5),
        Family("tmnode_l1_height", "gauge", "Nothing yet.", ()),
        by_label("tmnode_tasks", "gauge", "By phase.", "phase", {"b": 0, 'a"\\\n': 1}),
    )
    assert render(families) == (
        "# HELP tmnode_peers Nodes connected now.\n"
        "# TYPE tmnode_peers gauge\n"
        "tmnode_peers 3\n"
        "# HELP tmnode_syncs_total A \\\\ and\\na line.\n"
        "# TYPE tmnode_syncs_total counter\n"
        "tmnode_syncs_total 2.5\n"
        "# HELP tmnode_tasks By phase.\n"
        "# TYPE tmnode_tasks gauge\n"
        'tmnode_tasks{phase="a\\"\\\\\\n"} 1\n'
        'tmnode_tasks{phase="b"} 0\n'
    )


@given(st.dictionaries(st.text(max_size=8), st.integers(-(2**70), 2**70), min_size=1))
def test_any_text_in_a_label_comes_back(parse_metrics, values) -> None:
    text = render([by_label("tmnode_x", "gauge", "Any.", "of", values)])
    assert {key[1][1]: value for key, value in parse_metrics(text)["tmnode_x"].items()} == {
        key: float(value) for key, value in values.items()
    }


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e-9, 0.1])
def test_any_float_can_be_read(parse_metrics, value) -> None:
    found = parse_metrics(render([Family("tmnode_x", "gauge", "Any.", (Sample(value),))]))
    assert str(found["tmnode_x"][("",)]) == str(value)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([200, 429]), st.floats(0, 100))))
def test_requests_are_counted_and_their_seconds_fall_into_buckets(parse_metrics, requests) -> None:
    meter = RequestMeter()
    for command, status, seconds in requests:
        meter.add(command, status, seconds)
    meter.refused = 7
    found = parse_metrics(render(meter.families()))
    assert found["tmnode_requests_refused_total"] == {("",): 7}
    for command in {command for command, _, _ in requests}:
        mine = [one for one in requests if one[0] == command]
        for status in {status for _, status, _ in mine}:
            key = ("", ("command", command), ("status", str(status)))
            assert found["tmnode_requests_total"][key] == sum(one[1] == status for one in mine)
        for bound in BUCKETS_S:
            key = ("_bucket", ("command", command), ("le", repr(bound)))
            below = sum(seconds <= bound for _, _, seconds in mine)
            assert found["tmnode_request_seconds"][key] == below
