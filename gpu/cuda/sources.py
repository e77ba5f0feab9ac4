"""The texts of the kernels: which there are, and the digest that names what is made of them."""

import hashlib
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "csrc"
KERNELS = SOURCES / "cuda"
HEADERS = KERNELS / "include"  # in place of the system's, which NVRTC does not have

# One cubin is made of each.
NAMES = tuple(sorted(path.stem for path in KERNELS.glob("*.cu")))

_FOLDERS = ("cuda", "cuda/include", "math", "residues", "shapes")


def text_of(name: str) -> str:
    """A source by its name."""
    return (KERNELS / f"{name}.cu").read_text()


def digest() -> bytes:
    """SHA-256 of every file that a kernel may include, with its name."""
    files = [SOURCES / "tmkernels.h"]
    for folder in _FOLDERS:
        files += sorted(path for path in (SOURCES / folder).iterdir() if path.is_file())
    whole = hashlib.sha256()
    for path in files:
        data = path.read_bytes()
        whole.update(f"{path.relative_to(SOURCES)} {len(data)}\n".encode())
        whole.update(data)
    return whole.digest()
