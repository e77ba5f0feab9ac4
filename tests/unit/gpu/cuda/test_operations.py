"""Every test of the operations, of the synthetic workload and its prover, on the CUDA kernels.

The tests are those of `ops` and `workloads`, collected again: here `backend` and `threaded` are
CUDA devices run by fibers, and what they are compared with is the CPU's reference.
"""

import importlib.util
import inspect
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent
MODULES = {
    "elementwise": "ops/test_elementwise.py",
    "linear": "ops/test_linear.py",
    "rows": "ops/test_rows.py",
    "tokens": "ops/test_tokens.py",
    "attention": "ops/test_attention.py",
    "convolution": "ops/test_convolution.py",
    "gradients": "ops/test_gradients.py",
    "attention_gradient": "ops/test_attention_gradient.py",
    "batch_norm": "ops/test_batch_norm.py",
    "pooling": "ops/test_pooling.py",
    "optimizers": "ops/test_optimizers.py",
    "chain": "workloads/synthetic/test_chain.py",
    "run": "workloads/synthetic/test_run.py",
    "freivalds": "workloads/synthetic/test_freivalds.py",
    "vectors": "workloads/synthetic/test_vectors.py",
    "proving": "workloads/synthetic/test_proving.py",
}

# Seconds each with fibers.
HEAVY = {
    "test_attention_prefill_chunks_and_decoding_give_the_same_bits",
    "test_linear_largest_integer_sums",
    "test_run_progress_is_not_told_more_often_than_useful",
}


def members_of(name, path):
    """Fixtures by their names, and the tests that take a device by names of their own."""
    spec = importlib.util.spec_from_file_location(f"gpu_tests_again_{name}", UNIT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for key, member in vars(module).items():
        if type(member).__name__ == "FixtureFunctionDefinition":
            yield key, member
        elif key.startswith("test_"):
            inner = getattr(getattr(member, "hypothesis", None), "inner_test", member)
            if {"backend", "threaded"} & set(inspect.signature(inner).parameters):
                key = key.replace("test_", f"test_{name}_", 1)
                yield key, pytest.mark.full(member) if key in HEAVY else member


for _name, _path in MODULES.items():
    globals().update(members_of(_name, _path))
