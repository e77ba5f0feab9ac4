"""What proving and verifying take, as quotes, leases and bounds count it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.chain241.cost import (
    PROVER_BYTES,
    PROVER_STATES,
    most_iterations,
    proving_units,
    states_kept,
    verifying,
)

sizes = st.integers(1, 65_536)
bounds = st.integers(0, 2**40)


@given(sizes, bounds, bounds)
def test_the_longest_chain_is_within_the_bounds_and_a_longer_one_is_not(size, most_bytes, units):
    most = most_iterations(size, most_bytes, units)
    for iterations, fits in ((most, True), (most + 1, False)):
        if iterations:
            cost = verifying(size, iterations)
            assert (cost.proof_bytes <= most_bytes and cost.units <= units) is fits


@given(sizes, st.integers(1, 65_536))
def test_a_prover_keeps_within_its_memory(size, iterations):
    states = states_kept(size, iterations)
    assert 3 <= states <= iterations + 2
    assert states * size**2 <= max(PROVER_BYTES, PROVER_STATES * size**2)


def test_units_are_those_of_the_specification():
    assert verifying(1024, 100).units == 48 * 1024**2 + 100 * (2**19 + 2048 * (1024 + 1008))
    assert proving_units(1024, 100) == 100 * (11 * 2**24 + 112 * 1024**2)


@pytest.mark.parametrize(("size", "iterations", "again"), [(1024, 1023, 1), (8192, 1000, 2188)])
def test_what_the_memory_does_not_hold_is_computed_again_and_counted(size, iterations, again):
    step = 2**24 * ((size - 1).bit_length() + 1) + 112 * size**2
    assert proving_units(size, iterations) == again * size**3 + iterations * step


@given(sizes, st.integers(1, 2000))
def test_a_longer_chain_costs_more(size, iterations):
    assert proving_units(size, iterations) < proving_units(size, iterations + 1)
    assert verifying(size, iterations).units < verifying(size, iterations + 1).units
