"""What a child is given at its start: where its code lies, what it may read, what bounds it.

The environment is written from nothing, so no variable of the node reaches the child. The code is
found by name through `packages`, never by searching the folder that holds them: in a checkout
that folder may also hold a data directory, and it must not be readable.
"""

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import msgspec

_CODE = ("node", "gpu")
_LIBRARIES = ("msgspec", "numpy", "blake3")
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom")
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # each further arena takes 64 MiB of the address space limit
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_PASSED_ON = ("TMNODE_ISA", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")


class Program(msgspec.Struct, frozen=True):
    """What runs jobs in the child: a module with `load()`, see `node.sandbox.compute`.

    `packages` maps the names of further top-level modules to their folder or file, `libraries`
    names third-party packages, which lie where the node found them, and `arguments` go to `load`.
    Beside what every child has and reads, it has `variables` and reads what lies below `readable`;
    `devices` are the files of a GPU, or folders of them: where there are any, its driver may work
    there (see `confine`). `start_s` is how long it may take until it is ready.
    """

    module: str
    packages: dict[str, str] = {}
    libraries: tuple[str, ...] = ()
    arguments: dict[str, str] = {}
    variables: dict[str, str] = {}
    readable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    start_s: float = 30.0


class ResourceLimits(msgspec.Struct, frozen=True):
    """Bounds of the child; memory counts from what the warm child has already taken."""

    memory_bytes: int
    file_bytes: int = 1 << 36
    open_files: int = 256
    threads: int = 1024


class Launch(msgspec.Struct, frozen=True):
    """The child's first argument, as JSON."""

    parent_process_id: int
    scratch_root: str
    program: str
    arguments: dict[str, str]
    packages: dict[str, str]
    paths: tuple[str, ...]
    variables: dict[str, str]
    readable: tuple[str, ...]
    devices: tuple[str, ...]
    limits: ResourceLimits
    start_s: float


def plan_launch(program: Program, limits: ResourceLimits, scratch_root: Path) -> Launch:
    """The launch of `program` from this process, with this process's own code and libraries."""
    packages = {name: _location(name) for name in _CODE} | program.packages
    paths = _library_folders((*_LIBRARIES, *program.libraries))
    interpreter = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    libraries = os.path.join(sys.base_prefix, "lib")
    return Launch(
        parent_process_id=os.getpid(),
        scratch_root=str(scratch_root.resolve()),
        program=program.module,
        arguments=program.arguments,
        packages=packages,
        paths=tuple(paths),
        variables=program.variables,
        readable=(*_SYSTEM, libraries, *interpreter, *paths, *packages.values(), *program.readable),
        devices=program.devices,
        limits=limits,
        start_s=program.start_s,
    )


def environment(launch: Launch) -> dict[str, str]:
    """All the variables that a child has."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return _ENVIRONMENT | passed_on | launch.variables


def command(launch: Launch) -> list[str]:
    """The command line: an isolated interpreter, without site modules, at `bootstrap`."""
    script = Path(__file__).with_name("bootstrap.py")
    return [sys.executable, "-I", "-S", "-B", str(script), msgspec.json.encode(launch).decode()]


def _location(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {package!r} is not importable here")
    return os.path.realpath(next(iter(spec.submodule_search_locations)))


def _library_folders(names: Iterable[str]) -> list[str]:
    """Where third-party packages lie; the rest of the search path stays out of sight."""
    return sorted({os.path.dirname(_location(name)) for name in names})
