"""The direction of imports, and which third-party package each folder may use."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("node", "p2p", "gpu", "storage")

MAY_IMPORT = {
    "node": {"node", "p2p", "gpu", "storage"},
    "p2p": {"p2p"},
    "gpu": {"gpu"},
    "storage": {"storage"},
}

THIRD_PARTY = {
    "node": {"msgspec", "trio"},
    "node/app": {"httpx", "msgspec", "trio"},
    "node/devnet": {"httpx", "msgspec", "trio"},
    "node/api": {"hypercorn", "msgspec", "starlette", "trio"},
    "node/cli": {"click", "msgspec", "trio"},
    "node/client": {"httpx", "msgspec", "trio"},
    "node/config": {"coincurve", "msgspec"},
    "node/keys": {"coincurve", "msgspec", "nacl"},
    "node/l1": {"coincurve", "httpx", "msgspec", "trio"},
    "node/l1/devchain": {"fastapi", "hypercorn", "msgspec", "pydantic", "starlette", "trio"},
    "p2p": {"msgspec", "nacl", "trio"},
    "p2p/libp2p": {"libp2p", "msgspec", "multiaddr", "nacl", "trio", "wsproto"},
    "gpu": {"blake3", "msgspec", "numpy"},
    "storage": {"msgspec", "plyvel", "trio"},
}

# Lower may not import higher: `cli → app → {roles, api} → {market, verification, settlement} →
# {l1, records}`. A part that is not listed is a leaf which anything in `node` may import.
LAYERS = (
    ("cli",),
    ("devnet", "bench", "client"),
    ("app",),
    ("assembly",),
    ("roles", "api", "info"),
    ("market", "verification", "settlement", "directory", "wire"),
    ("l1", "keys", "config", "chainwatch", "sandbox", "workloads"),
)


def sources(folder: str) -> Iterator[Path]:
    return (ROOT / folder).rglob("*.py")


@cache
def imported(path: Path) -> list[str]:
    """Full names of the modules that a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
    return names


def allowed_third_party(path: Path) -> set[str]:
    """The list of the closest folder, or module, that has one."""
    name = str(path.relative_to(ROOT).with_suffix(""))
    while name not in THIRD_PARTY:
        name = name.rpartition("/")[0]
    return THIRD_PARTY[name]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_downwards(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imported(path)
        if name.split(".")[0] in FOLDERS and name.split(".")[0] not in MAY_IMPORT[folder]
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_third_party_packages(folder: str) -> None:
    wrong = []
    for path in sources(folder):
        allowed = allowed_third_party(path) | set(FOLDERS) | set(sys.stdlib_module_names)
        wrong += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in imported(path)
            if name.split(".")[0] not in allowed
        ]
    assert wrong == []


def layer_of(part: str) -> int | None:
    return next((level for level, parts in enumerate(LAYERS) if part in parts), None)


def test_node_imports_downwards() -> None:
    wrong = []
    for path in sources("node"):
        here = layer_of(path.relative_to(ROOT / "node").with_suffix("").parts[0])
        for name in imported(path):
            parts = name.split(".")
            there = layer_of(parts[1]) if parts[0] == "node" and len(parts) > 1 else None
            if here is None and there is not None:
                wrong.append(f"{path.relative_to(ROOT)} is a leaf and imports {name}")
            if here is not None and there is not None and there < here:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_only_one_place_imports_libp2p() -> None:
    users = {
        "/".join(path.relative_to(ROOT).parts[:2])
        for folder in FOLDERS
        for path in sources(folder)
        if any(name.split(".")[0] == "libp2p" for name in imported(path))
    }
    assert users == {"p2p/libp2p"}
