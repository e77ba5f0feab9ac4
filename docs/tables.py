"""Write the tables of docs/protocol.md and docs/devchain.md from the code: every message, every
wait, every bound; the gas, parameters and limits of the development chain's own transactions.

python docs/tables.py            rewrite the tables
python docs/tables.py --check    exit 1 if they are not what the code says
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs"
WAITS = ("node/roles", "node/market", "p2p")
"""Where waits and bounds are part of the protocol; those of one carrier's inside are not."""
ENDINGS = {"_S": "s", "_MS": "ms"}
LIMITS = (
    "node/l1/escrow/forms.py",
    "node/l1/escrow/gas.py",
    "node/l1/devchain/bonds.py",
    "node/verification/inline.py",
    "node/verification/onchain.py",
)
"""Where the market's transactions have their limits."""


class Message(NamedTuple):
    """A message as its class says it."""

    type_id: int
    name: str
    bound: int
    meaning: str


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """The sources directly in these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def messages() -> Iterator[Message]:
    """Every registered message."""
    for _, tree in trees("node/wire"):
        for item in tree.body:
            if isinstance(item, ast.ClassDef) and item.decorator_list:
                values = dict(_constants(item.body))
                first = (ast.get_docstring(item) or "").split("\n\n")[0].replace("\n", " ")
                yield Message(values["TYPE_ID"], item.name, values["MAX_BYTES"], first)


def answers() -> dict[str, str]:
    """What each request is answered by: the annotation of the handler that is served for it."""
    found = {}
    for _, tree in trees("node/roles"):
        for item in ast.walk(tree):
            if isinstance(item, ast.ClassDef):
                handlers = {f.name: f for f in item.body if isinstance(f, ast.AsyncFunctionDef)}
                found |= dict(_served(item, handlers))
    return found


def _served(
    item: ast.ClassDef, handlers: dict[str, ast.AsyncFunctionDef]
) -> Iterator[tuple[str, str]]:
    for call in ast.walk(item):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "serve":
            request, handler = call.args
            returns = handlers[handler.attr].returns if isinstance(handler, ast.Attribute) else None
            if isinstance(request, ast.Name) and returns is not None:
                yield request.id, ast.unparse(returns)


def waits() -> Iterator[tuple[str, str, str]]:
    """Constants that are times: where, value, what the text below them says."""
    for path, tree in trees(*WAITS):
        for item, text in zip(tree.body, [*tree.body[1:], None], strict=True):
            for name, value in _constants([item]):
                ending = next((end for end in ENDINGS if name.endswith(end)), None)
                if ending and not name.startswith("_"):
                    place = f"{path.with_suffix('')}".replace("/", ".")
                    yield f"`{place}.{name}`", f"{_shown(value)} {ENDINGS[ending]}", _said(text)


def _constants(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    for item in body:
        targets = [item.target] if isinstance(item, ast.AnnAssign) else getattr(item, "targets", [])
        for target in targets:
            if isinstance(target, ast.Name) and target.id.strip("_").isupper() and item.value:
                try:
                    yield target.id, eval(ast.unparse(item.value), {"__builtins__": {}})
                except NameError:
                    continue  # made of other constants: said there


def _said(text: ast.stmt | None) -> str:
    is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    return " ".join(str(text.value.value).split()) if is_text else ""


def _shown(value: object) -> str:
    return " to ".join(map(_shown, value)) if isinstance(value, tuple) else f"{value:,}"


def tables() -> dict[str, str]:
    """The text of each table by its name in the page."""
    answered = answers()
    rows = [
        f"| {one.type_id} | `{one.name}` | {_code(answered.get(one.name))} | {one.bound:,} "
        f"| {one.meaning} |"
        for one in sorted(messages())
    ]
    head = (
        "| id | message | answered by | bytes at most | meaning |\n| --- | --- | --- | ---: | --- |"
    )
    times = [f"| {place} | {value} | {text} |" for place, value, text in waits()]
    time_head = "| constant | value | meaning |\n| --- | --- | --- |"
    return {"messages": _table(head, rows), "waits": _table(time_head, times)}


def chain_tables() -> dict[str, str]:
    """The same for the page of the development chain."""
    limits, gas = [], []
    for name in LIMITS:
        body = ast.parse((ROOT / name).read_text()).body
        for item, text in zip(body, [*body[1:], None], strict=True):
            for constant, value in _constants([item]):
                if constant == "BASE_GAS" and isinstance(value, dict):
                    gas = [f"| `{kind}` | {units:,} |" for kind, units in value.items()]
                elif isinstance(value, int) and not constant.startswith("_"):
                    limits.append(f"| `{constant}` | {value:,} | {_said(text)} |")
    head = "| constant | value | meaning |\n| --- | ---: | --- |"
    return {
        "gas": _table("| type | base gas |\n| --- | ---: |", gas),
        "limits": _table(head, limits),
        "parameters": _table(head.replace("constant", "field"), list(_parameters())),
    }


def _parameters() -> Iterator[str]:
    tree = ast.parse((ROOT / "node/l1/escrow/views.py").read_text())
    for item in tree.body:
        if isinstance(item, ast.ClassDef) and item.name == "MarketParameters":
            for line, text in zip(item.body, [*item.body[1:], None], strict=True):
                if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
                    value = f"{line.value.value:,}"
                    yield f"| `{ast.unparse(line.target)}` | {value} | {_said(text)} |"


def _code(name: str | None) -> str:
    return f"`{name}`" if name else "–"


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, *rows]) + "\n"


def main() -> int:
    """Rewrite the pages, or check them."""
    found = {"protocol.md": tables(), "devchain.md": chain_tables()}
    return max(_rewritten(PAGES / name, texts) for name, texts in found.items())


def _rewritten(path: Path, texts: dict[str, str]) -> int:
    """1 if a page that is only checked is not what the code says."""
    page = before = path.read_text()
    for name, text in texts.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        head, _, rest = page.partition(begin)
        page = head + begin + text + end + rest.partition(end)[2]
    if "--check" in sys.argv:
        return int(page != before)
    path.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
