"""What holds for all tests: no property fails by the clock, and no test is skipped unseen."""

import gc
import re
from collections.abc import Generator, Iterator
from functools import lru_cache
from typing import TypeVar

import nacl.bindings
import pytest
from hypothesis import HealthCheck, settings

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

settings.register_profile("tmnode", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tmnode")
"""No property may fail because the machine was busy when it was looked at: by themselves they have
200 ms of the wall clock for an example, and must find examples fast."""

SKIPS = (
    r"this machine has no (avx2|avx512|neon)",
    r"this machine has avx512 itself",
    r"this machine has no avx2 to emulate avx512 with",
    r"this machine is too busy for a flood: only \d+/s of \w+",
    r"the state is set with an instruction of x86",
    r"the fibers that run CUDA kernels are written for x86-64",
    r"there is no CUDA kernel for \S+ yet",
    r"PyCUDA is not installed, and `make gpu-wheel` has not built it",
    r"there is no (nm|aarch64-linux-gnu-g\+\+) on this machine",
    r"no kernel headers here",
    r"no user namespaces here",
    r"no interpreter here that another user may execute",
    r"the other tests run as an ordinary user already",
    r"needs the extra `full`",
    r"Node.js is missing",
    r"js-libp2p is not installed: .*",
)
"""All that a machine may lack. A skip for another reason fails: whoever adds one names it here."""

SIGNATURES = 1 << 14


@pytest.fixture(scope="session")
def known_signatures() -> Iterator[None]:
    """For tests with many nodes in one process, each of which checks the signatures of all others:
    what was found good is looked up. What is refused raises, and is looked at each time."""
    with pytest.MonkeyPatch.context() as patch:
        known = lru_cache(SIGNATURES)(nacl.bindings.crypto_sign_open)
        patch.setattr(nacl.bindings, "crypto_sign_open", known)
        yield


def is_listed(reason: str) -> bool:
    return any(re.fullmatch(f"(Skipped: )?{listed}", reason, re.DOTALL) for listed in SKIPS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_unlisted((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_unlisted((yield))


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay; the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


def _refuse_unlisted(report: Report) -> Report:
    """The report, as a failure if it tells of a skip that is not listed; xfail is none."""
    if report.skipped and isinstance(report.longrepr, tuple) and not hasattr(report, "wasxfail"):
        path, line, reason = report.longrepr
        if not is_listed(reason):
            report.outcome = "failed"
            report.longrepr = (
                f"{path}:{line}: skipped, and tests/conftest.py lists no such reason: {reason}"
            )
    return report
