"""The checks by name: what each covers, and how it is run."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from gpu.check import whole
from gpu.check.exhaustive import awkward_pairs, every_float
from gpu.check.fuzz import CASES, fuzz
from gpu.check.operands import Fuzz
from gpu.check.outcome import Outcome, Pair
from gpu.check.speed import speed
from gpu.cpu import CpuBackend
from gpu.cuda.backend import CudaBackend
from gpu.cuda.figures import PARTS, Sizes
from gpu.ops import Binary, Unary

_SEED = 20_261_126


class Setting(NamedTuple):
    """How much is done, and on which GPU (None: the CPU stands in)."""

    number: int | None
    stride: int  # every so many floats
    runs: int  # random shapes of an operation
    sizes: Sizes  # of what is measured
    chain: tuple[int, int]


FULL = Setting(0, 1, 300, Sizes(), (4096, 10))
QUICK = Setting(0, 997, 30, Sizes(products=(1024, 4096), residues=(4096,)), (1024, 4))

Check = Callable[[Setting, Pair], Outcome]


def _judged(name: str, covered: str, problem: str | None) -> Outcome:
    if problem is None:
        return Outcome(name, passed=True, detail="not run: it is not installed here")
    return Outcome(name, passed=not problem, detail=problem or covered)


def _self_test(_setting: Setting, pair: Pair) -> Outcome:
    return _judged("self-test", "every operation", whole.self_test(pair.device))


def _floats(function: Unary, setting: Setting, pair: Pair) -> Outcome:
    covered = "all floats" if setting.stride == 1 else f"every {setting.stride}th float"
    problem = every_float(pair, function, setting.stride)
    return _judged(f"floats {function.name.lower()}", covered, problem)


def _pairs(_setting: Setting, pair: Pair) -> Outcome:
    problems = [problem for function in Binary if (problem := awkward_pairs(pair, function))]
    return _judged("awkward pairs", "every function of two", "; ".join(problems))


def _shapes(name: str, case: Fuzz, setting: Setting, pair: Pair) -> Outcome:
    problem = fuzz(pair, case, setting.runs, _SEED)
    return _judged(f"shapes {name}", f"{setting.runs} random shapes", problem)


def _repeated(setting: Setting, pair: Pair) -> Outcome:
    times = max(3, setting.runs // 3)
    return _judged("repeated", f"{times} times", whole.repeated(pair.device, times))


def _threads(_setting: Setting, pair: Pair) -> Outcome:
    return _judged("threads", "three at once", whole.from_threads(pair.device, 3))


def _chain(setting: Setting, pair: Pair) -> Outcome:
    device = pair.device
    assert isinstance(device, CpuBackend | CudaBackend)
    size, iterations = setting.chain
    problem = whole.chain(device, size, iterations)
    return _judged("chain", f"{iterations} steps of {size} x {size}, checked by the CPU", problem)


def _driver_compiled(setting: Setting, _pair: Pair) -> Outcome:
    problem = None if setting.number is None else whole.compiled_by_the_driver(setting.number)
    return _judged("PTX", "the self-test, compiled by the driver", problem)


def _sanitized(tool: str, setting: Setting, _pair: Pair) -> Outcome:
    problem = None if setting.number is None else whole.sanitized(setting.number, tool)
    return _judged(f"sanitizer {tool}", "the self-test", problem)


def _speed(part: str, setting: Setting, pair: Pair) -> Outcome:
    return speed(part, pair.device, setting.sizes)


def checks() -> Mapping[str, Check]:
    """All of them, the telling ones first."""
    return {
        "self-test": _self_test,
        "PTX": _driver_compiled,
        **{f"shapes {name}": partial(_shapes, name, case) for name, case in CASES.items()},
        "awkward pairs": _pairs,
        "chain": _chain,
        "repeated": _repeated,
        "threads": _threads,
        **{f"floats {f.name.lower()}": partial(_floats, f) for f in Unary},
        **{f"sanitizer {tool}": partial(_sanitized, tool) for tool in ("memcheck", "racecheck")},
        **{f"speed {part}": partial(_speed, part) for part in PARTS},
    }
