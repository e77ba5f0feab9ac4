import hashlib

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from gpu.cpu import CpuBackend
from gpu.workloads.base import Finding, JobContext
from gpu.workloads.synthetic import SyntheticParameters, freivalds
from gpu.workloads.synthetic.chain import first_iterate, step_inputs
from gpu.workloads.synthetic.key import chain_key, out_digest

JOB = JobContext("cpc-test", "task-1", "cpc1worker", 0)
SIZE, STEPS = 12, 4
PARAMETERS = SyntheticParameters("seed", SIZE, STEPS)
SEED = hashlib.sha256(b"secret of the check").digest()


@pytest.fixture(scope="module")
def honest(reference):
    """X_0 … X_4."""
    return reference.chain(chain_key(JOB, PARAMETERS), SIZE, STEPS)


def checked(backend, iterates, /, *, job=JOB, **claims):
    """Check a report that is consistent with `iterates` but for the claims given."""
    last = hashlib.sha256(iterates[-1]).digest()
    report = {
        "report_trace": [blake3(x).digest() for x in iterates],
        "output_sha256": last,
        "digest": out_digest(chain_key(job, PARAMETERS), PARAMETERS, last),
        "iterates": iter(iterates),
    }
    return freivalds.check(job, PARAMETERS, SEED, backend=backend, **(report | claims))


def with_entry(iterate, place, added=1):
    changed = bytearray(iterate)
    changed[place] = (changed[place] + added) % 241
    return bytes(changed)


def transposed(iterate):
    return np.frombuffer(iterate, np.uint8).reshape(SIZE, SIZE).T.tobytes()


def test_honest_chain(backend, honest):
    assert checked(backend, honest[1:]) == Finding(valid=True, reason="every step holds")


@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_one_wrong_entry_of_any_iterate(backend, honest, number):
    for place in (0, 5, SIZE, SIZE * SIZE - 1):
        iterates = list(honest)
        iterates[number] = with_entry(iterates[number], place, 1 + place)
        reason = f"iterate {number} does not follow from iterate {number - 1}"
        assert checked(backend, iterates[1:]) == Finding(valid=False, reason=reason)


def test_honest_steps_from_a_wrong_start(backend, reference):
    other = JobContext("cpc-test", "task-2", "cpc1worker", 0)
    iterates = reference.chain(chain_key(other, PARAMETERS), SIZE, STEPS)
    assert checked(backend, iterates[1:], job=other).valid
    assert "iterate 1 does not follow" in checked(backend, iterates[1:]).reason


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: [x[1], x[3], x[2], x[4]],
        lambda x: [x[2], x[1], x[3], x[4]],
        lambda x: [x[1], x[2], x[3], x[3]],
        lambda x: [x[1], x[2], x[3], bytes(SIZE * SIZE)],
        lambda x: [x[1], x[2], x[3], transposed(x[4])],
        lambda x: [transposed(iterate) for iterate in x[1:]],
        lambda x: x[:STEPS],
    ],
    ids=["swapped", "swapped first", "repeated", "zero", "transposed", "all transposed", "shifted"],
)
def test_other_matrices(backend, honest, wrong):
    finding = checked(backend, wrong(honest))
    assert not finding.valid
    assert "does not follow" in finding.reason


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda x: x[1:4], "the trace has 3 digests for 4 iterations"),
        (lambda x: x[1:] + x[4:], "the trace has 5 digests for 4 iterations"),
        (lambda x: [x[1], x[2][:-1], x[3], x[4]], "iterate 2 has 143 bytes instead of 144"),
        (lambda x: [x[1], x[2], x[3] + b"\0", x[4]], "iterate 3 has 145 bytes instead of 144"),
        (lambda x: [b"", *x[2:]], "iterate 1 has 0 bytes instead of 144"),
        (lambda x: [*x[1:4], b"\xf1" + x[4][1:]], "iterate 4 holds a byte over 240"),
        (lambda x: [b"\xff" * SIZE * SIZE, *x[2:]], "iterate 1 holds a byte over 240"),
    ],
)
def test_wrong_forms(backend, honest, wrong, reason):
    assert checked(backend, wrong(honest)) == Finding(valid=False, reason=reason)


def test_same_residue_in_another_byte(backend, honest):
    place = honest[2].index(min(honest[2]))
    other = bytearray(honest[2])
    other[place] += 241  # at most 255, since small residues abound
    iterates = [honest[1], bytes(other), *honest[3:]]
    assert checked(backend, iterates).reason == "iterate 2 holds a byte over 240"


def test_claims_that_do_not_fit_the_iterates(backend, honest):
    trace = [blake3(x).digest() for x in honest[1:]]
    wrong_digest = [*trace[:2], bytes(32), trace[3]]
    committed = "iterate 3 is not what the trace commits to"
    assert checked(backend, honest[1:], report_trace=wrong_digest).reason == committed
    wrong_size = [*trace[:2], trace[2][:31], trace[3]]
    assert checked(backend, honest[1:], report_trace=wrong_size).reason == committed
    finding = checked(backend, honest[1:], output_sha256=bytes(32))
    assert finding.reason == "the output is not the last iterate"
    finding = checked(backend, honest[1:], digest=b"")
    assert finding.reason == "the result digest is another one"


def test_too_few_and_too_many_iterates_behind_a_right_trace(backend, honest):
    trace = [blake3(x).digest() for x in honest[1:]]
    finding = checked(backend, honest[1:4], report_trace=trace)
    assert finding.reason == "iterate 4 is not what the trace commits to"
    finding = checked(backend, honest[1:], iterates=iter([*honest[1:], b""]))
    assert finding.reason == "there are more than 4 iterates"


def test_iterates_that_were_not_committed_say_nothing_about_the_work(backend, honest):
    """Whoever passes them on could have changed them: only committed ones make it invalid."""
    trace = [blake3(x).digest() for x in honest[1:]]
    changed = [honest[1], with_entry(honest[2], 3), *honest[3:]]
    for iterates in (changed, honest[1:4], [], [*honest[1:], b"x"], [honest[1][:-1], *honest[2:]]):
        finding = checked(backend, honest[1:], report_trace=trace, iterates=iter(iterates))
        assert (finding.valid, finding.opened) == (False, False)
    committed = checked(backend, changed)
    assert (committed.valid, committed.opened) == (False, True)
    assert checked(backend, honest[1:], digest=b"").opened


@given(st.lists(st.binary(max_size=200), max_size=6), st.data())
def test_hostile_bytes_never_raise(honest, garbage, data):
    iterates = data.draw(st.permutations([*garbage, *honest[1:]]))[:STEPS]
    finding = checked(CpuBackend(), iterates)
    assert finding.valid == (iterates == honest[1:])


def test_iterates_are_read_one_at_a_time(backend, honest):
    """The first false step ends the reading."""
    read = []

    def iterates():
        for number, iterate in enumerate(honest[1:], start=1):
            read.append(number)
            yield with_entry(iterate, 0) if number == 2 else iterate

    trace = [blake3(x).digest() for x in honest[1:]]
    trace[1] = blake3(with_entry(honest[2], 0)).digest()
    assert not checked(backend, honest[1:], report_trace=trace, iterates=iterates()).valid
    assert read == [1, 2]


def test_one_column_misses_at_the_rate_that_the_theory_says():
    """A check with one random column misses one wrong entry with probability 1/241; this one too.

    So the other tests can fail: 16 columns reject because they are 16, not by accident.
    """
    backend, size, trials = CpuBackend(), 6, 4000
    key = bytes(32)
    current, inputs = first_iterate(backend, key, size), step_inputs(backend, key, size, 0)
    following = backend.empty(size, size)
    backend.product(current, current, following, scale=inputs[0], column=inputs[1], row=inputs[2])
    wrong = backend.upload(with_entry(bytes(backend.download(following)), 15), size, size)
    probes = backend.empty(trials, size)
    backend.expand(probes, key, 9, 0)
    misses = 0
    for trial in range(trials):
        one = backend.tile(probes, slice(trial, trial + 1), slice(0, size))
        probe = one.reshape(size, 1)
        images = (freivalds.image(backend, x, probe, size, 1) for x in (current, wrong))
        misses += freivalds.step_holds(backend, current, *images, inputs, probe, size, 1)
    expected, deviation = trials / 241, (trials / 241) ** 0.5
    assert abs(misses - expected) < 3 * deviation


def test_check_units_count_the_products():
    assert freivalds.check_units(SyntheticParameters("s", 100, 3)) == 7 * 16 * 100 * 100
