"""The chain, byte for byte as in the vectors of the specification."""

import hashlib

import pytest
from blake3 import blake3

from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext
from gpu.workloads.synthetic import SyntheticParameters
from gpu.workloads.synthetic.chain import advance, first_iterate, step_inputs
from gpu.workloads.synthetic.key import chain_key, out_digest

SIZES = (1, 2, 7, 16, 64, 100)


@pytest.fixture(params=[f"{context}-{size}" for context in "AB" for size in SIZES])
def case(request, vectors):
    context, size = request.param.split("-")
    chains = vectors["chains"]
    (found,) = (c for c in chains if (c["context"], c["n"]) == (context, int(size)))
    return found | {"fields": vectors["contexts"][context]}


@pytest.fixture
def parameters(case):
    return SyntheticParameters(case["fields"]["seed"], case["n"], case["T"])


@pytest.fixture
def job(case):
    fields = case["fields"]
    return JobContext(fields["chain_id"], fields["task_id"], fields["worker"], fields["job"])


@pytest.fixture
def key(case, job, parameters):
    return chain_key(job, parameters, bytes.fromhex(case["fields"]["beacon"]))


def test_key(case, key):
    assert key.hex() == case["key"]


def test_worker_address_counts_in_lower_case(case, job, parameters, key):
    shouted = JobContext(job.chain_id, job.task_id, job.worker.upper(), job.nonce)
    assert chain_key(shouted, parameters, bytes.fromhex(case["fields"]["beacon"])) == key


def test_reference(case, reference):
    size, iterations = case["n"], case["T"]
    key = reference.key(case["fields"], size, iterations)
    words = [f"{word:08x}" for word, _ in zip(reference.words(key, 0, 0), range(4), strict=False)]
    iterates = reference.chain(key, size, iterations)
    assert key.hex() == case["key"]
    assert words[: size * size] == case["words_X0_first4"]
    assert [hashlib.sha256(x).hexdigest() for x in iterates] == case["sha256_X"]
    assert reference.out(key, size, iterations, iterates[-1]).hex() == case["final_digest"]


def test_expansion(case, key, backend):
    start = first_iterate(backend, key, case["n"])
    inputs = step_inputs(backend, key, case["n"], 0)
    assert head(backend, start) == case["X0_first32"]
    assert head(backend, inputs.diagonal) == case["D0_first32"]
    assert head(backend, inputs.column) == case["u0_first32"]
    assert head(backend, inputs.row) == case["v0_first32"]


def test_iterates(case, key, backend, parameters):
    iterates = chain(backend, key, case["n"], case["T"])
    assert iterates[1][:32].hex() == case["X1_first32"]
    assert iterates[-1][:32].hex() == case["XT_first32"]
    assert [hashlib.sha256(x).hexdigest() for x in iterates] == case["sha256_X"]
    assert [blake3(x).hexdigest() for x in iterates] == case["blake3_X"]
    assert [x.hex() for x in iterates] == case.get("X_hex", [x.hex() for x in iterates])
    last = hashlib.sha256(iterates[-1]).digest()
    assert out_digest(key, parameters, last).hex() == case["final_digest"]


@pytest.mark.parametrize("case", [f"A-{size}" for size in SIZES], indirect=True)
def test_run(case, backend, job, parameters, tmp_path):
    """Context A is the one without a beacon, as runs are."""
    report = WORKLOADS["synthetic"].run(job, parameters, backend, tmp_path, lambda _part: None)
    assert report.digest.hex() == case["final_digest"]
    assert [digest.hex() for digest in report.trace] == case["blake3_X"][1:]
    assert report.outputs[0].sha256.hex() == case["sha256_X"][-1]


def head(backend, array):
    return bytes(backend.download(array))[:32].hex()


def chain(backend, key, size, iterations):
    current = first_iterate(backend, key, size)
    iterates = [bytes(backend.download(current))]
    for step in range(iterations):
        following = backend.empty(size, size)
        advance(backend, current, following, step_inputs(backend, key, size, step), size)
        iterates.append(bytes(backend.download(following)))
        current = following
    return iterates
