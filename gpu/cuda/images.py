"""Cubins in a folder of their own, named by all they are made of; each is made once.

A folder is complete or absent. Who may not write, such as the compute child, reads what its parent
prepared. An image starts with the SHA-256 of the rest, so that damage is seen.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from gpu.cuda import sources
from gpu.cuda.compiler import FLAGS, Compiler
from gpu.cuda.inspection import forbidden
from gpu.errors import CompilationFailed, DeviceUnavailable

_DIGEST_BYTES = 32
_SUFFIX = ".cubin"


class ImageFolder(Mapping[str, bytes]):
    """The cubins of one architecture, by the names of their sources."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, name: str) -> bytes:
        """A cubin. Raises DeviceUnavailable when it is damaged."""
        if name not in sources.NAMES:
            raise KeyError(name)
        data = (self.path / f"{name}{_SUFFIX}").read_bytes()
        digest, image = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(image).digest() != digest:
            raise DeviceUnavailable(f"{self.path} is damaged: delete it, it is made again")
        return image

    def __iter__(self) -> Iterator[str]:
        return iter(sources.NAMES)

    def __len__(self) -> int:
        return len(sources.NAMES)


def default_cache() -> Path:
    """Where cubins are kept: `$XDG_CACHE_HOME/tmnode/cubin`, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tmnode" / "cubin"


def prepare(compiler: Compiler, architecture: int, cache: Path) -> ImageFolder:
    """The cubins of an architecture, compiled unless the cache has them.

    Raises CompilationFailed for what does not compile, or compiles to what is not allowed.
    """
    path = cache / _name(compiler.version, architecture)
    if not path.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        try:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                make = partial(_make, compiler, architecture, fresh)
                list(pool.map(make, sources.NAMES))  # raises what one of them raises
            fresh.chmod(0o755)
            _move(fresh, path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return ImageFolder(path)


def _make(compiler: Compiler, architecture: int, folder: Path, name: str) -> Path:
    """Compile a source into a folder; threads may do this side by side."""
    image = compile_checked(compiler, name, architecture)
    path = folder / f"{name}{_SUFFIX}"
    path.write_bytes(hashlib.sha256(image).digest() + image)
    return path


def compile_checked(compiler: Compiler, name: str, architecture: int) -> bytes:
    """The cubin of a source whose instructions are all allowed. Raises CompilationFailed."""
    compiled = compiler.compile(name, architecture)
    bad = forbidden(compiled.ptx)
    if bad:
        raise CompilationFailed(name, architecture, f"instructions not allowed: {', '.join(bad)}")
    return compiled.cubin


def _name(version: str, architecture: int) -> str:
    whole = hashlib.sha256(sources.digest())
    whole.update(" ".join([version, *FLAGS]).encode())
    return f"sm_{architecture}-{whole.hexdigest()[:32]}"


def _move(fresh: Path, path: Path) -> None:
    try:
        fresh.rename(path)
    except OSError:
        if not path.is_dir():  # else another process was faster: its images are the same
            raise
