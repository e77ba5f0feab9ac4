"""Draw the architecture from the imports: writes the picture in docs/architecture.md.

python docs/picture.py            rewrite the picture
python docs/picture.py --check    exit 1 if it is not what the imports say
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture: begin -->\n", "<!-- picture: end -->\n"
FOLDERS = ("node", "p2p", "gpu", "storage")
EVERYWHERE = {
    "node.errors",
    "node.amounts",
    "node.offload",
    "node.events",
    "node.logs",
    "node.metrics",
}
"""Small modules that anything may use: their arrows would hide the others."""


def part_of(module: str) -> str:
    """The box of a module: `node.<part>`, else the folder."""
    names = module.split(".")
    return ".".join(names[:2]) if names[0] == "node" else names[0]


def modules() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            names = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(name for name in names if name != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def arrows() -> set[tuple[str, str]]:
    """Which part imports which."""
    found = set()
    for module, path in modules():
        for name in imports(path):
            here, there = part_of(module), part_of(name)
            known = there.split(".")[0] in FOLDERS and there != "node"
            if known and here != there and not {here, there} & (EVERYWHERE | {"node"}):
                found.add((here, there))
    return found


def picture() -> str:
    """Mermaid text: one box a part, an arrow for each import, implied arrows left out."""
    edges = arrows()
    lines = ["```mermaid", "flowchart TD"]
    inner = sorted({name for edge in edges for name in edge if name.startswith("node.")})
    lines += ["  subgraph node"]
    lines += [f"    {name.replace('.', '_')}[{name.removeprefix('node.')}]" for name in inner]
    lines += ["  end"]
    kept = {edge for edge in edges if not implied(edge, edges)}
    lines += [f"  {a.replace('.', '_')} --> {b.replace('.', '_')}" for a, b in sorted(kept)]
    return "\n".join([*lines, "```"]) + "\n"


def implied(edge: tuple[str, str], edges: set[tuple[str, str]]) -> bool:
    """Whether a longer way leads from the one to the other."""
    start, goal = edge
    seen: set[str] = set()
    ways = [there for here, there in edges if here == start and there != goal]
    while ways:
        place = ways.pop()
        if place == goal:
            return True
        if place not in seen and place != start:
            seen.add(place)
            ways += [there for here, there in edges if here == place]
    return False


def main() -> int:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    wanted = before + BEGIN + picture() + END + after
    if "--check" in sys.argv:
        return int(wanted != page)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
