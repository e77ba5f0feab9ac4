import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.errors import PayloadError
from gpu.proofs.chain241.cost import most_iterations, verifying
from gpu.workloads.base import Limits
from gpu.workloads.synthetic import SyntheticParameters
from gpu.workloads.synthetic.encoding import decoded, encoded
from gpu.workloads.synthetic.parameters import (
    canonical,
    check_limits,
    from_canonical,
    parse,
    trace_bytes,
)

PAYLOAD = {"seed": "abc", "matrix_size": 64, "iterations": 3}
LIMITS = Limits()

LETTERS = "aZ0 ü✓𝔸\n\0"
seeds = st.text(LETTERS, min_size=1, max_size=64)
junk = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(LETTERS + "\ud800")
    | st.binary()
    | st.lists(st.integers())
    | st.dictionaries(st.text(LETTERS), st.integers())
)


def refused(payload, limits=LIMITS):
    with pytest.raises(PayloadError) as caught:
        parse(payload, limits)
    return caught.value


def test_a_good_payload():
    assert parse(PAYLOAD, LIMITS) == SyntheticParameters("abc", 64, 3)


@pytest.mark.parametrize("seed", [0, -5, 7, 10**255, -(10**254)])
def test_integer_seeds_become_decimal_text(seed):
    assert parse(PAYLOAD | {"seed": seed}, LIMITS).seed == str(seed)


@pytest.mark.parametrize("field", PAYLOAD)
def test_missing_field(field):
    error = refused({name: value for name, value in PAYLOAD.items() if name != field})
    assert (error.field, error.problem) == (field, "is missing")
    assert "seed, matrix_size, iterations" in error.remedy


def test_a_mistyped_field_is_named_with_the_one_that_was_meant():
    payload = {("sead" if name == "seed" else name): value for name, value in PAYLOAD.items()}
    error = refused(payload)
    assert (error.field, error.problem) == ("sead", "is unknown")
    assert error.remedy == "did you mean seed?"
    assert "seed, matrix_size" in refused(PAYLOAD | {"zzz": 1}).remedy


def test_unknown_field():
    error = refused(PAYLOAD | {"size\udcff" * 100: 1})
    assert error.problem == "is unknown"
    assert error.field.isascii()
    assert len(error.field) < 100


@pytest.mark.parametrize(
    "value",
    [True, False, 1.0, 64.5, math.nan, math.inf, None, "64", b"64", [64], {}, 0, -1, 65_537],
)
@pytest.mark.parametrize("field", ["matrix_size", "iterations"])
def test_sizes_that_are_no_positive_integers_in_range(field, value):
    error = refused(PAYLOAD | {field: value})
    assert error.field == field
    assert error.code == "invalid_input"
    assert error.remedy == "send an integer from 1 to 65536"


@pytest.mark.parametrize("field", PAYLOAD)
def test_huge_integers_are_not_printed(field):
    error = refused(PAYLOAD | {field: 10**5000})
    assert error.field == field
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    "seed", ["", "x" * 257, "ü" * 129, "\ud800", "a\udfff", True, 1.5, math.nan, None, b"abc", []]
)
def test_seeds_that_are_no_short_text(seed):
    error = refused(PAYLOAD | {"seed": seed})
    assert error.field == "seed"
    assert error.remedy == "send a text of 1 to 256 bytes in UTF-8, or an integer"


def test_seeds_of_the_largest_size():
    for seed in ("x" * 256, "ü" * 128):
        assert parse(PAYLOAD | {"seed": seed}, LIMITS).seed == seed


def test_limits_of_the_network():
    limits = Limits(max_matrix_size=100, max_iterations=10)
    assert parse(PAYLOAD | {"matrix_size": 100, "iterations": 10}, limits)
    assert refused(PAYLOAD | {"matrix_size": 101}, limits).remedy == "send an integer from 1 to 100"
    assert refused(PAYLOAD | {"iterations": 11}, limits).remedy == "send an integer from 1 to 10"


def test_no_limit_of_a_network_goes_beyond_the_kernels():
    limits = Limits(max_matrix_size=10**9, max_iterations=10**12, max_trace_bytes=10**30)
    assert refused(PAYLOAD | {"matrix_size": 65_537}, limits).field == "matrix_size"
    assert refused(PAYLOAD | {"iterations": 2**32}, limits).field == "iterations"


@pytest.mark.parametrize(("iterations", "proven"), [(128, False), (129, True), (65_536, True)])
def test_what_is_too_large_to_be_opened_is_proven(iterations, proven):
    limits = Limits(max_proof_bytes=2**30, max_proof_units=10**12)
    parameters = parse(PAYLOAD | {"matrix_size": 1024, "iterations": iterations}, limits)
    assert parameters.proven is proven
    assert (trace_bytes(parameters) > limits.max_trace_bytes) is proven
    check_limits(parameters, limits)
    opened = msgspec.structs.replace(parameters, proven=False)
    if proven:
        with pytest.raises(PayloadError) as caught:
            check_limits(opened, limits)
        assert (caught.value.field, caught.value.code) == ("iterations", "task_too_large")
        assert caught.value.remedy == "send at most 128 iterations or a smaller matrix_size"
    else:
        check_limits(opened, limits)


def test_a_small_result_is_proven_if_its_customer_wants():
    assert parse(PAYLOAD | {"proof": True}, LIMITS).proven
    assert parse(PAYLOAD | {"proof": False}, LIMITS) == parse(PAYLOAD, LIMITS)
    for value in (1, 0, None, "true", []):
        error = refused(PAYLOAD | {"proof": value})
        assert (error.field, error.remedy) == ("proof", "send true, or leave it out")


@pytest.mark.parametrize(
    ("size", "limits", "most"),
    [
        (1024, Limits(), 16_644),
        (4096, Limits(), 8_723),
        (1024, Limits(max_proof_bytes=1008 * 200), 200),
        (1024, Limits(max_proof_units=10**9), 202),
    ],
)
def test_a_proof_over_the_limits_is_too_large_a_task(size, limits, most):
    """Of bytes, or of what its verifier computes: nobody begins what nobody will check."""
    payload = PAYLOAD | {"matrix_size": size}
    cost = verifying(size, most)
    assert cost.proof_bytes <= limits.max_proof_bytes
    assert cost.units <= limits.max_proof_units
    assert parse(payload | {"iterations": most}, limits).proven
    error = refused(payload | {"iterations": most + 1}, limits)
    assert (error.field, error.code) == ("iterations", "task_too_large")
    assert error.remedy == f"send at most {most} iterations or a smaller matrix_size"
    with pytest.raises(PayloadError):
        check_limits(SyntheticParameters("abc", size, most + 1, proven=True), limits)


def test_a_matrix_that_no_verifier_would_read():
    error = refused(PAYLOAD | {"matrix_size": 60_000})
    assert (error.field, error.code) == ("matrix_size", "task_too_large")
    assert error.remedy == "send a smaller matrix_size"


@given(st.sampled_from([*PAYLOAD]), junk)
def test_junk_is_refused_or_parsed_but_nothing_else(field, value):
    payload = PAYLOAD | {field: value}
    if well_formed(field, value) and can_be_checked(payload["matrix_size"], payload["iterations"]):
        parameters = parse(payload, LIMITS)
        assert parameters.seed == str(payload["seed"])
        assert from_canonical(canonical(parameters)) == parameters
    else:
        error = refused(payload)
        assert error.field == field or error.code == "task_too_large"
        assert str(error).isprintable()


def can_be_checked(size, iterations):
    most = most_iterations(size, LIMITS.max_proof_bytes, LIMITS.max_proof_units)
    return size**2 * iterations <= 2**27 or iterations <= most


def well_formed(field, value):
    if field == "seed":
        short_text = isinstance(value, str) and value and "\ud800" not in value
        return short_text or type(value) is int
    return type(value) is int and 1 <= value <= 65_536


@given(seeds, st.integers(1, 65_536), st.integers(1, 2**32 - 1), st.integers(1, 64), st.booleans())
def test_canonical_bytes_round_trip(seed, matrix_size, iterations, chains, proven):
    parameters = SyntheticParameters(seed, matrix_size, iterations, chains, proven)
    assert from_canonical(canonical(parameters)) == parameters


def test_canonical_bytes_are_pinned():
    assert canonical(SyntheticParameters("grün", 258, 3)) == (
        b"\x1e\0\0\0tmnode/synthetic/v1/parameters"
        b"\x05\0\0\0gr\xc3\xbcn"
        b"\x04\0\0\0\x02\x01\0\0"
        b"\x04\0\0\0\x03\0\0\0"
    )


def test_chains_are_one_unless_more_are_asked_for():
    assert parse(PAYLOAD, LIMITS).chains == 1
    assert parse(PAYLOAD | {"chains": 1}, LIMITS) == parse(PAYLOAD, LIMITS)
    assert parse(PAYLOAD | {"chains": 64}, LIMITS).chains == 64


@pytest.mark.parametrize("chains", [0, -1, 65, True, 2.0, "2", None, 10**400])
def test_chains_that_are_no_small_number(chains):
    error = refused(PAYLOAD | {"chains": chains})
    assert (error.field, error.remedy) == ("chains", "send an integer from 1 to 64")


def test_a_network_may_allow_fewer_chains():
    limits = Limits(max_jobs=4)
    assert parse(PAYLOAD | {"chains": 4}, limits).chains == 4
    assert refused(PAYLOAD | {"chains": 5}, limits).field == "chains"
    with pytest.raises(PayloadError):
        check_limits(SyntheticParameters("abc", 64, 3, 5), limits)


def test_the_encoding_of_many_chains_is_pinned_and_never_that_of_one():
    assert canonical(SyntheticParameters("s", 258, 3, 2)) == (
        b"\x1e\0\0\0tmnode/synthetic/v2/parameters"
        b"\x01\0\0\0s"
        b"\x04\0\0\0\x02\x01\0\0"
        b"\x04\0\0\0\x03\0\0\0"
        b"\x04\0\0\0\x02\0\0\0"
    )
    for chains in (0, 1, 65, 2**32 - 1):
        with pytest.raises(PayloadError):
            from_canonical(encoded(b"tmnode/synthetic/v2/parameters", b"s", 1, 1, chains))
    with pytest.raises(PayloadError):
        from_canonical(encoded(b"tmnode/synthetic/v1/parameters", b"s", 1, 1, 2))


def test_the_encoding_of_a_proven_result_is_pinned():
    for chains in (1, 2):
        assert canonical(SyntheticParameters("s", 258, 3, chains, proven=True)) == (
            b"\x1e\0\0\0tmnode/synthetic/v3/parameters"
            b"\x01\0\0\0s"
            b"\x04\0\0\0\x02\x01\0\0"
            b"\x04\0\0\0\x03\0\0\0"
            b"\x04\0\0\0" + bytes([chains]) + b"\0\0\0"
        )
    for chains in (0, 65, 2**32 - 1):
        with pytest.raises(PayloadError):
            from_canonical(encoded(b"tmnode/synthetic/v3/parameters", b"s", 1, 1, chains))
    with pytest.raises(PayloadError):
        from_canonical(encoded(b"tmnode/synthetic/v3/parameters", b"s", 1, 1))


@given(st.binary(max_size=80))
def test_random_bytes_are_no_parameters(data):
    with pytest.raises(PayloadError):
        from_canonical(data)


@pytest.mark.parametrize(
    "fields",
    [
        (b"tmnode/synthetic/v2/parameters", b"s", 1, 1),
        (b"tmnode/synthetic/v1/parameters", b"", 1, 1),
        (b"tmnode/synthetic/v1/parameters", b"\xff", 1, 1),
        (b"tmnode/synthetic/v1/parameters", b"s", 0, 1),
        (b"tmnode/synthetic/v1/parameters", b"s", 65_537, 1),
        (b"tmnode/synthetic/v1/parameters", b"s", 1, 0),
        (b"tmnode/synthetic/v1/parameters", b"s", b"\1", 1),
        (b"tmnode/synthetic/v1/parameters", b"s", 1, 1, b""),
        (b"tmnode/synthetic/v1/parameters", b"s", 1),
    ],
)
def test_other_fields_are_no_parameters(fields):
    with pytest.raises(PayloadError):
        from_canonical(encoded(*fields))


def test_every_changed_length_of_canonical_bytes_is_refused():
    data = canonical(SyntheticParameters("abc", 64, 3))
    for end in range(len(data)):
        with pytest.raises(PayloadError):
            from_canonical(data[:end])
    with pytest.raises(PayloadError):
        from_canonical(data + b"\0")


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_encoding_round_trips(fields):
    assert decoded(encoded(*fields), len(fields)) == fields
