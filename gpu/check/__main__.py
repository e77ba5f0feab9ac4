"""`python -m gpu.check`: runs the checks, each in a process of its own, prints and saves a table.

`python -m gpu.check one NAME` runs a single one here and prints its outcome as JSON. `--device cpu`
puts the CPU's best instruction set in the GPU's place, to try the checks themselves.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gpu.check.outcome import Outcome, Pair
from gpu.check.suite import FULL, QUICK, Setting, checks
from gpu.cpu import CpuBackend
from gpu.cuda.devices import find_devices, open_device, prepared_images
from gpu.errors import GpuError

_MOST_S = 900.0


def main(arguments: list[str] | None = None) -> int:
    """The process's exit code: 1 when a check fails, 2 when there is no such device."""
    told = _told(arguments)
    setting = _setting(told)
    if told.action == "one":
        return _one(told.name, setting)
    if setting.number is not None and (problem := find_devices().problem):
        return _say(f"gpu-check: {problem}", 2)
    names = [name for name in checks() if told.only in name]
    outcomes = list(_all(names, told))
    report = "\n".join([_heading(told.device), *map(_line, outcomes)])
    Path(told.out).parent.mkdir(parents=True, exist_ok=True)
    Path(told.out).write_text(report + "\n")
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    _say(f"{len(outcomes) - len(failed)} of {len(outcomes)} checks passed; saved in {told.out}", 0)
    return _say(f"FAILED: {', '.join(failed)}", 1) if failed else 0


def _told(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu-check", description="Compare a GPU with the CPU.")
    parser.add_argument("action", nargs="?", choices=("all", "one"), default="all")
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu")
    parser.add_argument("--quick", action="store_true", help="a sample of floats and few shapes")
    parser.add_argument("--only", default="", help="checks whose name holds this")
    parser.add_argument("--limit", type=float, default=_MOST_S, help="seconds for one check")
    parser.add_argument("--out", default="build/gpu-check.txt", help="where the table is saved")
    return parser.parse_args(arguments)


def _setting(told: argparse.Namespace) -> Setting:
    kind, _, number = told.device.partition(":")
    base = QUICK if told.quick else FULL
    return base._replace(number=int(number) if kind == "cuda" else None)


def _one(name: str, setting: Setting) -> int:
    started = time.monotonic()
    try:
        outcome = checks()[name](setting, _opened(setting))
    except GpuError as error:
        outcome = Outcome(name, passed=False, detail=str(error))
    outcome = msgspec.structs.replace(outcome, seconds=time.monotonic() - started)
    return _say(msgspec.json.encode(outcome).decode(), 0)


def _opened(setting: Setting) -> Pair:
    if setting.number is None:
        return Pair(CpuBackend(), CpuBackend("baseline"))
    reference = CpuBackend(threads=os.cpu_count() or 1)
    return Pair(open_device(setting.number, prepared_images(setting.number).path), reference)


def _all(names: list[str], told: argparse.Namespace) -> Iterator[Outcome]:
    _say(_heading(told.device), 0)
    for name in names:
        outcome = _isolated(name, told)
        _say(_line(outcome), 0)
        yield outcome


def _isolated(name: str, told: argparse.Namespace) -> Outcome:
    options = ["--device", told.device, *(["--quick"] if told.quick else [])]
    command = [sys.executable, "-m", "gpu.check", "one", name, *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=told.limit
        )
    except subprocess.TimeoutExpired:
        return Outcome(name, passed=False, detail=f"took over {told.limit:g} s", seconds=told.limit)
    last = (done.stdout.splitlines() or [""])[-1]
    try:
        return msgspec.json.decode(last, type=Outcome)
    except msgspec.DecodeError:
        words = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return Outcome(name, passed=False, detail=f"ended with {done.returncode}: {words}")


def _heading(device: str) -> str:
    found = [one for one in find_devices().devices if device == f"cuda:{one.number}"]
    named = f"{found[0].name}, compute capability {found[0].capability}" if found else device
    return f"{named}: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC"


def _line(outcome: Outcome) -> str:
    verdict = "passed" if outcome.passed else "FAILED"
    detail = outcome.detail.replace("\n", "\n" + " " * 41)
    return f"{verdict}  {outcome.name:<22} {outcome.seconds:7.1f} s  {detail}"


def _say(text: str, code: int) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
